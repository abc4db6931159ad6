"""What of an element of embedded Gym99 a network gets right: its event, its kind of motion, its turns."""

from pathlib import Path

import numpy as np

from datamodules.synthetic_fine_gym import ELEMENTS
from lightning_modules.metrics.late_fusion import read_predictions

FINE_GYM_LEVELS = ("class", "event", "kind", "turns")
"""The class, and the three of ``Element`` that tell it, each finer than the one before."""


def share_right(predictions: Path, level: str) -> float | None:
    """Share of the videos whose predicted class has the level right, of those that have the level above it right.

    Args:
        predictions: what ``lightning predict`` wrote of Gym99.
        level: one of ``FINE_GYM_LEVELS``; ``class`` is of all videos.

    Returns:
        0 to 1; None where no video has the level above right.

    Raises:
        ValueError: the file is missing or damaged, or holds no scores.
    """
    levels = {element.gym99: (element.event, element.kind, element.turns) for element in ELEMENTS}
    depth = len(FINE_GYM_LEVELS) - 1 if level == "class" else FINE_GYM_LEVELS.index(level)
    above = 0 if level == "class" else depth - 1
    found = read_predictions(predictions)
    said = [levels.get(label, ()) for label in found.score.argmax(1).tolist()]  # most classes have no video
    right = [levels[label] for label in found.label.tolist()]
    counted = [
        one[:depth] == other[:depth] for one, other in zip(said, right, strict=True) if one[:above] == other[:above]
    ]
    return float(np.mean(counted)) if counted else None
