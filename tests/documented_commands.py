"""The commands that README and docs/ show, and whether they parse."""

import argparse
import functools
import re
import shlex
from pathlib import Path
from typing import NamedTuple

import yaml

import cli
import configs
from configs.errors import UsageError
from configs.severe_benchmark.command import PASSED_ON
from configs.slurm.submit import Values

ROOT = Path(cli.__file__).resolve().parent
PAGES = [ROOT / "README.md", ROOT / "configs" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"`([\w.]+)`:\n\n```(?:python|yaml)\n(.*?)^```", re.MULTILINE | re.DOTALL)
TRAINED = ("fit", "validate", "test", "predict")
ANY_TEXT = ("--data.root", "--data.flow", "--data.lists", "--model.weights", "--run_dir")
NUMBERS = ("SEED", "$SLURM_ARRAY_TASK_ID")
OTHER = ("pip", "apt-get", "pytest", "mkdocs", "source")


class Documented(NamedTuple):
    """A command and where it stands."""

    page: str
    words: tuple[str, ...]


class Parsed(BaseException):
    """The arguments are those of the subcommand: what would be done with them is not."""


def documented_commands(page: Path) -> list[Documented]:
    """The commands in a page's bash blocks, in order, without ``uv run`` and with their variables filled in."""
    found, variables = [], {}
    for block in BLOCK.findall(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            if assigned := re.fullmatch(r'(\w+)="(.*)"', line.strip()):
                variables[assigned[1]] = assigned[2]
                continue
            for name, value in variables.items():
                line = re.sub(rf"\${name}\b", value, line)
            words: list[str] = []
            for word in [*shlex.split(line, comments=True), "&&"]:
                if word != "&&":
                    words.append(word)
                    continue
                words = words[2:] if words[:2] == ["uv", "run"] else words
                words = words[2:] if words[:1] == ["--group"] else words
                if words:
                    found.append(Documented(page.relative_to(ROOT).as_posix(), tuple(words)))
                words = []
    return found


def documented_files(page: Path) -> dict[str, str]:
    """The files that a page shows whole, by name."""
    return dict(FILE.findall(page.read_text(encoding="utf-8")))


def complaint(words: tuple[str, ...], capsys) -> str | None:
    """What is wrong with a command; None where it parses. Nothing is trained, read or written but a job's script."""
    program, *arguments = ["0" if word in NUMBERS else word for word in words]
    if program == "lightning":
        return lightning_complaint(arguments, capsys)
    if program == "python":
        script = ROOT / (arguments[1].replace(".", "/") + ".py" if arguments[0] == "-m" else arguments[0])
        if not script.is_file():
            return f"no script {script}"
        text = script.read_text(encoding="utf-8")
        unknown = [word for word in arguments if word.startswith("--") and f'"{word}"' not in text]
        return f"{script.name} has no {unknown[0]}" if unknown else None
    if program == "sbatch":
        at = next(index for index, word in enumerate(arguments) if word.endswith(".sbatch"))
        if not (ROOT / arguments[at]).is_file():
            return f"no script {arguments[at]}"
        return lightning_complaint(["severe" if "severe" in arguments[at] else "fit", *arguments[at + 1 :]], capsys)
    return None if program in OTHER else f"what is {program}?"


def lightning_complaint(arguments: list[str], capsys) -> str | None:
    """What is wrong with the arguments of ``lightning``."""
    subcommand, rest = arguments[0], arguments[1:]
    if subcommand in TRAINED and "--input" not in rest:
        return fit_complaint(subcommand, rest)
    if subcommand == "submit":
        code = cli.main([*arguments, *(() if "--dry-run" in rest else ("--dry-run",))])
        error = capsys.readouterr().err.strip()
        return error if code else None
    if subcommand == "repeat":
        at = rest.index("fit")
        if reason := fit_complaint("fit", rest[at + 1 :]):
            return reason
        arguments = ["repeat", *rest[:at], "fit", "--config", "tubelet.yaml"]
    if subcommand in ("severe", "analyse"):
        config = rest[rest.index("--config") + 1] if "--config" in rest else "severe_embedded/ucf101.yaml"
        first = next((index for index, word in enumerate(rest) if word.startswith(PASSED_ON)), len(rest))
        if reason := fit_complaint("fit", ["--config", config, *rest[first:]]):
            return reason
    try:
        code = cli.main(arguments)
    except Parsed:
        return None
    error = capsys.readouterr().err.strip()
    return error if code else None


def stop_after_parsing(parser: argparse.ArgumentParser, *given, parse=argparse.ArgumentParser.parse_known_args):
    """In place of ``parse_known_args``: goes no further than a subcommand's own arguments."""
    options, unknown = parse(parser, *given)
    # Not a subcommand's own parser; or it will complain; or it hands on what is unknown to it.
    if not parser.add_help or unknown or parser.prog == "lightning submit":
        return options, unknown
    raise Parsed


_seen: dict[tuple[str, ...], set[tuple[str, ...]]] = {}


def fit_complaint(subcommand: str, arguments: list[str]) -> str | None:
    """What is wrong with arguments that LightningCLI parses; options of a method and data module are parsed once."""
    names, rest = cli.split_configs(arguments)
    rest = configs.take(rest, "--ckpt_path")[1]
    try:
        chains = [configs.chain(name) for name in names]
        seen = _seen.setdefault(classes_of(tuple(names)), set())
        options = _options(rest)
        if not options <= seen and ("--print_config",) not in options:
            Values(subcommand, [*rest, *(() if "--run_dir" in rest else ("--run_dir=run",))], chains)
        seen |= options
    except (configs.ConfigError, UsageError) as error:
        return str(error)
    return None


@functools.cache
def classes_of(names: tuple[str, ...]) -> tuple[str, ...]:
    """The method and the data module that configs name."""
    found = {"model": "", "data": ""}
    for file in (file for name in names for file in configs.chain(name)):
        for part, values in (yaml.safe_load(file.text) or {}).items():
            if part in found:
                found[part] = (values or {}).get("class_path", found[part])
    return tuple(found.values())


def _options(arguments: list[str]) -> set[tuple[str, ...]]:
    """The options with their values, but for those that any text suits."""
    found = [("a config",)]
    for word in arguments:
        if word.startswith("--"):
            found.append((word,))
        elif found[-1][0] not in ANY_TEXT:
            found[-1] += (word,)
    return set(found)
