"""Inception-v1 I3D (Carreira & Zisserman 2017, arXiv:1705.07750), with fmthoker/tubelet-contrast's parameter names."""

from functools import partial

import torch
from torch import Tensor, nn

from lightning_modules.networks.norm import Norm, NormLayer, check_norm, norm_3d
from lightning_modules.networks.video_network import VideoNetwork, check_in_channels, zero_mean_over_time

# Channels of an inception block: branch 0; branch 1 before and after its 3x3x3; branch 2 likewise; branch 3.
_MIXED = {
    "3b": (64, 96, 128, 16, 32, 32),
    "3c": (128, 128, 192, 32, 96, 64),
    "4b": (192, 96, 208, 16, 48, 64),
    "4c": (160, 112, 224, 24, 64, 64),
    "4d": (128, 128, 256, 24, 64, 64),
    "4e": (112, 144, 288, 32, 64, 64),
    "4f": (256, 160, 320, 32, 128, 128),
    "5b": (256, 160, 320, 32, 128, 128),
    "5c": (384, 192, 384, 48, 128, 128),
}


class I3D(VideoNetwork):
    """Inflated Inception-v1, for clips of 224x224 (C.2); features of 1024.

    Padding follows TensorFlow's SAME rule as fmthoker/tubelet-contrast (pyvrl/models/backbones/i3d.py, 55e0e63) applies
    it: by kernel and stride alone, the odd zero behind, and pools that round up. A clip of 16x224x224 leaves the last
    stage as 2x7x7.

    Args:
        width_multiplier: Factor on every number of channels, for small machines; 1 is the published network.
        norm: ``batch`` or ``group``.
        samples_per_norm: Batch statistics over parts of this many samples, see
            `lightning_modules.networks.norm.SplitBatchNorm3d`; ``None``: over the batch.
        batch_norm_eps: Added to the variance of each norm.
        motion_stem: Start with kernels in the first convolution that have zero mean over time, so that they answer to
            change only. The published network does not.
        in_channels: Of the clips: 3 for RGB and for depth, 2 for optical flow.

    Raises:
        ValueError: ``width_multiplier`` or the number of channels is not positive, or the norm is unknown.
    """

    def __init__(
        self,
        width_multiplier: float = 1.0,
        norm: Norm = "batch",
        samples_per_norm: int | None = None,
        batch_norm_eps: float = 1e-5,
        motion_stem: bool = False,
        in_channels: int = 3,
    ) -> None:
        check_norm(norm, samples_per_norm)
        if width_multiplier <= 0:
            raise ValueError(f"width_multiplier must be positive, is {width_multiplier}")

        def scaled(*channels: int) -> tuple[int, ...]:
            return tuple(max(1, round(width_multiplier * count)) for count in channels)

        mixed = {name: scaled(*channels) for name, channels in _MIXED.items()}
        super().__init__(feature_dim=_out_channels(mixed["5c"]))
        self.in_channels = check_in_channels(in_channels)
        self.width_multiplier = width_multiplier
        self.norm = norm
        self.samples_per_norm = samples_per_norm
        self.batch_norm_eps = batch_norm_eps
        self.motion_stem = motion_stem

        norm_layer = partial(norm_3d, norm=norm, samples_per_norm=samples_per_norm, eps=batch_norm_eps)
        first, second = scaled(64, 192)
        self.conv3d_1a_7x7 = Unit(in_channels, first, 7, norm_layer, stride=2)
        self.maxPool3d_2a_3x3 = _same_pool((1, 3, 3), (1, 2, 2))
        self.conv3d_2b_1x1 = Unit(first, first, 1, norm_layer)
        self.conv3d_2c_3x3 = Unit(first, second, 3, norm_layer)
        pools = {
            "3b": ("maxPool3d_3a_3x3", _same_pool((1, 3, 3), (1, 2, 2))),
            "4b": ("maxPool3d_4a_3x3", _same_pool((3, 3, 3), (2, 2, 2))),
            "5b": ("maxPool3d_5a_2x2", _same_pool((2, 2, 2), (2, 2, 2))),
        }
        in_channels = second
        for name, channels in mixed.items():
            if name in pools:
                self.add_module(*pools[name])
            self.add_module(f"mixed_{name}", Mixed(in_channels, channels, norm_layer))
            in_channels = _out_channels(channels)
        self.initialise()
        if motion_stem:
            zero_mean_over_time(self.conv3d_1a_7x7.conv3d)


class Unit(nn.Module):
    """Cubic convolution with SAME padding, norm and ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, norm: NormLayer, stride: int = 1) -> None:
        super().__init__()
        before, behind = _same_padding(kernel, stride)
        self.pad = nn.ZeroPad3d((before, behind) * 3) if before != behind else nn.Identity()
        self.conv3d = nn.Conv3d(
            in_channels, out_channels, kernel, stride, padding=before if before == behind else 0, bias=False
        )
        self.batch3d = norm(out_channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, clip: Tensor) -> Tensor:
        """Float (B, in_channels, T, H, W) to float (B, out_channels, T', H', W')."""
        output: Tensor = self.relu(self.batch3d(self.conv3d(self.pad(clip))))
        return output


class Mixed(nn.Module):
    """Inception block: four branches side by side."""

    def __init__(self, in_channels: int, channels: tuple[int, ...], norm: NormLayer) -> None:
        super().__init__()
        self.branch_0 = Unit(in_channels, channels[0], 1, norm)
        self.branch_1 = nn.Sequential(Unit(in_channels, channels[1], 1, norm), Unit(channels[1], channels[2], 3, norm))
        self.branch_2 = nn.Sequential(Unit(in_channels, channels[3], 1, norm), Unit(channels[3], channels[4], 3, norm))
        self.branch_3 = nn.Sequential(_same_pool((3, 3, 3), (1, 1, 1)), Unit(in_channels, channels[5], 1, norm))

    def forward(self, clip: Tensor) -> Tensor:
        """Float (B, in_channels, T, H, W) to float (B, sum of the branches, T, H, W)."""
        return torch.cat([branch(clip) for branch in self.children()], dim=1)


def _out_channels(channels: tuple[int, ...]) -> int:
    return channels[0] + channels[2] + channels[4] + channels[5]


def _same_padding(kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and behind an axis."""
    total = max(kernel - stride, 0)
    return total // 2, total - total // 2


def _same_pool(kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> nn.Module:
    # ZeroPad3d takes the axes from the last to the first. Zeros do as well as -inf: pools stand behind a ReLU.
    time, height, width = (_same_padding(*pair) for pair in zip(kernel, stride, strict=True))
    return nn.Sequential(nn.ZeroPad3d((*width, *height, *time)), nn.MaxPool3d(kernel, stride, ceil_mode=True))
