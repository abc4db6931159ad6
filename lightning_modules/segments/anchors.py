"""Anchor segments, and segments written relative to them (Xu et al. 2017, arXiv:1703.07814, section 3.2)."""

import math

import torch
from torch import Tensor

ACTIVITYNET_SCALES = (
    *(1, 1.25, 1.5, 1.75, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 18, 20, 22, 24, 28, 32),
    *(36, 40, 44, 52, 60, 68, 76, 84, 92, 100),
)
"""Lengths of anchors in cells of 8 frames, for windows of 768 (experiments/activitynet/train.prototxt)."""

LONGEST_GROWTH = math.log(1000 / 8)
"""Largest logarithm of a length's factor that is decoded; more would overflow half precision."""


def anchor_grid(num_cells: int, stride: float, scales: Tensor) -> Tensor:
    """Anchors of every scale around the middle of every cell.

    Args:
        num_cells: L, cells of the feature maps along time.
        stride: frames of a cell.
        scales: float (K,), lengths of the anchors in cells.

    Returns:
        float32 (L * K, 2), starts and ends in frames; cell by cell, scale by scale.
    """
    centres = (torch.arange(num_cells, device=scales.device) + 0.5) * stride
    half = scales.float() * stride / 2
    return torch.stack((centres[:, None] - half, centres[:, None] + half), dim=-1).flatten(0, 1)


def encode(segment: Tensor, reference: Tensor) -> Tensor:
    """Write segments relative to others (equation 2 of the paper).

    Args:
        segment: float (..., 2), longer than nothing.
        reference: float (..., 2), longer than nothing.

    Returns:
        float (..., 2): shift of the centre in lengths of the reference, logarithm of the factor on its length.
    """
    length, reference_length = segment.diff(dim=-1)[..., 0], reference.diff(dim=-1)[..., 0]
    shift = (segment.mean(-1) - reference.mean(-1)) / reference_length
    return torch.stack((shift, (length / reference_length).log()), dim=-1)


def decode(offsets: Tensor, reference: Tensor) -> Tensor:
    """Undo `encode`, in float32.

    Args:
        offsets: float (..., 2).
        reference: float (..., 2), broadcast against ``offsets``.

    Returns:
        float32 (..., 2), starts and ends in frames.
    """
    shift, growth = offsets.float().unbind(-1)
    length = reference.diff(dim=-1)[..., 0]
    centre = reference.mean(-1) + shift * length
    half = growth.clamp(max=LONGEST_GROWTH).exp() * length / 2
    return torch.stack((centre - half, centre + half), dim=-1)
