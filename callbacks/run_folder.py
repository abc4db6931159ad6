"""The files of a run: ``config.yaml``, ``versions.json``, ``logs/metrics.csv``; its checkpoints: ``checkpoints.py``.

None of them is ever left half written, and none of an earlier start is lost.
"""

import csv
import io
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only


class MetricsTable(Logger):
    """All logged numbers in one CSV file, one row a call: ``step``, ``epoch``, then the metrics in order of appearance.

    A run that goes on appends to the file. Lightning's CSVLogger would delete it.

    Args:
        path: of the file.
        first_step: step that the run starts from; the rows of this and later steps, left by a run that was killed after
            its last checkpoint, are dropped, since they will be made again. None keeps all.
    """

    def __init__(self, path: Path, first_step: int | None = None) -> None:
        super().__init__()
        self.path = path
        self.first_step = first_step
        self.columns: list[str] | None = None

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.path.name

    @property
    def version(self) -> str:
        """Empty: a run folder holds one table."""
        return ""

    @property
    def save_dir(self) -> str:
        """Folder of the file."""
        return str(self.path.parent)

    @rank_zero_only
    def log_hyperparams(self, *args: object, **kwargs: object) -> None:
        """Nothing: ``config.yaml`` holds them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append a row."""
        row = {"step": step or 0, **metrics}
        kept: list[dict[str, str]] | None = None
        if self.columns is None:
            kept = self._earlier_rows()
            self.columns = list(kept[0]) if kept else ["step", "epoch"]
        elif not row.keys() <= set(self.columns):
            kept = read_table(self.path)
        if kept is None:
            with self.path.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, self.columns).writerow(row)
            return
        self.columns += [name for name in row if name not in self.columns]
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.columns)
        writer.writeheader()
        writer.writerows([*kept, row])
        write_whole(self.path, text.getvalue().encode())

    def _earlier_rows(self) -> list[dict[str, str]]:
        rows = read_table(self.path) if self.path.is_file() else []
        return [row for row in rows if self.first_step is None or int(row["step"]) < self.first_step]


def write_whole(path: Path, data: bytes | memoryview, previous: Path | None = None) -> None:
    """Write a file so that a reader, or the next start after a crash, finds the old or the new one, never a part.

    Args:
        path: of the file.
        data: what it will hold.
        previous: where to keep the old file, if there is one; in the same folder. At no moment is neither there.

    Raises:
        OSError: if it cannot be written; the old file is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if previous is not None and path.exists():
            _keep(path, previous)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    with suppress(OSError):  # some file systems do not sync folders
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # else a power failure may undo the renaming
        finally:
            os.close(folder)


def _keep(path: Path, previous: Path) -> None:
    link = previous.with_name(f"{previous.name}.part")
    link.unlink(missing_ok=True)
    try:
        link.hardlink_to(path)  # so that ``path`` never lacks
    except OSError:  # a file system without hard links
        path.replace(previous)
        return
    link.replace(previous)
    link.unlink(missing_ok=True)  # where the two were one file already, renaming did nothing


def keep_config(folder: Path, recipe: str) -> str | None:
    """Write ``config.yaml``; a different one that is there becomes ``config.1.yaml``, ``config.2.yaml``, ...

    Args:
        folder: of the run.
        recipe: YAML text as run.

    Returns:
        What differs, as one line; None where nothing does.
    """
    path = folder / "config.yaml"
    changes: list[str] = []
    kept = ""
    if path.is_file():
        old, new = flat(_load(path.read_text(encoding="utf-8"))), flat(yaml.safe_load(recipe))
        for key in [*old, *(key for key in new if key not in old)]:
            if key not in ("run_dir", "ckpt_path") and old.get(key) != new.get(key):
                changes.append(f"{key} {old.get(key, '(none)')} -> {new.get(key, '(none)')}")
        if changes:
            number = next(number for number in range(1, 10**6) if not (folder / f"config.{number}.yaml").exists())
            kept = f"config.{number}.yaml"
            path.replace(folder / kept)
    write_whole(path, recipe.encode())
    if not changes:
        return None
    more = f", and {len(changes) - 8} more" if len(changes) > 8 else ""
    return f"the config differs from the earlier one, now {kept}: {', '.join(changes[:8])}{more}"


def keep_versions(folder: Path, facts: dict[str, Any]) -> None:
    """Append to ``versions.json``: a list, one entry a start."""
    path = folder / "versions.json"
    try:
        starts = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        starts = []
    write_whole(path, json.dumps([*starts, facts], indent=2).encode())


def finish_start(folder: Path, facts: dict[str, Any]) -> None:
    """Note in ``versions.json`` that the last start came to its end, as ``finished``."""
    path = folder / "versions.json"
    starts = json.loads(path.read_text(encoding="utf-8"))
    starts[-1]["finished"] = facts
    write_whole(path, json.dumps(starts, indent=2).encode())


def read_table(path: Path) -> list[dict[str, str]]:
    """Read the rows of a ``MetricsTable``, numbers as text and empty where nothing was logged; half a row is left out.

    Raises:
        OSError: it cannot be read.
    """
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]  # a killed process may leave half a line
    return [row for row in csv.DictReader(whole.splitlines()) if None not in row.values()]


def _load(text: str) -> object:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return {"config.yaml": "unreadable"}


def flat(value: object, key: str = "") -> dict[str, Any]:
    """Return the values of nested dictionaries by dotted key."""
    if isinstance(value, dict) and value:
        prefix = f"{key}." if key else ""
        return {name: leaf for part in value for name, leaf in flat(value[part], f"{prefix}{part}").items()}
    return {key: value}
