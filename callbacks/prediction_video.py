"""A video with what a method says of it written below each frame."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from callbacks.detection_timeline import class_colour
from callbacks.skeleton_drawing import BONES, COLOURS, HEAD, LEFT, project
from lightning_modules.prediction import Prediction

SIDE = 360  # pixels of the shorter side of a frame
NARROWEST = 400  # pixels that the words below need
LINE = 26  # pixels of a line
NAMES = 0.5  # share of the width that names take
FINER = 2  # skeletons are drawn so many times larger, then reduced
PAPER, INK, FAINT = (250, 250, 250), (30, 30, 30), (222, 222, 222)


def annotate(
    frames: Iterable[np.ndarray],
    fps: float,
    prediction: Prediction,
    class_names: Sequence[str],
    count: int,
    least: float,
) -> Iterator[np.ndarray]:
    """Write below each frame what is recognised or detected at its time, and where in the video it is.

    Args:
        frames: uint8 (H, W, 3) each.
        fps: of them.
        prediction: with scores or detections.
        class_names: of all classes.
        count: lines: the likeliest classes of the whole video, or the surest detections at that time.
        least: detections of lower scores are left out.

    Yields:
        uint8 (H', W', 3), H' and W' even.
    """
    count = count if prediction.found is not None else min(count, len(class_names))
    edges, scores = prediction.over_time() if prediction.scores is not None else (np.zeros(1), np.zeros((0, 0)))
    for number, frame in enumerate(frames):
        time = number / fps
        if prediction.found is not None:
            now = [one for one in prediction.found if one.score >= least and one.start <= time < one.end]
            lines = [(one.label, one.score) for one in now[:count]]
        else:
            part = int(np.clip(np.searchsorted(edges, time, side="right") - 1, 0, len(scores) - 1))
            lines = [(label, float(scores[part, label])) for label in prediction.top(count)]
        yield _below(frame, lines, class_names, count, time / max(prediction.seconds, 1e-6))


def draw_skeletons(skeleton: np.ndarray, height: int = SIDE, width: int = 4 * SIDE // 3) -> Iterator[np.ndarray]:
    """Draw each frame of a sequence as stick figures, all to one scale; see ``skeleton_drawing.draw_strip``.

    Args:
        skeleton: float (3, T, 25, M).
        height: of the pictures, pixels.
        width: likewise.

    Yields:
        uint8 (H, W, 3).
    """
    points = project(skeleton)
    seen = points[np.isfinite(points).all(-1)]
    low, high = (seen.min(0), seen.max(0)) if len(seen) else (np.zeros(2), np.ones(2))
    size = np.array([width, height]) * FINER
    scale = float((0.86 * size / np.maximum(high - low, 1e-6)).min())
    places = (points - (low + high) / 2) * (scale, -scale) + size / 2  # (T, M, V, 2)
    thick = max(round(height * FINER / 80), 2)
    for actors in places:
        picture = Image.new("RGB", (int(size[0]), int(size[1])), PAPER)
        pen = ImageDraw.Draw(picture)
        for number in reversed(range(len(actors))):
            joints = actors[number]
            for is_left, colour in zip((True, False), COLOURS[number % len(COLOURS)], strict=True):
                for joint, parent in BONES:
                    ends = joints[[joint, parent]]
                    if (joint in LEFT) == is_left and np.isfinite(ends).all():
                        pen.line([(float(x), float(y)) for x, y in ends], fill=colour, width=thick, joint="curve")
            x, y = joints[HEAD].tolist()
            if np.isfinite([x, y]).all():
                radius = 1.8 * thick
                pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=COLOURS[number % len(COLOURS)][1])
        yield np.asarray(picture.resize((width, height), Image.Resampling.BOX))


def _below(
    frame: np.ndarray, lines: list[tuple[int, float]], class_names: Sequence[str], count: int, done: float
) -> np.ndarray:
    """A frame with lines of class and score below it, and how much of the video is behind it."""
    height, width = frame.shape[:2]
    across = max(width, NARROWEST)
    across += across % 2
    tall = height + LINE * count + 22
    tall += tall % 2
    picture = Image.new("RGB", (across, tall), PAPER)
    picture.paste(Image.fromarray(frame), ((across - width) // 2, 0))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, height, across, height + 5), fill=FAINT)
    pen.rectangle((0, height, min(max(done, 0.0), 1.0) * across, height + 5), fill=(90, 90, 90))
    begin, end = NAMES * across, across - 58
    for row, (label, score) in enumerate(lines):
        middle = height + 14 + LINE * (row + 0.5)
        red, green, blue = (round(255 * channel) for channel in class_colour(label))
        pen.text((begin - 10, middle), _fitting(class_names[label], begin - 18), INK, _font(), anchor="rm")
        pen.rectangle((begin, middle - 7, end, middle + 7), fill=FAINT)
        pen.rectangle((begin, middle - 7, begin + min(score, 1.0) * (end - begin), middle + 7), fill=(red, green, blue))
        pen.text((across - 10, middle), f"{100 * score:.0f} %", INK, _font(), anchor="rm")
    return np.asarray(picture)


def _fitting(text: str, width: float) -> str:
    """As much of a text as fits into so many pixels."""
    if _font().getlength(text) <= width:
        return text
    while text and _font().getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"


@cache
def _font() -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), 14)
