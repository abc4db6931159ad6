"""Features of segments of any length in one size: 3D RoI pooling (Xu et al. 2017, arXiv:1703.07814, section 3.3)."""

import torch
from torch import Tensor
from torch.nn import functional


def roi_pool(maps: Tensor, segment: Tensor, row: Tensor, stride: float, size: tuple[int, int, int]) -> Tensor:
    """Largest feature of each bin of each segment, over the whole frame cut into as many parts.

    As VisionLearningGroup/R-C3D's RoI pooling layer: starts and ends are rounded to cells, a segment covers at least
    one cell, and bins that share a cell where there are fewer cells than bins all take it. Differs: the end is not part
    of the segment. The maximum of each range of cells is that of two overlapping ranges whose lengths are a power of
    two, taken from tables of such ranges, so the work does not grow with the segments' lengths.

    Args:
        maps: float (B, C, L, H, W).
        segment: float (R, 2), starts and ends in frames.
        row: int64 (R,), which of the B maps.
        stride: frames of a cell.
        size: bins along time, rows and columns.

    Returns:
        float (R, C, *size).
    """
    bins, height, width = size
    num_cells = maps.shape[2]
    maps = functional.adaptive_max_pool3d(maps, (num_cells, height, width))
    cells = (segment / stride).round().long()
    start = cells[:, 0].clamp(0, num_cells - 1)
    end = torch.maximum(cells[:, 1].clamp(max=num_cells), start + 1)
    steps = torch.arange(bins + 1, device=maps.device)
    length = (end - start)[:, None]
    first = start[:, None] + steps[:-1] * length // bins  # (R, bins)
    behind = start[:, None] + -(-steps[1:] * length // bins)
    # tables[k][l] is the maximum of the 2^k cells from l on.
    tables = [maps.movedim(2, 1)]  # (B, L, C, H, W)
    while 2 ** len(tables) <= num_cells:
        reach = 2 ** (len(tables) - 1)
        tables.append(torch.maximum(tables[-1][:, :-reach], tables[-1][:, reach:]))
    power = torch.frexp((behind - first).float()).exponent.long() - 1  # exact, unlike a logarithm
    starts = torch.tensor([0, *(table.shape[1] for table in tables[:-1])], device=maps.device).cumsum(0)
    joined = torch.cat(tables, dim=1)
    rows = row[:, None].expand(-1, bins)
    left, right = starts[power] + first, starts[power] + behind - 2**power
    return torch.maximum(joined[rows, left], joined[rows, right]).movedim(1, 2)
