"""The progress bar: loss, samples a second, and what else a method marks for it."""

import math
import sys
import time
from collections import deque
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import RichProgressBar
from torch import Tensor

LINES = 40
WINDOW = 20
SECONDS_BETWEEN_UPDATES = 0.25
UNITS = {"skeleton": "sequences/s", "clip": "clips/s"}


class ProgressBar(RichProgressBar):
    """Rich bar on a terminal; elsewhere (a file, a pipe) about 40 plain lines a run.

    Shows what the module hands to `show`, each metric logged with ``prog_bar=True``, and the clips (sequences) a second
    of all processes: samples of ``batch["clip"]`` (``batch["skeleton"]``) over the time of the last 20 steps of the
    epoch.

    Args:
        terminal: draw a bar; by default if stdout is a terminal.
    """

    def __init__(self, terminal: bool | None = None) -> None:
        super().__init__(refresh_rate=4)
        if not (sys.stdout.isatty() if terminal is None else terminal):
            self.disable()
        self._shown: dict[str, Tensor] = {}
        self._steps: deque[tuple[float, int]] = deque(maxlen=WINDOW + 1)
        self._rate: float | None = None
        self._rate_name = ""
        self._updated = -math.inf
        self._every = 1

    def show(self, name: str, value: Tensor) -> None:
        """Take the newest value of a metric, a scalar: it is read when it is drawn, as reading waits for the GPU."""
        self._shown[name] = value

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Choose how often a plain line comes."""
        super().on_train_start(trainer, pl_module)
        total = trainer.estimated_stepping_batches
        self._every = max(1, math.ceil(total / LINES)) if total < math.inf else 50

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start a new window of time: validation and probes between epochs are no training."""
        super().on_train_epoch_start(trainer, pl_module)
        self._steps.clear()

    def on_train_batch_end(  # noqa: D102 - inherited
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401 - Lightning's signature
        batch: Any,  # noqa: ANN401
        batch_idx: int,
    ) -> None:
        unit = next((unit for unit in UNITS if isinstance(batch, dict) and unit in batch), None)
        if unit is not None:
            self._rate_name = UNITS[unit]
            self._steps.append((time.perf_counter(), batch[unit].shape[0] * trainer.world_size))
            seconds = self._steps[-1][0] - self._steps[0][0]
            if seconds > 0:
                self._rate = sum(clips for _, clips in list(self._steps)[1:]) / seconds
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        self._print_line(trainer, pl_module, batch_idx)

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Metrics by name, those of Lightning without its version number."""
        shown = {name: value.item() for name, value in self._shown.items()}
        metrics: dict[str, Any] = {**shown, **super().get_metrics(trainer, pl_module)}
        metrics.pop("v_num", None)
        if self._rate is not None and trainer.training:
            metrics[self._rate_name] = round(self._rate, 1)
        return metrics

    def _update_metrics(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Reading a metric waits for the GPU: not at each step.
        if time.perf_counter() - self._updated >= SECONDS_BETWEEN_UPDATES:
            super()._update_metrics(trainer, pl_module)
            self._updated = time.perf_counter()

    def _print_line(self, trainer: Trainer, pl_module: LightningModule, batch_idx: int) -> None:
        if self.is_enabled or not trainer.is_global_zero or (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        step = trainer.global_step
        last = step == trainer.max_steps
        if step % self._every and step != 1 and not last:
            return
        metrics = {name: f"{float(value):.4g}" for name, value in self.get_metrics(trainer, pl_module).items()}
        total = trainer.estimated_stepping_batches
        of = f"/{total:.0f}" if total < math.inf else ""
        values = "".join(f"  {name} {value}" for name, value in metrics.items())
        print(f"epoch {trainer.current_epoch}  step {step}{of}{values}", flush=True)
        if total == math.inf and step >= LINES * self._every:
            self._every *= 2
