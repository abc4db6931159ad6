"""Which two clips of a batch make a pair."""

import torch
from torch import Tensor


def swap_neighbours(num_clips: int) -> Tensor:
    """Give each clip its neighbour: 0 with 1, 2 with 3, and so on; the last three of an odd number turn in a circle.

    Each clip serves once as clip 1 and once as clip 2, never of its own pair. Neighbours stay together when a global
    batch is split into even shares, so the pairs do not depend on the number of processes.

    Args:
        num_clips: B, at least 2.

    Returns:
        int64 (B,), the place of each clip's partner.

    Raises:
        ValueError: there are fewer than two clips.
    """
    if num_clips < 2:
        raise ValueError(f"a pair needs two videos, a process has {num_clips}: raise data.global_batch_size")
    partner = torch.arange(num_clips) ^ 1
    if num_clips % 2:
        partner[-3:] = torch.tensor([num_clips - 2, num_clips - 1, num_clips - 3])
    return partner
