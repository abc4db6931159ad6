"""The shipped configs, one complete YAML file each, and how ``--config NAME`` finds a file.

A file may change another one: its first key is then ``base: OTHER.yaml``, and its values go over those of the base.
"""

import argparse
import difflib
import hashlib
import os
import re
import shlex
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).resolve().parent
BASE = re.compile(r"^base:[ \t]*['\"]?([^'\"#\r\n]*?)['\"]?[ \t]*(?:#.*)?$", re.MULTILINE)


class ConfigError(ValueError):
    """A config that is not there or cannot be read: one line that says which and what to do."""


class Config(NamedTuple):
    """One YAML file: where it is, and its text without the ``base`` key (its line is left empty)."""

    path: Path
    text: str


def shipped() -> dict[str, str]:
    """Name of each shipped config, relative to this folder, with its first comment line."""
    names = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.yaml"))
    # A file in the folder itself goes before the folders.
    return {name: _title(FOLDER / name) for name in sorted(names, key=lambda name: ("/" in name, name))}


def find(name: str, beside: Path | None = None) -> Path:
    """Find a config by name.

    Args:
        name: a path, or the name of a shipped config: ``tubelet.yaml``, ``tubelet_contrast/kinetics400.yaml``, or
            ``kinetics400.yaml`` where only one shipped file has it. ``.yaml`` may be left out of a shipped name.
        beside: folder that is looked in first: that of the file which names this one as its base.

    Returns:
        Path of the file: beside, then from the working directory, then shipped.

    Raises:
        ConfigError: if there is none, or several.
    """
    for path in [Path(name)] if beside is None else [beside / name, Path(name)]:
        if path.is_file():
            return path
    names = list(shipped())
    wanted = name if name.endswith(".yaml") else f"{name}.yaml"
    if wanted in names:
        return FOLDER / wanted
    fitting = [other for other in names if Path(other).name == wanted]
    if len(fitting) == 1:
        return FOLDER / fitting[0]
    if fitting:
        raise ConfigError(f"config '{name}' is ambiguous: give one of {', '.join(fitting)}")
    ends = {Path(other).name: other for other in names} | {path.name: path.name for path in Path.cwd().glob("*.yaml")}
    near = [ends.get(match, match) for match in difflib.get_close_matches(wanted, [*names, *ends], n=4, cutoff=0.5)]
    hint = f"near: {', '.join(dict.fromkeys(near))}" if near else "lightning --help lists the shipped ones"
    raise ConfigError(f"no config '{name}' in {Path.cwd()} or among the shipped ones; {hint}")


def chain(name: str) -> list[Config]:
    """Read a config and the files that it is based on.

    Args:
        name: as for ``find``.

    Returns:
        The files in the order in which their values apply, the named one last.

    Raises:
        ConfigError: if a file is missing, is no YAML mapping, or is based on itself.
    """
    configs: list[Config] = []
    seen: list[Path] = []
    beside = None
    while True:
        path = find(name, beside)
        if path.resolve() in seen:
            raise ConfigError(f"{path}: based on itself, through {' <- '.join(str(other) for other in seen)}")
        seen.append(path.resolve())
        text, keys = _read(path)
        base = BASE.search(text)
        configs.insert(0, Config(path, BASE.sub("", text, count=1) if keys - {"base"} else "{}"))
        if base is None:
            return configs
        name, beside = base[1], path.parent


def shipped_name(path: Path) -> str | None:
    """Name of a shipped config; None for another file."""
    whole = path.resolve()
    return whole.relative_to(FOLDER).as_posix() if whole.is_relative_to(FOLDER) else None


def run_folder(chains: list[list[Config]], changes: list[str], otherwise: str = "") -> Path:
    """Name the folder of a run after its configs, and after what the command line changes behind them.

    Args:
        chains: each named config, behind its bases.
        changes: the other arguments.
        otherwise: the name where there is no config.
    """
    paths = [chain[-1].path for chain in chains]
    name = "+".join(str(Path(shipped_name(path) or path.name).with_suffix("")) for path in paths) or otherwise
    if changes:
        name += f"-{hashlib.sha256(shlex.join(changes).encode()).hexdigest()[:6]}"
    return Path("runs", name)


def take(arguments: list[str], option: str) -> tuple[str | None, list[str]]:
    """Take an option out of the arguments.

    Returns:
        Its last value, None where it is not given; and the other arguments.

    Raises:
        ConfigError: the option has no value.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument(option, dest="value")
    try:
        options, rest = parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise ConfigError(f"{option} needs a value") from error
    return options.value, rest


def is_first_process() -> bool:
    """Whether this is the first of a run's processes, or the only one, by what its launcher says."""
    return not any(int(os.environ.get(name, 0)) for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))


def line_of(key: str, configs: list[Config]) -> str | None:
    """``file:line`` of the last place that sets a key, given by its last name, or names a class; None without one."""
    name = rf"['\"]?{re.escape(key)}['\"]?"
    pattern = re.compile(rf"^[ \t-]*(?:{name}[ \t]*:|class_path:[ \t]*{name}[ \t]*(?:#.*)?$)", re.MULTILINE)
    for config in reversed(configs):
        if found := pattern.search(config.text):
            return f"{config.path}:{config.text.count(chr(10), 0, found.end()) + 1}"
    return None


def _title(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        return next((line.lstrip("# ").strip() for line in file if line.startswith("#")), "")


def _read(path: Path) -> tuple[str, set[str]]:
    """Text and top-level keys of a file."""
    import yaml  # not needed to list the configs

    try:
        text = path.read_text(encoding="utf-8")
        values = yaml.safe_load(text)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from error
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        problem = ", ".join(part for part in (error.context, error.problem) if part)
        raise ConfigError(f"{path}{line}: not valid YAML: {problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: holds {type(values).__name__}, not keys with values")
    return text, set(values)
