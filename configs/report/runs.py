"""What run folders hold, and which runs are seeds of one recipe."""

import contextlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from callbacks.curves import Curve, name_run, read_curves
from callbacks.run_summary import Spread, missing_end, read_run, runs_in, without_seed

PICTURES = frozenset((".png", ".jpg", ".jpeg", ".webp"))
SPEED = "speed/steps_per_second"
# Between two logged numbers; what takes longer was a pause between two starts.
LONGEST_GAP = 10.0


@dataclass(frozen=True)
class Run:
    """One run folder.

    Attributes:
        name: of the run.
        folder: of the run.
        given: the name that its user gave it; None without one.
        starts: entries of ``versions.json``, one a start.
        state: ``finished``, or why it is not.
        config: values by dotted key; empty for a run that was only evaluated.
        config_text: of the file.
        metrics: last value of each logged number.
        curves: by metric; and how fast it was, in optimizer steps a second, where TensorBoard's files tell.
        pictures: files.
        notes: how many samples were broken, missing or left out, by the name of the list.
    """

    name: str
    folder: Path
    given: str | None
    starts: list[dict[str, Any]]
    state: str
    config: dict[str, Any]
    config_text: str
    metrics: dict[str, float]
    curves: dict[str, Curve]
    pictures: list[Path]
    notes: dict[str, int]

    @property
    def last(self) -> dict[str, Any]:
        """The last start of training, or the last start."""
        return next((start for start in reversed(self.starts) if start["subcommand"] == "fit"), self.starts[-1])

    @property
    def seconds(self) -> float | None:
        """How long the last start took to its end; None where it has not come there."""
        finished = self.last.get("finished")
        if finished is None:
            return None
        return (datetime.fromisoformat(finished["date"]) - datetime.fromisoformat(self.last["date"])).total_seconds()


@dataclass(frozen=True)
class Group:
    """Runs of one recipe, with several seeds.

    Attributes:
        name: of the recipe.
        runs: at least one.
    """

    name: str
    runs: list[Run]

    def spread(self, metric: str) -> Spread:
        """The last values of a metric over the runs."""
        return Spread([run.metrics.get(metric) for run in self.runs])


def read_runs(given: Sequence[str]) -> list[Run]:
    """Read run folders.

    Args:
        given: each ``FOLDER`` or ``NAME=FOLDER``; a folder of ``seed_0``, ``seed_1``, ... stands for those runs.

    Raises:
        ValueError: a folder holds no run, or a damaged one.
        OSError: a file cannot be read.
    """
    found: dict[Path, tuple[str | None, str]] = {}
    for text in given:
        name, folder = name_run(text)
        own = None if Path(text) == folder else name
        for run in runs_in(folder):
            found.setdefault(run, (own, name if run == folder else f"{name}/{run.name}"))
    names = [name for _, name in found.values()]
    longer = [f"{run.resolve().parent.name}/{name}" for run, (_, name) in found.items()]
    runs = []
    for place, (run, (own, name)) in enumerate(found.items()):
        if names.count(name) > 1:
            name = longer[place] if own is None and longer.count(longer[place]) == 1 else f"{name} ({run})"
        runs.append(_read(run, own, name))
    return runs


def _read(folder: Path, given: str | None, name: str) -> Run:
    state = missing_end(folder)  # also refuses a versions.json that is damaged
    if not (folder / "versions.json").is_file():
        raise ValueError(f"{folder}: has not been started (no versions.json); leave it out")
    result = read_run(folder)
    table = folder / "logs" / "metrics.csv"
    curves = read_curves(name, table) if table.is_file() else {}
    if curves and (speed := read_speed(name, table.parent)) is not None:
        curves[SPEED] = speed
    lists = {file.stem: file for file in sorted((folder / "data").glob("*.txt"))}
    file = folder / "config.yaml"
    return Run(
        name=name,
        folder=folder,
        given=given,
        starts=json.loads((folder / "versions.json").read_text(encoding="utf-8")),
        state=state or "finished",
        config=result.config,
        config_text=file.read_text(encoding="utf-8") if file.is_file() else "",
        metrics=result.metrics,
        curves=curves,
        pictures=sorted(file for file in (folder / "pictures").glob("*") if file.suffix.lower() in PICTURES),
        notes={name: _count_lines(file) for name, file in lists.items()},
    )


def _count_lines(file: Path) -> int:
    return len(file.read_text(encoding="utf-8", errors="replace").splitlines())


def read_speed(name: str, folder: Path) -> Curve | None:
    """Compute the optimizer steps a second between logged numbers, from the times in TensorBoard's files.

    Args:
        name: of the run.
        folder: of its logs.

    Returns:
        The curve; None where there are no such files or too few numbers in them.
    """
    if not any(folder.glob("events.out.tfevents.*")):
        return None
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):  # it tells that there is no TensorFlow
        events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    tags = [tag for tag in events.Tags()["scalars"] if tag.startswith("train/")]
    if not tags:
        return None
    logged = max((events.Scalars(tag) for tag in tags), key=len)
    step = np.array([event.step for event in logged])
    time = np.array([event.wall_time for event in logged])
    steps, seconds = np.diff(step), np.diff(time)
    usable = (steps > 0) & (seconds > 0)
    if not usable.any():
        return None
    usable &= seconds < LONGEST_GAP * np.median(seconds[usable])
    return Curve(name, step[1:][usable], steps[usable] / seconds[usable])


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Put runs together that have one given name, or configs that differ by nothing but seed and folder."""
    groups: dict[object, list[Run]] = {}
    for run in runs:
        recipe = sorted((key, str(value)) for key, value in without_seed(run.config).items())
        key: object = run.given if run.given is not None else tuple(recipe) if recipe else run.folder
        groups.setdefault(key, []).append(run)
    names = [_common_name(members) for members in groups.values()]
    return [
        Group(name if names.count(name) == 1 else f"{name} ({names[: place + 1].count(name)})", members)
        for place, (name, members) in enumerate(zip(names, groups.values(), strict=True))
    ]


def _common_name(runs: list[Run]) -> str:
    """What the names of runs begin with, without the separator of their seeds."""
    if runs[0].given is not None:
        return runs[0].given
    if len(runs) == 1:
        return runs[0].name
    name = os.path.commonprefix([run.name for run in runs])  # noqa: RUF071 - names, not paths
    for ending in ("/seed_", "seed_", "seed"):
        name = name.removesuffix(ending)
    return name.rstrip("-_./ ") or Path(runs[0].config.get("run_dir") or runs[0].folder).parent.name
