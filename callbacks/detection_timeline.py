"""See what a detector finds, beside what is there."""

from pathlib import Path

import matplotlib
import matplotlib.image
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_info

from lightning_modules.rc3d import RC3D
from lightning_modules.segments.detections import Actions, Detections
from lightning_modules.segments.overlap import pairwise_overlap

LANE = 0.26
"""Height of a lane of segments, inches."""

INCHES = 10.9
"""Width of a time line, inches."""

CHARACTER = 0.062
"""Width of a character on a bar, inches."""


class DetectionTimeline(Callback):
    """Draw the annotated and the detected actions of some videos on a time line.

    Writes ``pictures/detections_val.png`` (``_test``) in the run folder after each evaluation, and an image to
    TensorBoard.

    Args:
        num_videos: on the picture, evenly spaced over the split.
        min_score: detections below are not drawn.
    """

    def __init__(self, num_videos: int = 4, min_score: float = 0.2) -> None:
        self.num_videos = num_videos
        self.min_score = min_score

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the validation split."""
        if not trainer.sanity_checking:
            self._draw(trainer, pl_module, "val")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the test split."""
        self._draw(trainer, pl_module, "test")

    def _draw(self, trainer: Trainer, pl_module: LightningModule, split: str) -> None:
        if not trainer.is_global_zero or not isinstance(pl_module, RC3D) or not pl_module.evaluated:
            return
        detections, actions = (rows.to("cpu") for rows in pl_module.evaluated)
        assert isinstance(detections, Detections)
        sure = detections[detections.score >= self.min_score]
        rows = sorted(pl_module.videos)
        if not rows:
            return
        places = np.unique(np.linspace(0, len(rows) - 1, min(self.num_videos, len(rows))).round().astype(int))
        panels = [
            (*pl_module.videos[row], actions[actions.video == row], sure[sure.video == row])
            for row in (rows[place] for place in places)
        ]
        names = getattr(getattr(trainer, "datamodule", None), "class_names", None)
        sheet = draw_timelines(panels, names)
        path = Path(trainer.default_root_dir) / "pictures" / f"detections_{split}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            rank_zero_info(f"detections in {len(panels)} videos: {path}")
        matplotlib.image.imsave(path, sheet)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(f"detections_{split}", sheet, trainer.global_step, dataformats="HWC")


def draw_timelines(
    panels: list[tuple[str, int, Actions, Detections]], class_names: list[str] | None = None
) -> np.ndarray:
    """Draw a panel for each video: annotated actions above, detected ones below, each class in its colour.

    Bars that overlap in time are put below each other. A detection that overlaps no action of its class by half is
    hatched; the fainter it is, the lower its score, which stands behind its class where there is room.

    Args:
        panels: name, number of frames, actions and detections of each video; at least one.
        class_names: what to write on the bars; ``None``: the classes' numbers.

    Returns:
        uint8 (H, W, 3).
    """

    def words(label: int) -> str:
        return str(label) if class_names is None else class_names[label]

    layouts = [(lanes(actions.segment.numpy()), lanes(found.segment.numpy())) for _, _, actions, found in panels]
    heights = [1 + max(1, top.max(initial=-1) + 1) + max(1, low.max(initial=-1) + 1) for top, low in layouts]
    gap = 0.45  # inches between panels, and at the edges
    figure = Figure(figsize=(12, LANE * sum(heights) + gap * (len(panels) + 1)), dpi=100)
    canvas = FigureCanvasAgg(figure)
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)
    edge = gap / figure.get_figheight()
    figure.subplots_adjust(
        left=0.08, right=0.99, top=1 - 0.8 * edge, bottom=edge, hspace=gap / (LANE * sum(heights) / len(panels))
    )
    for (axis,), (name, num_frames, actions, found), (top, low) in zip(grid, panels, layouts, strict=True):
        above = max(1, top.max(initial=-1) + 1)
        below = max(1, low.max(initial=-1) + 1)
        axis.set(xlim=(0, max(num_frames, 1)), ylim=(above + below + 0.6, 0))
        right = _right(found, actions)
        for index in range(len(actions)):
            label = int(actions.label[index])
            draw_bar(axis, actions.segment[index].tolist(), int(top[index]), label, words(label), 1.0, True)
        for index in range(len(found)):
            label, score = int(found.label[index]), float(found.score[index])
            place = above + 0.6 + int(low[index])
            draw_bar(axis, found.segment[index].tolist(), place, label, words(label), score, bool(right[index]))
        axis.axhline(above + 0.3, color="0.6", linewidth=0.8)
        axis.set_yticks([above / 2, above + 0.6 + below / 2], ["annotated", "detected"], fontsize=8)
        axis.tick_params(axis="y", length=0)
        axis.tick_params(axis="x", labelsize=7, pad=1)
        title = f"{name}: {len(actions)} actions, {len(found)} detections, {right.sum()} of them right"
        axis.set_title(title, fontsize=8, loc="left", pad=3)
        for side in ("top", "right", "left"):
            axis.spines[side].set_visible(False)
    grid[-1, 0].set_xlabel("frame; hatched: overlaps no action of its class by half", fontsize=7, labelpad=1)
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]


def lanes(segment: np.ndarray) -> np.ndarray:
    """Lane of each segment so that those in one lane do not overlap: the first that is free, from the left.

    Args:
        segment: float (N, 2).

    Returns:
        int (N,), from 0.
    """
    lane = np.zeros(len(segment), int)
    ends: list[float] = []
    for index in np.argsort(segment[:, 0], kind="stable"):
        start, end = segment[index]
        free = next((number for number, last in enumerate(ends) if last <= start), len(ends))
        ends[free : free + 1] = [end]
        lane[index] = free
    return lane


def class_colour(label: int) -> tuple[float, float, float]:
    """Colour of a class, red, green and blue in 0..1; the same for every 20th."""
    # tab20 holds pairs of alike colours: take the dark ones first.
    index = label % 20
    red, green, blue, _ = matplotlib.colormaps["tab20"](2 * (index % 10) + index // 10)
    return red, green, blue


def _right(found: Detections, actions: Actions) -> np.ndarray:
    """Which detections overlap an action of their class by half."""
    if not len(actions):
        return np.zeros(len(found), bool)
    same = found.label[:, None] == actions.label[None]
    common = pairwise_overlap(found.segment, actions.segment) * same
    return (common.amax(1) >= 0.5).numpy()


def draw_bar(
    axis: Axes,
    segment: list[float],
    lane: float,
    label: int,
    word: str,
    score: float,
    right: bool,
    add_score: bool = True,
) -> None:
    """Draw a segment, and on it as much as fits of a word, its class by default, and its score.

    Args:
        axis: a time line.
        segment: start and end.
        lane: from 0, downwards.
        label: class, which has a colour.
        word: to write on it.
        score: the lower, the paler.
        right: whether it is right; hatched otherwise.
        add_score: write the score behind the word, or only the class' number where there is no room.
    """
    start, end = segment
    colour = class_colour(label)
    face = tuple(1 - (0.2 + 0.8 * score) * (1 - channel) for channel in colour)
    axis.barh(
        lane + 0.5,
        end - start,
        left=start,
        height=0.84,
        color=face,
        edgecolor="black" if right else "0.55",
        linewidth=0.8 if right else 0.4,
        hatch=None if right else "////",
    )
    room = (end - start) / (axis.get_xlim()[1] / INCHES) / CHARACTER
    texts = [word]
    if add_score:
        texts = [word, str(label)] if score == 1 else [f"{word} {score:.2f}", word, str(label)]
    text = next((text for text in texts if len(text) <= room), "")
    axis.text(
        (start + end) / 2,
        lane + 0.5,
        text,
        ha="center",
        va="center",
        fontsize=6.5,
        color="white" if right and sum(face) < 1.6 else "black",
        clip_on=True,
        bbox=None if right or not text else {"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.6},
    )
