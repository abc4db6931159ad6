"""From judgements of single contexts to the count of a video, coarse to fine (Zhang et al. 2020, section 3)."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from lightning_modules.networks.cycle_head import CycleJudgement
from lightning_modules.repetition.anchors import best_factor, unit_factor
from lightning_modules.repetition.contexts import MIN_LENGTH, Contexts

MAX_OFFSET = 0.5
"""Bound of offsets in counting (val_2stream.py of Xiaodomgdomg/Deep-Temporal-Repetition-Counting), as all below."""

SCALES = (0.03, 0.35, 30)
"""Shortest and longest first estimate, shares of the video, and how many there are, evenly by their logarithms."""

FIRST_ITERATIONS = 4
"""How often the first estimate is corrected."""

LEVEL_ITERATIONS = (4, 2, 1, 1)
"""How often the lengths of a level are corrected; level n has 2^n moments."""

STEP = 0.5
"""Part of a correction that is made."""

Judge = Callable[[Contexts], CycleJudgement]


class Counted(NamedTuple):
    """What is found in B videos.

    Attributes:
        number: float32 (B,), of cycles, whole.
        middle: int64 (B, P), moments of the last level, frames.
        length: float32 (B, P, 2), lengths of the cycles behind and ahead of them, frames.
    """

    number: Tensor
    middle: Tensor
    length: Tensor


def scale_shares(device: torch.device) -> Tensor:
    """The first estimates as shares of a video, float32, rising."""
    shortest, longest, number = SCALES
    return torch.logspace(math.log10(shortest), math.log10(longest), number, device=device)


def count_cycles(judge: Judge, num_frames: Tensor, anchors: Tensor) -> Counted:
    """Count the cycles of videos.

    The cycle in the middle of a video is estimated at many scales, and the scale that fits best is corrected. Then the
    video is halved again and again: each moment starts from the lengths of its neighbours on the level above. The count
    is the video's length times the mean of 1 / length, over moments whose context lies in the video.

    Differs from the published code: the first estimate heeds both sides of the middle; lengths go from level to level
    in proportion.

    Args:
        judge: judges contexts of the videos.
        num_frames: int64 (B,), of each video.
        anchors: float32 (A,).
    """
    first = first_estimate(judge, num_frames, anchors)
    length = first[:, None, None].expand(-1, 2, 1)  # (B, sides, moments)
    for level, iterations in enumerate(LEVEL_ITERATIONS, 1):
        if level == 1:
            length = length.expand(-1, -1, 2)
        else:
            length = functional.interpolate(length, scale_factor=2, mode="linear", align_corners=False)
        contexts = moments(num_frames, length)
        for _ in range(iterations):
            factor = best_factor(judge(contexts), anchors, MAX_OFFSET)
            corrected = contexts.limited(contexts.length * factor)
            contexts = contexts._replace(length=torch.lerp(contexts.length, corrected, STEP))
        length = contexts.length.view(len(num_frames), -1, 2).transpose(1, 2)
    middle = contexts.middle.view(len(num_frames), -1)
    inside = (middle - 2 * length[:, 0] >= 0) & (middle + 2 * length[:, 1] <= num_frames[:, None])
    frequency = (1 / length).mean(1)
    mean = torch.where(inside, frequency, 0).sum(1) / inside.sum(1)
    count = num_frames * torch.where(inside.any(1), mean, 1 / first)
    return Counted(count.round(), middle, length.transpose(1, 2))


def first_estimate(judge: Judge, num_frames: Tensor, anchors: Tensor) -> Tensor:
    """Length of the cycles in the middle of videos, float32 (B,), frames."""
    shares = scale_shares(num_frames.device)
    length = (num_frames[:, None] * shares).clamp(min=MIN_LENGTH)
    contexts = moments(num_frames, length[:, None].expand(-1, 2, -1), at_middle=True)
    fit, factor = (part.view_as(length) for part in unit_factor(judge(contexts), anchors, MAX_OFFSET))
    corrected = length * factor
    longest = (num_frames[:, None] / 2).clamp(min=MIN_LENGTH)
    possible = (corrected >= MIN_LENGTH) & (corrected <= longest)
    best = torch.where(possible, fit, fit - 1).argmax(1, keepdim=True)
    estimate = torch.minimum(corrected.gather(1, best).clamp(min=MIN_LENGTH), longest)
    for _ in range(FIRST_ITERATIONS):
        contexts = moments(num_frames, estimate[:, None].expand(-1, 2, -1), at_middle=True)
        _, factor = unit_factor(judge(contexts), anchors, MAX_OFFSET)
        corrected = torch.minimum((estimate * factor[:, None]).clamp(min=MIN_LENGTH), longest)
        estimate = torch.lerp(estimate, corrected, STEP)
    return estimate[:, 0]


def moments(num_frames: Tensor, length: Tensor, at_middle: bool = False) -> Contexts:
    """Contexts of whole videos at the centres of equal parts, or all of them in the middle.

    Args:
        num_frames: int64 (B,).
        length: float32 (B, 2, P), of the cycles behind and ahead.
        at_middle: whether all P are in the middle of the video.
    """
    videos, _, number = length.shape
    share = (torch.arange(number, device=length.device) + 0.5) / number
    middle = num_frames[:, None] * (torch.full_like(share, 0.5) if at_middle else share)
    row = torch.arange(videos, device=length.device).repeat_interleave(number)
    span = torch.stack((torch.zeros_like(num_frames), num_frames), dim=1)[row]
    return Contexts(row, middle.long().flatten(), length.transpose(1, 2).flatten(0, 1), span)
