"""``tubelet.yaml`` on a real SLURM of two nodes: submitted, preempted, cancelled, and with a process that dies."""

import csv
import os
import re
import signal
import time
from pathlib import Path

import process_fakes
import pytest
import slurm_cluster
import torch
from pytorch_lightning import Callback

import cli
import configs

HERE = Path(__file__).parent
STEPS = 24
FIT = [
    "--config=tubelet.yaml",
    "--trainer.callbacks=[{class_path: test_slurm.Ranks, init_args: {seconds: 0.4}}]",
    f"--trainer.max_steps={STEPS}",
    "--trainer.check_val_every_n_epoch=2",
    "--trainer.log_every_n_steps=1",
    "--trainer.enable_model_summary=false",
    "--checkpoint.every_n_train_steps=3",
    "--model.queue_size=64",
    "--data.cache=cache",
    "--data.train_videos=32",
    "--data.val_videos=16",
    "--data.global_batch_size=8",
    "--data.num_workers=1",
]
SUBMIT = ["submit", "--nodes", "2", "--gpus", "0", "--time", "30"]

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(slurm_cluster.missing() is not None, reason=str(slurm_cluster.missing())),
]


class Ranks(Callback):
    """Takes its time in each step, and writes down the weights of each rank at the end."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def on_train_batch_start(self, *args: object) -> None:
        time.sleep(self.seconds)

    def on_train_end(self, trainer, module) -> None:
        path = Path(trainer.default_root_dir, f"rank_{trainer.global_rank}.pt")
        torch.save({"world_size": trainer.world_size, "state": module.state_dict()}, path)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slurm")
    started = slurm_cluster.SlurmCluster(folder)
    try:
        started.start()
        yield started
    finally:
        started.stop()
        for log in sorted(folder.glob("*.log")):
            print(f"--- {log.name}\n{log.read_text()}")


@pytest.fixture
def folder(cluster, tmp_path, monkeypatch):
    """A working directory; what is submitted from it runs this code, in one thread."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLURM_CONF", cluster.environment["SLURM_CONF"])
    monkeypatch.setenv("PYTHONPATH", f"{configs.FOLDER.parent}:{HERE}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield tmp_path
    for log in sorted(tmp_path.glob("*/slurm-*.out")):
        print(f"--- {log.relative_to(tmp_path)}\n{log.read_text()}")


def submit(run_dir, capsys):
    capsys.readouterr()
    assert cli.main([*SUBMIT, *FIT, "--run_dir", run_dir]) == 0
    out = capsys.readouterr().out
    print(out)
    return int(re.search(r"Submitted batch job (\d+)", out)[1])


def steps(run_dir):
    """Number of steps that are logged."""
    path = Path(run_dir, "logs", "metrics.csv")
    if not path.is_file():
        return 0
    with path.open(newline="") as file:
        return sum(bool(row.get("train/loss")) for row in csv.DictReader(file))


def last(run_dir):
    return torch.load(Path(run_dir, "checkpoints", "last.ckpt"), weights_only=True)


def log(run_dir, job):
    return Path(run_dir, f"slurm-{job}.out").read_text()


def test_preempted_job_goes_on_as_if_nothing_had_happened(cluster, folder, capsys):
    job = submit("a", capsys)
    cluster.wait(lambda: steps("a") >= 5, 300, "training")
    urgent = ["--partition=high", "--nodes=2", "--ntasks-per-node=1", "--cpus-per-task=2", "--output=urgent.out"]
    assert "Submitted" in cluster.output("sbatch", *urgent, "--wrap=srun echo urgent")
    cluster.wait(lambda: cluster.job(job)["Restarts"] == "1", 180, "requeue")
    between = last("a")["global_step"]
    assert 5 <= between < STEPS
    cluster.wait(lambda: cluster.job(job)["JobState"] == "COMPLETED", 300, "end")
    text = log("a", job)
    assert f"stopped after step {between}, saved a/checkpoints/last.ckpt" in text
    assert f"job {job}: saved, back into the queue" in text
    assert f"run folder a, going on from a/checkpoints/last.ckpt, step {between}" in text
    assert Path("urgent.out").read_text().splitlines() == ["urgent"] * 2

    ranks = [torch.load(f"a/rank_{rank}.pt", weights_only=True) for rank in range(2)]
    assert [rank["world_size"] for rank in ranks] == [2, 2]
    names = list(ranks[0]["state"])
    assert any("queue" in name for name in names)
    assert all(torch.equal(ranks[0]["state"][name], ranks[1]["state"][name]) for name in names)

    plain = [*FIT, "--trainer.accelerator=cpu", "--trainer.num_nodes=2", "--trainer.devices=1", "--run_dir=b"]
    codes = process_fakes.run(process_fakes.srun(2, 1), lambda: cli.main(["fit", *plain]), folder / "stderr.txt")
    assert codes == [0, 0], (folder / "stderr.txt").read_text()
    undisturbed = torch.load("b/rank_0.pt", weights_only=True)["state"]
    assert all(torch.equal(ranks[0]["state"][name], undisturbed[name]) for name in names)
    assert last("a")["global_step"] == last("b")["global_step"] == STEPS


def test_cancelled_job_and_dead_process_leave_a_checkpoint(cluster, folder, capsys):
    job = submit("c", capsys)
    cluster.wait(lambda: steps("c") >= 4, 300, "training")
    cluster.output("scancel", str(job))
    cluster.wait(lambda: cluster.job(job)["JobState"] == "CANCELLED", 30, "cancellation")
    cluster.wait(lambda: not cluster.output("squeue", "-h").strip(), 120, "end")
    stopped = last("c")["global_step"]
    assert f"stopped after step {stopped}, saved c/checkpoints/last.ckpt; to go on:" in log("c", job)
    assert 4 <= stopped < STEPS and cluster.job(job)["Restarts"] == "0"

    again = submit("c", capsys)
    cluster.wait(lambda: Path("c", f"slurm-{again}.out").is_file(), 60, "start")
    cluster.wait(lambda: last("c")["global_step"] >= stopped + 3, 300, "training")
    os.kill(_process_of(again, rank=1), signal.SIGKILL)
    cluster.wait(lambda: cluster.job(again)["JobState"] == "FAILED", 180, "end")
    assert f"going on from c/checkpoints/last.ckpt, step {stopped}" in log("c", again)
    assert "task 1: Killed" in log("c", again)
    assert "lightning: error: another process of this run is gone" in log("c", again)
    assert stopped + 3 <= last("c")["global_step"] < STEPS


def _process_of(job, rank):
    """The training process of a rank, which is the oldest of its processes."""
    wanted = {f"SLURM_JOB_ID={job}".encode(), f"SLURM_PROCID={rank}".encode(), b"SLURM_LOCALID=0"}
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if wanted <= set((process / "environ").read_bytes().split(b"\0")) and b"fit" in (
                process / "cmdline"
            ).read_bytes().split(b"\0"):
                found.append(int(process.name))
        except OSError:
            continue
    return min(found)
