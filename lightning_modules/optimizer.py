"""The optimizers of methods that are trained with labels, and how their rate changes."""

from collections.abc import Sequence
from typing import Literal

import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import nn


def build_optimizer(
    parameters: Sequence[nn.Parameter],
    optimizer: Literal["sgd", "adam", "adamw"],
    learning_rate: float,
    weight_decay: float,
    milestones: Sequence[int],
    gamma: float,
    warmup_epochs: int,
) -> OptimizerLRScheduler:
    """Make an optimizer whose rate falls at milestones.

    Args:
        parameters: that it moves.
        optimizer: ``sgd`` has momentum 0.9.
        learning_rate: after the warm-up.
        weight_decay: of all parameters.
        milestones: epochs after which the rate falls.
        gamma: what it is multiplied with there.
        warmup_epochs: epochs over which it rises to its value, in equal steps of one epoch.
    """
    made: torch.optim.Optimizer
    if optimizer == "sgd":
        made = torch.optim.SGD(parameters, learning_rate, momentum=0.9, weight_decay=weight_decay)
    elif optimizer == "adam":
        made = torch.optim.Adam(parameters, learning_rate, weight_decay=weight_decay)
    else:
        made = torch.optim.AdamW(parameters, learning_rate, weight_decay=weight_decay)
    schedule: torch.optim.lr_scheduler.LRScheduler
    schedule = torch.optim.lr_scheduler.MultiStepLR(made, list(milestones), gamma)
    if warmup_epochs:
        rise = torch.optim.lr_scheduler.LinearLR(made, 1 / (warmup_epochs + 1), total_iters=warmup_epochs)
        schedule = torch.optim.lr_scheduler.ChainedScheduler([rise, schedule], made)
    return {"optimizer": made, "lr_scheduler": {"scheduler": schedule, "interval": "epoch"}}
