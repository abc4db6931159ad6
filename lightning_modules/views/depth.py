"""Depth maps as the input of a network for RGB (thesis 2.4.3: 3x16x112x112)."""

import torch
from torch import Tensor


def normalise_depth(depth: Tensor, nearest: float, farthest: float) -> Tensor:
    """Clip depth to a range, spread the range over -1..1, and repeat it in three channels.

    Args:
        depth: int16 (B, T, H, W), millimetres; 0, where the sensor had no answer, becomes the farthest.
        nearest: millimetres, becomes -1.
        farthest: millimetres, becomes 1.

    Returns:
        float32 (B, 3, T, H, W), a view of one channel.

    Raises:
        ValueError: the range is empty, or the depth has another shape or dtype.
    """
    if not 0 <= nearest < farthest:
        raise ValueError(f"a range of depth goes from near to far, got {nearest} to {farthest} millimetres")
    if depth.dtype != torch.int16 or depth.ndim != 4:
        raise ValueError(f"depth maps are int16 (B, T, H, W), got {depth.dtype} {tuple(depth.shape)}")
    known = torch.where(depth == 0, farthest, depth.float()).clamp(nearest, farthest)
    scaled = (known - nearest) * (2 / (farthest - nearest)) - 1
    return scaled[:, None].expand(-1, 3, -1, -1, -1)
