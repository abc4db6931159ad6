"""One logged number of several runs in one picture, as the loss of each augmentation in figure 3.6."""

import csv
import io
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from callbacks.pictures import render, write_picture
from callbacks.run_folder import read_table, write_whole


class Curve(NamedTuple):
    """A logged number over a run.

    Attributes:
        name: of the run.
        step: int64 (N,), optimizer steps.
        value: float64 (N,).
    """

    name: str
    step: np.ndarray
    value: np.ndarray


def compare(runs: list[str], metric: str, out: Path) -> str:
    """Draw a curve for each run, and write the numbers beside the picture.

    Args:
        runs: folders of runs, or ``NAME=FOLDER`` where the folder's name shall not be the label.
        metric: as logged, such as ``train/loss``.
        out: the picture, a PNG file; the table gets the same name with ``.csv``.

    Returns:
        What was written, in a line.

    Raises:
        ValueError: a run, its numbers or the metric are not there, or ``out`` is no PNG file.
        OSError: a file cannot be read or written.
    """
    if out.suffix.lower() != ".png":
        raise ValueError(f"{out}: the picture is a PNG file; give it a name such as {out.with_suffix('.png')}")
    curves = [read_curve(run, metric) for run in runs]
    write_picture(out, draw_curves(curves, metric))
    table = out.with_suffix(".csv")
    write_whole(table, join_curves(curves).encode())
    return f"wrote {out} and {table}: {metric} of {', '.join(curve.name for curve in curves)}"


def read_curve(run: str, metric: str) -> Curve:
    """Read a run's ``logs/metrics.csv``; of a step that was logged twice the last value counts.

    Args:
        run: as of `compare`.
        metric: as logged.

    Raises:
        ValueError: as of `compare`.
    """
    name, path = name_run(run)
    if not path.is_dir():
        raise ValueError(f"{path}: no such run; give its folder, as runs/skeleton")
    file = path / "logs" / "metrics.csv"
    if not file.is_file():
        raise ValueError(f"{file}: no such file; {path} is not the folder of a run of `lightning fit`")
    curves = read_curves(name, file)
    if metric not in curves:
        raise ValueError(f"{file}: no {metric} in it; it has {', '.join(curves) or 'nothing yet'}")
    return curves[metric]


def name_run(run: str) -> tuple[str, Path]:
    """Name and folder of a run that is given as ``FOLDER`` or ``NAME=FOLDER``."""
    name, equals, folder = run.partition("=")
    if not equals or Path(run).is_dir():  # the folder of a run may itself have an equals sign in its name
        return Path(run).resolve().name, Path(run)
    return name, Path(folder)


def read_curves(name: str, file: Path) -> dict[str, Curve]:
    """Read all finite numbers of a ``metrics.csv``; of a step that was logged twice the last value counts.

    Args:
        name: of the run.
        file: to read.

    Returns:
        The curves by metric, in the order of the table.

    Raises:
        ValueError: a number is none.
    """
    values: dict[str, dict[int, float]] = {}
    for line, row in enumerate(read_table(file), 2):
        for metric, text in row.items():
            if not text or metric in ("step", "epoch"):
                continue
            try:
                step, value = int(row["step"]), float(text)
            except (KeyError, ValueError):
                raise ValueError(f"{file}:{line}: {metric} {text!r} is no number of a step") from None
            if math.isfinite(value):
                values.setdefault(metric, {})[step] = value
    curves = {}
    for metric, points in values.items():
        steps = sorted(points)
        curves[metric] = Curve(name, np.array(steps), np.array([points[step] for step in steps], dtype=float))
    return curves


def smooth(value: np.ndarray) -> np.ndarray:
    """Mean around each of N values, over a fortieth of them, weighted by a Gaussian and whole at both ends."""
    width = len(value) / 40
    if width < 1:
        return value
    radius = math.ceil(3 * width)
    weight = np.exp(-0.5 * (np.arange(-radius, radius + 1) / width) ** 2)
    middle = slice(radius, radius + len(value))
    total = np.convolve(value, weight)[middle] / np.convolve(np.ones_like(value), weight)[middle]
    return np.asarray(total)


def draw_curves(curves: list[Curve], metric: str) -> np.ndarray:
    """Draw the curves over the optimizer steps, smoothed, and faintly as they were logged.

    Returns:
        uint8 (H, W, 3).
    """
    figure = Figure(figsize=(6, 3.8), dpi=200, layout="constrained")
    axis = figure.subplots()
    for number, curve in enumerate(curves):
        colour, style = f"C{number % 10}", ("-", "--", ":", "-.")[number // 10 % 4]
        smoothed = smooth(curve.value)
        if smoothed is not curve.value:
            axis.plot(curve.step, curve.value, color=colour, alpha=0.18, linewidth=0.8)
        marker = "o" if len(curve.step) == 1 else None
        axis.plot(curve.step, smoothed, style, color=colour, linewidth=1.6, marker=marker, label=curve.name)
    axis.set(xlabel="optimizer step", ylabel=metric)
    axis.grid(color="0.92")
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_axisbelow(True)
    axis.margins(x=0.01)
    axis.legend(frameon=False, fontsize=8)
    return render(figure)


def join_curves(curves: list[Curve]) -> str:
    """A table ``step,NAME,NAME,...`` of all curves, as logged; empty where a run has no value at a step."""
    columns = [dict(zip(curve.step.tolist(), curve.value.tolist(), strict=True)) for curve in curves]
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(["step", *(curve.name for curve in curves)])
    for step in sorted({step for column in columns for step in column}):
        table.writerow([step, *(column.get(step, "") for column in columns)])
    return text.getvalue()
