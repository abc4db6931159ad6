"""Distance between a student's and a teacher's features (thesis 2.3.2, 2.5.1.2)."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Distance = Literal["cosine", "mse"]


def feature_distance(student: Tensor, teacher: Tensor, distance: Distance = "cosine") -> Tensor:
    """Distance of each row, in float32 whatever the precision.

    Args:
        student: (B, D).
        teacher: (B, D).
        distance: ``cosine``, one minus the cosine (equations 2.1, 2.2, 2.5), or ``mse``, the mean over D of the squared
            differences (table 2.2).

    Returns:
        float32 (B,).
    """
    with torch.autocast(student.device.type, enabled=False):
        student, teacher = student.float(), teacher.float()
        if distance == "mse":
            return (student - teacher).square().mean(1)
        return 1 - functional.cosine_similarity(student, teacher, dim=1)
