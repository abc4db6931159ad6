"""``lightning submit`` as far as it goes without SLURM; tests/test_slurm.py has the rest."""

import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

import cli
import configs
from configs.slurm.submit import _limit

TOY = """# A toy.
model: {class_path: toy_method.ToyMethod}
data: {class_path: datamodules.VideoFolderDataModule, init_args: {root: here, global_batch_size: 24, num_workers: 3}}
trainer: {devices: 4, max_epochs: 3}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with a config, a ``lightning`` beside Python, and an sbatch that says what it was given."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "toy.yaml").write_text(TOY)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "python").touch()
    (programs / "lightning").touch()
    (programs / "sbatch").write_text('#!/bin/sh\ncp "$1" given\necho "Submitted batch job 7"\n')
    (programs / "sbatch").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    return tmp_path


def test_script_on_several_nodes(folder, capsys):
    arguments = ["--nodes", "3", "--gpus", "2", "--time", "2-12", "--partition", "gpu", "--run_dir", "runs/a b"]
    assert cli.main(["submit", "--config", "toy.yaml", *arguments, "--model.lr", "0.2", "--sbatch", "mem=9G", "x"]) == 0
    script = Path("runs/a b/submit.sbatch").read_text()
    out = capsys.readouterr().out
    written = "wrote runs/a b/submit.sbatch: 3 x 2 processes, at most 2 days, 12:00:00"
    assert out == f"{script}\n{written}\nSubmitted batch job 7\n"
    assert Path("given").read_text() == script
    options = re.findall(r"^#SBATCH --(\S+?)(?:=(.*))?$", script, re.MULTILINE)
    assert dict(options) == {
        "nodes": "3",
        "gpus-per-node": "2",
        "ntasks-per-node": "2",
        "cpus-per-task": "4",
        "time": "2-12",
        "partition": "gpu",
        "signal": "USR1@120",
        "requeue": "",
        "open-mode": "append",
        "output": "'runs/a b/slurm-%j.out'",
        "dependency": "singleton",
        "job-name": dict(options)["job-name"],
        "mem": "9G",
        "x": "",
    }
    assert len(options) == len(dict(options))
    assert re.fullmatch("'a b-[0-9a-f]{6}'", dict(options)["job-name"])
    command = f"{folder}/bin/lightning fit --config=toy.yaml --model.lr 0.2 '--run_dir=runs/a b' --trainer.num_nodes="
    assert command in script and "MASTER_ADDR=" in script
    subprocess.run(["bash", "-n", "runs/a b/submit.sbatch"], check=True)


def test_defaults_are_those_of_the_config(folder, capsys):
    assert cli.main(["submit", "--config", "toy.yaml", "--dry-run"]) == 0
    script = Path("runs/toy/submit.sbatch").read_text()
    assert "#SBATCH --nodes=1\n" in script and "#SBATCH --gpus-per-node=4\n" in script
    assert "lightning fit --config=toy.yaml --run_dir=runs/toy --trainer.num_nodes=" in script
    assert "MASTER_ADDR" not in script and not Path("given").exists()
    # The folder is that of the same fit without SLURM, whatever it runs on.
    assert cli.main(["submit", "--config", "toy.yaml", "--gpus", "0", "--nodes", "2", "--dry-run"]) == 0
    script = Path("runs/toy/submit.sbatch").read_text()
    assert "gpus" not in script and "#SBATCH --ntasks-per-node=1\n" in script
    assert "--trainer.accelerator=cpu --run_dir=runs/toy " in script


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--config toi.yaml --gpus 8", "no config 'toi.yaml' in "),
        ("--gpus 8", "submit: no config named; as in: lightning submit --config tubelet.yaml --gpus 8"),
        (
            "--config toy.yaml --gpus 8 --nodes 2",
            "submit: 2 nodes x 8: global_batch_size=24 does not divide into 16 processes x 1 accumulated batches;"
            " the nearest that do: 16 and 32",
        ),
        (
            "--config toy.yaml --gpus 8 --trainer.accumulate_grad_batches 2",
            "submit: 1 nodes x 8: global_batch_size=24 does not divide into 8 processes x 2 accumulated",
        ),
        ("--config toy.yaml --time tomorrow", "submit: --time tomorrow is none of sbatch's notations: MINUTES, "),
        ("--config toy.yaml --time 24h", "submit: --time 24h is none of"),
        ("--config toy.yaml --time 1:00", "submit: --time 1:00 is 0:01:00 h, of which the last 120 to 180 seconds"),
        ("--config toy.yaml --gpus x", "submit: argument --gpus: invalid int value: 'x'"),
        ("--config toy.yaml --gpus -1", "submit: --gpus -1 must be at least 0"),
        ("--config toy.yaml --nodes 0", "submit: --nodes 0 must be at least 1"),
        ("--config toy.yaml --trainer.devices 2", "submit: give --gpus for --trainer.devices"),
        ("--config toy.yaml --ckpt_path a.ckpt", "submit takes no --ckpt_path"),
        ("--config toy.yaml --model.lrr 1", "model: ToyMethod has no argument 'lrr'; did you mean lr?"),
        ("--config toy.yaml --node 2", "no key 'node'"),
        ("--config auto.yaml", "submit: give --gpus, of each node: the config's trainer.devices is auto"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_submitted(arguments, message, folder, capsys):
    (folder / "auto.yaml").write_text("base: toy.yaml\ntrainer: {devices: auto}\n")
    assert cli.main(["submit", *arguments.split()]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"lightning: error: {message}")
    assert not Path("given").exists() and not Path("runs").exists()


def test_without_sbatch(folder, capsys, monkeypatch):
    (folder / "bin" / "sbatch").write_text("#!/bin/sh\necho invalid partition specified >&2\nexit 1\n")
    assert cli.main(["submit", "--config", "toy.yaml"]) == 1
    assert capsys.readouterr().err == (
        "lightning: error: sbatch refuses runs/toy/submit.sbatch: invalid partition specified\n"
    )
    monkeypatch.setenv("PATH", os.devnull)
    assert cli.main(["submit", "--config", "toy.yaml"]) == 2
    assert capsys.readouterr().err.startswith(
        "lightning: error: submit: no sbatch here: submit from a node of the clus"
    )


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("90", timedelta(minutes=90)),
        ("24:00", timedelta(minutes=24)),
        ("24:00:00", timedelta(hours=24)),
        ("2-12", timedelta(days=2, hours=12)),
        ("1-0:30", timedelta(days=1, minutes=30)),
        ("1-00:00:01", timedelta(days=1, seconds=1)),
        ("1:2:3:4", None),
        ("-5", None),
        ("", None),
    ],
)
def test_time_limits(text, limit):
    assert _limit(text) == limit


@pytest.mark.parametrize("path", sorted((configs.FOLDER / "slurm").glob("*.sbatch")), ids=lambda path: path.stem)
@pytest.mark.parametrize(
    ("code", "preempted", "requeued"), [(0, 0, 0), (1, 0, 0), (138, 0, 1), (143, 0, 0), (143, 1, 1), (137, 1, 0)]
)
def test_shipped_scripts_requeue(path, code, preempted, requeued, tmp_path):
    """Run as bash runs them, with stand-ins for SLURM's programs."""
    time = "2026-01-01T00:00:00" if preempted else "None"
    (tmp_path / "srun").write_text(f'#!/bin/sh\necho "$@" >srun.txt\nexit {code}\n')
    (tmp_path / "scontrol").write_text(
        f'#!/bin/sh\necho "PreemptTime={time} $*"\n[ $1 = requeue ] && touch requeued\n:'
    )
    for name in ("srun", "scontrol"):
        (tmp_path / name).chmod(0o755)
    names = ("CPUS_PER_TASK", "JOB_NUM_NODES", "NTASKS_PER_NODE", "JOB_ID", "JOB_NODELIST", "ARRAY_TASK_ID")
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"} | {f"SLURM_{name}": "3" for name in names}
    done = subprocess.run(["bash", "-u", path, "--a", "b c"], cwd=tmp_path, env=environment, capture_output=True)
    assert done.returncode == code and done.stderr == b""
    assert (tmp_path / "requeued").exists() == bool(requeued)
    ours = (
        "severe --a b c --job 3" if "severe" in path.stem else "fit --a b c --trainer.num_nodes=3 --trainer.devices=3"
    )
    assert (tmp_path / "srun.txt").read_text().endswith(f"lightning {ours}\n")
