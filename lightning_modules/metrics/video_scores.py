"""Scores of videos from those of their clips, over any number of processes."""

import torch
from torch import Tensor

from lightning_modules.losses.gather import all_gather


class VideoScores:
    """Mean of the scores of each video's clips, however they are spread over batches and processes.

    A video that came twice, as one that a sampler repeats or that stood in for a broken one, counts once.

    Args:
        num_classes: C.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self._parts: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []

    def update(self, score: Tensor, clips: Tensor, video: Tensor, label: Tensor) -> None:
        """Add scores of videos, or of parts of them.

        Args:
            score: float32 (B, C), sums over clips.
            clips: int64 (B,), their numbers.
            video: int64 (B,), the same number, the same video.
            label: int64 (B,), of the video.
        """
        self._parts.append((score.detach(), clips, video, label))

    def compute(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Join what all processes have, on each of them, and forget it.

        Args:
            device: of the processes' exchange.

        Returns:
            Mean scores, float32 (V, C), and labels, int64 (V,), in the order of the videos' numbers.
        """
        none = torch.empty(0, dtype=torch.int64, device=device)
        parts = [(torch.empty(0, self.num_classes, device=device), none, none, none), *self._parts]
        self._parts = []
        score, clips, video, label = (all_gather(torch.cat(column)) for column in zip(*parts, strict=True))
        videos, place = torch.unique(video, return_inverse=True)
        sums = score.new_zeros(len(videos), self.num_classes).index_add(0, place, score)
        counts = clips.new_zeros(len(videos)).index_add(0, place, clips)
        labels = label.new_zeros(len(videos)).index_copy(0, place, label)
        return sums / counts.unsqueeze(1), labels
