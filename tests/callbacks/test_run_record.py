import csv
import json
import multiprocessing
import os
import re
import resource
import signal
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from toy_method import BATCHES

import cli
from callbacks import progress
from callbacks.checkpoints import CheckpointError, WholeFileCheckpointIO
from callbacks.run_folder import MetricsTable, keep_config, write_whole

CONFIG = """# A toy.
seed_everything: 3
model: {class_path: toy_method.ToyMethod}
data: {class_path: toy_method.ToyData, init_args: {root: here}}
trainer: {max_epochs: 3, accelerator: cpu, log_every_n_steps: 1, enable_model_summary: false}
"""
STEPS = 3 * BATCHES


@pytest.fixture
def fit(tmp_path, monkeypatch):
    """Run ``lightning fit`` on the toy in an empty working directory; returns the exit code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "toy.yaml").write_text(CONFIG)
    return lambda *arguments: cli.main(["fit", "--config", "toy.yaml", *arguments])


def metrics(folder):
    with (Path(folder) / "logs" / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def last(folder):
    return torch.load(Path(folder) / "checkpoints" / "last.ckpt", weights_only=True)


def equal_states(one, other):
    return all(torch.equal(one["state_dict"][name], other["state_dict"][name]) for name in one["state_dict"])


def alone(function, *arguments):
    """Start a function in a process of its own; it starts in no time, since everything is imported."""
    process = multiprocessing.get_context("fork").Process(target=lambda: os._exit(function(*arguments)))
    process.start()
    return process


def test_run_folder(fit, capsys, caplog):
    assert fit("--data.root", "broken", "--run_dir", "runs/a") == 0
    folder = Path("runs/a")
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"config.yaml", "versions.json", "logs/metrics.csv", "checkpoints/last.ckpt"} <= names
    assert any(name.startswith("logs/events.out.tfevents") for name in names)
    recipe = (folder / "config.yaml").read_text()
    assert yaml.safe_load(recipe)["model"]["init_args"]["lr"] == 0.1
    assert last(folder)["zoo_config"] == recipe
    (start,) = json.loads((folder / "versions.json").read_text())
    assert start["command"].startswith("lightning fit") and start["torch"] == torch.__version__
    assert start["git_commit"] is None or re.fullmatch("[0-9a-f]{40}", start["git_commit"])
    rows = metrics(folder)
    assert [int(row["step"]) for row in rows if row["train/loss"]] == list(range(STEPS))
    assert {row["data/broken"] for row in rows if row["train/loss"]} == {"2.0"}
    assert "broken videos replaced by others: 2, listed in runs/a/data/broken.txt" in caplog.text
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == STEPS
    assert re.fullmatch(r"epoch 2  step 18/18  train/loss \S+  clips/s \S+", lines[-1])


def test_config_as_run_runs_again(fit, caplog):
    assert fit("--run_dir", "runs/a", "--model.lr", "0.2") == 0
    caplog.clear()
    assert cli.main(["fit", "--config", "runs/a/config.yaml"]) == 0
    error = caplog.text
    assert f"run folder runs/a, going on from runs/a/checkpoints/last.ckpt, step {STEPS}" in error
    assert "differs" not in error and not Path("runs/a/config.1.yaml").exists()
    assert len(json.loads(Path("runs/a/versions.json").read_text())) == 2


@pytest.mark.parametrize(
    ("stop", "code"),
    [
        (["--trainer.callbacks", "toy_method.Signal", "--trainer.callbacks.step=8"], 130),
        (["--trainer.callbacks", "toy_method.Signal", "--trainer.callbacks.step=5"], 130),
        (
            ["--trainer.callbacks", "toy_method.Signal", "--trainer.callbacks.step=9", "--trainer.callbacks.signum=15"],
            143,
        ),
        (["--data.fail_at=9"], 1),
    ],
    ids=["Ctrl-C within an epoch", "Ctrl-C at its end", "SIGTERM", "no more data"],
)
def test_stopping_anywhere_changes_nothing(stop, code, fit, caplog):
    assert fit("--run_dir", "whole") == 0
    caplog.clear()
    assert fit("--run_dir", "a", *stop) == code
    step = last("a")["global_step"]
    assert step % BATCHES
    assert f"stopped after step {step}, saved a/checkpoints/last.ckpt; to go on:" in caplog.text
    assert f"\n  lightning fit --config=toy.yaml --run_dir a {stop[0]}" in caplog.text
    caplog.clear()
    assert fit("--run_dir", "a") == 0
    assert f"going on from a/checkpoints/last.ckpt, step {step}" in caplog.text
    assert "the config differs from the earlier one, now config.1.yaml: " in caplog.text
    assert equal_states(last("whole"), last("a"))
    # Lightning logs a step after its hooks: the one that a signal stopped has no row.
    without = "" if code == 1 else str(step - 1)
    rows = [[row["train/loss"] for row in metrics(folder) if row["step"] != without] for folder in ("whole", "a")]
    assert rows[0] == rows[1]
    # What the end of an epoch brings is not left out, even where the signal came in its last step.
    ends = [[row["train/rate"] for row in metrics(folder) if row["train/rate"]] for folder in ("whole", "a")]
    assert ends[0] == ends[1] and len(ends[0]) == 3


def test_ctrl_c_with_workers(fit, capsys):
    stop = ["--trainer.callbacks", "toy_method.Signal", "--trainer.callbacks.step=8"]
    assert fit("--run_dir", "a", "--data.num_workers=2", *stop) == 130
    assert last("a")["global_step"] == 9


def test_error_within_a_step_keeps_the_earlier_checkpoint(fit, capsys, caplog):
    stop = [
        "--trainer.callbacks",
        "toy_method.Failure",
        "--trainer.callbacks.step=9",
    ]
    assert fit("--run_dir", "a", *stop) == 1
    assert "lightning: error: the loss is nan at this step" in capsys.readouterr().err
    assert "stopped after step 9, nothing saved" in caplog.text
    assert last("a")["global_step"] == BATCHES


def test_killed(fit):
    """``kill -9`` in the second epoch; what was logged after the checkpoint is made again, not twice."""
    assert fit("--run_dir", "whole") == 0
    stop = ["--trainer.callbacks", "toy_method.Signal", f"--trainer.callbacks.signum={int(signal.SIGKILL)}"]
    process = alone(fit, "--run_dir", "a", *stop, "--trainer.callbacks.step=9")
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert last("a")["global_step"] == BATCHES
    assert metrics("a")[-1]["step"] == "8"
    assert fit("--run_dir", "a") == 0
    assert equal_states(last("whole"), last("a"))
    assert [row["train/loss"] for row in metrics("a")] == [row["train/loss"] for row in metrics("whole")]


def test_killed_while_writing_a_checkpoint(fit):
    """Whenever the process dies, ``last.ckpt`` is whole."""
    part, whole = Path("a/checkpoints/last.ckpt.part"), Path("a/checkpoints/last.ckpt")
    killed = 0
    for _ in range(3):
        process = alone(fit, "--run_dir", "a", "--model.ballast=32", "--trainer.max_epochs=1000")
        deadline = time.monotonic() + 30
        while not (part.exists() and whole.exists()) and time.monotonic() < deadline:
            time.sleep(0.0005)
        process.kill()
        process.join()
        killed += part.exists()
        assert last("a")["global_step"] > 0
    assert killed, "no kill fell into the writing: the test says nothing"
    assert fit("--run_dir", "a", "--model.ballast=32", f"--trainer.max_steps={last('a')['global_step'] + 1}") == 0


def test_disk_full(fit, tmp_path):
    """A limit on the size of files stands for a full disk: the same error at the same place."""
    assert fit("--run_dir", "a", "--trainer.max_epochs=1") == 0
    before = last("a")["global_step"]
    size = Path("a/checkpoints/last.ckpt").stat().st_size

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))
        sys.stderr = (tmp_path / "stderr").open("w", buffering=1)
        # Metrics and events stay small enough.
        return fit("--run_dir", "a", "--trainer.logger=false")

    process = alone(limited)
    process.join(60)
    assert process.exitcode == 1
    (line,) = [line for line in (tmp_path / "stderr").read_text().splitlines() if line.startswith("lightning: error:")]
    assert re.fullmatch(
        r"lightning: error: cannot write checkpoint \S+/a/checkpoints/last.ckpt of 0.0 MiB: File too large, "
        r"\S+ MiB free; the one before it is kept: make room and give the same command again",
        line,
    )
    assert last("a")["global_step"] == before
    assert not list(Path("a/checkpoints").glob("*.part"))


@pytest.mark.slow
def test_disk_full_on_a_small_file_system(tmp_path):
    """The real thing where a file system can be mounted: root only."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() or os.system(f"mount -t tmpfs -o size=2m tmpfs {disk} 2> /dev/null"):
        pytest.skip("cannot mount a file system")
    try:
        checkpoints = WholeFileCheckpointIO()
        checkpoints.save_checkpoint({"step": 1}, disk / "last.ckpt")
        with pytest.raises(CheckpointError, match=r"last.ckpt of 4.0 MiB: No space left on device, 2.0 MiB free"):
            checkpoints.save_checkpoint({"step": torch.zeros(2**20)}, disk / "last.ckpt")
        assert torch.load(disk / "last.ckpt", weights_only=True) == {"step": 1}
        assert [path.name for path in disk.iterdir()] == ["last.ckpt"]
    finally:
        os.system(f"umount {disk}")


def test_second_ctrl_c_kills(fit):
    stop = ["--trainer.callbacks", "toy_method.Signal", "--trainer.callbacks.step=3", "--trainer.callbacks.times=2"]
    process = alone(fit, "--run_dir", "a", *stop)
    process.join(60)
    assert process.exitcode == -signal.SIGINT


def test_ctrl_c_before_training(fit, capsys):
    assert fit("--data.root", "interrupt") == 130
    assert "Traceback" not in capsys.readouterr().err


def test_rate_of_the_config_holds(fit, caplog):
    """Also over a checkpoint, whose optimizer and schedule would bring the old one."""
    assert fit("--run_dir", "a", "--trainer.max_epochs=1") == 0
    assert fit("--run_dir", "b", "--ckpt_path", "a/checkpoints/last.ckpt", "--model.lr", "0.01") == 0
    assert "rates of the config hold" in caplog.text
    rates = [float(row["train/rate"]) for row in metrics("b") if row["train/rate"]]
    assert rates == pytest.approx([0.01 * 0.9 ** (2 * BATCHES), 0.01 * 0.9 ** (3 * BATCHES)])
    caplog.clear()
    assert fit("--run_dir", "c", "--ckpt_path", "a/checkpoints/last.ckpt") == 0
    assert "rates" not in caplog.text


def test_best_checkpoint(fit):
    assert fit("--run_dir", "a", "--checkpoint.monitor", "train/rate", "--checkpoint.mode", "max") == 0
    assert {path.name for path in Path("a/checkpoints").iterdir()} == {"best.ckpt", "last.ckpt", "last-1.ckpt"}
    best = torch.load("a/checkpoints/best.ckpt", weights_only=True)
    assert (best["global_step"], last("a")["global_step"]) == (BATCHES, STEPS)


def test_longer_intervals(fit):
    """The end of a run is always saved; a run made longer is the longer run."""
    assert fit("--run_dir", "whole", "--trainer.max_epochs=5") == 0
    assert fit("--run_dir", "a", "--checkpoint.every_n_epochs=2") == 0
    assert last("a")["global_step"] == STEPS
    assert fit("--run_dir", "a", "--trainer.max_epochs=5") == 0
    assert equal_states(last("whole"), last("a"))
    kill = ["--trainer.callbacks", "toy_method.Signal", f"--trainer.callbacks.signum={int(signal.SIGKILL)}"]
    process = alone(fit, "--run_dir", "b", "--checkpoint.every_n_train_steps=4", *kill, "--trainer.callbacks.step=10")
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert last("b")["global_step"] == 8
    assert fit("--run_dir", "b", "--trainer.max_epochs=5") == 0
    assert equal_states(last("whole"), last("b"))
    assert [row["train/loss"] for row in metrics("b")] == [row["train/loss"] for row in metrics("whole")]


def test_test_takes_the_last_checkpoint(fit, caplog):
    assert fit() == 0
    assert cli.main(["test", "--config", "toy.yaml"]) == 0
    assert "run folder runs/toy, weights of runs/toy/checkpoints/last.ckpt" in caplog.text
    assert len(metrics("runs/toy")) == STEPS + 3  # the test's rows stand in a file of their own
    with Path("runs/toy/logs/test/metrics.csv").open(newline="") as file:
        assert float(next(csv.DictReader(file))["test/loss"]) > 0
    assert yaml.safe_load(Path("runs/toy/test.yaml").read_text())["ckpt_path"] is None


def test_other_model_in_the_same_folder(fit, capsys):
    assert fit("--run_dir", "a") == 0
    assert fit("--run_dir", "a", "--model.ballast=1") == 1
    assert "lightning: error: the checkpoint does not fit this config's model" in capsys.readouterr().err


def test_config_is_never_lost(tmp_path):
    assert keep_config(tmp_path, "a: 1\nb: {c: 2}\nrun_dir: x\n") is None
    assert keep_config(tmp_path, "a: 1\nb: {c: 2}\nrun_dir: y\n") is None
    line = keep_config(tmp_path, "a: 1\nb: {c: 3, d: 4}\n")
    assert line == "the config differs from the earlier one, now config.1.yaml: b.c 2 -> 3, b.d (none) -> 4"
    (tmp_path / "config.yaml").write_text("a: [")
    assert "now config.2.yaml" in keep_config(tmp_path, "a: 1\n")
    assert yaml.safe_load((tmp_path / "config.1.yaml").read_text())["b"] == {"c": 2}


def test_write_whole_keeps_the_old_file(tmp_path):
    write_whole(tmp_path / "new" / "file", b"old")
    with pytest.raises(TypeError):
        write_whole(tmp_path / "new" / "file", "text")
    assert (tmp_path / "new" / "file").read_bytes() == b"old"


def test_metrics_table(tmp_path):
    path = tmp_path / "logs" / "metrics.csv"
    table = MetricsTable(path)
    table.log_metrics({"epoch": 0, "a": 1.5}, 0)
    table.log_metrics({"epoch": 0, "a": 2.5, "b": 1.0}, 1)
    table.log_metrics({"epoch": 0, "b": 3.0}, 2)
    assert path.read_text().splitlines() == ["step,epoch,a,b", "0,0,1.5,", "1,0,2.5,1.0", "2,0,,3.0"]
    with path.open("a") as file:
        file.write("3,0,4.")  # killed within a line
    MetricsTable(path, first_step=2).log_metrics({"epoch": 1, "c": 5.0}, 2)
    assert path.read_text().splitlines() == ["step,epoch,a,b,c", "0,0,1.5,,", "1,0,2.5,1.0,", "2,1,,,5.0"]


def test_progress_lines_are_few(fit, capsys):
    assert fit("--trainer.max_epochs=20") == 0
    lines = capsys.readouterr().out.splitlines()
    assert 20 <= len(lines) <= 50
    assert lines[0].startswith("epoch 0  step 1/120") and lines[-1].startswith("epoch 19  step 120/120")
    assert not any(character < " " for line in lines for character in line)


def test_progress_bar_on_a_terminal(fit, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_UPDATES", 0)
    assert fit() == 0
    out = capsys.readouterr().out
    assert "train/loss" in out and "clips/s" in out and "Epoch 2/2" in out
