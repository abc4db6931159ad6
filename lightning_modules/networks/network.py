"""What every network offers."""

import inspect
from typing import Any

from torch import nn


class Network(nn.Module):
    """Tensor in, features (B, feature_dim) out.

    A subclass keeps each argument of its constructor as an attribute of the same name.

    Args:
        feature_dim: Length of the features.
    """

    def __init__(self, feature_dim: int) -> None:
        super().__init__()
        self.feature_dim = feature_dim

    @property
    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments as plain JSON types: ``type(network)(**network.arguments)`` builds its like."""
        values = {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
