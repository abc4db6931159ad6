"""The residual body that R(2+1)D and R3D share (Tran et al. 2018, arXiv:1711.11248)."""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from lightning_modules.networks.norm import Norm, NormLayer, check_norm, norm_3d
from lightning_modules.networks.video_network import VideoNetwork

Convolution = Callable[[int, int, int, int, int, NormLayer], nn.Module]
"""Builds a 3x3x3 convolution: channels in, between and out, temporal and spatial stride, norm for those between."""

BuildBlock = Callable[[int, int, int, int, NormLayer], nn.Module]
"""Builds a residual block: channels in, width of its stage, temporal and spatial stride, norm."""


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut, with torchvision's parameter names.

    Args:
        convolution: Builds each convolution.
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        temporal_stride: Stride of the first convolution over frames.
        spatial_stride: Stride of the first convolution over rows and columns.
        norm: Builds each norm from its number of channels.
    """

    def __init__(
        self,
        convolution: Convolution,
        in_channels: int,
        out_channels: int,
        temporal_stride: int,
        spatial_stride: int,
        norm: NormLayer,
    ) -> None:
        super().__init__()
        # As many parameters as a full 3x3x3 kernel (Tran et al. 2018, section 3.5), in both convolutions alike.
        between = 27 * in_channels * out_channels // (9 * in_channels + 3 * out_channels)
        self.conv1 = nn.Sequential(
            convolution(in_channels, between, out_channels, temporal_stride, spatial_stride, norm),
            norm(out_channels),
            nn.ReLU(inplace=True),
        )
        self.conv2 = nn.Sequential(convolution(out_channels, between, out_channels, 1, 1, norm), norm(out_channels))
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if temporal_stride > 1 or spatial_stride > 1 or in_channels != out_channels:
            strides = (temporal_stride, spatial_stride, spatial_stride)
            self.downsample = nn.Sequential(
                nn.Conv3d(in_channels, out_channels, kernel_size=1, stride=strides, bias=False), norm(out_channels)
            )

    def forward(self, clip: Tensor) -> Tensor:
        """Float (B, in_channels, T, H, W) to float (B, out_channels, T', H', W')."""
        shortcut = clip if self.downsample is None else self.downsample(clip)
        output: Tensor = self.relu(self.conv2(self.conv1(clip)) + shortcut)
        return output


class VideoResNet(VideoNetwork):
    """Keeps and checks what the residual networks have in common; `R2Plus1D` explains the arguments but ``expansion``.

    Args:
        expansion: Channels that a block gives for each of its stage's width.

    Raises:
        ValueError: Not one positive number a stage, a stem stride below 1, or an unknown norm.
    """

    def __init__(
        self,
        widths: tuple[int, ...],
        blocks: tuple[int, ...],
        stem_stride: int,
        spatial_strides: tuple[int, ...] | None,
        temporal_strides: tuple[int, ...] | None,
        norm: Norm,
        samples_per_norm: int | None,
        batch_norm_eps: float,
        motion_stem: bool,
        expansion: int = 1,
        dilated_last_stage: bool = False,
    ) -> None:
        check_norm(norm, samples_per_norm)
        if not widths or stem_stride < 1:
            raise ValueError(f"a network needs a stage and a positive stem_stride, got widths={widths}, {stem_stride=}")
        super().__init__(feature_dim=expansion * widths[-1])
        halving = (1,) + (2,) * (len(widths) - 1)
        self.expansion = expansion
        self.widths = tuple(widths)
        self.blocks = tuple(blocks)
        self.stem_stride = stem_stride
        self.spatial_strides = halving if spatial_strides is None else tuple(spatial_strides)
        in_time = (*halving[:-1], 1) if dilated_last_stage else halving
        self.temporal_strides = in_time if temporal_strides is None else tuple(temporal_strides)
        self.norm = norm
        self.samples_per_norm = samples_per_norm
        self.batch_norm_eps = batch_norm_eps
        self.motion_stem = motion_stem
        self.dilated_last_stage = dilated_last_stage
        for name in ("widths", "blocks", "spatial_strides", "temporal_strides"):
            values = getattr(self, name)
            if len(values) != len(widths) or min(values) < 1:
                raise ValueError(f"{name} must be one positive number for each of {len(widths)} stages, is {values}")

    @property
    def norm_layer(self) -> NormLayer:
        """Builds a norm of this network from its number of channels."""
        return partial(norm_3d, norm=self.norm, samples_per_norm=self.samples_per_norm, eps=self.batch_norm_eps)

    def keep_size_in_last_stage(self) -> None:
        """Set the last stage's spatial stride to 1: maps of finer cells, as detection takes, with the same weights."""
        self.spatial_strides = (*self.spatial_strides[:-1], 1)
        for module in self.get_submodule(f"layer{len(self.widths)}").modules():
            if isinstance(module, nn.Conv3d):
                module.stride = (module.stride[0], 1, 1)

    def add_layers(self, build: BuildBlock) -> None:
        """Add ``layer1``, ``layer2``, ... of blocks behind the stem, which gives ``widths[0]`` channels."""
        in_channels = self.widths[0]
        stages = zip(self.widths, self.blocks, self.temporal_strides, self.spatial_strides, strict=True)
        for number, (width, count, temporal_stride, spatial_stride) in enumerate(stages, start=1):
            blocks = [build(in_channels, width, temporal_stride, spatial_stride, self.norm_layer)]
            in_channels = self.expansion * width
            blocks += [build(in_channels, width, 1, 1, self.norm_layer) for _ in range(count - 1)]
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
        if self.dilated_last_stage:
            first = self.get_submodule(f"layer{len(self.widths)}.0.conv1")
            assert isinstance(first, nn.Sequential)
            first[0] = nn.Conv3d(
                self.widths[-2:][0],
                self.widths[-1],
                kernel_size=3,
                stride=(self.temporal_strides[-1], self.spatial_strides[-1], self.spatial_strides[-1]),
                padding=(2, 1, 1),
                dilation=(2, 1, 1),
                bias=False,
            )
