"""Anchor boxes as in YOLOv2 (Redmon and Farhadi 2017, arXiv:1612.08242): their sizes, and boxes from predictions."""

from typing import NamedTuple

import torch
from torch import Tensor

# Sizes of UCF101-24's boxes on a map of 7x7 cells (wei-tim/YOWO, cfg/ucf24.yaml), as shares of the picture.
UCF101_24_ANCHORS = tuple(
    (width / 7, height / 7)
    for width, height in (
        (0.70458, 1.18803),
        (1.26654, 2.55121),
        (1.59382, 4.08321),
        (2.30548, 4.94180),
        (3.52332, 5.91979),
    )
)

# Limits the exponential of what an untrained head says of sizes.
_MOST = 4.0


class Predictions(NamedTuple):
    """What a head predicts for K key frames, A anchors and H x W cells.

    Attributes:
        offset: float32 (K, A, H, W, 4), place of the centre within its cell, 0..1 along x and y, and logarithms of
            width and height over the anchor's.
        box: float32 (K, A, H, W, 4), left, top, right and bottom as shares of the picture.
        object: float32 (K, A, H, W), how well the box fits one of an actor, 0..1.
        logits: float32 (K, A, H, W, C), of the classes.
    """

    offset: Tensor
    box: Tensor
    object: Tensor
    logits: Tensor


def decode(output: Tensor, anchors: Tensor) -> Predictions:
    """Predictions from the output of a head.

    Args:
        output: float (K, A * (5 + C), H, W).
        anchors: float32 (A, 2), widths and heights as shares of the picture.
    """
    height, width = output.shape[2:]
    values = output.float().reshape(len(output), len(anchors), -1, height, width).permute(0, 1, 3, 4, 2)
    centre, size = values[..., :2].sigmoid(), values[..., 2:4].clamp(max=_MOST)
    row, column = torch.meshgrid(
        torch.arange(height, device=output.device), torch.arange(width, device=output.device), indexing="ij"
    )
    middle = (centre + torch.stack([column, row], -1)) / centre.new_tensor((width, height))
    half = anchors[:, None, None] * size.exp() / 2
    box = torch.cat([middle - half, middle + half], -1)
    return Predictions(torch.cat([centre, size], -1), box, values[..., 4].sigmoid(), values[..., 5:])


def shape_overlap(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of boxes about one centre.

    Args:
        first: float (N, 2), widths and heights.
        second: float (M, 2).

    Returns:
        float (N, M).
    """
    common = torch.minimum(first[:, None], second).prod(-1)
    return common / (first.prod(-1)[:, None] + second.prod(-1) - common).clamp(min=torch.finfo(first.dtype).tiny)


def k_means_anchors(sizes: Tensor, count: int, rounds: int = 100) -> Tensor:
    """Sizes of anchors: means of clusters of box sizes, the distance being one less the overlap (YOLOv2, section 2).

    The clusters start evenly spaced over the boxes in the order of their areas, so that the result is always the same.

    Args:
        sizes: float32 (N, 2), widths and heights.
        count: of anchors (A).
        rounds: at most.

    Returns:
        float32 (A, 2), by area.

    Raises:
        ValueError: there are fewer boxes than anchors.
    """
    if len(sizes) < count:
        raise ValueError(f"{count} anchors cannot be made of {len(sizes)} boxes; give model.anchors")
    sizes = sizes.double()[sizes.prod(1).argsort(stable=True)]
    # As good for the means, and quick.
    sizes = sizes[:: max(1, len(sizes) // 50_000)]
    anchors = sizes[((torch.arange(count) + 0.5) / count * len(sizes)).long()]
    nearest = torch.full((len(sizes),), -1)
    for _ in range(rounds):
        previous, nearest = nearest, shape_overlap(sizes, anchors).argmax(1)
        if torch.equal(previous, nearest):
            break
        counts = torch.bincount(nearest, minlength=count)
        means = torch.zeros_like(anchors).index_add_(0, nearest, sizes) / counts.clamp(min=1)[:, None]
        anchors = torch.where(counts[:, None] > 0, means, anchors)
    return anchors[anchors.prod(1).argsort()].float()
