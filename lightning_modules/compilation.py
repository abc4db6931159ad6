"""Compiled networks in training steps, and only there."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
from torch import nn

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def compile_network(network: nn.Module) -> None:
    """Compile a network for its training batches, which are all of one shape, as a whole: once with and once without
    gradients.
    """
    network.compile(dynamic=False)


def uncompiled(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Run a function of evaluation without compilation: each size of a batch would take a minute of it."""
    decorated: Callable[Arguments, Result] = torch.compiler.set_stance("force_eager")(function)
    return decorated
