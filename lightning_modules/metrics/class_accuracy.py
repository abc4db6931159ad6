"""Accuracy of recognition, over any number of processes."""

import torch
from torch import Tensor
from torchmetrics import Metric


class ClassAccuracy(Metric):
    """Share of samples whose class is among the k best scores, or the mean of that share over the classes.

    Only classes that have samples count in the mean; torchmetrics' macro average counts a class that was merely
    predicted as one of accuracy 0.

    Args:
        num_classes: C.
        k: best scores that are looked at.
        mean_over_classes: give each class the same weight instead of each sample.
    """

    full_state_update = False
    right: Tensor
    total: Tensor

    def __init__(self, num_classes: int, k: int = 1, mean_over_classes: bool = False) -> None:
        super().__init__()
        self.k = k
        self.mean_over_classes = mean_over_classes
        self.add_state("right", torch.zeros(num_classes, dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("total", torch.zeros(num_classes, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, score: Tensor, label: Tensor) -> None:
        """Count samples.

        Args:
            score: float (B, C), any that grows with the probability.
            label: int64 (B,), in 0..C-1.
        """
        found = (score.topk(self.k, dim=1).indices == label.unsqueeze(1)).any(1)
        self.right += torch.bincount(label[found], minlength=len(self.right))
        self.total += torch.bincount(label, minlength=len(self.total))

    def compute(self) -> Tensor:
        """Accuracy in 0..1."""
        if not self.mean_over_classes:
            return self.right.sum() / self.total.sum()
        seen = self.total > 0
        return (self.right[seen] / self.total[seen]).mean()
