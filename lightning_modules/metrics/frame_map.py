"""Mean average precision of boxes in frames, the way of Pascal VOC, ActivityNet's AVA evaluation and UCF101-24."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics import Metric

from lightning_modules.losses.gather import all_gather, world
from lightning_modules.metrics.detection_results import first_seen
from lightning_modules.metrics.matching import average_precision, match_best, pairs_in_groups, ranks
from lightning_modules.views.rows import Rows

# Most keyframes of one update.
_PLACES = 2**20


@dataclass(frozen=True)
class Boxes(Rows):
    """N boxes, each of one class.

    Attributes:
        frame: int64 (N,), number of the frame that a box is in; the same number, the same frame of the same video.
        label: int64 (N,), class from 0.
        box: float (N, 4), x1, y1, x2, y2 in any unit.
    """

    frame: Tensor
    label: Tensor
    box: Tensor


@dataclass(frozen=True)
class DetectedBoxes(Boxes):
    """N detected boxes.

    Attributes:
        score: float (N,), the higher the surer.
    """

    score: Tensor


def box_overlap(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of pairs of boxes; 0 where both are empty.

    Args:
        first: float (..., 4), x1, y1, x2, y2.
        second: float (..., 4), broadcast against ``first``.

    Returns:
        float (...), 0..1.
    """
    corner = torch.maximum(first[..., :2], second[..., :2])
    size = (torch.minimum(first[..., 2:], second[..., 2:]) - corner).clamp(min=0)
    common = size.prod(-1)
    total = (first[..., 2:] - first[..., :2]).prod(-1) + (second[..., 2:] - second[..., :2]).prod(-1) - common
    return common / total.clamp(min=torch.finfo(total.dtype).tiny)


def frame_average_precision(
    detections: DetectedBoxes, truth: Boxes, num_classes: int, threshold: float = 0.5
) -> Tensor:
    """Average precision of each class over all frames.

    A detection belongs to the annotated box of its class in its frame that it overlaps most; it is right if that is at
    least the threshold and no surer one belongs to the same box. The precision is the area under its curve over recall,
    interpolated (the highest at a recall or a higher one). Detections in frames without a box of their class are wrong.
    So is ``object_detection_evaluation.PascalDetectionEvaluator``, which activitynet/ActivityNet
    (``get_ava_performance.py``) and facebookresearch/SlowFast call.

    Args:
        detections: of any order; of equal scores the earlier is the surer.
        truth: the annotated boxes.
        num_classes: labels are 0 .. num_classes - 1.
        threshold: least overlap.

    Returns:
        float64 (num_classes,), NaN for a class without an annotated box.
    """
    rank = ranks(detections.score)
    empty = rank[:0]
    found = [(empty, empty, empty.double())]
    groups = (rows.frame * num_classes + rows.label for rows in (detections, truth))
    for detection, action in pairs_in_groups(*groups):
        common = box_overlap(detections.box[detection].double(), truth.box[action].double())
        enough = common >= threshold
        found.append((detection[enough], action[enough], common[enough]))
    pair, own, common = (torch.cat(column) for column in zip(*found, strict=True))
    right = match_best(pair, own, common, rank, len(truth))
    per_class = torch.bincount(truth.label, minlength=num_classes)
    precision = average_precision(detections.label, rank, right, right, per_class, "standard")
    return torch.where(per_class > 0, precision, torch.nan)


def mean_over_known(precision: Tensor) -> Tensor:
    """Mean over the classes that are not NaN, float32 scalar; 0 where there is none."""
    return precision.nanmean().nan_to_num(0.0).float()


@dataclass(frozen=True)
class ScoredBoxes(Rows):
    """N boxes with a score for each class.

    Attributes:
        frame: int64 (N,), see `Boxes`.
        box: float (N, 4), x1, y1, x2, y2.
        score: float (N, C).
    """

    frame: Tensor
    box: Tensor
    score: Tensor

    def detections(self, classes: Sequence[int]) -> DetectedBoxes:
        """A detection for each box and each of some classes."""
        label = torch.tensor(tuple(classes), dtype=torch.long, device=self.frame.device)
        count = len(label)
        return DetectedBoxes(
            self.frame.repeat_interleave(count),
            label.repeat(len(self)),
            self.box.repeat_interleave(count, dim=0),
            self.score[:, label].flatten(),
        )


class FrameMAP(Metric):
    """`frame_average_precision` of boxes that have a score for each class, such as the given persons of AVA.

    Detections and annotations of all processes are joined by keyframe: one that several processes or updates have seen,
    because a sampler repeats some or because it stood in for one that cannot be read, counts once.

    Args:
        num_classes: C.
        classes: which count, from 0; all when None. AVA evaluates 60 of 80.
        threshold: least overlap.

    Raises:
        ValueError: there is no class, a class to count is outside, or the threshold is not within 0..1, 0 left out.
    """

    full_state_update = False
    box_keys: list[Tensor]
    box_values: list[Tensor]
    true_keys: list[Tensor]
    true_values: list[Tensor]
    updates: Tensor

    def __init__(self, num_classes: int, classes: Sequence[int] | None = None, threshold: float = 0.5) -> None:
        # Joined in `gathered`: processes may have nothing, which torchmetrics' own gathering does not take.
        super().__init__(sync_on_compute=False)
        if num_classes < 1:
            raise ValueError(f"there must be a class to detect, num_classes is {num_classes}")
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold={threshold} must lie above 0 and up to 1")
        self.num_classes = num_classes
        self.classes = tuple(range(num_classes) if classes is None else classes)
        if not self.classes or min(self.classes) < 0 or max(self.classes) >= num_classes:
            raise ValueError(f"classes={self.classes} must be one or more of 0 to {num_classes - 1}")
        self.threshold = threshold
        for name in ("box_keys", "box_values", "true_keys", "true_values"):
            self.add_state(name, default=[], dist_reduce_fx=None)
        self.add_state("updates", default=torch.tensor(0), dist_reduce_fx=None)

    def update(
        self,
        keyframe: Tensor,
        row: Tensor,
        box: Tensor,
        score: Tensor,
        true_row: Tensor,
        true_box: Tensor,
        true_label: Tensor,
    ) -> None:
        """Add all there is of some keyframes.

        Args:
            keyframe: int64 (B,), numbers of the keyframes.
            row: int64 (N,), place in ``keyframe`` of each given box.
            box: float (N, 4), x1, y1, x2, y2.
            score: float (N, C).
            true_row: int64 (M,), place in ``keyframe`` of each annotated box.
            true_box: float (M, 4).
            true_label: int64 (M,), one class of the box; a box with several comes several times.

        Raises:
            ValueError: scores are not numbers or not of C classes, or a label is outside.
        """
        if score.shape != (len(row), self.num_classes) or score.isnan().any():
            raise ValueError(f"scores {tuple(score.shape)} must be numbers, {len(row)} x {self.num_classes}")
        if len(true_label) and (true_label.min() < 0 or true_label.max() >= self.num_classes):
            raise ValueError(f"labels {torch.unique(true_label).tolist()} are not 0 to {self.num_classes - 1}")
        rank, size = world()
        source = (self.updates * size + rank) * _PLACES
        self.updates += 1
        self.box_keys.append(torch.stack((keyframe[row], source + row), 1))
        self.box_values.append(torch.cat((box, score), 1).float())
        self.true_keys.append(torch.stack((keyframe[true_row], source + true_row, true_label), 1))
        self.true_values.append(true_box.float())

    def gathered(self) -> tuple[ScoredBoxes, Boxes]:
        """Given and annotated boxes of all processes, by keyframe, the same on every process.

        Annotated boxes of classes that do not count are left out.
        """
        keys, values = self._gather(self.box_keys, 2), self._gather(self.box_values, 4 + self.num_classes, False)
        true_keys, true_values = self._gather(self.true_keys, 3), self._gather(self.true_values, 4, False)
        both = torch.cat((keys, true_keys[:, :2]))
        once = first_seen(both[:, :1], both[:, 1])
        keys, values = keys[once[: len(keys)]], values[once[: len(keys)]]
        counts = torch.isin(true_keys[:, 2], torch.tensor(self.classes, device=self.device))
        kept = once[len(both) - len(true_keys) :] & counts
        true_keys, true_values = true_keys[kept], true_values[kept]
        # So that equal scores are in the same order on any number of processes.
        order, true_order = keys[:, 0].argsort(stable=True), true_keys[:, 0].argsort(stable=True)
        keys, values = keys[order], values[order]
        true_keys, true_values = true_keys[true_order], true_values[true_order]
        given = ScoredBoxes(keys[:, 0], values[:, :4], values[:, 4:])
        return given, Boxes(true_keys[:, 0], true_keys[:, 2], true_values)

    def precision(self, given: ScoredBoxes, truth: Boxes) -> Tensor:
        """Average precision of each class that counts, float64, NaN without a box of it."""
        found = frame_average_precision(given.detections(self.classes), truth, self.num_classes, self.threshold)
        return found[list(self.classes)]

    def compute(self) -> Tensor:
        """Mean over the classes that count and have an annotated box, float32 scalar."""
        return mean_over_known(self.precision(*self.gathered()))

    def _gather(self, parts: list[Tensor], columns: int, whole: bool = True) -> Tensor:
        dtype = torch.long if whole else torch.float32
        return all_gather(torch.cat([torch.empty((0, columns), dtype=dtype, device=self.device), *parts]))
