"""What every video network offers."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lightning_modules.networks.network import Network


class VideoNetwork(Network):
    """Clip in, features out: the children in their order are the stages, then a global average pool.

    A subclass keeps each argument of its constructor, ``batch_norm_eps`` among them, as an attribute of the same name,
    builds its stages and then calls `initialise`.

    Args:
        feature_dim: Length of the features.

    Attributes:
        in_channels: C of the clips that the network takes; 3 unless it has an argument of that name.
    """

    batch_norm_eps: float
    in_channels: int = 3

    def initialise(self) -> None:
        """Draw the weights as torchvision's video networks do: He et al. 2015 (fan out), norms 1 and 0, no bias."""
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.BatchNorm3d | nn.GroupNorm):
                nn.init.ones_(module.weight)
                nn.init.zeros_(module.bias)

    def set_batch_norm_eps(self, eps: float) -> None:
        """Change what every norm adds to the variance, for weights that were trained with another value."""
        self.batch_norm_eps = eps
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm | nn.GroupNorm):
                module.eps = eps

    def feature_maps(self, clip: Tensor) -> dict[str, Tensor]:
        """Output of every stage.

        Args:
            clip: Float (B, C, T, H, W), normalised; C is ``in_channels``.

        Returns:
            Float (B, C, T', H', W') of each stage by its name, in order.

        Raises:
            ValueError: ``clip`` has another shape or dtype.
        """
        self._check_clip(clip)
        maps = {}
        for name, stage in self.named_children():
            clip = maps[name] = stage(clip)
        return maps

    def forward_maps(self, clip: Tensor, last: str | None = None) -> Tensor:
        """Output of one stage alone, before any pool over time and space.

        Args:
            clip: Float (B, C, T, H, W), normalised; C is ``in_channels``.
            last: Name of the stage; ``None``: the last.

        Returns:
            Float (B, C, T', H', W').

        Raises:
            ValueError: ``clip`` has another shape or dtype, or there is no such stage.
        """
        self._check_clip(clip)
        names = [name for name, _ in self.named_children()]
        if last is not None and last not in names:
            raise ValueError(f"{type(self).__name__} has no stage {last!r}; its stages are {', '.join(names)}")
        for name, stage in self.named_children():
            clip = stage(clip)
            if name == last:
                break
        return clip

    def forward(self, clip: Tensor) -> Tensor:
        """Features of a clip.

        Args:
            clip: Float (B, C, T, H, W), normalised; C is ``in_channels``.

        Returns:
            Float (B, feature_dim), the last stage's mean over time and space.

        Raises:
            ValueError: ``clip`` has another shape or dtype.
        """
        self._check_clip(clip)
        # Not through feature_maps, which would keep every stage's output alive in evaluation.
        for stage in self.children():
            clip = stage(clip)
        return clip.mean(dim=(2, 3, 4))

    def stage_features(self, clip: Tensor, stages: Sequence[str]) -> list[Tensor]:
        """Features of a clip after those of some earlier stages.

        Args:
            clip: Float (B, C, T, H, W), normalised; C is ``in_channels``.
            stages: Names of stages, in the network's order.

        Returns:
            Float (B, channels) for each of ``stages``, its output's mean over time and space, and (B, feature_dim).

        Raises:
            ValueError: ``clip`` has another shape or dtype.
        """
        self._check_clip(clip)
        features = []
        for name, stage in self.named_children():
            clip = stage(clip)
            if name in stages:
                features.append(clip.mean(dim=(2, 3, 4)))
        return [*features, clip.mean(dim=(2, 3, 4))]

    def _check_clip(self, clip: Tensor) -> None:
        if clip.ndim != 5 or clip.shape[1] != self.in_channels or not clip.is_floating_point():
            raise ValueError(
                f"a video network takes a normalised float (B, {self.in_channels}, T, H, W) clip, "
                f"got {clip.dtype} {tuple(clip.shape)}"
            )


def check_in_channels(in_channels: int) -> int:
    """The number of channels, once it is known to be one.

    Raises:
        ValueError: It is not positive.
    """
    if in_channels < 1:
        raise ValueError(f"in_channels={in_channels} must be positive: 3 for RGB and depth, 2 for optical flow")
    return in_channels


def zero_mean_over_time(convolution: nn.Module) -> None:
    """Make an initial 3D kernel answer to change only: subtract its mean over time.

    After a global average pool, random kernels carry almost no direction of motion; differences over time do.
    """
    assert isinstance(convolution, nn.Conv3d)
    with torch.no_grad():
        convolution.weight -= convolution.weight.mean(dim=2, keepdim=True)


@torch.no_grad()
def stage_cells(network: VideoNetwork, stage: str | None) -> tuple[int, int]:
    """Channels of a stage's maps, and frames of a cell of them; ``None``: of the last stage.

    Raises:
        ValueError: there is no such stage.
    """
    training = network.training
    maps = network.eval().forward_maps(torch.zeros(1, 3, 32, 32, 32), stage)
    network.train(training)
    return maps.shape[1], 32 // maps.shape[2]
