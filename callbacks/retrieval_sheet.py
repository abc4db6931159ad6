"""Look at what is retrieved: figure A.2, with skeletons in place of videos."""

import random
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from pytorch_lightning import Callback, LightningModule, Trainer

from callbacks.pictures import keep_picture, render
from callbacks.skeleton_drawing import draw_strip
from callbacks.skeleton_pictures import class_name
from datamodules.sampling.resumable_sampler import Draw
from lightning_modules.retrieval import Neighbours, Retrieval

COLUMNS = 5  # the query and its four nearest
QUERY, RIGHT, WRONG = "0.25", "#2e9e4f", "#d62f2f"
NEUTRAL = "0.65"  # frame of a neighbour whose class nobody knows
ACROSS = 3  # neighbours beside each other where there is one query


class Panel(NamedTuple):
    """One sequence or video on the sheet.

    Attributes:
        strip: skeletons, float (3, T, 25, 2), without repetition; or frames, uint8 (F, H, W, 3).
        title: what it is.
        colour: of its frame.
    """

    strip: np.ndarray
    title: str
    colour: str


class RetrievalSheet(Callback):
    """Draw some queries of a test of ``Retrieval``, each with its four nearest neighbours, from the nearest.

    The frame of a neighbour is green where it has the query's class and red where it has another. Writes
    ``pictures/retrieval.png`` in the run folder and an image to TensorBoard.

    Args:
        num_queries: rows; of different classes, as long as there are some.
        max_frames: frames of each sequence; longer ones are thinned evenly, and those of actors far apart to four.
        seed: of the choice of queries.
    """

    def __init__(self, num_queries: int = 8, max_frames: int = 6, seed: int = 0) -> None:
        self.num_queries = num_queries
        self.max_frames = max_frames
        self.seed = seed

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw.

        Raises:
            ValueError: the method retrieves nothing.
        """
        if not isinstance(pl_module, Retrieval):
            raise ValueError(
                f"RetrievalSheet draws a test of Retrieval, not of {type(pl_module).__name__}: leave it out"
            )
        if not trainer.is_global_zero or pl_module.neighbours is None:
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        queries, bank = trainer.test_dataloaders.dataset, data.probe_dataloaders()[0].dataset  # type: ignore[union-attr]
        found = pl_module.neighbours
        rows = [
            panels(found, query, queries, bank, data.class_names)
            for query in choose_queries(found.queries.label.tolist(), self.num_queries, self.seed)
        ]
        keep_picture(trainer, "retrieval", draw_sheet(rows, self.max_frames), "queries and their nearest neighbours")


def choose_queries(labels: list[int], count: int, seed: int) -> list[int]:
    """Draw queries: places in a list of their classes, one of each class before a second of any.

    Args:
        labels: class of each query; those below 0 are passed over.
        count: queries to draw, or all where there are fewer.
        seed: of this choice alone.
    """
    order = [place for place, label in enumerate(labels) if label >= 0]
    random.Random(seed).shuffle(order)
    seen: dict[int, int] = {}
    turns = []
    for place in order:
        turns.append(seen.get(labels[place], 0))
        seen[labels[place]] = turns[-1] + 1
    chosen = [place for _, place in sorted(zip(turns, order, strict=True), key=lambda pair: pair[0])]
    return sorted(chosen[:count], key=lambda place: labels[place])


def panels(found: Neighbours, query: int, queries: Any, bank: Any, names: Sequence[str] | None) -> list[Panel]:  # noqa: ANN401
    """A query and its neighbours.

    Args:
        found: what was retrieved.
        query: its place among the queries.
        queries: dataset of the queries' list.
        bank: dataset of the searched list.
        names: of the classes.
    """
    label = int(found.queries.label[query])
    row = [Panel(_sequence(queries, int(found.queries.row[query])), class_name(label, names), QUERY)]
    for place, similarity in zip(found.nearest[query].tolist(), found.similarity[query].tolist(), strict=True):
        other = int(found.bank.label[place])
        title = f"{class_name(other, names)}  ({similarity:.3f})"
        row.append(Panel(_sequence(bank, int(found.bank.row[place])), title, RIGHT if other == label else WRONG))
    return row[:COLUMNS]


def _sequence(dataset: Any, row: int) -> np.ndarray:  # noqa: ANN401
    sample = dataset[Draw(row, row)]
    return np.asarray(sample["skeleton"][:, : sample["num_frames"]])


def draw_sheet(rows: list[list[Panel]], max_frames: int) -> np.ndarray:
    """Draw queries with their neighbours, one row a query.

    Args:
        rows: the query, then its neighbours, at most four.
        max_frames: shown of each.

    Returns:
        uint8 (H, W, 3).
    """
    figure = Figure(figsize=(COLUMNS * (0.42 * max_frames + 0.15), 1.06 * len(rows) + 0.35), dpi=150)
    grid = figure.subplots(len(rows), COLUMNS, squeeze=False)
    width, height = figure.get_size_inches()
    figure.subplots_adjust(0.06 / width, 0.06 / height, 1 - 0.06 / width, 1 - 0.5 / height, wspace=0.04, hspace=0.28)
    for number, (panels_, axes) in enumerate(zip(rows, grid, strict=True)):
        for axis in axes[len(panels_) :]:
            axis.set_axis_off()
        for column, (panel, axis) in enumerate(zip(panels_, axes, strict=False)):
            draw_strip(axis, panel.strip, max_frames, fewest=min(4, max_frames))
            axis.spines[:].set(color=panel.colour, linewidth=1.8)
            title = textwrap.shorten(panel.title, int(7.6 * max_frames), placeholder="…")
            axis.set_title(title, fontsize=7.5, color=panel.colour, pad=3)
            if number == 0:
                heading = "query" if column == 0 else f"neighbour {column}"
                axis.annotate(
                    heading, (0.5, 1), (0, 15), "axes fraction", "offset points", ha="center", fontsize=9, weight="bold"
                )
    return render(figure)


def draw_results(panels: list[Panel], max_frames: int) -> np.ndarray:
    """Draw one query, and below it what was found, from the nearest.

    Args:
        panels: the query, then its neighbours.
        max_frames: shown of each skeleton; of a video all frames that are given.

    Returns:
        uint8 (H, W, 3).
    """
    found = len(panels) - 1
    down = 1 + -(-found // ACROSS)
    wide, tall, words = 4.1, 0.85, 0.27  # inches
    height, width = down * (tall + words) + 0.1, ACROSS * wide + 0.06
    figure = Figure(figsize=(width, height), dpi=130)
    for number, panel in enumerate(panels):
        row, column = divmod(number - 1 + ACROSS if number else 0, ACROSS)
        x, top = 0.06 + column * wide, height - row * (tall + words) - words
        shape = ((x / width), (top - tall) / height, (wide - 0.06) / width, tall / height)
        axis = figure.add_axes(shape)
        if panel.strip.dtype == np.uint8:
            axis.imshow(np.concatenate(list(panel.strip), 1), aspect="auto", interpolation="antialiased")
            axis.set(xticks=[], yticks=[])
            share = panel.strip.shape[2] * len(panel.strip) / panel.strip.shape[1] * tall / (wide - 0.06)
            if share < 1:  # as tall as the others, and not wider than it is
                axis.set_position((shape[0], shape[1], shape[2] * share, shape[3]))
        else:
            draw_strip(axis, panel.strip, max_frames, fewest=min(4, max_frames))
        axis.spines[:].set(color=panel.colour, linewidth=1.6)
        title = textwrap.shorten(panel.title, 62, placeholder="…")
        weight = "bold" if number == 0 else "normal"
        figure.text(x / width, (top + 0.07) / height, title, fontsize=8.5, weight=weight)
    return render(figure)
