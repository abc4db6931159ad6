"""Which frames tell how long the cycles around a moment are (Zhang et al. 2020, CVPR, section 3)."""

from typing import NamedTuple

import torch
from torch import Tensor

MIN_LENGTH = 4.0
"""Shortest cycle in frames, as published (``action_step``)."""


class Contexts(NamedTuple):
    """K moments of videos, each with an estimate of the cycles around it: tensors with K rows.

    Attributes:
        row: int64 (K,), video in its batch.
        middle: int64 (K,), frame that the second half of the context starts with.
        length: float32 (K, 2), estimated lengths of the cycles behind and ahead of it, in frames.
        span: int64 (K, 2), first frame that may be seen, and the frame after the last.
    """

    row: Tensor
    middle: Tensor
    length: Tensor
    span: Tensor

    def rows(self, index: Tensor | slice) -> "Contexts":
        """Some of the contexts."""
        return Contexts(*(column[index] for column in self))

    def limited(self, length: Tensor) -> Tensor:
        """Lengths, float32 (K, 2), brought between the shortest cycle and half of what may be seen."""
        half = ((self.span[:, 1] - self.span[:, 0]) / 2).clamp(min=MIN_LENGTH)
        return torch.minimum(length.clamp(min=MIN_LENGTH), half[:, None])


def frame_times(contexts: Contexts, num_frames: int) -> Tensor:
    """Frames of each context: half of them evenly over two cycles behind the middle, half over two ahead.

    Args:
        contexts: K of them.
        num_frames: T of a context, even.

    Returns:
        int64 (K, T), rising; may lie outside of what may be seen.
    """
    half = num_frames // 2
    share = (torch.arange(half, device=contexts.row.device) + 0.5) / half
    behind, ahead = (2 * length[:, None] for length in contexts.length.unbind(1))
    middle = contexts.middle[:, None]
    return torch.cat((middle - behind * (1 - share), middle + ahead * share), dim=1).floor().long()


def cut(frames: Tensor, contexts: Contexts, num_frames: int) -> tuple[Tensor, Tensor]:
    """Take the frames of contexts out of their videos.

    Args:
        frames: uint8 (B, T', H, W, 3).
        contexts: K of them.
        num_frames: T of a context, even.

    Returns:
        uint8 (K, T, H, W, 3), and which of these frames may be seen, bool (K, T).
    """
    times = frame_times(contexts, num_frames)
    seen = (times >= contexts.span[:, :1]) & (times < contexts.span[:, 1:])
    return frames[contexts.row[:, None], times.clamp(0, frames.shape[1] - 1)], seen


NUM_DRAWS = 6
"""Numbers that a training context is drawn from."""


def draw_contexts(
    draws: Tensor,
    row: Tensor,
    bounds: list[Tensor],
    lengths: Tensor,
    scales: Tensor,
    max_frames: int,
) -> tuple[Contexts, Tensor]:
    """Draw contexts to learn from, each within a random part of its video of at least two cycles.

    As published (``state_init`` and ``ucf_aug.py``): a quarter of the estimates is the true length times
    2^(-1..1), a quarter is half, the same or twice of it (and up to 0.05 of it more or less), and half is one of the
    scales that counting starts with.

    Args:
        draws: float32 (K, NUM_DRAWS), uniform in 0..1.
        row: int64 (K,), video of each in the batch.
        bounds: of the videos' cycles, see ``RepetitionBatch``.
        lengths: float32 (B, T, 2), lengths of the cycles behind and ahead of each frame, 0 where unknown.
        scales: float32 (S,), shares of what may be seen.
        max_frames: most frames of the part.

    Returns:
        The contexts, and the true lengths at their middles, float32 (K, 2), 0 where unknown.
    """
    count = torch.tensor([len(bound) - 1 for bound in bounds], device=row.device)[row]
    table = torch.nn.utils.rnn.pad_sequence(bounds, batch_first=True)[row]
    first = draws[:, 0] * (count - 2)
    last = first + 2 + draws[:, 1] * (count - 2 - first)
    begin = _frame_of(first, table, count).floor().long()
    end = torch.minimum(_frame_of(last, table, count).ceil().long() + 1, begin + max_frames)
    span = torch.stack((begin, end), dim=1)
    middle = begin + ((end - begin) * draws[:, 2]).long().clamp(max=end - begin - 1)
    true = lengths[row, middle]
    known = true > 0
    mean = (end - begin) / (last - first)  # where neither is known
    length = torch.where(known.any(1), true.sum(1) / known.sum(1).clamp(min=1), mean)
    spread = length * 2 ** (2 * draws[:, 3] - 1)
    octave = length * (2 ** ((3 * draws[:, 3]).floor() - 1) + 0.1 * (draws[:, 4] - 0.5))
    scale = (end - begin) * scales[(len(scales) * draws[:, 3]).long().clamp(max=len(scales) - 1)]
    estimate = torch.where(draws[:, 5] < 0.25, spread, torch.where(draws[:, 5] > 0.75, octave, scale))
    contexts = Contexts(row, middle, estimate[:, None].expand(-1, 2), span)
    return contexts._replace(length=contexts.limited(contexts.length)), true


def _frame_of(cycle: Tensor, bounds: Tensor, count: Tensor) -> Tensor:
    """Where a number of cycles, whole or not, has passed: float32 (K,), by the bounds of each, int64 (K, C + 1)."""
    whole = torch.minimum(cycle.floor().long(), count - 1)[:, None]
    start, end = bounds.gather(1, whole)[:, 0], bounds.gather(1, whole + 1)[:, 0]
    return start + (end - start) * (cycle - whole[:, 0])
