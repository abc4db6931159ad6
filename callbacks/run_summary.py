"""Final numbers of several runs as mean and standard deviation (tables 3.3 and others of the thesis: five runs)."""

import csv
import fnmatch
import io
import json
import math
import re
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.table import Table

from callbacks.run_folder import flat, read_table, write_whole

FINAL_METRICS = ("val/*", "test/*", "probe/*")
# In the order in which a name that several of them hold is taken.
TABLES = ("logs/metrics.csv", "logs/validate/metrics.csv", "logs/test/metrics.csv")
SEED_FOLDER = re.compile(r"seed_(\d+)")


@dataclass(frozen=True)
class RunResult:
    """What a finished run came to.

    Attributes:
        folder: of the run.
        metrics: the last value of each logged number.
        config: values by dotted key, as run.
    """

    folder: Path
    metrics: dict[str, float]
    config: dict[str, Any]


@dataclass(frozen=True)
class Spread:
    """A metric over runs.

    Attributes:
        values: one for each run; None where the run did not log it.
    """

    values: list[float | None]

    @property
    def known(self) -> list[float]:
        """The values that there are."""
        return [value for value in self.values if value is not None]

    @property
    def mean(self) -> float:
        """Mean of the values that there are."""
        return sum(self.known) / len(self.known)

    @property
    def deviation(self) -> float | None:
        """Standard deviation of a sample, over n - 1; None for a single value."""
        if len(self.known) < 2:
            return None
        return statistics.stdev(self.known) if all(map(math.isfinite, self.known)) else math.nan


@dataclass(frozen=True)
class Summary:
    """Several runs together.

    Attributes:
        runs: the finished ones, in the given order.
        spreads: by metric; values in the order of the runs.
        notes: what a reader of the means has to know, one line each: runs left out, numbers that are missing,
            configs that differ by more than the seed.
    """

    runs: list[RunResult]
    spreads: dict[str, Spread]
    notes: list[str]

    def table(self) -> Table:
        """Lay out for a terminal."""
        table = Table(title=f"{len(self.runs)} run{'s' if len(self.runs) > 1 else ''}")
        table.add_column("metric")
        for name in ("mean", "± std"):
            table.add_column(name, justify="right")
        for name in self.columns():
            table.add_column(name, justify="right")
        for metric, spread in self.spreads.items():
            table.add_row(metric, *(short(value) for value in (spread.mean, spread.deviation, *spread.values)))
        return table

    def columns(self) -> list[str]:
        """Name of each run: its folder's, the whole path where two have the same."""
        names = [run.folder.name for run in self.runs]
        return names if len(set(names)) == len(names) else [str(run.folder) for run in self.runs]

    def write(self, path: Path) -> None:
        """Write a CSV file: ``metric,mean,std,runs`` and a column for each run.

        Raises:
            OSError: it cannot be written.
        """
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(["metric", "mean", "std", "runs", *self.columns()])
        for metric, spread in self.spreads.items():
            deviation = "" if spread.deviation is None else spread.deviation
            values = ["" if value is None else value for value in spread.values]
            writer.writerow([metric, spread.mean, deviation, len(spread.known), *values])
        write_whole(path, text.getvalue().encode())


def summarise(folders: list[Path], metrics: tuple[str, ...] = FINAL_METRICS) -> Summary:
    """Read runs and put their final numbers together.

    Args:
        folders: of runs, or of folders that hold runs as ``seed_0``, ``seed_1``, ...
        metrics: names, or patterns with ``*``, of what is wanted.

    Raises:
        ValueError: a folder holds no run or an unreadable one, no run is finished, or none logged such metrics.
    """
    found = list(dict.fromkeys(run for folder in folders for run in runs_in(folder)))
    unfinished = {run: reason for run in found if (reason := missing_end(run))}
    results = [read_run(run) for run in found if run not in unfinished]
    notes = [f"left out, {reason}: {run}" for run, reason in unfinished.items()]
    if not results:
        raise ValueError(f"no run is finished ({'; '.join(notes)}); the same lightning fit command finishes one")
    logged = list(dict.fromkeys(name for result in results for name in result.metrics))
    chosen = [name for name in logged if any(fnmatch.fnmatchcase(name, pattern) for pattern in metrics)]
    if not chosen:
        raise ValueError(
            f"{results[0].folder}: no metric is called {' or '.join(metrics)}; there are: {', '.join(logged) or 'none'}"
        )
    spreads = {name: Spread([result.metrics.get(name) for result in results]) for name in sorted(chosen)}
    for name, spread in spreads.items():
        if len(spread.known) < len(results):
            without = [str(run.folder) for run, value in zip(results, spread.values, strict=True) if value is None]
            notes.append(f"{name} is missing in {', '.join(without)}: its mean is over the other runs")
    return Summary(results, spreads, notes + _differences(results))


def runs_in(folder: Path) -> list[Path]:
    """Find runs: those in folders ``seed_N``, in order of N, or else the folder itself.

    Raises:
        ValueError: there is none.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; give the folder of a run, or one that holds seed_0, seed_1, ...")
    numbered = [(int(found[1]), path) for path in folder.iterdir() if (found := SEED_FOLDER.fullmatch(path.name))]
    runs = [path for _, path in sorted(numbered) if path.is_dir()]
    if runs:
        return runs
    if not (folder / "versions.json").is_file():
        raise ValueError(f"{folder}: is no run and holds none (no versions.json, no seed_0, seed_1, ...)")
    return [folder]


def missing_end(run: Path) -> str:
    """Say why a run is not complete; empty where it is.

    Raises:
        ValueError: ``versions.json`` cannot be read.
    """
    path = run / "versions.json"
    if not path.is_file():
        return "not started"
    try:
        starts = json.loads(path.read_text(encoding="utf-8"))
        fits = [start for start in starts if start["subcommand"] == "fit"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: is not what a run writes; remove it and give the run's command again") from error
    return "not finished" if fits and "finished" not in fits[-1] else ""


def read_run(run: Path) -> RunResult:
    """Read the last logged numbers and the config of a run.

    Raises:
        ValueError: a table or the config cannot be read.
    """
    metrics: dict[str, float] = {}
    for name in reversed(TABLES):
        if (run / name).is_file():
            metrics |= _last_values(run / name)
    try:
        config = flat(yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8")))
    except FileNotFoundError:
        config = {}  # a run that was only evaluated
    except yaml.YAMLError as error:
        raise ValueError(f"{run / 'config.yaml'}: is no YAML; give the run's command again") from error
    return RunResult(run, metrics, config)


def _last_values(path: Path) -> dict[str, float]:
    values: dict[str, float] = {}
    for number, row in enumerate(read_table(path)):
        for name, value in row.items():
            if not value or name in ("step", "epoch"):
                continue
            try:
                values[name] = float(value)
            except ValueError as error:
                raise ValueError(f"{path}:{number + 2}: {name} is '{value}', not a number; mend the line") from error
    return values


def without_seed(config: dict[str, Any]) -> dict[str, Any]:
    """Return the values that are the same in all runs of one recipe: all but those of seed and folder."""
    own = ("run_dir", "ckpt_path", "seed_everything")
    return {key: value for key, value in config.items() if key not in own and not key.endswith(".seed")}


def _differences(results: list[RunResult]) -> list[str]:
    """Name keys, other than those of seed and folder, that have several values; and seeds that occur twice."""
    notes = []
    for key in sorted({key for result in results for key in without_seed(result.config)}):
        values = list(dict.fromkeys(str(result.config.get(key, "(none)")) for result in results))
        if len(values) > 1:
            notes.append(f"the configs differ: {key} is {' or '.join(values[:4])}")
    seeds: dict[Any, Path] = {}
    for result in results:
        seed = result.config.get("seed_everything")
        if seed is not None and seeds.setdefault(seed, result.folder) != result.folder:
            notes.append(f"seed {seed} is that of both {seeds[seed]} and {result.folder}")
    return notes


def short(value: float | None) -> str:
    """A number as it stands in a table; empty for None."""
    return "" if value is None else f"{value:.4g}" if abs(value) < 1e-3 or abs(value) >= 1e4 else f"{value:.4f}"
