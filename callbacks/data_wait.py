"""How much of the training time passes while the loop waits for the next batch."""

import time
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer


class DataWait(Callback):
    """Logs ``data/wait``: which share, 0..1, of the time since the last logged step went by in waiting for the loader.

    On a GPU, which works on while the loop waits, it is an upper bound of the time that the GPU stands still for data.
    Near 0 more workers change nothing; otherwise they help, or what ``lightning prepare videos`` and ``prepare clips``
    make. Nothing is logged for a loader that does not measure it.
    """

    def __init__(self) -> None:
        self._since: tuple[float, float] | None = None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start anew: what happens between epochs is no training."""
        self._since = None

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401 - Lightning's signature
        batch: Any,  # noqa: ANN401
        batch_idx: int,
    ) -> None:
        """Log the share, in the steps that are logged."""
        waited = getattr(trainer.train_dataloader, "seconds_waited", None)
        if waited is None:
            return
        now = time.perf_counter()
        if self._since is None:
            self._since = (now, waited)
        elif trainer._logger_connector.should_update_logs:
            share = (waited - self._since[1]) / (now - self._since[0])
            pl_module.log("data/wait", torch.tensor(share), batch_size=1)  # a number would be copied to the GPU
            self._since = (now, waited)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start anew after a validation in mid-epoch."""
        self._since = None
