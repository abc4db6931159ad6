"""Adaptive graph convolution of the graph-based representation (Shi et al. 2019, arXiv:1805.07694)."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_modules.networks.ntu_graph import directed_graph
from lightning_modules.networks.skeleton_network import NUM_ACTORS, NUM_JOINTS, SkeletonNetwork, check_skeleton

SUBSETS = 3  # self, inward, outward
EMBEDDING_SHARE = 4  # channels of the attention's embeddings: a quarter of the output's


class AGCN(SkeletonNetwork):
    """The joint stream of 2s-AGCN: ten blocks of a graph convolution, whose graph adapts, and a temporal one.

    Layers and parameter names are those of fmthoker/skeleton-contrast (moco/AGCN.py), after lshiqi/2s-AGCN. Maps lie
    in memory as (N, V, T, C), which convolutions, batch norms and the products with graphs all take as it is, and the
    three subsets of a block share their products; the numbers are the same.
    3.45 M parameters (3,454,090) by default. ``AGCN(width=16, blocks=(1, 1, 1))`` suits small machines.

    Args:
        width: Channels of the first blocks; the second group has twice, the third four times as many.
        blocks: Blocks in each of the three groups; the second and the third start with a stride of 2 over frames.

    Raises:
        ValueError: Not three positive numbers of blocks, or a width that is no multiple of 4.
    """

    def __init__(self, width: int = 64, blocks: tuple[int, int, int] = (4, 3, 3)) -> None:
        if width < EMBEDDING_SHARE or width % EMBEDDING_SHARE:
            raise ValueError(f"width={width} must be a positive multiple of {EMBEDDING_SHARE}")
        if len(blocks) != 3 or min(blocks) < 1:
            raise ValueError(f"blocks={tuple(blocks)} must be three positive numbers")
        super().__init__(feature_dim=4 * width)
        self.width = width
        self.blocks = (blocks[0], blocks[1], blocks[2])
        self.data_bn = nn.BatchNorm1d(NUM_ACTORS * NUM_JOINTS * 3)
        channels, number = 3, 0
        for group, count in enumerate(blocks):
            for block in range(count):
                number += 1
                stride = 2 if group > 0 and block == 0 else 1
                self.add_module(f"l{number}", Block(channels, width << group, stride, residual=number > 1))
                channels = width << group

    def forward(self, skeleton: Tensor) -> Tensor:
        """Features of sequences.

        Args:
            skeleton: Float (B, 3, T, V, M).

        Returns:
            Float (B, 4 width), the last block's mean over frames, joints and actors.

        Raises:
            ValueError: ``skeleton`` has another shape or dtype.
        """
        check_skeleton(skeleton)
        batch_size, channels, frames, joints, people = skeleton.shape
        rows = self.data_bn(skeleton.permute(0, 4, 3, 1, 2).reshape(batch_size, -1, frames))
        maps = rows.view(batch_size * people, joints, channels, frames).transpose(1, 2)
        maps = maps.contiguous(memory_format=torch.channels_last)
        for number in range(1, sum(self.blocks) + 1):
            maps = self.get_submodule(f"l{number}")(maps)
        feature: Tensor = maps.mean(dim=(2, 3)).unflatten(0, (batch_size, people)).mean(1)
        return feature


class Block(nn.Module):
    """Graph convolution, temporal convolution, shortcut: float (N, C, V, T) to float (N, C', V, T / stride)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, residual: bool) -> None:
        super().__init__()
        self.gcn1 = GraphConvolution(in_channels, out_channels)
        self.tcn1 = TemporalConvolution(out_channels, out_channels, 9, stride)
        self.residual: nn.Module | None = None
        if residual:
            same = in_channels == out_channels and stride == 1
            self.residual = nn.Identity() if same else TemporalConvolution(in_channels, out_channels, 1, stride)

    def forward(self, maps: Tensor) -> Tensor:
        """Apply the block."""
        output: Tensor = self.tcn1(self.gcn1(maps))
        return functional.relu(output if self.residual is None else output + self.residual(maps))


class TemporalConvolution(nn.Module):
    """Convolution over frames and batch norm."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, (kernel_size, 1), (stride, 1), (kernel_size // 2, 0))
        self.bn = nn.BatchNorm2d(out_channels)
        _initialise(self.conv)

    def forward(self, maps: Tensor) -> Tensor:
        """Float (N, C, V, T) to float (N, C', V, T / stride)."""
        convolution = self.conv
        assert isinstance(convolution.padding, tuple)
        stride, padding = convolution.stride[0], convolution.padding[0]
        if convolution.kernel_size == (1, 1):  # oneDNN's strided kernel for this crashes on the way back
            maps, stride = maps[..., ::stride], 1
        weight = convolution.weight.transpose(2, 3)
        output: Tensor = self.bn(functional.conv2d(maps, weight, convolution.bias, (1, stride), (0, padding)))
        return output


class GraphConvolution(nn.Module):
    """Sum over three graphs; each is fixed (A), plus learnt (``PA``), plus attention between the sample's joints."""

    adjacency: Tensor  # "graph" is what exported programs call their own

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        embedding = out_channels // EMBEDDING_SHARE
        self.register_buffer("adjacency", directed_graph(), persistent=False)
        self.PA = nn.Parameter(torch.full((SUBSETS, NUM_JOINTS, NUM_JOINTS), 1e-6))
        self.conv_a, self.conv_b = (
            nn.ModuleList(nn.Conv2d(in_channels, embedding, 1) for _ in range(SUBSETS)) for _ in range(2)
        )
        self.conv_d = nn.ModuleList(nn.Conv2d(in_channels, out_channels, 1) for _ in range(SUBSETS))
        self.down: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.down = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), nn.BatchNorm2d(out_channels))
        self.bn = nn.BatchNorm2d(out_channels)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                _initialise(module)
        nn.init.constant_(self.bn.weight, 1e-6)  # a block starts as its shortcut
        for convolution in self.conv_d:
            assert isinstance(convolution, nn.Conv2d)
            nn.init.normal_(convolution.weight, 0, math.sqrt(2 / (out_channels * in_channels * SUBSETS)))

    def forward(self, maps: Tensor) -> Tensor:
        """Float (N, C, V, T) to float (N, C', V, T)."""
        first = (*self.conv_a, *self.conv_b)
        embedded = functional.conv2d(maps, torch.cat(_all(first, "weight")), torch.cat(_all(first, "bias")))
        samples, channels, joints, frames = maps.shape
        # float (N, 3, V, T C'') each
        embedded = embedded.view(samples, 2, SUBSETS, -1, joints, frames).permute(1, 0, 2, 4, 5, 3).flatten(4)
        sources, targets = embedded.unbind(0)
        attention = (sources / sources.shape[3]) @ targets.mT
        graphs = attention.softmax(-2) + (self.adjacency + self.PA)  # (N, 3, V, V)
        # each joint's sums over its neighbours in the three graphs, (N, 3 V, T C) in memory
        gathered = graphs.mT.flatten(1, 2) @ maps.permute(0, 2, 3, 1).reshape(samples, joints, -1)
        # an image of three rows, which the kernel covers: one product sums over subsets and channels
        gathered = gathered.view(samples, SUBSETS, joints * frames, channels).permute(0, 3, 1, 2)
        weights = torch.cat(_all(tuple(self.conv_d), "weight"), dim=2)
        bias = torch.stack(_all(tuple(self.conv_d), "bias")).sum(0)
        output: Tensor = self.bn(functional.conv2d(gathered, weights, bias).view(samples, -1, joints, frames))
        return functional.relu(output + self.down(maps))


def _all(convolutions: tuple[nn.Module, ...], name: str) -> list[Tensor]:
    """The parameters of that name."""
    return [convolution.get_parameter(name) for convolution in convolutions]


def _initialise(convolution: nn.Conv2d) -> None:
    assert convolution.bias is not None
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out")
    nn.init.zeros_(convolution.bias)
