"""Which layers of a network are compared, and what they put out."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from torch import Tensor, nn

Depth = Literal["stages", "blocks", "all"]


def layer_names(network: nn.Module, depth: Depth = "blocks") -> list[str]:
    """Names of a network's layers, in order.

    Args:
        network: whose children are its stages.
        depth: ``stages``; ``blocks``: those of each stage that is made of blocks; ``all``: every single operation.
    """
    if depth == "all":
        return [name for name, module in network.named_modules() if name and not list(module.children())]
    names = []
    for name, stage in network.named_children():
        parts = list(stage.named_children())
        of_blocks = isinstance(stage, nn.Sequential) and all(list(part.children()) for _, part in parts)
        names += [f"{name}.{part}" for part, _ in parts] if depth == "blocks" and of_blocks and parts else [name]
    return names


@contextmanager
def watched(network: nn.Module, names: list[str], seen: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Tell what layers put out, as they do: nothing is kept.

    Args:
        network: that is run within the context.
        names: of layers.
        seen: gets the name and the output of each layer, which it may not keep: later layers may change it in place.
    """

    def hook(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        return lambda module, arguments, output: seen(name, output)

    handles = [network.get_submodule(name).register_forward_hook(hook(name)) for name in names]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
