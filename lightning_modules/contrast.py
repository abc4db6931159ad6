"""What momentum contrast of clips and of skeletons have in common: keys over ranks, logs and the optimizer."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torchmetrics import MeanMetric

from lightning_modules.losses.gather import exchange, world
from lightning_modules.losses.key_queue import KeyQueue
from lightning_modules.reproducible import Reproducible


class Contrast(Reproducible):
    """Base of the methods that contrast queries with keys of a momentum encoder and a queue.

    All randomness of a step is drawn for the global batch from (seed, number of the batch): the same views on any
    number of devices, and after a resume.

    Args:
        in_batch_negatives: also contrast with the other keys of the global batch.
        shuffle_keys: shuffle the keys over the devices and normalisation groups.
        optimizer: ``sgd`` (momentum 0.9, the thesis') or ``adamw``.
        learning_rate: at the global batch size of the config; never rescaled.
        weight_decay: of all parameters.
        warmup_steps: optimizer steps of linear growth before the decay.
        seed: of the views and the shuffling.
    """

    def __init__(
        self,
        in_batch_negatives: bool,
        shuffle_keys: bool,
        optimizer: Literal["sgd", "adamw"],
        learning_rate: float,
        weight_decay: float,
        warmup_steps: int,
        seed: int,
    ) -> None:
        super().__init__(seed)
        self.held_out_loss, self.held_out_pair_accuracy = MeanMetric(), MeanMetric()
        self.in_batch_negatives = in_batch_negatives
        self.shuffle_keys = shuffle_keys
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.warmup_steps = warmup_steps

    def draw_order(self, rows: int, generator: torch.Generator) -> Tensor | None:
        """Order of the global batch's keys, int64 (G,), for ``rows`` of them on each rank; None without shuffling."""
        return torch.randperm(rows * world()[1], generator=generator) if self.shuffle_keys else None

    @staticmethod
    def encode_shuffled(encode: Callable[[Tensor], Tensor], rows: Tensor, order: Tensor | None) -> Tensor:
        """Encode rows beside other neighbours than they have.

        Args:
            encode: from (B, ...) to (B, D).
            rows: (B, ...), this rank's.
            order: see `draw_order`, the same on every rank.

        Returns:
            (B, D), in the order of ``rows``.
        """
        if order is None:
            return encode(rows)
        return exchange(encode(exchange(rows, order)), order.argsort())

    @staticmethod
    @torch.no_grad()
    def pair_accuracy(query: Tensor, keys: Tensor, first: int) -> Tensor:
        """Share of queries whose own key is the nearest of the global batch's keys, the queue left out."""
        nearest = (query.detach().float() @ keys.T).argmax(1)
        return (nearest == torch.arange(len(query), device=query.device) + first).float().mean()

    def log_training(self, values: dict[str, Tensor], queue: KeyQueue, keys: int, batch_size: int) -> None:
        """Log a step: what it found, and how full and how old the queue is.

        Args:
            values: scalars by name: ``loss``, ``pair_accuracy`` and others.
            queue: of negatives.
            keys: G, that it gets at each step.
            batch_size: of this rank.
        """
        # Processes hold equal shares of a training batch, so the mean of their means is that of the global batch.
        self.log_step(values, batch_size, shown=("loss", "pair_accuracy"))
        if len(queue.keys):
            oldest = queue.count.clamp(max=len(queue.keys)) / keys
            state = {"queue_fill": queue.filled, "queue_age": oldest}
            self.log_step(state, batch_size, shown=("queue_fill",), equal=True)

    def log_held_out(self, split: str, losses: Tensor, accuracy: Tensor) -> None:
        """Log the contrast within a held-out batch: losses (B,), accuracy a scalar."""
        self.held_out_loss.update(losses)
        self.held_out_pair_accuracy.update(accuracy, weight=len(losses))
        self.log(f"{split}/loss", self.held_out_loss, batch_size=len(losses))
        self.log(f"{split}/pair_accuracy", self.held_out_pair_accuracy, batch_size=len(losses))

    def decay(self, step: int) -> float:
        """Share of the learning rate at an optimizer step behind the warm-up: cosine to zero over the run (5.4.1)."""
        steps = int(self.trainer.estimated_stepping_batches)
        done = (step - self.warmup_steps) / max(steps - self.warmup_steps, 1)
        return (1 + math.cos(math.pi * min(done, 1.0))) / 2

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Optimizer of all trainable parameters; its rate changes step by step."""
        parameters = [parameter for parameter in self.parameters() if parameter.requires_grad]
        optimizer: torch.optim.Optimizer
        if self.optimizer == "sgd":
            optimizer = torch.optim.SGD(
                parameters, self.learning_rate, momentum=0.9, weight_decay=self.weight_decay, fused=self.fused() or None
            )
        else:
            optimizer = torch.optim.AdamW(
                parameters, self.learning_rate, weight_decay=self.weight_decay, fused=self.fused() or None
            )

        def rate(step: int) -> float:
            if step < self.warmup_steps:
                return (step + 1) / (self.warmup_steps + 1)
            # The length of the run is not asked for at once: Lightning would start the loader to count its batches,
            # before a resumed run knows where to go on.
            return 1.0 if step == 0 else self.decay(step)

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def check_negatives(queue_size: int, in_batch_negatives: bool) -> None:
    """Check that there is something to contrast with.

    Raises:
        ValueError: there is no queue, and no in-batch negatives.
    """
    if queue_size == 0 and not in_batch_negatives:
        raise ValueError("queue_size 0 leaves no negatives: set in_batch_negatives, or give the queue a size")


def unit(keys: Tensor) -> Tensor:
    """Keys of unit length, float32 (B, D)."""
    return nn.functional.normalize(keys.float(), dim=1)
