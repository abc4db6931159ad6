"""Hierarchical Co-occurrence Network, of the image-based representation (Li et al. 2018, arXiv:1804.06055)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_modules.networks.skeleton_network import NUM_JOINTS, SkeletonNetwork, check_skeleton


class HCN(SkeletonNetwork):
    """Convolutions over frames, then over joints as channels, of positions and of movements; the actors' maximum.

    Layers and parameter names are those of fmthoker/skeleton-contrast (moco/HCN.py): ``conv1`` to ``conv4`` for
    positions, ``conv1m`` to ``conv4m`` for movements, ``conv5`` and ``conv6`` for both. Both actors go through in one
    batch, so their dropout is drawn apart, as published.
    519,424 parameters by default. ``HCN(channels=16, window=16)`` suits small machines.

    Args:
        channels: Width of the first layer; the last has four times as many.
        window: Channels that ``conv2`` gives, which become an axis of the image; a multiple of 16.
        num_frames: T, frames of a sequence; the features' length depends on it. A multiple of 16.
        dropout: Probability of dropping a channel, in four places.

    Raises:
        ValueError: A number is out of its domain.
    """

    def __init__(self, channels: int = 64, window: int = 64, num_frames: int = 64, dropout: float = 0.5) -> None:
        if channels < 2 or channels % 2:
            raise ValueError(f"channels={channels} must be even and positive")
        for name, number in (("window", window), ("num_frames", num_frames)):
            if number < 16 or number % 16:
                raise ValueError(f"{name}={number} must be a multiple of 16: it is halved four times")
        super().__init__(feature_dim=4 * channels * (num_frames // 16) * (window // 16))
        self.channels = channels
        self.window = window
        self.num_frames = num_frames
        self.dropout = dropout
        self.conv1, self.conv1m = (nn.Sequential(nn.Conv2d(3, channels, 1), nn.ReLU()) for _ in range(2))
        self.conv2, self.conv2m = (nn.Conv2d(channels, window, (3, 1), padding=(1, 0)) for _ in range(2))
        self.conv3, self.conv3m = (
            nn.Sequential(nn.Conv2d(NUM_JOINTS, channels // 2, 3, padding=1), nn.MaxPool2d(2)) for _ in range(2)
        )
        self.conv4, self.conv4m = (
            nn.Sequential(nn.Conv2d(channels // 2, channels, 3, padding=1), nn.Dropout2d(dropout), nn.MaxPool2d(2))
            for _ in range(2)
        )
        self.conv5, self.conv6 = (
            nn.Sequential(
                nn.Conv2d(2 * channels, width, 3, padding=1), nn.ReLU(), nn.Dropout2d(dropout), nn.MaxPool2d(2)
            )
            for width in (2 * channels, 4 * channels)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, skeleton: Tensor) -> Tensor:
        """Features of sequences.

        Args:
            skeleton: Float (B, 3, num_frames, V, M).

        Returns:
            Float (B, 4 channels * num_frames / 16 * window / 16).

        Raises:
            ValueError: ``skeleton`` has another shape or dtype.
        """
        check_skeleton(skeleton)
        if skeleton.shape[2] != self.num_frames:
            raise ValueError(f"this HCN takes {self.num_frames} frames, got {skeleton.shape[2]}: set its num_frames")
        batch_size = skeleton.shape[0]
        position = skeleton.permute(4, 0, 1, 2, 3).flatten(0, 1)  # (M * B, 3, T, V)
        movement = functional.interpolate(position.diff(dim=2), size=position.shape[2:], mode="bilinear")
        # Joints become channels behind conv2, and its channels the image's width.
        position = self.conv2(self.conv1(position)).transpose(1, 3)
        movement = self.conv2m(self.conv1m(movement)).transpose(1, 3)
        both = torch.cat((self.conv4(self.conv3(position)), self.conv4m(self.conv3m(movement))), dim=1)
        image: Tensor = self.conv6(self.conv5(both))
        return image.view(-1, batch_size, *image.shape[1:]).amax(0).flatten(1)
