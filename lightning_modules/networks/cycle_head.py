"""How long the cycles on both sides of a context's middle are, judged by anchors (Zhang et al. 2020, section 3)."""

from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn


class CycleJudgement(NamedTuple):
    """What is said of A anchors on both sides of K contexts, behind the middle and ahead of it.

    Attributes:
        logit: float32 (K, 2, A), whether the cycle is about as long as the anchor.
        offset: float32 (K, 2, A), logarithm of how many times the anchor's length.
    """

    logit: Tensor
    offset: Tensor


class CycleHead(nn.Module):
    """Two linear layers, one for each half of the maps in time.

    As Xiaodomgdomg/Deep-Temporal-Repetition-Counting (``models/resnext.py``): the maps' mean over rows and columns, the
    cells of a half side by side. Differs: one number instead of a softmax over two tells whether an anchor fits.

    Args:
        channels: C of the maps.
        cells: of the maps in time, even.
        num_anchors: A.
    """

    def __init__(self, channels: int, cells: int, num_anchors: int) -> None:
        super().__init__()
        self.num_anchors = num_anchors
        self.behind = nn.Linear(channels * cells // 2, 2 * num_anchors)
        self.ahead = nn.Linear(channels * cells // 2, 2 * num_anchors)
        for layer in (self.behind, self.ahead):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)

    def forward(self, maps: Tensor) -> CycleJudgement:
        """Judge the anchors: float (K, C, cells, H, W) to ``CycleJudgement``."""
        features = rearrange(maps.mean(dim=(3, 4)), "K C (two cells) -> two K (C cells)", two=2)
        judged = torch.stack((self.behind(features[0]), self.ahead(features[1])), dim=1).float()
        return CycleJudgement(judged[..., : self.num_anchors], judged[..., self.num_anchors :])
