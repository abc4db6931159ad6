"""3D-ResNet-18 (Hara et al. 2018, arXiv:1711.09577), key for key kenshohara/3D-ResNets-PyTorch without ``fc``."""

from functools import partial

from torch import Tensor, nn

from lightning_modules.networks.hara_resnet import HaraResNet, Shortcut, shortcut_layer
from lightning_modules.networks.norm import Norm, NormLayer


class ResNet3D(HaraResNet):
    """Residual network of 3x3x3 convolutions behind a 7x7x7 stem and a max pool. The default is 3D-ResNet-18 (2.4.3).

    33.2 M parameters (33,203,904; 33,030,080 with shortcut A). It differs from `R3D` (torchvision's ``r3d_18``) by its
    stem: 7 frames deep, and followed by a pool that halves time and space.
    ``ResNet3D(widths=(16, 32, 64), blocks=(1, 1, 1), max_pool=False)`` suits small machines.

    Args:
        widths: Channels of each stage; the last is the length of the features.
        blocks: Basic blocks in each stage; ``(3, 4, 6, 3)`` makes 3D-ResNet-34.
        in_channels: Of the clips: 3 for RGB and for depth, 2 for optical flow.
        shortcut: Where a block changes the size: ``B``, a convolution, or ``A``, zeros for the new channels. Of the
            files of 2020 (``r3d18_K_200ep.pth``) all have B; of those of 2017 ``resnet-18-kinetics.pth`` and
            ``resnet-34-kinetics.pth`` have A.
        stem_stride: Spatial stride of the stem.
        max_pool: Pool behind the stem; without it small frames stay whole.
        spatial_strides: Spatial stride of each stage; ``None``: 1, then 2 each.
        temporal_strides: Stride over frames of each stage; ``None``: 1, then 2 each.
        norm: ``batch`` or ``group``.
        samples_per_norm: Batch statistics over parts of this many samples, see
            `lightning_modules.networks.norm.SplitBatchNorm3d`; ``None``: over the batch.
        batch_norm_eps: Added to the variance of each norm.
        motion_stem: Start with kernels in the stem that have zero mean over time, so that they answer to change only.
            The published networks do not.

    Raises:
        ValueError: Not one positive number a stage, a stem stride or number of channels below 1, or an unknown norm or
            shortcut.
    """

    def __init__(
        self,
        widths: tuple[int, ...] = (64, 128, 256, 512),
        blocks: tuple[int, ...] = (2, 2, 2, 2),
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
        )
        self.add_layers(partial(Block, shortcut))
        self.finish()


class Block(nn.Module):
    """Two 3x3x3 convolutions and a shortcut.

    Args:
        shortcut: See `ResNet3D`.
        in_channels: Channels of the input.
        width: Channels of the output.
        temporal_stride: Stride of the first convolution over frames.
        spatial_stride: Stride of the first convolution over rows and columns.
        norm: Builds each norm from its number of channels.
    """

    def __init__(
        self,
        shortcut: Shortcut,
        in_channels: int,
        width: int,
        temporal_stride: int,
        spatial_stride: int,
        norm: NormLayer,
    ) -> None:
        super().__init__()
        strides = (temporal_stride, spatial_stride, spatial_stride)
        self.conv1 = nn.Conv3d(in_channels, width, kernel_size=3, stride=strides, padding=1, bias=False)
        self.bn1 = norm(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv3d(width, width, kernel_size=3, padding=1, bias=False)
        self.bn2 = norm(width)
        self.downsample = shortcut_layer(shortcut, in_channels, width, temporal_stride, spatial_stride, norm)

    def forward(self, clip: Tensor) -> Tensor:
        """Float (B, in_channels, T, H, W) to float (B, width, T', H', W')."""
        shortcut = clip if self.downsample is None else self.downsample(clip)
        clip = self.relu(self.bn1(self.conv1(clip)))
        output: Tensor = self.relu(self.bn2(self.conv2(clip)) + shortcut)
        return output
