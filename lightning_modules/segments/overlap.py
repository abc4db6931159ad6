"""How much two segments have in common."""

import torch
from torch import Tensor


def overlap(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union in time, without the + 1 that counts both end frames.

    Two segments that meet in at least a point have (min of ends - max of starts) / (max of ends - min of starts), the
    form of ECHO960/PKU-MMD's ``evaluate.py``; all others, and those without a length, have 0.

    Args:
        first: float (..., 2), starts and ends in frames.
        second: float (..., 2), broadcast against ``first``.

    Returns:
        float (...), 0..1.
    """
    common = torch.minimum(first[..., 1], second[..., 1]) - torch.maximum(first[..., 0], second[..., 0])
    span = torch.maximum(first[..., 1], second[..., 1]) - torch.minimum(first[..., 0], second[..., 0])
    return common.clamp(min=0) / span.clamp(min=torch.finfo(span.dtype).tiny)


def pairwise_overlap(first: Tensor, second: Tensor) -> Tensor:
    """Overlap of each of N segments with each of M: float (N, 2) and (M, 2) to float (N, M)."""
    return overlap(first[:, None], second[None])
