"""Depth maps as the input of a network for RGB (thesis 2.4.3: 3x16x112x112)."""

import torch
from torch import Tensor


def normalise_depth(
    depth: Tensor,
    nearest: float,
    farthest: float,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
) -> Tensor:
    """Clip depth to a range, make it a grey picture that is bright where it is near, and normalise that.

    Args:
        depth: int16 (B, T, H, W), millimetres; 0, where the sensor had no answer, counts as the farthest.
        nearest: millimetres, becomes 1.
        farthest: millimetres, becomes 0.
        mean: of each channel, in 0..1.
        std: of each channel, in 0..1.

    Returns:
        float32 (B, 3, T, H, W).

    Raises:
        ValueError: the range is empty, or the depth has another shape or dtype.
    """
    if not 0 <= nearest < farthest:
        raise ValueError(f"a range of depth goes from near to far, got {nearest} to {farthest} millimetres")
    if depth.dtype != torch.int16 or depth.ndim != 4:
        raise ValueError(f"depth maps are int16 (B, T, H, W), got {depth.dtype} {tuple(depth.shape)}")
    distance = depth.float()
    distance = torch.where(distance == 0, farthest, distance)
    grey = ((farthest - distance) / (farthest - nearest)).clamp_(0, 1).unsqueeze(1)
    means, deviations = (grey.new_tensor(values).view(3, 1, 1, 1) for values in (mean, std))
    return (grey - means) / deviations
