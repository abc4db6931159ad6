"""R3D-18 (Tran et al. 2018, arXiv:1711.11248), key for key torchvision's ``r3d_18`` without ``fc``."""

from functools import partial

from torch import nn

from lightning_modules.networks.norm import Norm, NormLayer
from lightning_modules.networks.video_network import check_in_channels, zero_mean_over_time
from lightning_modules.networks.video_resnet import BasicBlock, VideoResNet


class R3D(VideoResNet):
    """Residual network of 3x3x3 convolutions. The default is torchvision's ``r3d_18``, the R3D-18 of C.2.

    Args:
        widths: Channels of each stage; the last is the length of the features.
        blocks: Basic blocks in each stage.
        stem_stride: Spatial stride of the stem; 1 keeps small frames whole.
        spatial_strides: Spatial stride of each stage; ``None``: 1, then 2 each.
        temporal_strides: Stride over frames of each stage; ``None``: 1, then 2 each.
        norm: ``batch`` or ``group``.
        samples_per_norm: Batch statistics over parts of this many samples, see
            `lightning_modules.networks.norm.SplitBatchNorm3d`; ``None``: over the batch.
        batch_norm_eps: Added to the variance of each norm; 1e-3 in microsoft/CtP and fmthoker/tubelet-contrast.
        motion_stem: Start with kernels in the stem that have zero mean over time, so that they answer to change only.
            The published networks do not.
        dilated_last_stage: See `lightning_modules.networks.R2Plus1D`; here the kernel has its usual shape.
        in_channels: Of the clips: 3 for RGB and for depth, 2 for optical flow.

    Raises:
        ValueError: Not one positive number a stage, a stem stride or number of channels below 1, or an unknown norm.
    """

    def __init__(
        self,
        widths: tuple[int, ...] = (64, 128, 256, 512),
        blocks: tuple[int, ...] = (2, 2, 2, 2),
        stem_stride: int = 2,
        spatial_strides: tuple[int, ...] | None = None,
        temporal_strides: tuple[int, ...] | None = None,
        norm: Norm = "batch",
        samples_per_norm: int | None = None,
        batch_norm_eps: float = 1e-5,
        motion_stem: bool = False,
        dilated_last_stage: bool = False,
        in_channels: int = 3,
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
            dilated_last_stage=dilated_last_stage,
        )
        self.in_channels = check_in_channels(in_channels)
        convolution = nn.Conv3d(
            in_channels,
            widths[0],
            kernel_size=(3, 7, 7),
            stride=(1, stem_stride, stem_stride),
            padding=(1, 3, 3),
            bias=False,
        )
        self.stem = nn.Sequential(convolution, self.norm_layer(widths[0]), nn.ReLU(inplace=True))
        self.add_layers(partial(BasicBlock, _full_convolution))
        self.initialise()
        if motion_stem:
            zero_mean_over_time(convolution)


def _full_convolution(
    in_channels: int, between: int, out_channels: int, temporal_stride: int, spatial_stride: int, norm: NormLayer
) -> nn.Module:
    strides = (temporal_stride, spatial_stride, spatial_stride)
    return nn.Conv3d(in_channels, out_channels, kernel_size=3, stride=strides, padding=1, bias=False)
