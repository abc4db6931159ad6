"""Non-maximum suppression along time."""

import torch
from torch import Tensor

from lightning_modules.segments.overlap import pairwise_overlap

BLOCK = 256


def nms(segment: Tensor, score: Tensor, threshold: float, group: Tensor | None = None) -> Tensor:
    """Keep segments of which no better one with a larger overlap is kept: greedy, exact, on any device.

    Works on blocks of segments in the order of their scores. Within a block the greedy choice is the fixed point of
    "kept unless a better kept one overlaps", reached in as many rounds as its longest chain of suppressions; what a
    block keeps then strikes out of the rest.

    Args:
        segment: float (N, 2), starts and ends in frames.
        score: float (N,); of equal ones the earlier goes first.
        threshold: an overlap above it suppresses.
        group: int64 (N,); only segments of one group, such as a class in a video, suppress each other. ``None``: one.

    Returns:
        int64, indices of those that are kept, the highest score first.
    """
    order = score.argsort(descending=True, stable=True)
    group = torch.zeros_like(order) if group is None else group
    order = order[group[order].argsort(stable=True)]
    kept = []
    while len(order):
        block, order = order[:BLOCK], order[BLOCK:]
        strikes = _strikes(segment, group, block, block, threshold).triu(diagonal=1)
        alive = torch.ones(len(block), dtype=torch.bool, device=segment.device)
        while True:
            settled = ~(strikes & alive[:, None]).any(0)
            if torch.equal(settled, alive):
                break
            alive = settled
        block = block[alive]
        kept.append(block)
        # Only the last group of a block goes on behind it.
        going_on = int(torch.searchsorted(group[order], group[block[-1:]], right=True)) if len(order) else 0
        if going_on:
            rest = order[:going_on]
            last = block[group[block] == group[block[-1]]]
            struck = _strikes(segment, group, last, rest, threshold).any(0)
            order = torch.cat((rest[~struck], order[going_on:]))
    keep = torch.cat(kept).sort().values if kept else order
    return keep[score[keep].argsort(descending=True, stable=True)]


def _strikes(segment: Tensor, group: Tensor, better: Tensor, worse: Tensor, threshold: float) -> Tensor:
    """Which of the better segments would suppress which of the worse: bool (better, worse)."""
    same = group[better][:, None] == group[worse][None]
    return (pairwise_overlap(segment[better], segment[worse]) > threshold) & same
