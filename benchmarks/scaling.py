"""How time and memory grow with batch, frames, devices, queue and rows of the list, and what that predicts.

    python -m benchmarks.scaling
    python -m benchmarks.scaling queue draws --device cuda
    python -m benchmarks.scaling rows --most_rows 10000000

Each point runs in a process of its own (``scaling_points.py`` says what it does). Series that are not named keep
what an earlier run on the same kind of device found. The picture goes to ``docs/pictures/scaling.png``.
"""

import argparse
import json
import logging
import multiprocessing
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from benchmarks.prediction import Machine, Measured, first_bottleneck, per_run, per_step
from benchmarks.record import RESULTS, record
from benchmarks.scaling_points import SERIES, Point, write_rows

PICTURE = Path(__file__).parents[1] / "docs" / "pictures" / "scaling.png"
VALUES = {
    "batch": (8, 32, 128, 256),
    "frames": (8, 16, 32, 64),
    "devices": (1, 2),
    "devices each": (1, 2),
    "queue": (1_000, 10_000, 100_000, 1_000_000),
    "draws": (128, 1024, 8192),
    "rows": (10_000, 100_000, 1_000_000, 10_000_000),
    "list": (10_000, 100_000, 1_000_000, 10_000_000),
}
TIME = {"rows": "set up s", "list": "set up s"}  # "step ms" in the others
MEMORY = {"rows": "set up MiB", "list": "set up MiB"}  # "MiB" in the others
# Pairs of a step, videos of the list, keys: the thesis' recipe for Kinetics (5.4.1), and as many pairs for each of 64
# GPUs as it has on one.
PLANS = {
    "Kinetics-400, batch 128": (128, 240_000, 65_536),
    "Kinetics-400, batch 8,192": (8192, 240_000, 65_536),
    "100 million videos, batch 8,192": (8192, 100_000_000, 65_536),
}


def measure(series: str, value: int, device: str) -> Point:
    """Run one point in its own process.

    Raises:
        RuntimeError: it failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        if series == "rows":
            in_process(write_rows, value, Path(folder, "kinetics"))
        if series.startswith("devices"):  # whose further ranks repeat the command line
            module = "benchmarks.scaling_points"
            subprocess.run(
                [sys.executable, "-m", module, series, str(value), device, folder], stdout=subprocess.DEVNULL
            )
        else:
            in_process(write_point, series, value, device, Path(folder))
        file = Path(folder, "point.json")
        if not file.exists():
            raise RuntimeError(f"{series} {value:,} failed, see above")
        return dict(json.loads(file.read_text()))


def in_process(function: object, *arguments: object) -> None:
    """Call a function in a fork, which has the libraries already."""
    process = multiprocessing.get_context("fork").Process(target=function, args=arguments)
    process.start()
    process.join()


def write_point(series: str, value: int, device: str, folder: Path) -> None:
    """Measure a point and write it."""
    (folder / "point.json").write_text(json.dumps(SERIES[series](value, device, folder)))


def exponent(points: list[Point], of: str, column: str) -> float | None:
    """Power of the upper half of a curve: 1 grows as its cause does, 2 is quadratic; None of less than two points."""
    upper = [(float(str(point[of])), float(str(point[column]))) for point in points][len(points) // 2 - 1 :]
    if len(points) < 2 or min(min(pair) for pair in upper) <= 0:
        return None
    x, y = np.log(np.array(upper)).T
    return float(np.polyfit(x, y, 1)[0])


def growth(tables: dict[str, list[Point]]) -> list[Point]:
    """Exponents of time and memory of each series."""
    return [
        {
            "series": series,
            "values": f"{points[0][of]:,} to {points[-1][of]:,}",
            "time grows with power": exponent(points, of, TIME.get(series, "step ms")),
            "memory grows with power": exponent(points, of, MEMORY.get(series, "MiB")),
        }
        for series, points in tables.items()
        if series in VALUES and points
        for of in [next(iter(points[0]))]
    ]


def draw(tables: dict[str, list[Point]], path: Path = PICTURE) -> None:
    """Plot time and memory of each series of more than two points, both axes logarithmic."""
    shown = [series for series in VALUES if len(tables.get(series, [])) > 2]
    columns = min(3, len(shown))
    figure = Figure((3.3 * columns, 2.7 * -(-len(shown) // columns)), layout="constrained")
    grid = figure.subplots(-(-len(shown) // columns), columns, squeeze=False)
    for axes in grid.flat[len(shown) :]:
        axes.set_axis_off()
    for axes, series in zip(grid.flat[: len(shown)], shown, strict=True):
        points = tables[series]
        of = next(iter(points[0]))
        beside = axes.twinx()
        for side, column, style in (
            (axes, TIME.get(series, "step ms"), "o-C0"),
            (beside, MEMORY.get(series, "MiB"), "s--C1"),
        ):
            power = exponent(points, of, column)
            label = f"{column}, power {power:.2f}" if power is not None else column
            side.loglog([point[of] for point in points], [point[column] for point in points], style, label=label)
            side.tick_params("y", which="both", colors=style[-2:], labelsize=7)
        axes.set_xticks([point[of] for point in points], [f"{point[of]:,}" for point in points], fontsize=7)
        axes.set_xticks([], minor=True)
        handles = [line for side in (axes, beside) for line in side.get_lines()]
        axes.legend(handles=handles, fontsize=7)
        axes.set_title(series if series == of else f"{series}: {of}", fontsize=9)
        axes.grid(alpha=0.3)
    for axes in grid.flat[len(shown) :]:
        axes.remove()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)


def slope(points: list[Point], column: str) -> float:
    """Growth of a column at the end of a curve, for each of what it grows with."""
    of = next(iter(points[0]))
    (x0, y0), (x1, y1) = [(0.0, 0.0), *((float(str(row[of])), float(str(row[column]))) for row in points)][-2:]
    return (y1 - y0) / (x1 - x0)


def measured(tables: dict[str, list[Point]]) -> Measured:
    """What the prediction takes from the series."""
    draws, rows = tables["draws"], tables["rows"]
    return Measured(
        draw_seconds=slope(draws, "step ms") / 1000,
        row_seconds=slope(rows, "set up s"),
        row_bytes_peak=slope(rows, "set up MiB") * 2**20,
        row_bytes_kept=slope(rows, "kept MiB") * 2**20,
    )


def predictions(tables: dict[str, list[Point]], machine: Machine) -> dict[str, list[Point]]:
    """Tables of a step and of a run, a column for each plan."""
    known = measured(tables)
    steps: list[Point] = []
    runs: list[Point] = []
    for name, (batch, videos, queue) in PLANS.items():
        parts = per_step(machine, known, batch)
        if not any(row["pairs of a step"] == batch for row in steps):
            steps += [{"pairs of a step": batch, **part} for part in parts]
        for number, row in enumerate(per_run(machine, known, batch, videos, queue)):
            if number == len(runs):
                runs.append({"of the run": row["of the run"]})
            runs[number][name] = row["value"]
        print(f"{name}: the longest part of a step is {first_bottleneck(parts)}")
    return {"prediction of a step": steps, "prediction of a run": runs}


def main() -> None:
    """Measure, plot, predict."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("series", nargs="*", choices=[*VALUES, []], metavar="SERIES", help=", ".join(VALUES))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--most_rows", type=int, default=1_000_000, help="10,000,000 take ten minutes to write")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    name = "scaling" if options.device == "cpu" else "scaling_cuda"
    kept = RESULTS / f"{name}.json"
    tables = json.loads(kept.read_text(encoding="utf-8"))["tables"] if kept.exists() else {}
    for series in options.series or VALUES:
        values = [value for value in VALUES[series] if series != "rows" or value <= options.most_rows]
        tables[series] = []
        for value in values:
            tables[series].append(measure(series, value, options.device))
            print(series, tables[series][-1], flush=True)
    tables = {series: tables[series] for series in VALUES if series in tables}
    tables["growth"] = growth(tables)
    if "draws" in tables and "rows" in tables:
        tables |= predictions(tables, Machine())
    if options.device == "cpu":
        draw(tables)
    path = record(name, tables, seed=0)
    if options.series:
        noted = json.loads(path.read_text(encoding="utf-8"))
        noted["note"] = f"this run measured {', '.join(options.series)}, earlier ones the rest"
        path.write_text(json.dumps(noted, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
