"""Compiled networks in training steps, and only there."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch
from torch import nn

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def compile_network(network: nn.Module, backend: Callable[..., Any] | str = "inductor") -> None:
    """Compile a network as a whole for training batches, which are all of one shape.

    Args:
        network: whose calls are compiled from now on; its state dict and copies of it are not changed.
        backend: of `torch.compile`.
    """
    # Memory formats stay those of the network as it is: Inductor's own choice for passes without gradients is slower.
    options = {"layout_optimization": False} if backend == "inductor" else None
    network.compile(dynamic=False, backend=backend, options=options)


def uncompiled(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Run a function of evaluation without compilation: each size of a batch would take a minute of it."""
    decorated: Callable[Arguments, Result] = torch.compiler.set_stance("force_eager")(function)
    return decorated
