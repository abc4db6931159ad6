"""Several processes and signals: what reaches one rank stops all after the same step; devices do not change a run."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import process_fakes
import pytest
import torch
from torch.utils.data import DataLoader
from toy_method import BATCHES

import cli
from callbacks import RunRecord
from datamodules.sample_datamodule import _heed_the_parent_alone, samples_per_batch
from datamodules.sampling.resumable_sampler import ResumableSampler

TOY = """# A toy.
seed_everything: 3
model: {class_path: toy_method.ToyMethod}
data: {class_path: toy_method.ToyData, init_args: {root: here}}
trainer: {max_epochs: 3, accelerator: cpu, log_every_n_steps: 1, enable_model_summary: false}
"""
TUBELET = [
    "--config=tubelet.yaml",
    "--trainer.accelerator=cpu",
    "--trainer.callbacks=[]",
    "--trainer.max_steps=2",
    "--trainer.limit_val_batches=0",
    "--trainer.log_every_n_steps=1",
    "--model.queue_size=16",
    "--data.cache=cache",
    "--data.train_videos=16",
    "--data.val_videos=16",
    "--data.global_batch_size=8",
    "--data.num_workers=0",
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "toy.yaml").write_text(TOY)
    return tmp_path


def ranks(environments, *arguments):
    errors = Path("stderr.txt")
    errors.unlink(missing_ok=True)
    codes = process_fakes.run(environments, lambda: cli.main(["fit", *arguments]), errors)
    return codes, errors.read_text()


def last(folder):
    return torch.load(Path(folder) / "checkpoints" / "last.ckpt", weights_only=True)


def first_loss(folder):
    with (Path(folder) / "logs" / "metrics.csv").open(newline="") as file:
        return next(row["train/loss"] for row in csv.DictReader(file) if row["train/loss"])


@pytest.mark.parametrize(
    ("signum", "code", "step", "later", "stopped"),
    [
        (signal.SIGUSR1, 138, 7, False, 8),
        (signal.SIGTERM, 143, 7, False, 8),
        (signal.SIGTERM, 143, 7, True, 9),
        (signal.SIGTERM, 143, 2 * BATCHES - 1, True, 2 * BATCHES + 1),
    ],
    ids=["time over", "preempted", "as on GPUs", "as on GPUs, an epoch's last step"],
)
def test_signal_to_one_rank_under_slurm(signum, code, step, later, stopped, folder, monkeypatch):
    """Both stop after the same step, and nobody but the job's script requeues."""
    monkeypatch.setattr(RunRecord, "_later", staticmethod(lambda trainer: later))
    two = process_fakes.srun(2, 1)
    fit = ["--config=toy.yaml", "--trainer.num_nodes=2", "--trainer.devices=1"]
    stop = ["--trainer.callbacks=toy_method.Signal", f"--trainer.callbacks.signum={int(signum)}"]
    stop += [f"--trainer.callbacks.step={step}", "--trainer.callbacks.rank=1", "--trainer.callbacks.times=2"]
    codes, errors = ranks(two, *fit, "--run_dir=a", *stop)
    assert codes == [code, code], errors
    assert errors.count(f"stopped after step {stopped}, saved a/checkpoints/last.ckpt; to go on:") == 1
    assert last("a")["global_step"] == stopped
    assert {path.name for path in Path("a").iterdir()} == {"checkpoints", "config.yaml", "logs", "versions.json"}
    assert ranks(two, *fit, "--run_dir=a")[0] == [0, 0]
    assert ranks(two, *fit, "--run_dir=whole")[0] == [0, 0]
    one, other = last("a"), last("whole")
    assert one["global_step"] == 3 * BATCHES
    assert all(torch.equal(one["state_dict"][name], other["state_dict"][name]) for name in other["state_dict"])


def test_loss_of_a_rank_is_one_line(folder):
    fit = ["--config=toy.yaml", "--trainer.num_nodes=2", "--trainer.devices=1", "--run_dir=a"]
    stop = [
        f"--trainer.callbacks.signum={int(signal.SIGKILL)}",
        "--trainer.callbacks.step=7",
        "--trainer.callbacks.rank=1",
    ]
    codes, errors = ranks(process_fakes.srun(2, 1), *fit, "--trainer.callbacks=toy_method.Signal", *stop)
    assert codes == [1, -signal.SIGKILL]
    assert "stopped after step 8, nothing saved since step 6; to go on:" in errors
    (line,) = [line for line in errors.splitlines() if line.startswith("lightning: error:")]
    assert line.startswith("lightning: error: another process of this run is gone (Connection ")
    assert last("a")["global_step"] == BATCHES


def test_ranks_that_see_different_checkpoints_are_an_error(folder):
    two, fit = process_fakes.torchrun(2, 1), ["--config=toy.yaml", "--trainer.num_nodes=2", "--trainer.devices=1"]
    assert ranks(two, *fit, "--run_dir=a")[0] == [0, 0]
    folders = {"0": "a", "1": "b"}
    run = lambda: cli.main(["fit", *fit, f"--run_dir={folders[os.environ['RANK']]}", "--trainer.max_epochs=4"])  # noqa: E731
    assert process_fakes.run(two, run, Path("stderr.txt")) == [1, 1]
    assert (
        f"lightning: error: processes go on from different steps, 0 and {3 * BATCHES}: not all see the newest "
        "checkpoint in a/checkpoints; give the same command again"
    ) in Path("stderr.txt").read_text()


def test_nodes_and_devices_do_not_change_the_first_step(folder, monkeypatch):
    """One node of two processes, and two nodes of one: same loss, rate and batch."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # else they share the threads of a node
    for nodes, devices in ((1, 2), (2, 1)):
        codes, errors = ranks(
            process_fakes.torchrun(nodes, devices),
            *TUBELET,
            f"--trainer.num_nodes={nodes}",
            f"--trainer.devices={devices}",
            f"--run_dir={nodes}x{devices}",
        )
        assert codes == [0, 0], errors
    one, other = last("1x2"), last("2x1")
    assert first_loss("1x2") == first_loss("2x1")
    groups = [checkpoint["optimizer_states"][0]["param_groups"] for checkpoint in (one, other)]
    assert groups[0] == groups[1] and groups[0][0]["initial_lr"] == 0.002
    assert all(torch.equal(one["state_dict"][name], other["state_dict"][name]) for name in other["state_dict"])
    loader = one["loops"]["fit_loop"]["state_dict"]["combined_loader"]
    assert loader[0]["global_batch_size"] == 8


@pytest.mark.parametrize(("nodes", "devices"), [(1, 8), (2, 4), (8, 1)])
def test_global_batch_of_eight_processes(nodes, devices):
    """Whoever has which rank, together they load what one process would."""
    batch_size = samples_per_batch(128, nodes * devices)
    shares = [
        list(ResumableSampler(1000, batch_size, node * devices + device, nodes * devices, seed=5))
        for node in range(nodes)
        for device in range(devices)
    ]
    together = [[draw for share in batch for draw in share] for batch in zip(*shares, strict=True)]
    assert together == list(ResumableSampler(1000, 128, seed=5))


@pytest.mark.parametrize("devices", [["--trainer.devices=2"], ["--trainer.devices=1", "--trainer.num_nodes=2"]])
def test_impossible_division_is_an_error_before_anything_starts(devices, folder, capsys):
    fit = ["fit", "--config=tubelet.yaml", "--trainer.accelerator=cpu", "--data.cache=cache", "--run_dir=a", *devices]
    assert cli.main([*fit, "--data.global_batch_size=31"]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("lightning: error:")]
    assert line.endswith(
        "global_batch_size=31 does not divide into 2 processes x 1 accumulated batches; the nearest that do: 30 and 32"
    )
    assert not Path("cache").exists() and not Path("a").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone")
def test_workers_outlive_signals_that_are_for_their_parent():
    loader = DataLoader(range(64), num_workers=2, worker_init_fn=_heed_the_parent_alone, multiprocessing_context="fork")
    batches = iter(loader)
    next(batches)
    workers = batches._workers
    for worker in workers:
        for name in ("TERM", "USR1", "INT", "TERM"):
            subprocess.run(["kill", f"-{name}", str(worker.pid)], check=True)
    assert [int(batch) for batch in batches] == list(range(1, 64))
    again = iter(loader)
    next(again)
    for worker in again._workers:
        os.kill(worker.pid, signal.SIGTERM)
        worker.join(20)
        assert worker.exitcode == 0


@pytest.mark.slow
def test_torchrun_and_devices(folder):
    """As users start them: torchrun, and Lightning's own processes."""
    script = folder / "lightning"
    script.write_text("import sys, cli\nsys.exit(cli.main())\n")
    here = Path(cli.__file__).parent
    environment = {**os.environ, "PYTHONPATH": f"{here}:{here / 'tests'}"}
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    for name, start in (("torchrun", torchrun), ("devices", [])):
        command = [sys.executable, *start, str(script), "fit", *TUBELET, "--trainer.devices=2", f"--run_dir={name}"]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
        assert done.returncode == 0, done.stderr
        assert json.loads(Path(name, "versions.json").read_text())[0]["processes"] == 2
    assert first_loss("torchrun") == first_loss("devices")
    one, other = last("torchrun"), last("devices")
    assert all(torch.equal(one["state_dict"][name], other["state_dict"][name]) for name in other["state_dict"])
