"""A video in one picture: some of its frames, and below them what a method says of it over time."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from callbacks.detection_timeline import INCHES, class_colour, draw_bar
from callbacks.pictures import render
from callbacks.skeleton_drawing import draw_strip
from lightning_modules.prediction import Found, Prediction

LEFT, RIGHT = 1.75, 0.6  # inches beside the timeline: names of the classes, scores
STRIP = 1.15  # inches, height of the frames
ROW = 0.27  # inches, height of a class
MOST_FOUND = 15  # classes with detections
FIGURES = 10  # of a skeleton, at most


def draw_prediction(
    title: str, strip: np.ndarray, prediction: Prediction, class_names: Sequence[str], count: int, least: float
) -> np.ndarray:
    """Draw a video and what was recognised or detected in it.

    Args:
        title: the video's name.
        strip: frames at the middles of equal parts of the video, uint8 (F, H, W, 3); or skeletons, float (3, T, 25, 2).
        prediction: of it, with scores or detections.
        class_names: of all classes.
        count: recognised classes to show, the likeliest first; of those that are detected up to 15, the surest first.
        least: detections of lower scores are left out.

    Returns:
        uint8 (H, W, 3).
    """
    shown = [one for one in prediction.found or () if one.score >= least]
    classes = list(dict.fromkeys(one.label for one in shown))[:MOST_FOUND]
    rows = max(len(classes), 1) if prediction.found is not None else min(count, len(class_names))
    across = INCHES
    width = LEFT + across + RIGHT
    height = 0.34 + STRIP + 0.08 + rows * ROW + 0.42
    figure = Figure(figsize=(width, height), dpi=130)
    top = height - 0.34

    def axes(bottom: float, tall: float) -> Axes:
        return figure.add_axes((LEFT / width, bottom / height, across / width, tall / height))

    figure.text(LEFT / width, (top + 0.1) / height, textwrap.shorten(title, 90, placeholder="…"), weight="bold")
    _draw_strip(axes(top - STRIP, STRIP), strip)
    timeline = axes(top - STRIP - 0.08 - rows * ROW, rows * ROW)
    timeline.set(xlim=(0, max(prediction.seconds, 1e-3)), ylim=(rows, 0))
    if prediction.found is None:
        _draw_scores(timeline, prediction, class_names, rows)
    else:
        _draw_found(timeline, [one for one in shown if one.label in classes], classes, class_names)
    timeline.set_yticks([])
    timeline.tick_params(axis="x", labelsize=8, pad=2)
    timeline.set_xlabel("seconds", fontsize=8, labelpad=1)
    for side in ("top", "right", "left"):
        timeline.spines[side].set_visible(False)
    return render(figure)


def _draw_strip(axis: Axes, strip: np.ndarray) -> None:
    """Frames side by side along the time axis, each in the middle of its part; or stick figures."""
    if strip.dtype != np.uint8:
        draw_strip(axis, strip, FIGURES, fewest=min(FIGURES, 6), line_width=1.6)
        axis.spines[:].set_color("0.85")
        return
    count, height, width, _ = strip.shape
    cell = INCHES / count
    scale = min(STRIP / height, (cell - 0.05) / width)
    axis.set(xlim=(0, INCHES), ylim=(0, STRIP))
    for number, frame in enumerate(strip):
        middle = (number + 0.5) * cell
        half, tall = width * scale / 2, height * scale
        axis.imshow(frame, extent=(middle - half, middle + half, 0, tall), aspect="auto", interpolation="antialiased")
    axis.set(xlim=(0, INCHES), ylim=(0, STRIP))
    axis.set_axis_off()


def _draw_scores(axis: Axes, prediction: Prediction, class_names: Sequence[str], rows: int) -> None:
    """A row for each of the likeliest classes, the darker the likelier at that time, and what the whole video has."""
    assert prediction.whole is not None
    edges, scores = prediction.over_time()
    for place, label in enumerate(prediction.top(rows)):
        shades = LinearSegmentedColormap.from_list("score", [(0.955, 0.955, 0.955), class_colour(label)])
        box = np.array([place + 0.08, place + 0.92])
        axis.pcolormesh(edges, box, scores[None, :, label], cmap=shades, vmin=0, vmax=1, rasterized=True)
        _label(axis, place, class_names[label], f"{100 * float(prediction.whole[label]):.0f} %", place == 0)


def _draw_found(axis: Axes, shown: list[Found], classes: list[int], class_names: Sequence[str]) -> None:
    """A row for each class that is detected, with its segments; at the right how many."""
    for place, label in enumerate(classes):
        axis.axhspan(place + 0.08, place + 0.92, color="0.955", linewidth=0)
        own = [one for one in shown if one.label == label]
        for one in own:
            draw_bar(axis, [one.start, one.end], place, label, f"{one.score:.2f}", one.score, True, False)
        _label(axis, place, class_names[label], f"{len(own)} x", False)
    if not classes:
        axis.text(0.5, 0.5, "nothing is detected", ha="center", va="center", transform=axis.transAxes)


def _label(axis: Axes, place: int, name: str, value: str, bold: bool) -> None:
    """What a row is, at its left, and its value, at its right."""
    words = ((0, -6, "right", textwrap.shorten(name, 23, placeholder="…")), (1, 6, "left", value))
    for side, gap, align, text in words:
        axis.annotate(
            text,
            (side, place + 0.5),
            (gap, 0),
            axis.get_yaxis_transform(),
            textcoords="offset points",
            ha=align,
            va="center",
            fontsize=9,
            weight="bold" if bold else "normal",
        )
