"""What a method says of one video: over all of it and over time."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np


class Found(NamedTuple):
    """A detected action.

    Attributes:
        label: class from 0.
        score: in 0..1.
        start: seconds.
        end: seconds.
    """

    label: int
    score: float
    start: float
    end: float


@dataclass(frozen=True)
class Prediction:
    """Of K clips of a video.

    Attributes:
        seconds: length of the video.
        times: float64 (K, 2), seconds at which each clip starts and ends; clips may overlap.
        features: float32 (K, D).
        whole: float32 (C,), probabilities of the classes of the whole video; None where the method has no classes, or
            detects actions.
        scores: float32 (K, C), those of each clip.
        found: detected actions, the surest first; None where the method detects none.
    """

    seconds: float
    times: np.ndarray
    features: np.ndarray
    whole: np.ndarray | None = None
    scores: np.ndarray | None = None
    found: list[Found] | None = field(default=None)

    def top(self, count: int) -> list[int]:
        """The likeliest classes of the whole video, from the likeliest; none where there are no classes."""
        return [] if self.whole is None else np.argsort(-self.whole, kind="stable")[:count].tolist()

    def over_time(self) -> tuple[np.ndarray, np.ndarray]:
        """Scores of parts that do not overlap: each has the mean of the clips over it.

        Returns:
            float64 (P + 1,), the seconds that the parts start with, and the end; float32 (P, C).
        """
        assert self.scores is not None
        edges = np.unique(self.times)
        middles = (edges[:-1] + edges[1:]) / 2
        over = (self.times[:, 0, None] <= middles) & (middles < self.times[:, 1, None])  # (K, P)
        share = over / np.maximum(over.sum(0), 1)
        return edges, np.asarray(share.T.astype(np.float32) @ self.scores)
