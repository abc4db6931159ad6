"""What all methods that draw something share: randomness that neither a resume nor the number of devices changes."""

import warnings
from collections.abc import Callable, Collection
from typing import Any, TypeVar

import torch
from pytorch_lightning import LightningModule
from torch import Tensor

from lightning_modules.losses.gather import mean_over_ranks
from lightning_modules.side_stream import SideStream

Result = TypeVar("Result")


class Reproducible(LightningModule):
    """Base of methods that draw for the global batch from (seed, number of the batch).

    Args:
        seed: of all that is drawn.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed
        self._side_stream = SideStream()
        self._unchecked: tuple[Callable[[], float], Tensor, list[str]] | None = None
        warnings.filterwarnings("ignore", message="You have overridden `transfer_batch_to_device`")  # on purpose

    def beside(self, work: Callable[[], Result]) -> Result:
        """Call what needs a batch, but not the network, see `SideStream.run`."""
        return self._side_stream.run(self.device, work)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:  # noqa: ANN401
        """Copy a batch while the gradients of the one before are computed."""
        transfer = super().transfer_batch_to_device
        return self._side_stream.run(device, lambda: transfer(batch, device, dataloader_idx))

    def fused(self) -> bool:
        """Whether the optimizer may go through all parameters in one kernel: on CUDA.

        Lightning does not clip the gradients of such an optimizer in mixed precision.
        """
        return self.device.type == "cuda" and not self.trainer.gradient_clip_val

    def generator(self, *numbers: int) -> torch.Generator:
        """A fresh generator on the CPU that depends on the seed and the numbers alone."""
        return torch.Generator().manual_seed(self.seed_of(*numbers))

    def seed_of(self, *numbers: int) -> int:
        """A seed that depends on the module's and the numbers alone."""
        seed = 0
        for number in (self.seed, *numbers):
            # Knuth's multiplicative hash keeps neighbouring seeds and steps apart.
            seed = (seed ^ number) * 6364136223846793005 + 1442695040888963407 & (2**63 - 1)
        return seed

    def batches_done(self) -> int:
        """Batches so far, also after a resume; the number of optimizer steps stands still while gradients gather."""
        return int(self.trainer.fit_loop.epoch_loop.batch_progress.total.processed)  # type: ignore[attr-defined]

    def current_rate(self) -> float:
        """Learning rate of the next optimizer step."""
        return float(self.trainer.optimizers[0].param_groups[0]["lr"])

    def log_step(
        self, values: dict[str, Tensor], batch_size: int, shown: Collection[str] = ("loss",), equal: bool = False
    ) -> None:
        """Log what a training step found as means over the processes, below ``train/``.

        Nobody waits for them: Lightning's ``sync_dist`` lets all processes meet for each value, and its ``prog_bar``
        reads each value at each step, for which a GPU has to finish all that it was given.

        Args:
            values: scalars by name.
            batch_size: of this rank.
            shown: names of those for the progress bar.
            equal: the values are the same on every rank.
        """
        found = torch.stack([value.detach().float() for value in values.values()])
        means = (found if equal else mean_over_ranks(found)).unbind()
        named = {f"train/{name}": mean for name, mean in zip(values, means, strict=True)}
        bar = self._trainer and self._trainer.progress_bar_callback
        show = getattr(bar, "show", None)
        for name, mean in named.items():
            in_bar = bar is not None and name.removeprefix("train/") in shown
            self.log(name, mean, prog_bar=in_bar and show is None, batch_size=batch_size)
            if in_bar and show is not None:
                show(name, mean)

    def stop_unless_finite(self, loss: Tensor, names: list[str]) -> None:
        """Let `on_after_backward` raise if the loss of this step is infinite or not a number.

        Args:
            loss: scalar.
            names: of the batch's samples.
        """
        loss = loss.detach()
        self._unchecked = self._side_stream.read_later(torch.isfinite(loss)), loss, names

    def on_after_backward(self) -> None:
        """Raise before a non-finite loss reaches the weights.

        Asked in the forward pass, a GPU would stand still until it is told to go back.

        Raises:
            ValueError: the loss is infinite or not a number.
        """
        if self._unchecked is None:
            return
        is_finite, loss, names = self._unchecked
        self._unchecked = None
        if not is_finite():
            files = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
            place = f"step {self.trainer.global_step}, learning rate {self.current_rate():.3g}, batch of {files}"
            raise ValueError(
                f"the loss is {loss.item()} at {place}: lower model.learning_rate, or set trainer.precision to 32-true"
            )
