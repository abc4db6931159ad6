"""``lightning analyse motion_appearance``: where appearance tells the class, and where motion does (table 5.6)."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from callbacks.pictures import render
from configs.analysis.files import plain, write_both
from configs.analysis.runs import Mode, Runs
from configs.severe_benchmark.figures import TITLES
from configs.severe_benchmark.settings import family
from configs.severe_benchmark.tables import Cell, Column, own_cell, read_published

MODES = {"linear": "Linear classification", "finetune": "Fine-tuning", "neighbours": "Nearest neighbours"}


class Row(NamedTuple):
    """Accuracies under certain weights.

    Attributes:
        name: of the weights.
        published: whether they are those of the thesis.
        cells: top-1 in percent, by mode and setting.
    """

    name: str
    published: bool
    cells: dict[tuple[str, str], Cell]


def analyse(runs: Runs, settings: list[str], modes: list[Mode], out: Path) -> str:
    """Train and test on both settings, and write ``motion_appearance.png`` and ``.csv``.

    A network that sees motion is weak under a linear classifier where appearance tells the class (UCF101), strong where
    motion does (Gym-99), and learns appearance when it is fine-tuned (5.4.2).

    Args:
        runs: under which weights, and how.
        settings: name of the one where appearance tells the class, and of the one where motion does.
        modes: see ``Runs.accuracies``, a panel each.
        out: folder.

    Returns:
        What was written.

    Raises:
        ConfigError: an argument is wrong.
        ValueError: data are missing, or a run failed.
        OSError: a file cannot be written.
    """
    cells: dict[str, dict[tuple[str, str], Cell]] = {name: {} for name in runs.names}
    column = Column("any/any/top1", "")
    for mode in modes:
        for name, values in runs.accuracies(settings, mode, []).items():
            cells[name] |= {
                (mode, setting): own_cell(column, one) for setting, one in zip(settings, values, strict=True)
            }
    rows = [*_published(settings, modes), *(Row(name, False, own) for name, own in cells.items())]
    _print(rows, settings, modes)
    numbers = (
        (row.name, "table 5.6" if row.published else "", mode, setting, cell.mean, cell.deviation, cell.runs or "")
        for row in rows
        for (mode, setting), cell in row.cells.items()
    )
    header = ("weights", "published", "mode", "setting", "top1_percent", "deviation", "runs")
    # Accuracies on the embedded data are not to be seen beside those on the real ones.
    drawn = [row for row in rows if not (runs.embedded and row.published)]
    return write_both(out, "motion_appearance", draw(drawn, settings, modes), header, numbers)


def draw(rows: list[Row], settings: list[str], modes: list[Mode]) -> np.ndarray:
    """Draw bars for each setting, a panel for each mode; published ones are hatched.

    Returns:
        uint8 (H, W, 3).
    """
    figure = Figure(
        figsize=(0.8 + (0.7 + 0.35 * len(rows)) * len(settings) * len(modes), 2.9), dpi=200, layout="constrained"
    )
    width = 0.8 / len(rows)
    names = [title(setting, place) for place, setting in enumerate(settings)]
    for axis, mode in zip(figure.subplots(1, len(modes), squeeze=False, sharey=True)[0], modes, strict=True):
        plain(axis)
        axis.grid(visible=False, axis="x")
        for number, row in enumerate(rows):
            places = np.arange(len(settings)) + (number - (len(rows) - 1) / 2) * width
            cells = [row.cells[mode, setting] for setting in settings]
            label = f"{row.name} (published)" if row.published else row.name
            spread = [cell.deviation for cell in cells if cell.deviation is not None]
            axis.bar(
                places, [cell.mean for cell in cells], 0.92 * width, color=f"C{number % 10}",
                alpha=0.45 if row.published else 1.0, hatch="////" if row.published else None, edgecolor="white",
                linewidth=0, yerr=spread or None, error_kw={"elinewidth": 0.8, "capsize": 2}, label=label,
            )  # fmt: skip
            for place, cell in zip(places, cells, strict=True):
                text = f"{cell.mean:.1f}"
                axis.annotate(
                    text, (place, cell.mean + (cell.deviation or 0.0)), (0, 2), textcoords="offset points",
                    ha="center", fontsize=6,
                )  # fmt: skip
        axis.set_xticks(range(len(settings)), names, fontsize=7)
        axis.tick_params(axis="x", length=0)
        axis.set_title(MODES[mode], fontsize=9)
        axis.margins(y=0.12)
    figure.axes[0].set_ylabel("top-1 in %", fontsize=8)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    columns = min(len(rows), 2 if len(modes) == 1 else 4)
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=7)
    return render(figure)


def title(setting: str, place: int) -> str:
    """Name of a setting, and what tells its classes."""
    return f"{TITLES.get(setting, setting)}\n({('appearance', 'motion')[place]})"


def _published(settings: list[str], modes: list[Mode]) -> list[Row]:
    rows = []
    for row in read_published("table_5_6"):
        cells: dict[tuple[str, str], Cell] = {
            (mode, setting): row.cells[key]
            for mode in modes
            for setting in settings
            if mode != "neighbours" and (key := f"{family(mode, embedded=False)}/{setting}/top1") in row.cells
        }
        if len(cells) == len(modes) * len(settings):
            rows.append(Row(row.name, True, cells))
    return rows


def _print(rows: list[Row], settings: list[str], modes: list[Mode]) -> None:
    table = Table(title="appearance against motion, top-1 in %")
    table.add_column("weights")
    for mode in modes:
        for setting in settings:
            table.add_column(f"{setting}, {mode}", justify="right")
    for row in rows:
        cells = [row.cells[mode, setting] for mode in modes for setting in settings]
        shown = [
            f"{cell.mean:.1f}" + (f" ± {cell.deviation:.1f}" if cell.deviation is not None else "") for cell in cells
        ]
        table.add_row(f"{row.name} (published)" if row.published else row.name, *shown)
    Console().print(table)
