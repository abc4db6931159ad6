"""What the residual networks of Hara et al. share: the stem with its pool, and the shortcuts."""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from lightning_modules.networks.norm import Norm, NormLayer
from lightning_modules.networks.video_network import check_in_channels, zero_mean_over_time
from lightning_modules.networks.video_resnet import VideoResNet

Shortcut = Literal["A", "B"]


class HaraResNet(VideoResNet):
    """Base of `ResNet3D`, which explains the arguments, and `ResNeXt3D`.

    Raises:
        ValueError: Not one positive number a stage, a stem stride or number of channels below 1, or an unknown norm or
            shortcut.
    """

    def __init__(
        self,
        widths: tuple[int, ...],
        blocks: tuple[int, ...],
        in_channels: int,
        shortcut: Shortcut,
        stem_stride: int,
        max_pool: bool,
        spatial_strides: tuple[int, ...] | None,
        temporal_strides: tuple[int, ...] | None,
        norm: Norm,
        samples_per_norm: int | None,
        batch_norm_eps: float,
        motion_stem: bool,
        expansion: int = 1,
    ) -> None:
        super().__init__(
            widths,
            blocks,
            stem_stride,
            spatial_strides,
            temporal_strides,
            norm,
            samples_per_norm,
            batch_norm_eps,
            motion_stem,
            expansion,
        )
        if shortcut not in ("A", "B"):
            raise ValueError(f"shortcut={shortcut!r} must be A or B")
        self.in_channels = check_in_channels(in_channels)
        self.shortcut = shortcut
        self.max_pool = max_pool
        self.conv1 = nn.Conv3d(
            in_channels, widths[0], kernel_size=7, stride=(1, stem_stride, stem_stride), padding=3, bias=False
        )
        self.bn1 = self.norm_layer(widths[0])
        self.relu = nn.ReLU(inplace=True)
        if max_pool:
            self.maxpool = nn.MaxPool3d(kernel_size=3, stride=2, padding=1)

    def finish(self) -> None:
        """Draw the first weights, once all layers are there."""
        self.initialise()
        if self.motion_stem:
            zero_mean_over_time(self.conv1)


class ZeroPaddedShortcut(nn.Module):
    """Shortcut A: every n-th place, and zeros for the channels that come new. It has no parameters.

    Gradients pass through it; in kenshohara/3D-ResNets-PyTorch they do not, as it detaches its input.
    """

    def __init__(self, new_channels: int, temporal_stride: int, spatial_stride: int) -> None:
        super().__init__()
        self.new_channels = new_channels
        self.temporal_stride = temporal_stride
        self.spatial_stride = spatial_stride

    def forward(self, clip: Tensor) -> Tensor:
        """Float (B, C, T, H, W) to float (B, C + new_channels, T', H', W')."""
        clip = clip[:, :, :: self.temporal_stride, :: self.spatial_stride, :: self.spatial_stride]
        return functional.pad(clip, (0, 0, 0, 0, 0, 0, 0, self.new_channels))


def shortcut_layer(
    shortcut: Shortcut,
    in_channels: int,
    out_channels: int,
    temporal_stride: int,
    spatial_stride: int,
    norm: NormLayer,
) -> nn.Module | None:
    """What is added to a block's output: ``None`` for its input as it is, else shortcut A or B (a convolution)."""
    if temporal_stride == 1 and spatial_stride == 1 and in_channels == out_channels:
        return None
    if shortcut == "A":
        return ZeroPaddedShortcut(out_channels - in_channels, temporal_stride, spatial_stride)
    strides = (temporal_stride, spatial_stride, spatial_stride)
    return nn.Sequential(
        nn.Conv3d(in_channels, out_channels, kernel_size=1, stride=strides, bias=False), norm(out_channels)
    )
