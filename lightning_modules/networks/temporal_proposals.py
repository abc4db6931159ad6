"""Where in time something happens: R-C3D's proposal network (Xu et al. 2017, arXiv:1703.07814, section 3.2)."""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional


class TemporalProposalNetwork(nn.Module):
    """Judges and adjusts the anchors of each cell in time.

    As VisionLearningGroup/R-C3D (experiments/activitynet/train.prototxt): two convolutions that halve rows and columns,
    a pool over what is left of them, and two linear layers a cell. Differs: one number instead of a softmax over two
    tells whether an anchor is an action, and hidden layers start after He et al. 2015 (std 0.01 there, which is the
    same at 512 channels).

    Args:
        in_channels: C of the maps.
        channels: of the convolutions.
        num_scales: K, anchors a cell.
    """

    def __init__(self, in_channels: int, channels: int, num_scales: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(in_channels, channels, kernel_size=3, stride=(1, 2, 2), padding=1)
        self.conv2 = nn.Conv3d(channels, channels, kernel_size=3, stride=(1, 2, 2), padding=1)
        self.action = nn.Conv3d(channels, num_scales, kernel_size=1)
        self.offsets = nn.Conv3d(channels, 2 * num_scales, kernel_size=1)
        for hidden in (self.conv1, self.conv2):
            nn.init.kaiming_normal_(hidden.weight, nonlinearity="relu")
        for last in (self.action, self.offsets):
            nn.init.normal_(last.weight, std=0.01)
        for layer in (self.conv1, self.conv2, self.action, self.offsets):
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Judge all anchors.

        Args:
            maps: float (B, C, L, H, W).

        Returns:
            Whether each is an action, as a logit, float32 (B, L * K), and how it has to be moved, float32
            (B, L * K, 2); in the order of `lightning_modules.segments.anchors.anchor_grid`.
        """
        hidden = functional.relu(self.conv2(functional.relu(self.conv1(maps))))
        hidden = functional.adaptive_max_pool3d(hidden, (hidden.shape[2], 1, 1))
        logits = rearrange(self.action(hidden), "B K L 1 1 -> B (L K)")
        offsets = rearrange(self.offsets(hidden), "B (K two) L 1 1 -> B (L K) two", two=2)
        return logits.float(), offsets.float()


class SegmentHead(nn.Module):
    """Class of a segment and its adjustment for each class, from its pooled features (section 3.3).

    As VisionLearningGroup/R-C3D: one hidden layer with dropout. Class 0 is the background.

    Args:
        in_features: of the pooled features.
        hidden_features: of the hidden layer.
        num_classes: of actions.
        dropout: share of hidden features that training leaves out.
    """

    def __init__(self, in_features: int, hidden_features: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.hidden = nn.Linear(in_features, hidden_features)
        self.classes = nn.Linear(hidden_features, num_classes + 1)
        self.offsets = nn.Linear(hidden_features, 2 * (num_classes + 1))
        nn.init.kaiming_normal_(self.hidden.weight, nonlinearity="relu")
        nn.init.normal_(self.classes.weight, std=0.01)
        nn.init.normal_(self.offsets.weight, std=0.001)
        for layer in (self.hidden, self.classes, self.offsets):
            nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Classify segments.

        Args:
            features: float (R, in_features).
            generator: of the dropout, on the device; ``None``: without dropout.

        Returns:
            Logits float32 (R, num_classes + 1) and offsets float32 (R, num_classes + 1, 2).
        """
        hidden = functional.relu(self.hidden(features))
        if generator is not None:
            kept = torch.rand(hidden.shape, generator=generator, device=hidden.device) >= self.dropout
            hidden = hidden * kept / (1 - self.dropout)
        offsets = rearrange(self.offsets(hidden), "R (classes two) -> R classes two", two=2)
        return self.classes(hidden).float(), offsets.float()
