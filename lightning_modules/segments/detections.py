"""Actions in videos, as annotated and as detected: one row each."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_modules.segments.nms import nms
from lightning_modules.views.rows import Rows


@dataclass(frozen=True)
class Actions(Rows):
    """N actions.

    Attributes:
        video: int64 (N,), row of the video in its dataset.
        window: int64 (N,), first frame of the window that was looked at; 0 where a video was looked at as a whole.
        label: int64 (N,), class from 0.
        segment: float32 (N, 2), start and end in frames of the video, end exclusive.
    """

    video: Tensor
    window: Tensor
    label: Tensor
    segment: Tensor


@dataclass(frozen=True)
class Detections(Actions):
    """N detected actions.

    Attributes:
        score: float32 (N,), the higher the surer.
    """

    score: Tensor


def merge_windows(detections: Detections, threshold: float) -> Detections:
    """Detections of whole videos from those of their windows: suppress within each class of each video.

    Args:
        detections: of all windows.
        threshold: an overlap above it suppresses.

    Returns:
        Those that are kept, by video and falling score; ``window`` is 0.
    """
    group = detections.video * (detections.label.max() + 1 if len(detections) else 1) + detections.label
    kept = detections[nms(detections.segment, detections.score, threshold, group)]
    kept = kept[kept.video.argsort(stable=True)]
    return Detections(kept.video, torch.zeros_like(kept.window), kept.label, kept.segment, kept.score)
