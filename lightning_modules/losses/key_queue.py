"""The queue of negatives of momentum contrast (He et al. 2020, arXiv:1911.05722)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_modules.views.memory import copy


class KeyQueue(nn.Module):
    """Ring of the latest keys. All state is persistent and changed in place, so a resumed run goes on with it.

    It starts with random unit vectors, as the published code does; ``filled`` says how many rows are real keys.

    Args:
        size: K, rows of the ring; 0 keeps none. 16,384 for Mini-Kinetics and 65,536 for Kinetics (5.4.1).
        dim: D, length of a key.
    """

    keys: Tensor
    count: Tensor

    def __init__(self, size: int, dim: int = 128) -> None:
        super().__init__()
        if size < 0:
            raise ValueError(f"queue size must not be negative, is {size}")
        self.register_buffer("keys", functional.normalize(torch.randn(size, dim), dim=1))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def push(self, keys: Tensor) -> None:
        """Replace the oldest rows.

        Args:
            keys: (G, D) unit vectors of the whole global batch, the same on every rank. G may be any number;
                of more than K keys the last K stay.
        """
        size, pushed = len(self.keys), len(keys)
        if size:
            kept = keys[-size:].to(self.keys.dtype)
            # The place is computed on the device: reading the counter would stall the GPU each step.
            rows = (self.count + (pushed - len(kept)) + torch.arange(len(kept), device=keys.device)) % size
            self.keys.index_copy_(0, rows, kept)
        self.count += pushed

    def snapshot(self) -> Tensor:
        """Return a copy of the keys, (K, D): a backward pass may need them after the next ones were pushed."""
        return copy(self.keys)

    @property
    def filled(self) -> Tensor:
        """Share of the rows that hold real keys, float32 scalar in 0..1."""
        return (self.count / max(len(self.keys), 1)).clamp(max=1.0)
