"""Mean average precision of temporal detections, the way of ActivityNet and THUMOS."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_modules.metrics.detection_results import DetectionResults
from lightning_modules.metrics.matching import average_precision, match_greedily, overlapping_pairs, ranks
from lightning_modules.segments.detections import Actions, Detections


def temporal_detection_map(
    detections: Detections, actions: Actions, num_classes: int, thresholds: Sequence[float]
) -> dict[str, Tensor]:
    """Mean over classes of the average precision at each threshold.

    Detections of a class are taken over all videos, the surest first; each finds the action of its class in its video
    that it overlaps most and no surer one has found, if they overlap at least as much as the threshold; precision is
    interpolated (the highest at a recall or a higher one). As activitynet/ActivityNet's ``eval_detection.py``: classes
    without an action do not count, nor do detections of them.

    Args:
        detections: of whole videos.
        actions: of whole videos.
        num_classes: labels are 0 .. num_classes - 1.
        thresholds: overlaps, above 0.

    Returns:
        float32 scalars: ``map_0.5`` for each threshold, and ``map``, their mean; 0 where there is no action at all.
    """
    rank = ranks(detections.score)
    detection, action, common = overlapping_pairs(detections, actions, min(thresholds))
    per_class = torch.bincount(actions.label, minlength=num_classes)
    results = {}
    for threshold in thresholds:
        enough = common >= threshold
        right = match_greedily(detection[enough], action[enough], common[enough], rank, len(actions))
        precision = average_precision(detections.label, rank, right, right, per_class, "standard")
        results[f"map_{threshold:g}"] = (precision.sum() / (per_class > 0).sum().clamp(min=1)).float()
    return {"map": torch.stack(list(results.values())).mean(), **results}


class TemporalDetectionMAP(DetectionResults):
    """`temporal_detection_map` as a metric; see `DetectionResults` for what it takes, also on several processes.

    Args:
        num_classes: labels are 0 .. num_classes - 1.
        thresholds: overlaps; (0.5,) is the thesis' (2.5.4), 0.5, 0.55 .. 0.95 ActivityNet's.
        nms_threshold: suppress over each whole video first; ``None``: keep all that are given.

    Raises:
        ValueError: a threshold is not within 0..1, 0 left out, or there is none.
    """

    def __init__(
        self, num_classes: int, thresholds: Sequence[float] = (0.5,), nms_threshold: float | None = None
    ) -> None:
        super().__init__(num_classes, nms_threshold)
        self.thresholds = check_thresholds(thresholds)

    def compute(self) -> dict[str, Tensor]:
        """Float32 scalars ``map`` and ``map_0.5`` for each threshold."""
        return temporal_detection_map(*self.gathered(), self.num_classes, self.thresholds)


def check_thresholds(thresholds: Sequence[float]) -> tuple[float, ...]:
    """Thresholds as a tuple.

    Raises:
        ValueError: one is not within 0..1, 0 left out, or there is none.
    """
    if not thresholds or not all(0 < threshold <= 1 for threshold in thresholds):
        raise ValueError(f"overlap thresholds must lie above 0 and up to 1, are {tuple(thresholds)}")
    return tuple(thresholds)
