"""R(2+1)D-18 (Tran et al. 2018, arXiv:1711.11248), key for key torchvision's ``r2plus1d_18`` without ``fc``."""

from functools import partial

from torch import nn

from lightning_modules.networks.norm import Norm, NormLayer
from lightning_modules.networks.split_convolution import SplitConvolution
from lightning_modules.networks.video_network import check_in_channels, zero_mean_over_time
from lightning_modules.networks.video_resnet import BasicBlock, VideoResNet


class R2Plus1D(VideoResNet):
    """Residual network whose 3D convolutions are split into a spatial and a temporal one.

    The default is torchvision's ``r2plus1d_18``, the network of 5.4.1. ``R2Plus1D((16, 32, 64), (1, 1, 1))`` suits
    small frames and machines.

    Args:
        widths: Channels of each stage; the last is the length of the features.
        blocks: Basic blocks in each stage.
        stem_width: Channels between the stem's spatial and temporal convolution; ``None``: in torchvision's proportion
            to the first stage, 45 for 64.
        stem_stride: Spatial stride of the stem; 1 keeps small frames whole.
        spatial_strides: Spatial stride of each stage; ``None``: 1, then 2 each.
        temporal_strides: Stride over frames of each stage; ``None``: 1, then 2 each.
        norm: ``batch`` or ``group``.
        samples_per_norm: Batch statistics over parts of this many samples, see
            `lightning_modules.networks.norm.SplitBatchNorm3d`; ``None``: over the batch.
        batch_norm_eps: Added to the variance of each norm; 1e-3 in microsoft/CtP and fmthoker/tubelet-contrast.
        motion_stem: Start with temporal kernels in the stem that have zero mean over time, so that they answer to
            change only. The published networks do not.
        dilated_last_stage: Make the first convolution of the last stage one 3x3x3 kernel that takes every other frame,
            and its default temporal stride 1, so that twice the frames stay: the network of TCLR (Dave et al. 2022,
            arXiv:2101.07974), DAVEISHAN/TCLR tclr_pretraining/model.py.
        in_channels: Of the clips: 3 for RGB and for depth, 2 for optical flow.

    Raises:
        ValueError: Not one positive number a stage, a stem stride or number of channels below 1, or an unknown norm.
    """

    def __init__(
        self,
        widths: tuple[int, ...] = (64, 128, 256, 512),
        blocks: tuple[int, ...] = (2, 2, 2, 2),
        stem_width: int | None = None,
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
        self.stem_width = max(1, 45 * widths[0] // 64) if stem_width is None else stem_width
        temporal = nn.Conv3d(self.stem_width, widths[0], kernel_size=(3, 1, 1), padding=(1, 0, 0), bias=False)
        self.stem = SplitConvolution(
            nn.Conv3d(
                in_channels,
                self.stem_width,
                kernel_size=(1, 7, 7),
                stride=(1, stem_stride, stem_stride),
                padding=(0, 3, 3),
                bias=False,
            ),
            self.norm_layer(self.stem_width),
            nn.ReLU(inplace=True),
            temporal,
            self.norm_layer(widths[0]),
            nn.ReLU(inplace=True),
        )
        self.add_layers(partial(BasicBlock, _split_convolution))
        self.initialise()
        if motion_stem:
            zero_mean_over_time(temporal)


def _split_convolution(
    in_channels: int, between: int, out_channels: int, temporal_stride: int, spatial_stride: int, norm: NormLayer
) -> nn.Module:
    spatial_strides, temporal_strides = (1, spatial_stride, spatial_stride), (temporal_stride, 1, 1)
    return SplitConvolution(
        nn.Conv3d(in_channels, between, (1, 3, 3), spatial_strides, padding=(0, 1, 1), bias=False),
        norm(between),
        nn.ReLU(inplace=True),
        nn.Conv3d(between, out_channels, (3, 1, 1), temporal_strides, padding=(1, 0, 0), bias=False),
    )
