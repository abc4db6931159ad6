"""A video in one picture: some of its frames, and below them what a method says of it over time."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from callbacks.detection_timeline import INCHES, LANE, class_colour, draw_bar, lanes
from callbacks.pictures import render
from callbacks.skeleton_drawing import draw_strip
from lightning_modules.prediction import Prediction

LEFT, RIGHT = 1.75, 0.6  # inches beside the timeline: names of the classes, scores
STRIP = 1.15  # inches, height of the frames
ROW = 0.27  # inches, height of a class
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
        count: classes to show, the likeliest first.
        least: detections of lower scores are left out.

    Returns:
        uint8 (H, W, 3).
    """
    shown = None
    if prediction.found is not None:
        shown = [one for one in prediction.found if one.score >= least]
        segments = np.array([(one.start, one.end) for one in shown]).reshape(-1, 2)
        places = lanes(segments)
        rows, row, left = max(places.max(initial=-1) + 1, 1), LANE, 0.5
    else:
        places = np.zeros(0, int)
        rows, row, left = min(count, len(class_names)), ROW, LEFT
    right = RIGHT if prediction.found is None else 0.2
    across = INCHES
    width = left + across + right
    height = 0.34 + STRIP + 0.08 + rows * row + 0.42
    figure = Figure(figsize=(width, height), dpi=130)
    top = height - 0.34

    def axes(bottom: float, tall: float) -> Axes:
        return figure.add_axes((left / width, bottom / height, across / width, tall / height))

    figure.text(left / width, (top + 0.1) / height, textwrap.shorten(title, 90, placeholder="…"), weight="bold")
    _draw_strip(axes(top - STRIP, STRIP), strip)
    timeline = axes(top - STRIP - 0.08 - rows * row, rows * row)
    timeline.set(xlim=(0, max(prediction.seconds, 1e-3)), ylim=(rows, 0))
    if shown is None:
        _draw_scores(timeline, prediction, class_names, rows)
    else:
        for one, lane in zip(shown, places.tolist(), strict=True):
            draw_bar(timeline, [one.start, one.end], lane, one.label, class_names[one.label], one.score, True)
        if not shown:
            timeline.text(0.5, 0.5, "nothing is detected", ha="center", va="center", transform=timeline.transAxes)
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
    """A row for each of the likeliest classes: the darker, the likelier at that time; at the right the whole video's."""
    assert prediction.whole is not None
    edges, scores = prediction.over_time()
    for place, label in enumerate(prediction.top(rows)):
        colour = class_colour(label)
        shades = LinearSegmentedColormap.from_list("score", [(0.955, 0.955, 0.955), colour])
        box = np.array([place + 0.08, place + 0.92])
        axis.pcolormesh(edges, box, scores[None, :, label], cmap=shades, vmin=0, vmax=1, rasterized=True)
        probability = float(prediction.whole[label])
        axis.annotate(
            textwrap.shorten(class_names[label], 26, placeholder="…"),
            (0, place + 0.5),
            (-6, 0),
            ("axes fraction", "data"),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=9,
            weight="bold" if place == 0 else "normal",
        )
        axis.annotate(
            f"{100 * probability:.0f} %",
            (1, place + 0.5),
            (6, 0),
            ("axes fraction", "data"),
            textcoords="offset points",
            ha="left",
            va="center",
            fontsize=9,
            weight="bold" if place == 0 else "normal",
        )
    axis.set_yticks([])
