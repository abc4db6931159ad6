"""How an analysis writes what it found: a picture, and the numbers beside it."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from callbacks.pictures import write_picture
from callbacks.run_folder import write_whole


def write_both(
    out: Path, name: str, picture: np.ndarray, header: Sequence[str], rows: Iterable[Sequence[object]]
) -> str:
    """Write ``OUT/NAME.png`` and ``OUT/NAME.csv``; floats get six digits, and those that are no number none.

    Args:
        out: folder, made where it is not there.
        name: of both files.
        picture: uint8 (H, W, 3).
        header: names of the columns.
        rows: of the table.

    Returns:
        What was written, in a line.

    Raises:
        OSError: a file cannot be written.
    """
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(header)
    table.writerows([_cell(value) for value in row] for row in rows)
    write_picture(out / f"{name}.png", picture)
    write_whole(out / f"{name}.csv", text.getvalue().encode())
    return f"wrote {out / name}.png and .csv"


def plain(axis: Axes) -> None:
    """Take away what a plot does not need."""
    axis.grid(color="0.92")
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_axisbelow(True)
    axis.tick_params(labelsize=7)
    axis.xaxis.label.set_fontsize(8)
    axis.yaxis.label.set_fontsize(8)


def _cell(value: object) -> object:
    if not isinstance(value, float):
        return value
    return f"{value:.6g}" if np.isfinite(value) else ""
