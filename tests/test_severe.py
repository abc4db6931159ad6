"""``lightning severe`` on toy settings: what is run, resumed, refused and left alone."""

import json
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path

import pytest
import torch

import cli
from callbacks.run_lock import HeldError, RunLock
from configs import ConfigError
from configs.child import Child
from configs.severe_benchmark.results import read_result, state
from configs.severe_benchmark.runner import read_weights
from configs.severe_benchmark.settings import find_settings, read_roots

ROOT = Path(cli.__file__).parent
CHILD_RUN = Child.run
CONFIG = """# A toy.
model: {class_path: toy_method.ToyRecognition}
data: {class_path: toy_method.ToyData, init_args: {root: DATA}}
trainer: {max_epochs: 1, accelerator: cpu, log_every_n_steps: 1, enable_progress_bar: false, num_sanity_val_steps: 0}
"""


@pytest.fixture
def severe(tmp_path, monkeypatch):
    """Run ``lightning severe`` in an empty working directory with settings one and two, each run in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), str(ROOT)]))
    Path("toys").mkdir()
    for name, data in (("one", "here"), ("two", "there")):
        Path(data).mkdir()
        Path("toys", f"{name}.yaml").write_text(CONFIG.replace("DATA", data))
    monkeypatch.setattr(Child, "run", lambda self, arguments, keep_open=(): cli.main(arguments))

    def run(*arguments, weights="none"):
        return cli.main(["severe", "--configs", "toys", "--weights", weights, "--out", "out", *arguments])

    return run


def weights(path, value):
    torch.save({"layer.weight": torch.full((1, 4), value), "layer.bias": torch.zeros(1)}, path)
    return str(path)


def folder(setting, seed=0, name="none"):
    return Path("out", name, "toys", setting, f"seed_{seed}")


def test_jobs_are_run_once_and_keep_what_identifies_them(severe, capfd):
    assert severe("--seeds", "2", "--list") == 0
    listed = capfd.readouterr().out.splitlines()
    assert [line.split()[:4] for line in listed] == [
        [str(number), name, "seed", str(seed)]
        for number, (name, seed) in enumerate([("one", 0), ("one", 1), ("two", 0), ("two", 1)])
    ]
    assert all("not started" in line for line in listed)
    file = weights("a.pt", 1.0)
    assert severe("--seeds", "2", "--job", "1", weights=file) == 0
    assert not folder("one", 0, "a").exists() and not Path("out/a/toys/two").exists()
    result = json.loads((folder("one", 1, "a") / "result.json").read_text())
    assert result["seed"] == 1 and result["setting"] == "one" and result["family"] == "toys"
    assert result["weights"] == read_weights(file, None).sha256 and len(result["config"]) == 64
    assert set(result["metrics"]) == {"test/top1"} and result["version"]["torch"] == torch.__version__
    capfd.readouterr()
    assert severe("--settings", "one", "--seeds", "2", weights=file) == 0
    said = capfd.readouterr().out
    assert "job 1 (one, seed 1): finished before" in said and "job 0 (one, seed 0): fit" in said
    assert len(json.loads((folder("one", 1, "a") / "versions.json").read_text())) == 2
    assert severe("--settings", "one", "--seeds", "2") == 0
    seeds = [read_result(folder("one", seed) / "result.json").metrics["test/top1"] for seed in (0, 1)]
    assert seeds[0] != seeds[1]


def test_a_stopped_job_goes_on(severe, capfd, caplog):
    options = ("--settings", "one", "--seeds", "1", "--trainer.max_epochs", "2")
    original = Child.run

    def stop(self, arguments, keep_open=()):
        return original(self, [*arguments, "--trainer.callbacks", "toy_method.Signal", "--trainer.callbacks.step=2"])

    Child.run = stop
    try:
        assert severe(*options) == 130
    finally:
        Child.run = original
    assert state(folder("one")) == "stopped in training"
    said = capfd.readouterr().err
    assert "stopped in job 0 (one, seed 0); the same command goes on" in said
    assert severe(*options) == 0
    assert "going on from out/none/toys/one/seed_0/checkpoints/last.ckpt, step 3" in caplog.text
    assert state(folder("one")) == "finished"


def test_a_killed_job_frees_its_lock_and_goes_on(severe, capfd, caplog, monkeypatch):
    """SIGKILL hits the runner alone: its training process still holds the job, until that is killed, too."""
    changes = ["--trainer.max_epochs=100000", "--trainer.callbacks=toy_method.Endless"]
    runner = os.fork()
    if runner == 0:
        Child.run = CHILD_RUN
        os._exit(severe("--settings", "one", "--seeds=1", *changes))
    trained = Path("pid")
    for _ in range(6000):
        if trained.is_file() and (folder("one") / "checkpoints" / "last.ckpt").is_file():
            break
        time.sleep(0.05)
    os.kill(runner, signal.SIGKILL)
    os.waitpid(runner, 0)
    assert severe("--settings", "one", "--seeds=1", *changes) == 1
    assert f"being run by process {runner} on" in capfd.readouterr().err
    os.kill(int(trained.read_text()), signal.SIGKILL)
    for _ in range(6000):
        try:
            RunLock(folder("one") / "lock").__enter__().__exit__(None, None, None)
            break
        except HeldError:
            time.sleep(0.05)
    assert state(folder("one")) == "stopped in training"
    assert severe("--settings", "one", "--seeds=1", "--list", *changes) == 0
    assert "stopped in training" in capfd.readouterr().out
    monkeypatch.setenv("TOY_STOP", "1")
    assert severe("--settings", "one", "--seeds=1", *changes) == 0
    assert "going on from out/none/toys/one/seed_0/checkpoints/last.ckpt" in caplog.text
    assert state(folder("one")) == "finished"


def hold(path, entered, leave):
    with RunLock(path / "lock"):
        entered.set()
        leave.wait()


def test_of_two_processes_one_runs_and_one_says_so(severe, capfd):
    context = multiprocessing.get_context("fork")
    entered, leave = context.Event(), context.Event()
    other = context.Process(target=hold, args=(folder("one"), entered, leave))
    other.start()
    entered.wait()
    assert severe("--seeds", "1") == 1
    said = capfd.readouterr()
    assert f"job 0 (one, seed 0): being run by process {other.pid} on" in said.err
    assert "not done: job 0 (one, seed 0); the same command goes on" in said.err
    assert "job 1 (two, seed 0): test/top1" in said.out  # the other setting is run
    assert not (folder("one") / "job.json").exists()
    leave.set()
    other.join()
    assert severe("--seeds", "1") == 0


def test_half_a_result_is_made_again(severe, capfd):
    assert severe("--settings", "one", "--seeds", "1") == 0
    path = folder("one") / "result.json"
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    assert state(folder("one")) == "trained, not tested"
    capfd.readouterr()
    assert severe("--settings", "one", "--seeds", "1") == 0
    said = capfd.readouterr().out
    assert ": test, in" in said and ": fit, in" not in said
    assert json.loads(path.read_text())["metrics"] == json.loads(whole)["metrics"]
    (folder("one") / "job.json").write_text("{")
    assert severe("--settings", "one", "--seeds", "1") == 1
    assert "job.json: is not what a job writes" in capfd.readouterr().err


def test_other_weights_and_other_configs_are_refused(severe, capfd):
    first, second = weights("a.pt", 1.0), weights("b.pt", 2.0)
    options = ("--settings", "one", "--seeds", "1", "--name", "mine")
    assert severe(*options, weights=first) == 0
    before = (folder("one", 0, "mine") / "result.json").read_bytes()
    capfd.readouterr()
    assert severe(*options, weights=second) == 1
    said = capfd.readouterr().err
    assert f"belongs to other weights (weights {read_weights(first, None).sha256[:12]}, not" in said
    assert "give another --name or --out" in said
    assert severe(*options, "--model.lr", "0.2", weights=first) == 1
    assert "belongs to other arguments (arguments (none), not --model.lr 0.2)" in capfd.readouterr().err
    Path("toys/one.yaml").write_text(CONFIG.replace("DATA", "here").replace("max_epochs: 1", "max_epochs: 2"))
    assert severe(*options, weights=first) == 1
    assert "belongs to another config" in capfd.readouterr().err
    assert (folder("one", 0, "mine") / "result.json").read_bytes() == before
    Path("toys/one.yaml").write_text(CONFIG.replace("DATA", "there"))  # the same data in another place
    assert severe(*options, weights=first) == 0


def test_missing_data_are_named_and_the_rest_is_run(severe, capfd):
    Path("toys/two.yaml").write_text(CONFIG.replace("DATA", "gone"))
    Path("toys/three.yaml").write_text(CONFIG.replace("DATA", "null"))
    assert severe("--seeds", "1") == 0
    said = capfd.readouterr()
    assert "left out, two: gone is not there; put the data there, or give --root toy_data=PATH" in said.err
    assert "left out, three: no folder of the data is known; give --root toy_data=FOLDER" in said.err
    assert "(one, seed 0): test/top1" in said.out
    assert severe("--seeds", "1", "--settings", "two") == 1
    assert severe("--list", "--settings", "one", "two", "--seeds=1") == 0
    listed = capfd.readouterr().out
    assert "one  seed 0  finished" in listed and "two  seed 0  two: gone is not there" in listed
    assert severe("--seeds", "1", "--root", "toy_data=nowhere", "two=there") == 0
    said = capfd.readouterr()
    assert "left out, three: nowhere is not there" in said.err and "(two, seed 0): test/top1" in said.out
    Path("places.yaml").write_text("toydata: {root: here}\n")
    assert severe("--seeds", "1", "--root", "places.yaml") == 0


def test_a_failing_setting_does_not_stop_the_others(severe, capfd):
    Path("toys/one.yaml").write_text(CONFIG.replace("DATA", "here, fail_at: 2"))
    assert severe("--seeds", "2") == 1
    said = capfd.readouterr()
    assert "the disk is away" in said.err
    assert "error: job 0 (one, seed 0): fit ended with 1; mend it" in said.err
    assert "job 1 (one" not in said.out  # it would fail in the same way
    assert "job 3 (two, seed 1): test/top1" in said.out
    assert "not done: job 0 (one, seed 0), job 1 (one, seed 1);" in said.err


def test_a_number_of_samples_behind_a_name(severe):
    assert find_settings(Path("toys"), ["one_2000"])[0].samples == 2000
    Path("toys/one_2000.yaml").write_text(CONFIG)
    assert find_settings(Path("toys"), ["one_2000"])[0].samples is None
    assert severe("--settings", "two_12", "--seeds", "1", "--root", "two=here") == 0
    assert read_result(folder("two_12") / "result.json").samples == 12


def test_weights_of_tclr_are_fed_as_published(tmp_path):
    conv = torch.zeros(512, 256, 3, 3, 3)
    keys = {"module.0.stem.0.weight": torch.zeros(45, 3, 1, 7, 7), "module.0.layer4.0.conv1.0.weight": conv}
    torch.save({"state_dict": keys}, tmp_path / "tclr.pt")
    arguments = read_weights(str(tmp_path / "tclr.pt"), None).arguments
    assert "--model.network.dilated_last_stage=true" in arguments and "--model.mean=[0,0,0]" in arguments
    assert read_weights(weights(tmp_path / "x.pt", 1.0), None).arguments == ()


def test_weights_are_called_after_their_run(tmp_path):
    (tmp_path / "tubelet" / "checkpoints").mkdir(parents=True)
    file = weights(tmp_path / "tubelet" / "checkpoints" / "last.ckpt", 1.0)
    assert read_weights(file, None).name == "tubelet"
    assert read_weights(weights(tmp_path / "x.pt", 1.0), None).name == "x"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--settings", "ones"], "no setting 'ones'; did you mean one?"),
        (["--seeds", "0"], "--seeds 0 must be at least 1"),
        (["--job", "6"], "--job 6: the jobs are 0 to 5"),
        (["--only", "one:7"], "--only one:7: no such job"),
        (["--root", "ucf=here"], "--root ucf: no such data set; there are: toy_data, one, two"),
        (["--root", "nowhere"], "--root nowhere: give DATASET=PATH"),
        (["--root", "one="], "one has no path"),
        (["--name", "a/b"], "--name 'a/b' cannot be the name of a folder"),
        (["--sed", "2"], "severe: unknown argument --sed"),
        (["--embedded"], "--configs names other settings"),
        (["--configs", "there"], "there: no settings (YAML files) there"),
    ],
)
def test_wrong_usage(arguments, message, severe, capfd):
    assert severe(*arguments) == 2
    said = capfd.readouterr().err
    assert message in said and len(said.splitlines()) == 1


def test_weights_that_are_not_there_or_none(severe, capfd):
    assert cli.main(["severe", "--out", "x"]) == 2
    assert "severe needs --weights and --out" in capfd.readouterr().err
    assert severe(weights="nowhere.pt") == 1
    assert "nowhere.pt is neither a file nor a name in the catalogue" in capfd.readouterr().err
    Path("empty.pt").touch()
    assert severe(weights="empty.pt") == 1
    assert "empty.pt is empty" in capfd.readouterr().err
    with pytest.raises(ConfigError, match="holds no pairs"):
        Path("list.yaml").write_text("[1]")
        read_roots(["list.yaml"])
