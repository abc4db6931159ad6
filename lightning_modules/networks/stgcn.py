"""Spatio-temporal graph convolution (Yan et al. 2018, arXiv:1801.07455)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_modules.networks.ntu_graph import distance_graph
from lightning_modules.networks.skeleton_network import NUM_JOINTS, SkeletonNetwork, check_skeleton


class STGCN(SkeletonNetwork):
    """Ten blocks of a graph convolution with learnt importance of edges, and a temporal convolution.

    Layers and parameter names are those of yysijie/st-gcn (net/st_gcn.py) with the spatial partition.
    3.08 M parameters (3,083,412) by default. ``STGCN(width=16, blocks=(1, 1, 1))`` suits small machines.

    Args:
        width: Channels of the first blocks; the second group has twice, the third four times as many.
        blocks: Blocks in each of the three groups; the second and the third start with a stride of 2 over frames.
        dropout: Behind each block's temporal convolution but the first's; 0.5 in the source's config for NTU RGB+D.

    Raises:
        ValueError: Not three positive numbers of blocks, or a width below 1.
    """

    adjacency: Tensor  # "graph" is what exported programs call their own

    def __init__(self, width: int = 64, blocks: tuple[int, int, int] = (4, 3, 3), dropout: float = 0.5) -> None:
        if width < 1 or len(blocks) != 3 or min(blocks) < 1:
            raise ValueError(f"width={width} must be positive, blocks={tuple(blocks)} three positive numbers")
        super().__init__(feature_dim=4 * width)
        self.width = width
        self.blocks = (blocks[0], blocks[1], blocks[2])
        self.dropout = dropout
        self.register_buffer("adjacency", distance_graph(), persistent=False)
        self.data_bn = nn.BatchNorm1d(3 * NUM_JOINTS)
        layers: list[nn.Module] = []
        channels = 3
        for group, count in enumerate(blocks):
            for block in range(count):
                stride = 2 if group > 0 and block == 0 else 1
                layers.append(Block(channels, width << group, stride, dropout if layers else None))
                channels = width << group
        self.st_gcn_networks = nn.ModuleList(layers)
        self.edge_importance = nn.ParameterList(torch.ones_like(self.adjacency) for _ in layers)

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
        rows = self.data_bn(skeleton.permute(0, 4, 3, 1, 2).reshape(batch_size * people, -1, frames))
        maps = rows.view(batch_size * people, joints, channels, frames).permute(0, 2, 3, 1).contiguous()
        for block, importance in zip(self.st_gcn_networks, self.edge_importance, strict=True):
            maps = block(maps, self.adjacency * importance)
        feature: Tensor = maps.mean(dim=(2, 3)).unflatten(0, (batch_size, people)).mean(1)
        return feature


class Block(nn.Module):
    """Graph convolution, temporal convolution, shortcut; the first block (``dropout=None``) has no shortcut."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, dropout: float | None) -> None:
        super().__init__()
        self.gcn = nn.ModuleDict({"conv": nn.Conv2d(in_channels, 3 * out_channels, 1)})
        self.tcn = nn.Sequential(
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, (9, 1), (stride, 1), (4, 0)),
            nn.BatchNorm2d(out_channels),
            nn.Dropout(dropout or 0.0, inplace=True),
        )
        self.residual: nn.Module | None = None
        if dropout is not None:
            same = in_channels == out_channels and stride == 1
            self.residual = nn.Identity()
            if not same:
                self.residual = nn.Sequential(
                    nn.Conv2d(in_channels, out_channels, 1, (stride, 1)), nn.BatchNorm2d(out_channels)
                )

    def forward(self, maps: Tensor, graph: Tensor) -> Tensor:
        """Apply the block.

        Args:
            maps: Float (N, C, T, V).
            graph: Float (3, V, V), weight of joint v in joint w.

        Returns:
            Float (N, C', T / stride, V).
        """
        parts = self.gcn["conv"](maps).unflatten(1, (3, -1))  # (N, 3, C', T, V)
        output: Tensor = self.tcn(torch.einsum("nkctv,kvw->nctw", parts, graph.to(parts.dtype)))
        return functional.relu(output if self.residual is None else output + self.residual(maps))
