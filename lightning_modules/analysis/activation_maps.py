"""Where a network looks, without labels: class-agnostic activation maps (thesis figures 5.5 and C.2)."""

import torch
from torch import Tensor
from torch.nn import functional


def activation_map(features: Tensor) -> Tensor:
    """Mean over the channels of a stage's output (Baek et al. 2020, PsyNet, AAAI), each frame scaled to 0..1.

    Each frame on its own: those at the ends of a clip lie next to the zeros that convolutions are padded with, answer
    many times as strongly, and would leave the others dark.

    Args:
        features: float (B, C, T', H', W').

    Returns:
        float32 (B, T', H', W'), least 0 and greatest 1 in each frame; 0 where a frame's map is constant.
    """
    maps = features.float().mean(1)
    low, high = maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)
    return (maps - low) / (high - low).clamp(min=torch.finfo(maps.dtype).tiny)


def enlarge(maps: Tensor, size: tuple[int, int, int]) -> Tensor:
    """Interpolate maps linearly over time and space: float32 (B, T', H', W') to (B, T, H, W)."""
    return functional.interpolate(maps[:, None], size, mode="trilinear", align_corners=False)[:, 0]


def motion_energy(clips: Tensor, size: tuple[int, int, int]) -> Tensor:
    """How much each region changes: mean absolute difference to the frames before and after.

    Args:
        clips: uint8 (B, T, H, W, 3).
        size: of the map, T', H', W'.

    Returns:
        float32 (B, T', H', W'), 0..255; zeros where there is but one frame.
    """
    grey = clips.float().mean(4)
    step = grey.diff(dim=1).abs()
    if not step.shape[1]:
        return grey.new_zeros(len(clips), *size)
    before, after = torch.cat([step[:, :1], step], 1), torch.cat([step, step[:, -1:]], 1)
    return functional.adaptive_avg_pool3d((before + after) / 2, size)


def agreement(maps: Tensor, others: Tensor) -> Tensor:
    """Pearson's correlation of two maps over the places of a frame, mean over the frames of a clip.

    Args:
        maps: float (B, T', H', W').
        others: float (B, T', H', W').

    Returns:
        float32 (B,), -1..1; frames where one of them is constant do not count, and NaN is where all are.
    """
    first, second = (part.flatten(2).float() for part in (maps, others))
    first, second = (part - part.mean(2, keepdim=True) for part in (first, second))
    scale = first.norm(dim=2) * second.norm(dim=2)
    return torch.where(scale > 0, (first * second).sum(2) / scale, torch.nan).nanmean(1)
