"""Scores of videos from those of their clips, over any number of processes."""

from typing import Literal

import torch
from torch import Tensor

from lightning_modules.losses.gather import all_gather


class VideoScores:
    """Mean or maximum of the scores of each video's clips, however they are spread over batches and processes.

    A video that came twice, as one that a sampler repeats or that stood in for a broken one, counts once.

    Args:
        num_classes: C.
        pooling: ``mean`` or ``max``.
        label_shape: of one video's label: none for a class, (C,) for any number of classes.
    """

    def __init__(
        self, num_classes: int, pooling: Literal["mean", "max"] = "mean", label_shape: tuple[int, ...] = ()
    ) -> None:
        self.num_classes = num_classes
        self.pooling = pooling
        self.label_shape = label_shape
        self._parts: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []

    def update(self, score: Tensor, clips: Tensor, video: Tensor, label: Tensor) -> None:
        """Add scores of videos, or of parts of them.

        Args:
            score: float32 (B, C), sums or maxima over clips.
            clips: int64 (B,), their numbers.
            video: int64 (B,), the same number, the same video.
            label: int64 (B, *label_shape), of the video.
        """
        self._parts.append((score.detach(), clips, video, label))

    def compute(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Join what all processes have, on each of them, and forget it.

        Args:
            device: of the processes' exchange.

        Returns:
            Scores, float32 (V, C), and labels, int64 (V, *label_shape), in the order of the videos' numbers.
        """
        none = torch.empty(0, dtype=torch.int64, device=device)
        scores = torch.empty(0, self.num_classes, device=device)
        parts = [(scores, none, none, none.view(0, *self.label_shape)), *self._parts]
        self._parts = []
        score, clips, video, label = (all_gather(torch.cat(column)) for column in zip(*parts, strict=True))
        videos, place = torch.unique(video, return_inverse=True)
        labels = label.new_zeros(len(videos), *self.label_shape).index_copy(0, place, label)
        if self.pooling == "max":
            lowest = score.new_full((len(videos), self.num_classes), -torch.inf)
            return lowest.scatter_reduce(0, place[:, None].expand_as(score), score, "amax"), labels
        sums = score.new_zeros(len(videos), self.num_classes).index_add(0, place, score)
        counts = clips.new_zeros(len(videos)).index_add(0, place, clips)
        return sums / counts.unsqueeze(1), labels
