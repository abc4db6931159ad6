"""Boxes in frames of videos, as detected and as annotated, and tubes of them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_modules.views.rows import Rows


@dataclass(frozen=True)
class FrameBoxes(Rows):
    """N boxes in frames.

    Attributes:
        video: int64 (N,), row of the video in its list.
        frame: int64 (N,), from 0.
        label: int64 (N,), class from 0.
        box: float32 (N, 4), left, top, right and bottom as shares of the picture.
    """

    video: Tensor
    frame: Tensor
    label: Tensor
    box: Tensor


@dataclass(frozen=True)
class FrameDetections(FrameBoxes):
    """N detected boxes.

    Attributes:
        score: float32 (N,), 0..1.
    """

    score: Tensor


@dataclass(frozen=True)
class AnnotatedBoxes(FrameBoxes):
    """N annotated boxes.

    Attributes:
        tube: int64 (N,), the same number for those of one actor, another for another, in all videos.
    """

    tube: Tensor


@dataclass(frozen=True)
class Tubes:
    """N tubes, made of M boxes.

    Attributes:
        video: int64 (N,), row of the video in its list.
        label: int64 (N,), class from 0.
        score: float32 (N,); 1 of annotated tubes.
        tube: int64 (M,), tube of each box, 0 .. N - 1.
        frame: int64 (M,), frame of each box from 0; a tube has at most one in a frame.
        box: float32 (M, 4), left, top, right and bottom as shares of the picture.
    """

    video: Tensor
    label: Tensor
    score: Tensor
    tube: Tensor
    frame: Tensor
    box: Tensor

    def __len__(self) -> int:
        """Return the number of tubes."""
        return len(self.video)

    def select(self, keep: Tensor) -> "Tubes":
        """Return the marked tubes, in order.

        Args:
            keep: bool (N,).
        """
        number = keep.cumsum(0) - 1
        rows = keep[self.tube]
        parts = self.video[keep], self.label[keep], self.score[keep]
        return Tubes(*parts, number[self.tube[rows]], self.frame[rows], self.box[rows])


def annotated_tubes(boxes: AnnotatedBoxes) -> Tubes:
    """Tubes of annotated boxes, by their numbers."""
    numbers, tube = torch.unique(boxes.tube, return_inverse=True)
    video, label = (torch.empty_like(numbers).scatter_(0, tube, column) for column in (boxes.video, boxes.label))
    return Tubes(video, label, torch.ones_like(video, dtype=torch.float32), tube, boxes.frame, boxes.box)
