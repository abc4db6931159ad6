"""The key encoder of momentum contrast: a slow copy of the query encoder."""

import copy
from collections import OrderedDict

import torch
from torch import Tensor, nn

from lightning_modules.networks.heads import ProjectionHead
from lightning_modules.networks.network import Network


def encoder(network: Network, head: ProjectionHead) -> nn.Sequential:
    """A network and its projection head: what the network takes to (B, D); its keys are ``network.*``, ``head.*``."""
    return nn.Sequential(OrderedDict(network=network, head=head))


class MomentumEncoder(nn.Module):
    """Copy of an encoder that follows it by an exponential moving average (He et al. 2020, equation 2).

    Parameters follow the query encoder; buffers do not: batch-norm statistics are the copy's own, gathered from the
    keys it has seen, as in the published code.

    Args:
        source: the query encoder, copied as it is now.
        momentum: m of ``key = m * key + (1 - m) * query``; 0.999 in the thesis (5.4.1).
    """

    def __init__(self, source: nn.Module, momentum: float = 0.999) -> None:
        super().__init__()
        if not 0 <= momentum <= 1:
            raise ValueError(f"key momentum must lie in 0..1, is {momentum}")
        self.momentum = momentum
        for name, module in copy.deepcopy(source).named_children():
            self.add_module(name, module)
        self.requires_grad_(False)

    @torch.no_grad()
    def forward(self, view: Tensor) -> Tensor:
        """Encode keys without gradient: what the network takes to (B, D)."""
        for module in self.children():
            view = module(view)
        return view

    @torch.no_grad()
    def update(self, source: nn.Module) -> None:
        """Move towards the query encoder; to be called once per optimizer step."""
        own: list[Tensor] = list(self.parameters())
        torch._foreach_lerp_(own, [parameter.detach() for parameter in source.parameters()], 1 - self.momentum)
