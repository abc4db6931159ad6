"""What anchors and proposals shall learn from the actions of a window (Xu et al. 2017, arXiv:1703.07814)."""

import torch
from torch import Tensor

from lightning_modules.segments.overlap import pairwise_overlap


def visible_actions(segment: Tensor, num_frames: int, share: float) -> tuple[Tensor, Tensor]:
    """Cut actions to a window, and leave out those of which too little is in it.

    Args:
        segment: float (S, 2), starts and ends in frames of the window; may reach out of it.
        num_frames: of the window, without what fills it up.
        share: of its own length that an action has to have within the window.

    Returns:
        Segments float (S', 2) within the window, and their indices int64 (S',).
    """
    cut = segment.clamp(0, num_frames)
    length = cut.diff(dim=1)[:, 0]
    index = ((length > 0) & (length >= share * segment.diff(dim=1)[:, 0])).nonzero()[:, 0]
    return cut[index], index


def assign_anchors(
    anchor: Tensor, segment: Tensor, num_frames: int, positive: float, negative: float
) -> tuple[Tensor, Tensor]:
    """Tell which anchors are actions.

    An anchor is one if its overlap with an action is at least ``positive``, or no anchor has more with that action; it
    is none if its overlap with all is below ``negative``. Of actions that overlap, an anchor belongs to the one that it
    overlaps most. Anchors that reach out of the window are left out, as published.

    Args:
        anchor: float (N, 2), frames.
        segment: float (S, 2), actions in the window, frames; none is fine.
        num_frames: of the window.
        positive: overlap.
        negative: overlap.

    Returns:
        int64 (N,): 1 an action, 0 none, -1 left out; and int64 (N,), the action of each anchor, 0 where there is none.
    """
    inside = (anchor[:, 0] >= 0) & (anchor[:, 1] <= num_frames)
    label = torch.full_like(inside, -1, dtype=torch.long)
    if not len(segment):
        label[inside] = 0
        return label, torch.zeros_like(label)
    overlaps = pairwise_overlap(anchor, segment) * inside[:, None]
    most, action = overlaps.max(1)
    label[inside & (most < negative)] = 0
    best = overlaps.amax(0)
    is_best = (overlaps == best) & (best > 0)
    label[(most >= positive) | is_best.any(1)] = 1
    return label, action


def assign_proposals(proposal: Tensor, segment: Tensor, positive: float, background: float) -> tuple[Tensor, Tensor]:
    """Tell which proposals are actions.

    Args:
        proposal: float (N, 2), frames.
        segment: float (S, 2), actions in the window, frames; none is fine.
        positive: least overlap of an action.
        background: least overlap of what is learnt as background, below ``positive``.

    Returns:
        int64 (N,): 1 an action, 0 background, -1 left out; and int64 (N,), the action of each proposal.
    """
    label = torch.zeros(len(proposal), dtype=torch.long, device=proposal.device)
    if not len(segment):
        return label, torch.zeros_like(label)
    most, action = pairwise_overlap(proposal, segment).max(1)
    label[most < background] = -1
    label[most >= positive] = 1
    return label, action


def sample(label: Tensor, count: int, share: float, generator: torch.Generator) -> Tensor:
    """Draw rows with few positive among them: at most ``share * count``, and negative ones up to ``count``.

    Args:
        label: int64 (N,): 1, 0, or -1 for rows that are not drawn.
        count: rows.
        share: of positive ones.
        generator: on the CPU.

    Returns:
        int64, indices, the positive ones first.
    """
    order = torch.randperm(len(label), generator=generator).to(label.device)
    positive = order[label[order] == 1][: int(count * share)]
    negative = order[label[order] == 0][: count - len(positive)]
    return torch.cat((positive, negative))
