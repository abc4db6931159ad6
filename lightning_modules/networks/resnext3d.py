"""3D-ResNeXt-101 (Hara et al. 2018, arXiv:1711.09577), key for key kenshohara/3D-ResNets-PyTorch without ``fc``."""

from functools import partial

from torch import Tensor, nn

from lightning_modules.networks.hara_resnet import HaraResNet, Shortcut, shortcut_layer
from lightning_modules.networks.norm import Norm, NormLayer


class ResNeXt3D(HaraResNet):
    """Residual network of bottlenecks with grouped 3x3x3 convolutions. The default is 3D-ResNeXt-101.

    The teacher on Kinetics of 2.4.3: the weights of craston/MARS fit ``in_channels=3`` (``RGB_Kinetics_16f.pth``) and
    ``in_channels=2`` (``Flow_Kinetics_16f.pth``). 47.5 M parameters (47,521,216 for RGB).
    ``ResNeXt3D(widths=(16, 32), blocks=(1, 1), cardinality=4)`` suits small machines.

    Args:
        widths: Channels of the stem, and a quarter of each stage's; ``4 * widths[-1]`` is the length of the features.
        blocks: Bottlenecks in each stage.
        cardinality: Groups of each 3x3x3 convolution, which has ``2 * width`` channels.
        in_channels: Of the clips: 3 for RGB, 2 for optical flow.
        shortcut: See `lightning_modules.networks.ResNet3D`, as the other arguments; the published files have B.
        stem_stride: Spatial stride of the stem.
        max_pool: Pool behind the stem; without it small frames stay whole.
        spatial_strides: Spatial stride of each stage; ``None``: 1, then 2 each.
        temporal_strides: Stride over frames of each stage; ``None``: 1, then 2 each.
        norm: ``batch`` or ``group``.
        samples_per_norm: Batch statistics over parts of this many samples; ``None``: over the batch.
        batch_norm_eps: Added to the variance of each norm.
        motion_stem: Start with kernels in the stem that have zero mean over time.

    Raises:
        ValueError: As `lightning_modules.networks.ResNet3D`, or ``cardinality`` does not divide the channels.
    """

    def __init__(
        self,
        widths: tuple[int, ...] = (64, 128, 256, 512),
        blocks: tuple[int, ...] = (3, 4, 23, 3),
        cardinality: int = 32,
        in_channels: int = 3,
        shortcut: Shortcut = "B",
        stem_stride: int = 2,
        max_pool: bool = True,
        spatial_strides: tuple[int, ...] | None = None,
        temporal_strides: tuple[int, ...] | None = None,
        norm: Norm = "batch",
        samples_per_norm: int | None = None,
        batch_norm_eps: float = 1e-5,
        motion_stem: bool = False,
    ) -> None:
        super().__init__(
            widths,
            blocks,
            in_channels,
            shortcut,
            stem_stride,
            max_pool,
            spatial_strides,
            temporal_strides,
            norm,
            samples_per_norm,
            batch_norm_eps,
            motion_stem,
            expansion=4,
        )
        if cardinality < 1 or any(2 * width % cardinality for width in widths):
            raise ValueError(f"cardinality={cardinality} must divide twice each of widths={tuple(widths)}")
        self.cardinality = cardinality
        self.add_layers(partial(Bottleneck, shortcut, cardinality))
        self.finish()


class Bottleneck(nn.Module):
    """A grouped 3x3x3 convolution between two of 1x1x1, and a shortcut.

    Args:
        shortcut: See `lightning_modules.networks.ResNet3D`.
        cardinality: Groups of the convolution in the middle.
        in_channels: Channels of the input.
        width: Half the channels in the middle, a quarter of the output's.
        temporal_stride: Stride of the convolution in the middle over frames.
        spatial_stride: And over rows and columns.
        norm: Builds each norm from its number of channels.
    """

    def __init__(
        self,
        shortcut: Shortcut,
        cardinality: int,
        in_channels: int,
        width: int,
        temporal_stride: int,
        spatial_stride: int,
        norm: NormLayer,
    ) -> None:
        super().__init__()
        between, out_channels = 2 * width, 4 * width
        strides = (temporal_stride, spatial_stride, spatial_stride)
        self.conv1 = nn.Conv3d(in_channels, between, kernel_size=1, bias=False)
        self.bn1 = norm(between)
        self.conv2 = nn.Conv3d(
            between, between, kernel_size=3, stride=strides, padding=1, groups=cardinality, bias=False
        )
        self.bn2 = norm(between)
        self.conv3 = nn.Conv3d(between, out_channels, kernel_size=1, bias=False)
        self.bn3 = norm(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut_layer(shortcut, in_channels, out_channels, temporal_stride, spatial_stride, norm)

    def forward(self, clip: Tensor) -> Tensor:
        """Float (B, in_channels, T, H, W) to float (B, 4 width, T', H', W')."""
        shortcut = clip if self.downsample is None else self.downsample(clip)
        clip = self.relu(self.bn1(self.conv1(clip)))
        clip = self.relu(self.bn2(self.conv2(clip)))
        output: Tensor = self.relu(self.bn3(self.conv3(clip)) + shortcut)
        return output
