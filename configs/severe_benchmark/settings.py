"""The settings of the benchmark: what YAML files there are, and where their data are."""

import difflib
import importlib
import inspect
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import configs
from configs import ConfigError

# Those of table 4.4 first, then tasks (4.3), domains (4.1) and actions (4.2); jobs are numbered so.
ORDER = (
    *("ucf101", "hmdb51", "ssv2", "gym99", "ucf101_1000", "ucf101_few", "gym99_1000", "fx_s1", "ub_s1"),
    *("ucfrep", "charades", "ucf101_24", "arrow_of_time", "ava"),
    *("ntu60", "epic_verb", "kinetics400", "vault", "floor", "gym288", "epic_noun", "epic_action", "diving48"),
)
SAMPLES = re.compile(r"(.+)_(\d+)")


@dataclass(frozen=True)
class Setting:
    """One downstream setting.

    Attributes:
        name: ``ucf101``, ``gym99_1000``: the file's; or that of a file with a number of samples behind it.
        config: path of the YAML file.
        samples: number of training videos, where the name gives it and the file does not.
        values: of the file and its bases.
    """

    name: str
    config: Path
    samples: int | None
    values: dict[str, Any]

    @property
    def data_class(self) -> str:
        """Class of the data module, as the config names it."""
        return str((self.values.get("data") or {}).get("class_path", ""))

    @property
    def dataset(self) -> str:
        """What ``--root`` calls the data set: the data module's name, ``ucf101`` of ``UCF101DataModule``."""
        name = self.data_class.rpartition(".")[2].removesuffix("DataModule")
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()

    def paths(self, roots: dict[str, dict[str, str]]) -> dict[str, str]:
        """Arguments of the data module that ``--root`` gives; those of the setting go over those of the data set."""
        given = {_plain(name): paths for name, paths in roots.items()}
        base = SAMPLES.fullmatch(self.name)
        names = (self.dataset, base[1] if base else self.name, self.name)
        return {key: path for name in names for key, path in given.get(_plain(name), {}).items()}

    def missing(self, roots: dict[str, dict[str, str]]) -> str:
        """Say which data are not there, and where they should be; empty where nothing is missing.

        Raises:
            ConfigError: the config names no data module that there is.
        """
        arguments = (self.values.get("data") or {}).get("init_args") or {}
        paths = self.paths(roots)
        if "root" not in paths and self._takes_root():
            if arguments.get("root") is None:
                return f"{self.name}: no folder of the data is known; give --root {self.dataset}=FOLDER"
            paths = {"root": arguments["root"], **paths}
        for key, path in paths.items():
            if not Path(path).expanduser().exists():
                option = f"--root {self.dataset}{'' if key == 'root' else '.' + key}=PATH"
                return f"{self.name}: {path} is not there; put the data there, or give {option}"
        return ""

    def _takes_root(self) -> bool:
        module, _, name = self.data_class.rpartition(".")
        try:
            found = getattr(importlib.import_module(module or "datamodules"), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigError(f"{self.config}: no data module '{self.data_class}'") from error
        return "root" in inspect.signature(found).parameters


def family(mode: str, embedded: bool) -> str:
    """Name of the folder of settings in ``configs``: severe, severe_linear, severe_embedded, ..."""
    return "severe" + ("_embedded" if embedded else "") + ("_linear" if mode == "linear" else "")


def find_settings(folder: Path, wanted: list[str] | None) -> list[Setting]:
    """Find settings by their YAML files.

    Args:
        folder: of the files.
        wanted: names, such as ``ucf101`` or ``gym99_2000``; all files where None.

    Raises:
        ConfigError: the folder holds none, or none of that name, or a file cannot be read.
    """
    files = {path.stem: path for path in folder.glob("*.yaml")}
    if not files:
        raise ConfigError(f"{folder}: no settings (YAML files) there")
    ordered = sorted(files, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
    found = []
    for name in dict.fromkeys(wanted or ordered):
        base = SAMPLES.fullmatch(name)
        file, samples = files.get(name), None
        if file is None and base is not None and base[1] in files:
            file, samples = files[base[1]], int(base[2])
        if file is None:
            near = difflib.get_close_matches(name, ordered, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(ordered)}"
            raise ConfigError(f"no setting '{name}'; {hint}")
        values: dict[str, Any] = {}
        for part in configs.chain(str(file)):
            values = _over(values, yaml.safe_load(part.text) or {})
        found.append(Setting(name, file, samples, values))
    return found


def read_roots(given: list[str]) -> dict[str, dict[str, str]]:
    """Read ``--root``: paths of data sets.

    Args:
        given: each ``DATASET=PATH`` or ``DATASET.ARGUMENT=PATH``, such as ``ucf101=/data/UCF-101``; or a YAML file of
            such keys, whose values are paths, or mappings of the data module's arguments to paths.

    Returns:
        Arguments of the data module by data set or setting.

    Raises:
        ConfigError: one of them is neither.
    """
    roots: dict[str, dict[str, str]] = {}
    for text in given:
        name, equals, path = text.partition("=")
        pairs: dict[str, Any] = {name: path}
        if not equals:
            try:
                pairs = yaml.safe_load(Path(text).read_text(encoding="utf-8"))
            except (OSError, yaml.YAMLError) as error:
                raise ConfigError(f"--root {text}: give DATASET=PATH, or a YAML file of such pairs") from error
            if not isinstance(pairs, dict):
                raise ConfigError(f"--root {text}: holds no pairs DATASET: PATH")
        for key, value in pairs.items():
            dataset, _, argument = str(key).partition(".")
            values = value if isinstance(value, dict) else {argument or "root": value}
            if not all(isinstance(path, str) and path for path in values.values()):
                raise ConfigError(f"--root {text}: {key} has no path")
            roots.setdefault(dataset, {}).update(values)
    return roots


def check_roots(roots: dict[str, dict[str, str]], settings: list[Setting]) -> None:
    """Refuse names that no setting has.

    Raises:
        ConfigError: there is one.
    """
    bases = [found[1] for setting in settings if (found := SAMPLES.fullmatch(setting.name))]
    names = [*(setting.dataset for setting in settings), *(setting.name for setting in settings), *bases]
    for name in roots:
        if _plain(name) not in map(_plain, names):
            raise ConfigError(f"--root {name}: no such data set; there are: {', '.join(dict.fromkeys(names))}")


def _plain(name: str) -> str:
    return re.sub(r"[_-]", "", name).lower()


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    both = {
        key: _over(below[key], above[key])
        for key in below.keys() & above.keys()
        if isinstance(below[key], dict) and isinstance(above[key], dict)
    }
    return {**below, **above, **both}
