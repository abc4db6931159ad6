"""``lightning repeat`` and ``lightning summary`` on toy runs, each seed in a process of its own."""

import csv
import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

import cli
from callbacks.run_summary import missing_end
from configs import ConfigError
from configs.repeat import Repeat

CONFIG = """# A toy.
seed_everything: 3
model: {class_path: toy_method.ToyMethod}
data: {class_path: toy_method.ToyData, init_args: {root: here}}
trainer: {max_epochs: 1, accelerator: cpu, log_every_n_steps: 1, enable_progress_bar: false}
"""


@pytest.fixture
def repeat(tmp_path, monkeypatch):
    """Run ``lightning repeat`` on the toy in an empty working directory; returns the exit code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), str(Path(cli.__file__).parent)]))
    (tmp_path / "toy.yaml").write_text(CONFIG)
    return lambda *options, arguments=(): cli.main(["repeat", *options, "fit", "--config", "toy.yaml", *arguments])


def fit(seed, *arguments):
    """Run one seed in this process, where everything is imported already."""
    folder = f"--run_dir=many/seed_{seed}"
    return cli.main(["fit", "--config", "toy.yaml", f"--seed_everything={seed}", folder, *arguments])


def test_a_finished_seed_is_left_alone_and_a_stopped_one_goes_on(repeat, capfd, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert fit(3) == 0
    assert fit(4, "--trainer.callbacks", "toy_method.Signal", "--trainer.callbacks.step=2") == 130
    assert missing_end(Path("many/seed_3")) == ""
    assert missing_end(Path("many/seed_4")) == "not finished"
    capfd.readouterr()
    assert repeat("--seeds", "2", "--metrics", "train/loss", arguments=("--run_dir", "many")) == 0
    said = capfd.readouterr()
    assert "seed 3: finished before, in many/seed_3" in said.out
    assert "going on from many/seed_4/checkpoints/last.ckpt, step 3" in said.err
    assert "train/loss" in said.out and "wrote many/summary.csv" in said.out
    assert len(json.loads(Path("many/seed_3/versions.json").read_text())) == 1
    header, row = list(csv.reader(Path("many/summary.csv").open()))
    assert header == ["metric", "mean", "std", "runs", "seed_3", "seed_4"]
    first, second = map(float, row[4:])
    assert first != second  # the seeds are used
    assert float(row[1]) == pytest.approx((first + second) / 2)
    assert cli.main(["summary", "many", "--metrics", "train/*"]) == 0
    assert "train/rate" in capfd.readouterr().out


def test_a_failing_seed_stops_the_rest(repeat, capfd, monkeypatch):
    monkeypatch.setattr(Repeat, "_fit", lambda self, arguments: cli.main(["fit", *arguments]))
    assert repeat("--seeds", "2", arguments=("--data.root", "missing")) == 1
    said = capfd.readouterr().err
    assert "no folder missing: give --data.root" in said
    assert "seed 3 failed; mend it and give the same command again" in said
    assert "seed 4" not in said


def test_a_signal_to_the_command_reaches_the_run_once(repeat, capfd):
    process = os.fork()
    if process == 0:
        os._exit(repeat("--seeds", "2", arguments=("--trainer.max_epochs=100000", "--run_dir=long")))
    log = Path("long/seed_3/logs/metrics.csv")
    for _ in range(6000):
        if log.is_file():
            break
        time.sleep(0.05)
    os.kill(process, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 143
    assert Path("long/seed_3/checkpoints/last.ckpt").is_file()  # a second signal would have killed it
    assert not Path("long/seed_4").exists()
    assert "stopped in seed 3; to go on:" in capfd.readouterr().err


def test_folders_and_seeds(repeat):
    named = Repeat(["toy.yaml"], ["--seed_everything=7", "--trainer.max_epochs=2"], 2)
    assert named.folder.parent == Path("runs")
    assert named.folder.name.startswith("toy-") and named.folder.name.endswith("-seeds")
    assert named.runs == {7: named.folder / "seed_7", 8: named.folder / "seed_8"}
    assert Repeat(["toy.yaml"], ["--trainer.max_epochs=2"], 2).folder == named.folder
    assert Repeat(["toy.yaml"], ["--run_dir", "x"], 1).runs == {3: Path("x/seed_3")}


def test_another_command_in_the_same_folder_is_refused(repeat, capfd, monkeypatch):
    monkeypatch.setattr(Repeat, "_fit", lambda self, arguments: 130)
    assert repeat(arguments=("--run_dir", "a", "--model.lr", "0.2")) == 130
    assert repeat("--seeds", "9", arguments=("--run_dir", "a", "--model.lr", "0.2")) == 130  # more seeds of the same
    capfd.readouterr()
    assert repeat(arguments=("--run_dir", "a", "--model.lr", "0.3")) == 1
    assert "a/repeat.json: the seeds here were run with the arguments --model.lr 0.2;" in capfd.readouterr().err
    Path("toy.yaml").write_text(CONFIG.replace("max_epochs: 1", "max_epochs: 2"))
    assert repeat(arguments=("--run_dir", "a", "--model.lr", "0.2")) == 1
    assert "were run with other values in the config;" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["repeat", "--seeds", "2"], "fit is missing"),
        (["repeat", "--sed", "2", "fit"], "unknown argument --sed"),
        (["repeat", "--seeds", "two", "fit"], "invalid int value: 'two'"),
        (["repeat", "--seeds", "0", "fit", "--config", "toy.yaml"], "--seeds 0 must be at least 1"),
        (["repeat", "fit", "--config", "toy.yaml", "--ckpt_path", "x"], "repeat takes no --ckpt_path"),
        (["repeat", "fit", "--config", "toy.yaml", "--seed_everything", "x"], "'x' is no whole number"),
        (["repeat", "fit", "--model", "X"], "needs --run_dir"),
        (["repeat", "fit", "--config", "toy.yaml", "--run_dir"], "--run_dir needs a value"),
        (["summary"], "no folder given"),
        (["summary", "a", "--sed"], "unknown argument --sed"),
    ],
)
def test_wrong_usage(command, message, repeat, capfd):
    assert cli.main(command) == 2
    said = capfd.readouterr().err
    assert message in said and len(said.splitlines()) == 1


def test_runs_that_are_not_there(repeat, capfd):
    assert cli.main(["summary", "nowhere"]) == 1
    assert "nowhere: no such folder" in capfd.readouterr().err
    with pytest.raises(ConfigError, match="no config 'toys'"):
        Repeat(["toys"], [], 1)
