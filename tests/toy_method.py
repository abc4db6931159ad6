"""A method and a data module that take milliseconds, named in configs as ``toy_method.ToyMethod``."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

BATCHES, BATCH_SIZE = 6, 4


class ToyNetwork(nn.Module):
    """``scale`` times the input."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale


class ToyMethod(LightningModule):
    """Learns to draw 4 numbers to 0, with a decaying rate. ``ballast`` makes its checkpoint large (MiB)."""

    def __init__(self, lr: float = 0.1, ballast: int = 0, network: ToyNetwork | None = None, seed: int = 0) -> None:
        super().__init__()
        if lr <= 0:
            raise ValueError(f"lr must be positive, not {lr}")
        self.lr, self.seed, self.network = lr, seed, network
        self.layer = nn.Linear(4, 1)
        self.register_buffer("ballast", torch.zeros(ballast * 2**18))

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> Tensor:
        loss = self.layer(batch["clip"].float() / 24).square().mean()
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def on_train_epoch_end(self) -> None:
        self.log("train/rate", self.trainer.optimizers[0].param_groups[0]["lr"])

    def test_step(self, batch: dict[str, Tensor], batch_index: int) -> None:
        self.log("test/loss", self.layer(batch["clip"].float() / 24).square().mean())

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), self.lr, momentum=0.9)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.9**step)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Numbers(Dataset):
    def __len__(self) -> int:
        return BATCHES * BATCH_SIZE

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"clip": torch.full((4,), index, dtype=torch.uint8)}


class Order:
    """Batches of an epoch, from the first that has not been seen."""

    def __init__(self, data: "ToyData") -> None:
        self.data = data

    def __len__(self) -> int:
        return BATCHES

    def __iter__(self) -> Iterator[list[int]]:
        done = self.data.trainer.fit_loop.epoch_loop.batch_progress.total.processed
        for batch in range(done % BATCHES, BATCHES):
            if done - done % BATCHES + batch == self.data.fail_at:
                raise ValueError("the disk is away")
            yield list(range(batch * BATCH_SIZE, (batch + 1) * BATCH_SIZE))


class ToyData(LightningDataModule):
    def __init__(
        self,
        root: str,
        batch_size: int = BATCH_SIZE,
        num_workers: int = 0,
        seed: int = 0,
        fail_at: int = -1,
        samples: int | None = None,
    ) -> None:
        super().__init__()
        self.root, self.seed, self.num_workers, self.fail_at = root, seed, num_workers, fail_at
        self.broken: dict[str, str] = {}

    def setup(self, stage: str) -> None:
        if self.root == "missing":
            raise ValueError("no folder missing: give --data.root")
        if self.root == "bug":
            torch.zeros(2).reshape(3)  # raises RuntimeError
        if self.root == "interrupt":
            os.kill(os.getpid(), signal.SIGINT)
        if self.root == "broken":
            self.broken = {"a.mp4": "no frames", "b.mp4": "no stream"}

    def train_dataloader(self) -> DataLoader:
        return DataLoader(Numbers(), batch_sampler=Order(self), num_workers=self.num_workers)

    def test_dataloader(self) -> DataLoader:
        return DataLoader(Numbers(), BATCH_SIZE)


class SeedlessData(ToyData):
    def __init__(self, root: str) -> None:
        super().__init__(root)


class Signal(Callback):
    """Sends a signal to its own process in a step, on one rank alone if told so."""

    def __init__(self, step: int, signum: int = int(signal.SIGINT), times: int = 1, rank: int | None = None) -> None:
        self.step, self.signum, self.times, self.rank = step, signum, times, rank

    def on_before_optimizer_step(self, trainer: Any, *args: object) -> None:
        if trainer.global_step == self.step and self.rank in (None, trainer.global_rank):
            for _ in range(self.times):
                os.kill(os.getpid(), self.signum)


class Failure(Callback):
    """Raises a ValueError within a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_before_optimizer_step(self, trainer: Any, *args: object) -> None:
        if trainer.global_step == self.step:
            raise ValueError("the loss is nan at this step")


class ToyRecognition(ToyMethod):
    """A toy with ``weights``, whose test logs a share of samples."""

    def __init__(self, lr: float = 0.1, weights: str | None = None, seed: int = 0) -> None:
        super().__init__(lr, seed=seed)
        if weights is not None:
            self.load_state_dict(torch.load(weights, weights_only=True), strict=False)

    def test_step(self, batch: dict[str, Tensor], batch_index: int) -> None:
        self.log("test/top1", self.layer(batch["clip"].float() / 24).sigmoid().mean())


class Endless(Callback):
    """Says which process trains; stops when ``TOY_STOP`` is set, and dawdles until then."""

    def on_train_epoch_end(self, trainer: Any, *args: object) -> None:
        Path("pid").write_text(str(os.getpid()))
        if "TOY_STOP" in os.environ:
            trainer.should_stop = True
        else:
            time.sleep(0.02)
