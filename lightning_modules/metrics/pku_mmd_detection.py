"""The measures of PKU-MMD's own evaluation: F1, AP, mAP over actions, mAP over videos, 2D-AP."""

import torch
from torch import Tensor

from lightning_modules.metrics.detection_results import DetectionResults
from lightning_modules.metrics.matching import Interpolation, average_precision, overlapping_pairs, ranks
from lightning_modules.metrics.temporal_detection import check_thresholds
from lightning_modules.segments.detections import Actions, Detections


def pku_mmd_scores(
    detections: Detections,
    actions: Actions,
    num_classes: int,
    theta: float = 0.5,
    interpolation: Interpolation = "published",
) -> dict[str, Tensor]:
    """The five numbers of Liu et al. 2017 (arXiv:1703.07475), as ECHO960/PKU-MMD's last ``evaluate.py`` has them.

    An earlier one (ab9f3d2) counts an action as often as it is found, and takes other means.

    A detection belongs to the action of its class in its video that it overlaps most, if that is at least theta, and
    to no other where a surer one has found it. An action is found once.

    Args:
        detections: of whole videos.
        actions: of whole videos.
        num_classes: labels are 0 .. num_classes - 1; 51 in PKU-MMD.
        theta: least overlap of all but ``2d_ap``.
        interpolation: of precision, see `lightning_modules.metrics.matching.average_precision`.

    Returns:
        float32 scalars. ``f1`` of all detections, whatever their scores; ``ap`` over all classes together;
        ``map_action``, mean over all classes (one without an action has 0, as published); ``map_video``, mean over the
        videos that have an action; ``2d_ap``, mean of ``ap`` at theta 0.05, 0.1 .. 1.
    """
    device = detections.score.device
    rank = ranks(detections.score)
    pair_detection, pair_action, pair_overlap = overlapping_pairs(detections, actions, min(theta, 0.05))
    most = torch.zeros_like(detections.score).scatter_reduce_(0, pair_detection, pair_overlap, "amax")
    best = pair_overlap == most[pair_detection]
    # Of two that it overlaps alike the later, as published.
    action = torch.full_like(rank, -1).scatter_reduce_(0, pair_detection[best], pair_action[best], "amax")

    def judge(least: float) -> tuple[Tensor, Tensor]:
        """Which detections found an action first, and which found one: bool (N,) each."""
        # A float32 overlap of exactly theta is enough.
        hit = (action >= 0) & (most >= torch.tensor(least, dtype=most.dtype))
        surest = torch.full((len(actions),), len(rank), device=device)
        surest.scatter_reduce_(0, action[hit], rank[hit], "amin")
        right = torch.zeros_like(hit)
        right[hit] = rank[hit] == surest[action[hit]]
        return right, hit

    right, hit = judge(theta)
    videos, video = torch.unique(torch.cat((actions.video, detections.video)), return_inverse=True)
    per_video = torch.bincount(video[: len(actions)], minlength=len(videos))
    per_class = torch.bincount(actions.label, minlength=num_classes)
    everything, all_actions = torch.zeros_like(rank), torch.tensor([len(actions)], device=device)

    def precision(group: Tensor, counts: Tensor, right: Tensor, hit: Tensor) -> Tensor:
        return average_precision(group, rank, right, hit, counts, interpolation)

    levels = [precision(everything, all_actions, *judge(0.05 * step)) for step in range(1, 21)]
    scores = {
        "f1": 2 * right.sum() / max(len(detections) + len(actions), 1),
        "ap": precision(everything, all_actions, right, hit)[0],
        "map_action": precision(detections.label, per_class, right, hit).mean(),
        "map_video": precision(video[len(actions) :], per_video, right, hit).sum() / (per_video > 0).sum().clamp(min=1),
        "2d_ap": torch.cat(levels).mean(),
    }
    return {name: value.float() for name, value in scores.items()}


class PKUMMDDetection(DetectionResults):
    """`pku_mmd_scores` as a metric; see `DetectionResults` for what it takes, also on several processes.

    Args:
        num_classes: labels are 0 .. num_classes - 1.
        theta: least overlap of all but ``2d_ap``.
        interpolation: of precision: ``published`` to compare with published numbers, ``standard`` otherwise.
        nms_threshold: suppress over each whole video first; ``None``: keep all that are given.

    Raises:
        ValueError: theta is not within 0..1, 0 left out.
    """

    def __init__(
        self,
        num_classes: int = 51,
        theta: float = 0.5,
        interpolation: Interpolation = "published",
        nms_threshold: float | None = None,
    ) -> None:
        super().__init__(num_classes, nms_threshold)
        (self.theta,) = check_thresholds((theta,))
        self.interpolation: Interpolation = interpolation

    def compute(self) -> dict[str, Tensor]:
        """Float32 scalars ``f1``, ``ap``, ``map_action``, ``map_video`` and ``2d_ap``."""
        return pku_mmd_scores(*self.gathered(), self.num_classes, self.theta, self.interpolation)
