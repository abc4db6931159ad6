"""The nearest videos of a folder to one: an index that is made once, and a contact sheet of what is found."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console

from callbacks.retrieval_sheet import NEUTRAL, QUERY, Panel, draw_results
from configs.prediction.folder import Input, broken_reason, find_inputs
from configs.prediction.predictors import Predictor
from datamodules.prepare_ntu import progress_bar
from lightning_modules.feature_index import Entry, FeatureIndex

INDEX = "index"
FRAMES = 4  # of a video on the sheet


class Hit(NamedTuple):
    """A video that was found.

    Attributes:
        name: below the folder.
        path: of it.
        similarity: cosine, -1..1.
    """

    name: str
    path: Path
    similarity: float


def build_index(predictor: Predictor, folder: Path, out: Path, clips: int) -> tuple[FeatureIndex, list[str]]:
    """Make the index of a folder in ``OUT/index``, or bring it up to date; only what is new or changed is looked at.

    Args:
        predictor: gives features.
        folder: of the videos.
        out: folder of the index.
        clips: evenly spaced ones whose mean feature stands for a video.

    Returns:
        The index, and ``path: reason`` of each file that cannot be read.

    Raises:
        ValueError: there are no videos.
        OSError: the index cannot be written.
    """
    inputs = {one.name: one for one in find_inputs(folder, predictor, out)}
    checkpoint = predictor.checkpoint.path
    made_by: dict[str, object] = {
        "checkpoint": [str(checkpoint.resolve()), *Input("", checkpoint).state],
        "folder": str(folder.resolve()),
        "clips": clips,
    }
    index = FeatureIndex(out / INDEX, made_by)
    broken: list[str] = []
    wanted = []
    for one in inputs.values():
        try:
            wanted.append(Entry(one.name, one.state))
        except OSError as error:  # a link that leads nowhere
            broken.append(broken_reason(one, error))
    fresh = index.keep(wanted)
    console = Console(stderr=True)
    with progress_bar(console.is_terminal) as bar:
        task = bar.add_task("index", total=len(wanted), completed=len(index))
        for entry in fresh:
            bar.update(task, description=entry.name[-40:], refresh=True)
            one = inputs[entry.name]
            try:
                index.add(entry, predictor.feature(one.path, clips))
            except (ValueError, FileNotFoundError) as error:
                broken.append(broken_reason(one, error))
            bar.update(task, advance=1, refresh=True)
    return index, broken


def search(predictor: Predictor, index: FeatureIndex, folder: Path, query: Path, k: int, clips: int) -> list[Hit]:
    """The nearest videos to one, from the nearest; itself is left out where it lies in the folder.

    Raises:
        ValueError: the query cannot be read; the message starts with its path.
    """
    itself = query.resolve()
    found = index.search(predictor.feature(query, clips), k + 1)
    hits = [Hit(entry.name, folder / entry.name, similarity) for entry, similarity in found]
    return [hit for hit in hits if hit.path.resolve() != itself][:k]


def draw(predictor: Predictor, query: Path, hits: Sequence[Hit]) -> np.ndarray:
    """The query, and what was found: uint8 (H, W, 3)."""
    panels = [Panel(predictor.strip(query, FRAMES), f"query: {query.name}", QUERY)]
    for rank, hit in enumerate(hits, 1):
        title = f"{rank}. {hit.name}  ({hit.similarity:.3f})"
        panels.append(Panel(predictor.strip(hit.path, FRAMES), title, NEUTRAL))
    return draw_results(panels, max_frames=6)
