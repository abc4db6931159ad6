"""Memory for whole batches of clips, and small parameters to their device."""

import math

import numpy as np
import torch
from torch import Tensor

LARGE = 2**24  # bytes


def empty(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Allocate a tensor without filling it; on the CPU a large one in huge pages.

    NumPy asks Linux for huge pages, ``torch.empty`` does not unless the shell says so. Entering 150 MB page by page
    takes longer than normalising the clips that go there. Small memory comes back from what was freed before.
    """
    size = math.prod(shape) * dtype.itemsize
    if device.type != "cpu" or size < LARGE:
        return torch.empty(shape, dtype=dtype, device=device)
    return torch.from_numpy(np.empty(size, dtype=np.uint8)).view(dtype).view(shape)


def upload(parameter: Tensor, device: torch.device) -> Tensor:
    """Copy a small tensor from the CPU to the clips' device, without waiting for what a GPU has to do before."""
    return parameter.to(device, non_blocking=device.type == "cuda")


def copy(clip: Tensor) -> Tensor:
    """Copy a tensor into memory of its own, contiguous."""
    return empty(tuple(clip.shape), clip.dtype, clip.device).copy_(clip)
