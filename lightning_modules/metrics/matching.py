"""Which detections are right, and how precise they are on average; all classes and videos at once."""

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from lightning_modules.segments.detections import Actions, Detections
from lightning_modules.segments.overlap import overlap

PAIRS_AT_ONCE = 2**22

Interpolation = Literal["standard", "published"]


def overlapping_pairs(detections: Detections, actions: Actions, least: float) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs of a detection and an action of the same class in the same video.

    Args:
        detections: N.
        actions: M.
        least: overlap of a pair, above 0.

    Returns:
        For each of P pairs the detection and the action, int64 (P,), and their overlap, float (P,). Pairs of one
        detection follow each other, the actions in their order.
    """
    keys = torch.cat(
        (torch.stack((detections.video, detections.label), 1), torch.stack((actions.video, actions.label), 1))
    )
    key = torch.unique(keys, dim=0, return_inverse=True)[1]
    empty = key[:0]
    found = [(empty, empty, detections.segment[:0, 0])]
    for detection, action in pairs_in_groups(key[: len(detections)], key[len(detections) :]):
        common = overlap(detections.segment[detection], actions.segment[action])
        enough = common >= least
        found.append((detection[enough], action[enough], common[enough]))
    detection, action, common = (torch.cat(column) for column in zip(*found, strict=True))
    return detection, action, common


def pairs_in_groups(first: Tensor, second: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Pairs of one row and another of the same group, in portions that fit into memory.

    Args:
        first: int64 (N,), group of each row.
        second: int64 (M,), group of each of the others.

    Yields:
        Rows and others, int64 (P,) each. Pairs of one row follow each other, the others in their order.
    """
    order = second.argsort(stable=True)
    groups = second[order]
    start = torch.searchsorted(groups, first)
    count = torch.searchsorted(groups, first, right=True) - start
    for rows in _portions(count):
        row = rows.repeat_interleave(count[rows])
        before = (count[rows].cumsum(0) - count[rows]).repeat_interleave(count[rows])
        yield row, order[start[row] + torch.arange(len(row), device=order.device) - before]


def _portions(count: Tensor) -> Iterator[Tensor]:
    """Rows whose counts add up to something that fits into memory, in order; those with a count of 0 are left out."""
    rows = count.nonzero()[:, 0]
    portion = (count[rows].cumsum(0) - 1) // PAIRS_AT_ONCE
    yield from torch.split(rows, torch.unique_consecutive(portion, return_counts=True)[1].tolist())


def ranks(score: Tensor) -> Tensor:
    """Place of each score, int64 (N,): 0 is the highest; of equal ones the earlier goes first."""
    return torch.empty_like(score, dtype=torch.long).scatter_(
        0, score.argsort(descending=True, stable=True), torch.arange(len(score), device=score.device)
    )


def match_greedily(detection: Tensor, action: Tensor, common: Tensor, rank: Tensor, num_actions: int) -> Tensor:
    """Let detections take actions, the surest first: each the free one that it overlaps most.

    The way of ActivityNet's and THUMOS' evaluation. The detections of one action may compete for others, too, so the
    surest of each connected set takes its action, and so on until none is left: as many rounds as there are actions of
    one class in a video, not as there are detections.

    Args:
        detection: int64 (P,), of each pair that overlaps enough.
        action: int64 (P,).
        common: float (P,), overlaps.
        rank: int64 (N,), order of the detections, see `ranks`.
        num_actions: M.

    Returns:
        bool (N,), the detections that took one.
    """
    right = torch.zeros_like(rank, dtype=torch.bool)
    free = torch.ones(num_actions, dtype=torch.bool, device=rank.device)
    never = len(rank) + num_actions
    while len(detection):
        # Whoever is the surest among all that want an action that it wants may choose.
        place = rank[detection]
        surest = torch.full((num_actions,), never, device=rank.device).scatter_reduce_(0, action, place, "amin")
        waits = torch.zeros_like(right)
        waits[detection[place > surest[action]]] = True
        chooses = ~waits[detection]
        best = torch.zeros_like(rank, dtype=common.dtype).scatter_reduce_(
            0, detection[chooses], common[chooses], "amax"
        )
        wanted = chooses & (common == best[detection])
        taken = torch.full_like(rank, never).scatter_reduce_(0, detection[wanted], action[wanted], "amin")
        chosen = detection[wanted]
        right[chosen] = True
        free[taken[chosen]] = False
        left = free[action] & ~chooses
        detection, action, common = detection[left], action[left], common[left]
    return right


def match_best(detection: Tensor, action: Tensor, common: Tensor, rank: Tensor, num_actions: int) -> Tensor:
    """Let each detection belong to what it overlaps most, of equal ones the first; the surest of each is right.

    The way of Pascal VOC and AVA: a detection whose best is taken is wrong, whatever else it overlaps.

    Args:
        detection: int64 (P,), of each pair that overlaps enough.
        action: int64 (P,).
        common: float (P,), overlaps.
        rank: int64 (N,), order of the detections, see `ranks`.
        num_actions: M.

    Returns:
        bool (N,), the detections that are right.
    """
    never = len(rank) + num_actions
    most = torch.zeros_like(rank, dtype=common.dtype).scatter_reduce_(0, detection, common, "amax")
    best = common == most[detection]
    own = torch.full_like(rank, never).scatter_reduce_(0, detection[best], action[best], "amin")
    hit = own < never
    surest = torch.full((num_actions,), never, device=rank.device).scatter_reduce_(0, own[hit], rank[hit], "amin")
    right = torch.zeros_like(hit)
    right[hit] = rank[hit] == surest[own[hit]]
    return right


def average_precision(
    group: Tensor, rank: Tensor, right: Tensor, hit: Tensor, num_actions: Tensor, interpolation: Interpolation
) -> Tensor:
    """Interpolated average precision of each group of detections.

    ``standard``: mean over the actions of the highest precision at their recall or a higher one, 0 for those not found.
    ``published``: as ECHO960/PKU-MMD's ``evaluate.py`` walks, from the least sure detection to the surest. At each
    one that hits an action it looks at the precision of the surer ones, without itself, and at first at that of all; an
    action counts with the highest seen so far. So a right detection lends its precision to less sure ones only through
    those in between.

    Args:
        group: int64 (N,), such as the class of each detection.
        rank: int64 (N,), order of the detections, see `ranks`.
        right: bool (N,), the detections that found an action that no surer one has found.
        hit: bool (N,), those and the ones that found an action again; used by ``published`` alone.
        num_actions: int64 (G,), in each group.
        interpolation: see above.

    Returns:
        float64 (G,), 0 where there are no actions.
    """
    order = (group * len(rank) + rank).argsort()  # ranks are all different
    group, right, hit = group[order], right[order].double(), hit[order]
    size = torch.bincount(group, minlength=len(num_actions))
    start = (size.cumsum(0) - size)[group]
    place = torch.arange(len(order), device=order.device) - start  # surer detections of the group
    sums = right.cumsum(0)
    total = torch.zeros(len(num_actions), dtype=torch.double, device=order.device).index_add_(0, group, right)
    found = sums - (total.cumsum(0) - total)[group]  # right ones of the group so far, this one with them
    if interpolation == "standard":
        precision = found / (place + 1)
    else:
        precision = torch.where(hit, (found - right) / place.clamp(min=1), 0)
    # The groups lie on steps of 2, the first the highest, so that a running maximum from behind starts anew in each.
    steps = 2.0 * (len(num_actions) - group)
    precision = (precision + steps).flip(0).cummax(0).values.flip(0) - steps if len(order) else precision
    if interpolation == "published":
        precision = torch.maximum(precision, (total / size.clamp(min=1))[group])
    area = torch.zeros_like(total).index_add_(0, group, precision * right)
    return area / num_actions.clamp(min=1)
