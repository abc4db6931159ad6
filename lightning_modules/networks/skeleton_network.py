"""What every skeleton network offers."""

from torch import Tensor

from lightning_modules.networks.network import Network

NUM_JOINTS = 25
NUM_ACTORS = 2


class SkeletonNetwork(Network):
    """Sequence in, features out: float (B, 3, T, V = 25, M = 2), metres, to float (B, feature_dim).

    A subclass keeps each argument of its constructor as an attribute of the same name, and calls `check_skeleton`
    first in ``forward``.

    Args:
        feature_dim: Length of the features.
    """


def check_skeleton(skeleton: Tensor) -> None:
    """Check what a network is given.

    Raises:
        ValueError: ``skeleton`` has another shape or dtype.
    """
    shape = tuple(skeleton.shape)
    if shape[1:2] + shape[3:] != (3, NUM_JOINTS, NUM_ACTORS) or not skeleton.is_floating_point():
        raise ValueError(
            f"a skeleton network takes a float (B, 3, T, {NUM_JOINTS}, {NUM_ACTORS}) sequence, "
            f"got {skeleton.dtype} {shape}"
        )
