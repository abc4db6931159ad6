"""The lock of a run's folder: held by one, freed by whoever is dead, on this host and on others."""

import fcntl
import json
import multiprocessing
import os
import platform
import signal
import sys
import time
from pathlib import Path

import pytest

import cli
from callbacks import run_lock
from callbacks.run_lock import HeldError, RunLock

CONFIG = """# A toy.
model: {class_path: toy_method.ToyMethod}
data: {class_path: toy_method.ToyData, init_args: {root: here}}
trainer: {max_epochs: 1, accelerator: cpu, enable_progress_bar: false, enable_model_summary: false}
"""


@pytest.fixture
def fit(tmp_path, monkeypatch):
    """Run ``lightning fit`` on the toy in an empty working directory; returns the exit code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("toy.yaml").write_text(CONFIG)
    return lambda *arguments: cli.main(["fit", "--config", "toy.yaml", *arguments])


def left(path, age=0.0, **content):
    """A lock as a process that is not there has left it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "since": "then", **content}))
    os.utime(path, (time.time() - age,) * 2)
    return path


@pytest.mark.parametrize(("host", "age", "free"), [("elsewhere", 1, False), ("elsewhere", 400, True), (None, 1, True)])
def test_locks_that_were_left(tmp_path, host, age, free):
    content = {"host": host or platform.node(), "pid": 1, "since": "then"}
    file = tmp_path / "lock"
    file.write_text(json.dumps(content))
    os.utime(file, (time.time() - age,) * 2)
    if free:
        with RunLock(tmp_path / "lock"):
            assert json.loads(file.read_text())["pid"] == os.getpid()
            with pytest.raises(HeldError, match=f"process {os.getpid()} on"):
                RunLock(tmp_path / "lock").__enter__()
        assert not file.exists()
    else:
        with pytest.raises(HeldError, match="process 1 on elsewhere since then"):
            RunLock(tmp_path / "lock").__enter__()
        assert json.loads(file.read_text()) == content


def test_a_file_system_without_locks_goes_by_the_heartbeat(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(run_lock.errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(run_lock, "HEARTBEAT", 0.01)
    with RunLock(tmp_path / "lock"):
        os.utime(tmp_path / "lock", (0, 0))
        while (tmp_path / "lock").stat().st_mtime == 0:
            time.sleep(0.01)
        with pytest.raises(HeldError):
            RunLock(tmp_path / "lock").__enter__()
    with RunLock(tmp_path / "lock"):
        pass


def test_two_fits_into_one_folder(fit, capsys):
    Path("a").mkdir()
    with RunLock(Path("a", "fit.lock")):
        assert fit("--run_dir=a") == 1
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("lightning: error:")]
        assert f"a: trained in by process {os.getpid()} on {platform.node()} since" in line
        assert "give another --run_dir" in line
        assert [path.name for path in Path("a").iterdir()] == ["fit.lock"]
        assert fit("--run_dir=b", "--trainer.max_epochs=0") == 0
        assert fit("--run_dir=a", "--trainer.fast_dev_run=true") == 0  # keeps nothing
    assert fit("--run_dir=a") == 0
    assert not Path("a", "fit.lock").exists()


def test_a_refused_fit_leaves_no_folder(fit, capsys):
    assert fit("--run_dir=a", "--trainer.devices=0") != 0
    assert "lightning: error:" in capsys.readouterr().err
    assert not Path("a").exists()


def test_a_requeued_job_takes_what_its_earlier_start_left_on_another_host(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    path = left(tmp_path / "lock", job="7", restart="0")
    with RunLock(path):
        assert json.loads(path.read_text())["restart"] == "1"
    for other in ({"job": "8", "restart": "0"}, {"job": "7", "restart": "1"}, {}):
        with pytest.raises(HeldError, match="process 1 on elsewhere since then"):
            RunLock(left(tmp_path / "lock", **other)).__enter__()


def beat(path, times):
    for _ in range(times):
        time.sleep(0.02)
        path.touch()


@pytest.mark.parametrize("alive", [False, True])
def test_waiting_for_a_sign_of_life(tmp_path, monkeypatch, alive):
    monkeypatch.setattr(run_lock, "DEAD_AFTER", 0.5)
    monkeypatch.setattr(run_lock, "HEARTBEAT", 0.02)
    path = left(tmp_path / "lock")
    if alive:
        other = multiprocessing.get_context("fork").Process(target=beat, args=(path, 100))
        other.start()
        with pytest.raises(HeldError, match="process 1 on elsewhere"):
            RunLock(path, wait=True).__enter__()
        other.kill()
        other.join()
    else:
        with RunLock(path, wait=True):
            assert json.loads(path.read_text())["pid"] == os.getpid()


def hold_with_child(path, child_ends):
    """As a training process whose loader outlives it."""
    RunLock(path).__enter__()
    if os.fork() == 0:
        child_ends.wait()
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)


def test_loaders_of_a_killed_process_are_waited_for(tmp_path, monkeypatch):
    context = multiprocessing.get_context("fork")
    child_ends = context.Event()
    killed = context.Process(target=hold_with_child, args=(tmp_path / "lock", child_ends))
    killed.start()
    killed.join()
    with pytest.raises(HeldError, match=f"process {killed.pid} on"):
        RunLock(tmp_path / "lock").__enter__()
    monkeypatch.setattr(run_lock, "LAST_WORDS", 0.3)
    with pytest.raises(HeldError, match=f"process {killed.pid} on"):
        RunLock(tmp_path / "lock", wait=True).__enter__()
    monkeypatch.setattr(run_lock, "LAST_WORDS", 60.0)
    child_ends.set()
    with RunLock(tmp_path / "lock", wait=True):
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()


def test_a_lock_that_another_host_took_meanwhile_is_left_to_it(tmp_path):
    path = tmp_path / "lock"
    with RunLock(path):
        left(path, pid=2)
    assert json.loads(path.read_text())["pid"] == 2
