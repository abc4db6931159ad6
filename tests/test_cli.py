import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import toy_method  # noqa: F401 - its classes can then be named without their module
import yaml

import cli
import configs
from configs.command import Command

COMMAND = [sys.executable, "-c", "import sys, cli; sys.exit(cli.main())"]
TOY = """# A toy that learns at once.
model:
  class_path: toy_method.ToyMethod
  init_args:
    lr: 1e-1
data:
  class_path: toy_method.ToyData
  init_args:
    root: here
trainer:
  max_epochs: 2
  accelerator: cpu
  logger: false
  enable_model_summary: false
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working directory with the toy's config."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "toy.yaml").write_text(TOY)
    return tmp_path


@pytest.fixture
def parsed(monkeypatch):
    """What a command would run, without running it."""
    seen = []
    monkeypatch.setattr(Command, "_run_subcommand", lambda command, subcommand: seen.append(command))
    return seen


def printed(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([*arguments, "--print_config"])
    assert end.value.code == 0
    return yaml.safe_load(capsys.readouterr().out)


def complaint(arguments, capsys):
    """Exit code and the one line of an error."""
    code = cli.main(arguments)
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if line.startswith("lightning: error: ")]
    assert len(lines) == 1 and "Traceback" not in error and "usage:" not in error
    return code, lines[0].removeprefix("lightning: error: ")


def test_overview_needs_no_heavy_import():
    code = "import sys, cli; cli.main(['--help']); cli.main([]); cli.main(['--version']); print(sorted(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    modules = out.splitlines()[-1]
    assert "'argparse'" in modules and "'torch'" not in modules and "'pytorch_lightning'" not in modules
    for name, title in {**cli.SUBCOMMANDS, **configs.shipped()}.items():
        folder, slash, _ = name.partition("/")
        assert f"  {folder}/ " in out if slash else f"  {name} " in out and title in out
    assert "video-efficient-zoo " in out and "torch 2" in out


def test_every_shipped_config_says_what_it_is():
    assert "tubelet.yaml" in configs.shipped()
    for name, title in configs.shipped().items():
        assert title, f"{name} has no comment line"


def test_readme_of_the_configs_names_each_of_them_and_no_other():
    linked = re.findall(r"\]\(([^)]*\.yaml)\)", (configs.FOLDER / "README.md").read_text())
    assert set(linked) == set(configs.shipped())


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if "/" in name else []) for name in configs.shipped()]
)
def test_shipped_config_parses(name, capsys):
    values = printed(["fit", "--config", name], capsys)
    assert values["model"]["class_path"] and values["data"]["class_path"]
    assert values["trainer"]["max_epochs"] or values["model"]["class_path"].endswith(".Retrieval")  # nothing is trained


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A folder of shipped configs."""
    root = tmp_path / "shipped"
    for name in ("base.yaml", "one/kinetics.yaml", "two/kinetics.yaml", "two/ucf.yaml"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"# Title of {name}\n{TOY}")
    monkeypatch.setattr(configs, "FOLDER", root)
    return root


def test_find_config(shipped, folder):
    assert list(configs.shipped()) == ["base.yaml", "one/kinetics.yaml", "two/kinetics.yaml", "two/ucf.yaml"]
    assert configs.shipped()["two/ucf.yaml"] == "Title of two/ucf.yaml"
    assert configs.find("base.yaml") == configs.find("base") == shipped / "base.yaml"
    assert configs.find("two/kinetics.yaml") == shipped / "two" / "kinetics.yaml"
    assert configs.find("ucf.yaml") == shipped / "two" / "ucf.yaml"
    with pytest.raises(configs.ConfigError, match=r"ambiguous: give one of one/kinetics.yaml, two/kinetics.yaml"):
        configs.find("kinetics.yaml")
    with pytest.raises(configs.ConfigError, match=r"no config 'kinetic.yaml' .* near: .*one/kinetics.yaml|two/kin"):
        configs.find("kinetic.yaml")
    (folder / "base.yaml").write_text(TOY)
    assert configs.find("base.yaml") == Path("base.yaml")


def test_base(folder, capsys):
    (folder / "sub").mkdir()
    (folder / "sub" / "middle.yaml").write_text("base: ../toy.yaml\nmodel: {init_args: {lr: 0.5}}\n")
    (folder / "top.yaml").write_text(
        "# Title.\nbase: sub/middle.yaml  # under it\ndata: {class_path: SeedlessData}\ntrainer: {max_epochs: 7}\n"
    )
    values = printed(["fit", "--config", "top.yaml"], capsys)
    assert values["model"] == {
        "class_path": "toy_method.ToyMethod",
        "init_args": {"lr": 0.5, "ballast": 0, "network": None},
    }
    assert values["data"] == {"class_path": "toy_method.SeedlessData", "init_args": {"root": "here"}}
    assert values["trainer"]["max_epochs"] == 7
    assert values["trainer"]["use_distributed_sampler"] is False
    assert values["seed_everything"] == 0
    (folder / "only_base.yaml").write_text("base: toy.yaml\n")
    assert printed(["fit", "--config", "only_base.yaml"], capsys)["model"]["init_args"]["lr"] == 0.1
    (folder / "loop.yaml").write_text("base: loop.yaml\n")
    assert complaint(["fit", "--config", "loop.yaml"], capsys)[1].startswith("loop.yaml: based on itself")


def test_several_configs_and_overrides(folder, capsys):
    (folder / "slow.yaml").write_text("model: {init_args: {lr: 1e-3}}\ntrainer: {max_epochs: 9}\n")
    arguments = ["fit", "--trainer.max_epochs=3", "-c", "toy.yaml", "--config=slow.yaml"]
    values = printed(arguments, capsys)
    assert values["model"]["init_args"]["lr"] == 0.001
    assert values["trainer"]["max_epochs"] == 3  # an argument goes over every config, wherever it stands


def test_short_names_and_seeds(folder, parsed):
    arguments = ["fit", "--model", "ToyMethod", "--data", "ToyData", "--data.root", "a", "--seed_everything", "5"]
    assert cli.main([*arguments, "--trainer.accelerator", "cpu"]) == 0
    assert (parsed[0].model.seed, parsed[0].datamodule.seed, parsed[0].datamodule.root) == (5, 5, "a")
    assert cli.main([*arguments[:4], "SeedlessData", *arguments[5:], "--trainer.accelerator", "cpu"]) == 0
    assert parsed[1].datamodule.seed == 0


def test_packages_can_be_named_without_their_module(folder, capsys):
    assert printed(["fit", "--config", "toy.yaml", "--data", "VideoFolderDataModule"], capsys)["data"][
        "class_path"
    ].endswith(".VideoFolderDataModule")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("fit --config toy.yaml --model.network w.ckpt", "model.network: takes a class, not a file of weights; those"),
        ("fit --config toy.yaml --model.lr abc", "model.lr: 'abc' is not of type float"),
        ("fit --config toy.yaml --model.lrr 1", "model: ToyMethod has no argument 'lrr'; did you mean lr?"),
        (
            "fit --config severe_embedded/ucf101.yaml --data.root x",
            "data: SyntheticUCF101DataModule has no argument 'root'; --help lists all",
        ),
        ("fit --config toy.yaml --model ToyMethd", "model: no class 'ToyMethd'; did you mean ToyMethod?"),
        (
            "fit --config toy.yaml --model.network ToyNetwrk",
            "model.network: no class 'ToyNetwrk'; did you mean ToyNetwork?",
        ),
        (
            "fit --config toy.yaml --model.network ToyNetwork --model.network.scal 2",
            "model.network: ToyNetwork has no argument 'scal'; did you mean scale?",
        ),
        (
            "fit --config toy.yaml --data VideoFoldrDataModule",
            "data: no class 'VideoFoldrDataModule'; did you mean Video",
        ),
        (
            "fit --config tubelet.yaml --model.network.stem_width null",
            "model.network.stem_width: 'None' is none of: int; a null for an argument's argument",
        ),
        ("fit --config toy.yaml --trainer.max_step 3", "no key 'trainer.max_step'; did you mean trainer.max_steps?"),
        ("fit --config toy.yaml --trainer.limit_train_batches x", "trainer.limit_train_batches: 'x' is none of: int"),
        ("fit --config toy.yaml --trainer.accelerator xyz", "trainer: You selected an invalid accelerator name"),
        (
            "fit --config toy.yaml --trainer.callbacks KNNProb",
            "trainer.callbacks: no class 'KNNProb'; did you mean KNN",
        ),
        ("fit --config toy.yaml --checkpoint.mode foo", "checkpoint.mode: 'foo' is none of: 'max', 'min'"),
        ("fit --config toy.yaml --ckpt_path a.ckpt", "ckpt_path: no file a.ckpt"),
        ("fit --config toy.yaml --model.lr -1", "lr must be positive, not -1.0"),
        ("fit --model ToyMethod --data ToyData", "ToyData needs --data.root"),
        ("fit --model ToyMethod", "no data given: name a --config, or give --data CLASS"),
        ("fit --config toi.yaml", "no config 'toi.yaml' in "),
        ("fit --config", "--config needs the name of a config"),
        ("fitt", "no subcommand 'fitt'; did you mean fit?"),
        ("export --checkpoint a", "export needs --checkpoint FILE and --out FILE"),
        ("prepare", "prepare needs a dataset, --root FOLDER and --out FOLDER"),
        ("prepare ntu --root a", "prepare needs a dataset, --root FOLDER and --out FOLDER"),
        ("prepare kinetics", "prepare: argument dataset: invalid choice: 'kinetics'"),
        ("prepare ntu --root a --out b --fast", "prepare: unknown argument --fast"),
    ],
)
def test_wrong_usage_is_one_line(arguments, message, folder, capsys):
    torch.save({"a": torch.ones(3)}, folder / "w.ckpt")
    code, line = complaint(arguments.split(), capsys)
    assert code == 2
    assert line.startswith(message)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lr: 1e-1", "lrr: 1", "bad.yaml:5: model: ToyMethod has no argument 'lrr'; did you mean lr?"),
        ("lr: 1e-1", "lr: abc", "bad.yaml:5: model.lr: 'abc' is not of type float"),
        ("max_epochs", "max_epoch", "bad.yaml:11: no key 'trainer.max_epoch'; did you mean trainer.max_epochs?"),
        ("\ntrainer:", "\ntrainr:", "bad.yaml:11: no key 'trainr.max_epochs'; did you mean trainer.max_epochs?"),
        ("ToyMethod", "ToyMethd", "bad.yaml:3: model: no class 'toy_method.ToyMethd'; did you mean ToyMethod?"),
        ("toy_method.ToyM", "toy_methd.ToyM", "bad.yaml:3: model: no class 'toy_methd.ToyMethod'; did you mean ToyMet"),
        ("lr: 1e-1", "lr: [1, ", "bad.yaml:7: not valid YAML: while parsing a flow sequence, expected ',' or ']'"),
        (TOY, "- a\n- b\n", "bad.yaml: holds list, not keys with values"),
    ],
)
def test_wrong_config_is_one_line_with_its_place(old, new, message, folder, capsys):
    (folder / "bad.yaml").write_text(TOY.replace(old, new))
    code, line = complaint(["fit", "--config", "bad.yaml"], capsys)
    assert code == 2
    assert line.startswith(message)


def test_refusal_by_one_of_several_classes_names_its_reason(folder, capsys):
    crop = "{class_path: lightning_modules.views.multimodal.ClipCrop, init_args: {preprocessing: {std: [1.0]}}}"
    (folder / "bad.yaml").write_text(f"base: transfer_teacher.yaml\nmodel: {{init_args: {{crop: {crop}}}}}\n")
    code, line = complaint(["fit", "--config", "bad.yaml"], capsys)
    assert code == 2
    assert line.startswith("mean and std must be two numbers")


def test_errors_of_a_run(folder, capsys):
    code, line = complaint(["fit", "--config", "toy.yaml", "--data.root", "missing"], capsys)
    assert (code, line) == (1, "no folder missing: give --data.root")
    with pytest.raises(RuntimeError, match="shape"):  # a mistake of the program keeps its traceback
        cli.main(["fit", "--config", "toy.yaml", "--data.root", "bug"])


def test_only_the_first_process_complains(folder, capsys, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert cli.main(["fit", "--config", "toi.yaml"]) == 2
    assert capsys.readouterr().err == ""


def test_default_folder(folder, parsed, shipped):
    def of(*arguments):
        assert cli.main(["fit", *arguments]) == 0
        return str(parsed[-1].folder)

    assert of("--config", "toy.yaml") == "runs/toy"
    assert of("--config", "one/kinetics.yaml") == "runs/one/kinetics"
    changed = of("--config", "toy.yaml", "--model.lr", "0.3")
    assert changed.startswith("runs/toy-") and changed == of("--config", "toy.yaml", "--model.lr", "0.3")
    assert changed != of("--config", "toy.yaml", "--model.lr", "0.4")
    assert of("--config", "toy.yaml", "--run_dir", "x/y") == "x/y"
    assert parsed[-1].trainer.default_root_dir == "x/y"
    assert of("--config", "toy.yaml", "--trainer.default_root_dir", "z") == "z"


def test_always_there_unless_given(folder, parsed):
    def callbacks(*arguments):
        assert cli.main(["fit", "--config", "toy.yaml", *arguments]) == 0
        return {type(callback).__name__ for callback in parsed[-1].trainer.callbacks}

    assert {"RunRecord", "ProgressBar", "ModelCheckpoint", "KNNProbe"} <= callbacks("--trainer.callbacks", "KNNProbe")
    assert parsed[-1].trainer.loggers == []
    assert not {"ProgressBar", "ModelCheckpoint"} & callbacks(
        "--trainer.enable_progress_bar=false", "--trainer.enable_checkpointing=false"
    )
    callbacks("--trainer.logger=true")
    assert [type(logger).__name__ for logger in parsed[-1].trainer.loggers] == ["TensorBoardLogger", "MetricsTable"]


def test_checkpoint_does_not_override_the_config(folder, parsed):
    checkpoint = {"global_step": 3, "hyper_parameters": {"lr": 0.7, "_class_path": "toy_method.Other"}}
    torch.save(checkpoint, folder / "old.ckpt")
    assert cli.main(["fit", "--config", "toy.yaml", "--ckpt_path", "old.ckpt", "--model.lr", "0.3"]) == 0
    assert parsed[0].model.lr == 0.3
    assert parsed[0].first_step == 3


def test_checkpoint_that_cannot_be_read(folder, capsys):
    (folder / "runs/toy/checkpoints").mkdir(parents=True)
    (folder / "runs/toy/checkpoints/last.ckpt").write_bytes(b"no zip file")
    code, line = complaint(["fit", "--config", "toy.yaml"], capsys)
    assert code == 1 and line.startswith("runs/toy/checkpoints/last.ckpt is no checkpoint of a run")


@pytest.mark.slow
def test_two_processes(folder):
    """As a user starts them; only the first one speaks, also about an error."""
    arguments = ["fit", "--config", "toy.yaml", "--trainer.strategy", "ddp", "--trainer.devices", "2"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    script = folder / "lightning"
    script.write_text("import sys, cli\nsys.exit(cli.main())\n")

    def run(*more):
        return subprocess.run(
            [sys.executable, script, *arguments, *more], capture_output=True, text=True, env=environment, timeout=300
        )

    done = run("--run_dir", "two")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("run folder two") == 1
    assert json.loads((folder / "two/versions.json").read_text())[0]["processes"] == 2
    failed = run("--data.root", "missing")
    assert failed.returncode == 1
    assert failed.stderr.count("lightning: error: no folder missing") == 1
    stopped = run("--run_dir", "three", "--trainer.max_epochs=100", "--trainer.callbacks", "toy_method.Signal",
                  "--trainer.callbacks.step=40")  # fmt: skip
    assert stopped.returncode == 128 + signal.SIGINT
    assert stopped.stderr.count("to go on:") == 1
    assert torch.load(folder / "three/checkpoints/last.ckpt", weights_only=True)["global_step"] > 40


def test_a_reader_that_has_seen_enough_is_no_error(monkeypatch):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", "import sys; from cli import main; sys.exit(main(sys.argv[1:]))", "--help"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, cwd=Path(cli.__file__).parent)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")
