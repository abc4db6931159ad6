"""How methods that are trained with labels move their weights: an optimizer whose rate falls in steps."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import nn

OptimizerName = Literal["sgd", "adam", "adamw"]


def multi_step(
    parameters: Sequence[nn.Parameter] | Sequence[dict[str, Any]],
    optimizer: OptimizerName,
    learning_rate: float,
    weight_decay: float,
    milestones: Sequence[int],
    gamma: float,
    warmup_epochs: int = 0,
    fused: bool = False,
    momentum: float = 0.9,
) -> OptimizerLRScheduler:
    """Build an optimizer and its schedule, for ``configure_optimizers``.

    Args:
        parameters: that it moves, or groups of them with a rate or decay of their own.
        optimizer: its kind.
        learning_rate: of all of them.
        weight_decay: likewise.
        milestones: epochs after which the rate falls.
        gamma: what it is multiplied with then.
        warmup_epochs: epochs over which it rises to its value, in equal steps of one epoch.
        fused: in one kernel, the same result within rounding.
        momentum: of ``sgd``.
    """
    moves: torch.optim.Optimizer
    if optimizer == "sgd":
        moves = torch.optim.SGD(parameters, learning_rate, momentum, weight_decay=weight_decay, fused=fused or None)
    elif optimizer == "adam":
        moves = torch.optim.Adam(parameters, learning_rate, weight_decay=weight_decay, fused=fused or None)
    else:
        moves = torch.optim.AdamW(parameters, learning_rate, weight_decay=weight_decay, fused=fused or None)
    schedule: torch.optim.lr_scheduler.LRScheduler
    schedule = torch.optim.lr_scheduler.MultiStepLR(moves, list(milestones), gamma)
    if warmup_epochs:
        rise = torch.optim.lr_scheduler.LinearLR(moves, 1 / (warmup_epochs + 1), total_iters=warmup_epochs)
        schedule = torch.optim.lr_scheduler.ChainedScheduler([rise, schedule], moves)
    return {"optimizer": moves, "lr_scheduler": {"scheduler": schedule, "interval": "epoch"}}
