"""Errors of counts (Zhang et al. 2020): relative, and off by one."""

import torch
from torch import Tensor

from lightning_modules.losses.gather import all_gather


class CountErrors:
    """Counts of videos, over any number of batches and processes; a video that came twice counts once."""

    def __init__(self) -> None:
        self._parts: list[Tensor] = []

    def update(self, count: Tensor, true: Tensor, video: Tensor) -> None:
        """Add videos.

        Args:
            count: float (B,), as counted.
            true: int64 (B,), at least 1.
            video: int64 (B,), the same number, the same video.
        """
        self._parts.append(torch.stack((video.float(), count.float(), true.float()), dim=1))

    def compute(self, device: torch.device, mean_count: float | None = None) -> dict[str, float]:
        """Measure what all processes have, on each of them, and forget it.

        Args:
            device: of the processes' exchange.
            mean_count: of the training videos; None where it is not known.

        Returns:
            ``error``, the mean of abs(count - true) / true; ``off_by_one``, the share of videos whose count is wrong by
            one at most; ``error_of_mean_count``, the error of who says ``mean_count`` of each video.
        """
        rows = all_gather(torch.cat([torch.empty(0, 3, device=device), *self._parts]))
        self._parts = []
        videos, place = torch.unique(rows[:, 0], return_inverse=True)
        count, true = rows.new_zeros(len(videos), 2).index_copy(0, place, rows[:, 1:]).unbind(1)
        wrong = (count - true).abs()
        measures = {"error": (wrong / true).mean(), "off_by_one": (wrong <= 1).float().mean()}
        if mean_count is not None:
            measures["error_of_mean_count"] = ((mean_count - true).abs() / true).mean()
        return {name: float(value) for name, value in measures.items()}
