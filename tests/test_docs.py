import importlib.util
import inspect
import os
import re
import shutil
import subprocess
import sys
from itertools import pairwise

import documented_commands as documented
import pytest
from documented_commands import PAGES, ROOT

import callbacks
import cli
import configs
import datamodules
import lightning_modules

DOCS = ROOT / "docs"
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")
# What a reader puts in: such commands are parsed and not run.
PLACEHOLDERS = {
    "FILE",
    "FOLDER",
    "VIDEO",
    "CKPT",
    "RAW",
    "CACHE",
    "NTU",
    "PKU",
    "EPIC",
    "FINEGYM",
    "KINETICS",
    "TUBELET",
}
SMALL = "--trainer.max_epochs 1 --trainer.limit_train_batches 2 --trainer.limit_val_batches 2".split()
# Some commands look at what was logged.
SMALL += ["--trainer.log_every_n_steps", "1", "--trainer.check_val_every_n_epoch", "1"]
SMALL_DATA = {"train_videos": 96, "val_videos": 48, "probe_samples": 48}  # where a data module has such arguments
SMALL += "--trainer.limit_test_batches 2 --trainer.limit_predict_batches 2 --data.num_workers 0".split()
# In an order in which each finds what it starts from.
RUN = ["quick_start", "methods/temporal_contrast", "methods/tubelet_contrast", "methods/skeleton_contrast"]
RUN += ["methods/feature_transfer", "methods/rc3d", "methods/severe", "methods/repetition_counting"]
RUN += ["methods/multi_label_recognition", "methods/arrow_of_time", "methods/ava", "methods/ucf101_24", "data/embedded"]
RUN += ["runs", "slurm", "weights", "extending", "command_line"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    for page in PAGES:
        for name, text in documented.documented_files(page).items():
            (tmp_path / name).write_text(text)
    return tmp_path


def test_every_command_parses(folder, monkeypatch, capsys):
    monkeypatch.setattr("argparse.ArgumentParser.parse_known_args", documented.stop_after_parsing)
    commands = [command for page in PAGES for command in documented.documented_commands(page)]
    wrong = [
        f"{page}: {' '.join(words)}: {reason}"
        for page, words in dict.fromkeys(commands)
        if (reason := documented.complaint(words, capsys)) is not None
    ]
    assert not wrong, "\n".join(wrong)
    assert len(commands) > 100


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("lightning fitt --config tubelet.yaml", "did you mean fit?"),
        ("lightning fit --config tubelets.yaml", "no config 'tubelets.yaml'"),
        ("lightning fit --config tubelet.yaml --data.rooot A", "rooot"),
        ("lightning repeat --seedz 2 fit --config tubelet.yaml", "--seedz"),
        ("lightning repeat fit --config tubelet.yaml --model.tau 1", "tau"),
        ("lightning severe --weights FILE --out severe --sets ucf101", "--sets"),
        ("lightning severe --weights FILE --out severe --trainer.device 8", "device"),
        ("lightning submit --config tubelet.yaml --gpus 0 --data.rooot A", "rooot"),
        ("lightning analyse ckaa --weights a b --out c", "ckaa"),
        ("lightning prepare ntu --root A --out B --format zip", "zip"),
        ("python -m benchmarks.no", "no script"),
        ("python -m benchmarks.decode --speed 2", "no --speed"),
        ("sbatch configs/slurm/one_node.sbatch --config none.yaml", "no config"),
        ("lighting fit --config tubelet.yaml", "what is lighting?"),
    ],
)
def test_a_wrong_command_is_found(words, reason, folder, monkeypatch, capsys):
    monkeypatch.setattr("argparse.ArgumentParser.parse_known_args", documented.stop_after_parsing)
    assert reason in documented.complaint(tuple(words.split()), capsys)


def test_commands_are_taken_out_of_a_page(tmp_path, monkeypatch):
    monkeypatch.setattr(documented, "ROOT", tmp_path)
    (tmp_path / "page.md").write_text(
        '```bash\nW="--weights a"\npip install uv && uv run lightning fuse $W \\\n    b  # of c\n```\n'
        "```python\nlightning no\n```\n"
    )
    found = documented.documented_commands(tmp_path / "page.md")
    assert [" ".join(words) for _, words in found] == ["pip install uv", "lightning fuse --weights a b"]


def test_links_lead_somewhere():
    for page in PAGES:
        for target in LINK.findall(page.read_text(encoding="utf-8")):
            assert "://" in target or (page.parent / target).exists(), f"{page}: {target}"


def test_facts_of_the_data_sets_are_those_of_the_code():
    path = ROOT / ".ci" / "data_facts.py"
    spec = importlib.util.spec_from_file_location("data_facts", path)
    data_facts = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(data_facts)
    pages = sorted((DOCS / "data").glob("*.md"))
    assert len(pages) > 15
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert text == data_facts.filled(text), f"{page} is not up to date: python .ci/data_facts.py"


def test_line_counts_are_right():
    text = (DOCS / "extending.md").read_text(encoding="utf-8")
    section = text.partition("<!-- line counts -->")[2].partition("<!-- end of line counts -->")[0]
    counts = re.findall(r"`([\w/.]+)`: (\d+)", section)
    assert len(counts) > 10
    for path, lines in counts:
        assert len((ROOT / path).read_text(encoding="utf-8").splitlines()) == int(lines), path


def test_nothing_is_left_out():
    command_line = (DOCS / "command_line.md").read_text(encoding="utf-8")
    assert {name for name in cli.SUBCOMMANDS if f"\nlightning {name} " not in command_line} == set()
    methods = (DOCS / "api" / "methods.md").read_text(encoding="utf-8")
    shown = re.findall(r"::: lightning_modules\.(\w+)", methods)
    assert set(shown) == {name for name in lightning_modules.__all__ if name[0].isupper()}
    data = (DOCS / "api" / "data.md").read_text(encoding="utf-8")
    shown = re.findall(r"::: datamodules\.(\w+)$", data, re.MULTILINE)
    assert set(shown) == {name for name in datamodules.__all__ if not name.startswith("Synthetic")}
    shown = re.findall(r"::: callbacks\.(\w+)", (DOCS / "api" / "callbacks.md").read_text(encoding="utf-8"))
    assert set(shown) == set(callbacks.__all__) - {"ProgressBar"}
    navigation = (ROOT / ".ci" / "mkdocs.yml").read_text(encoding="utf-8")
    pages = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}
    assert {page for page in pages if not re.search(rf"[-:] {re.escape(page)}$", navigation, re.MULTILINE)} == set()


def test_pictures_are_small():
    pictures = list((DOCS / "pictures").iterdir())
    assert pictures
    for picture in pictures:
        assert picture.stat().st_size < 100_000, picture


@pytest.mark.slow
def test_commands_run_on_embedded_data(folder):
    """All commands of the pages in ``RUN`` that need nothing of a reader's, each fit for two batches."""
    shutil.copytree(ROOT / "configs" / "slurm", folder / "configs" / "slurm")
    done = []
    for name in RUN:
        for page, words in documented.documented_commands(DOCS / f"{name}.md"):
            if words[0] != "lightning" or any(map(of_the_reader, words)) or not in_small(words):
                continue
            small = in_small(words)
            if small in done and words[1] != "fit":
                continue
            run = subprocess.run(
                [sys.executable, "-c", "import sys, cli; sys.exit(cli.main())", *small[1:]],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
            )
            assert run.returncode == 0, f"{page}: {' '.join(small)}\n{run.stdout[-2000:]}{run.stderr[-2000:]}"
            done.append(small)
    assert len(done) > 50


def of_the_reader(word):
    """Whether a word stands for something that a reader has."""
    return word in PLACEHOLDERS or word.rpartition("=")[2].startswith("/data/") or word.split("/")[0] in PLACEHOLDERS


def in_small(words):
    """The same command, as small as it can be; None for what is not run."""
    subcommand, rest = words[1], list(words[2:])
    if subcommand == "fuse":  # of runs that nobody told to predict
        return None
    if subcommand == "submit":
        return words if "--dry-run" in words else None
    if subcommand == "repeat":
        rest = ["2" if before == "--seeds" else word for before, word in pairwise(["", *rest])]
        return ("lightning", subcommand, *rest, *SMALL, *small_data(rest))
    if subcommand == "severe" and "--embedded" in rest and "--list" not in rest:
        return (
            "lightning",
            subcommand,
            *rest,
            *([] if "--settings" in rest else ["--settings", "ucf101", "--seeds", "1"]),
            *SMALL,
        )
    if subcommand in documented.TRAINED and "--input" not in rest and "--print_config" not in rest:
        names, changes = cli.split_configs(rest)
        if "--run_dir" not in changes:  # which would be named after what makes it small
            chains = [configs.chain(name) for name in names]
            rest += ["--run_dir", str(configs.run_folder(chains, configs.take(changes, "--ckpt_path")[1]))]
        return ("lightning", subcommand, *rest, *SMALL, *small_data(rest))
    return words


def small_data(arguments):
    """Arguments that make the embedded data of a config small."""
    classes = documented.classes_of(tuple(cli.split_configs(arguments)[0]))
    parameters = inspect.signature(getattr(datamodules, classes[1].rpartition(".")[2])).parameters
    return [word for name in SMALL_DATA if name in parameters for word in (f"--data.{name}", str(SMALL_DATA[name]))]
