"""Checkpoints of a run: when they are written, how, and which of them to go on from.

``last.ckpt`` is written beside its place, flushed to the disk and renamed; the one before it stays as ``last-1.ckpt``.
So a process may die at any moment, and a ``last.ckpt`` that a failing disk has torn costs one interval, not the run.
"""

import io
import logging
import os
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback, Checkpoint, ModelCheckpoint
from pytorch_lightning.utilities import rank_zero_only

from callbacks.run_folder import write_whole

_log = logging.getLogger(__name__)

LAST, PREVIOUS = "last.ckpt", "last-1.ckpt"
NEEDED = ("epoch", "global_step", "state_dict", "loops", "callbacks", "optimizer_states", "lr_schedulers")


class CheckpointError(OSError):
    """A checkpoint could not be written; the one before it is still there."""


class WholeFileCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place, and renames it once it is whole and on the disk.

    Lightning's own way leads through the system's temporary folder: where that is another file system the last step is
    a copy, and a process killed in it leaves half a ``last.ckpt``.
    """

    def __init__(self) -> None:
        super().__init__()
        self._whole: set[Path] = set()

    def save_checkpoint(  # noqa: D102 - inherited
        self,
        checkpoint: dict[str, Any],
        path: str | os.PathLike[str],
        storage_options: Any = None,  # noqa: ANN401 - Lightning's signature
    ) -> None:
        path = Path(path)
        buffer = io.BytesIO()  # a full disk under torch.save itself ends in a RuntimeError of its C++ writer
        torch.save(checkpoint, buffer)
        # A torn file must not take the place of the whole one that the run went on from.
        keeps = path.name == LAST and (path in self._whole or problem_of(path) is None)
        try:
            write_whole(path, buffer.getbuffer(), path.with_name(PREVIOUS) if keeps else None)
        except OSError as error:
            free = shutil.disk_usage(path.parent).free if path.parent.is_dir() else 0
            raise CheckpointError(
                f"cannot write checkpoint {path} of {buffer.tell() / 2**20:.1f} MiB: {error.strerror}, "
                f"{free / 2**20:.1f} MiB free; the one before it is kept: make room and give the same command again"
            ) from error
        self._whole.add(path)


class StepCheckpoint(Checkpoint):
    """Renews ``last.ckpt`` every so many optimizer steps.

    A saving that falls on a step that validation or the end of the epoch follows is put off to the next step: Lightning
    takes a run that goes on from there for one that has validated.

    Args:
        folder: of the checkpoints.
        every_n_train_steps: optimizer steps between two savings.
    """

    def __init__(self, folder: Path, every_n_train_steps: int) -> None:
        self.path = folder / LAST
        self.every_n_train_steps = every_n_train_steps
        self.saved_step = 0

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Count the next interval from here, whoever saves."""
        self.saved_step = trainer.global_step

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Do the same in a run that goes on."""
        self.saved_step = checkpoint["global_step"]

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Save if it is time, and a step is complete."""
        intervals = [step // self.every_n_train_steps for step in (self.saved_step, trainer.global_step)]
        gathering = (batch_idx + 1) % trainer.accumulate_grad_batches != 0
        if intervals[0] == intervals[1] or gathering or trainer.fast_dev_run or _validation_follows(trainer):  # type: ignore[attr-defined]
            return
        trainer.save_checkpoint(self.path)


def _validation_follows(trainer: Trainer) -> bool:
    loop = trainer.fit_loop
    assert loop._data_fetcher is not None
    return trainer.is_last_batch or loop.epoch_loop._should_check_val_fx(loop._data_fetcher)


@dataclass(frozen=True)
class Checkpoints:
    """When a run is saved: ``last.ckpt`` regularly and at the end, ``best.ckpt`` where a metric is named.

    Lightning's ``ModelCheckpoint(save_last=True)`` renews ``last.ckpt`` only when it keeps another file too, hence one
    callback for each of the two.

    Args:
        every_n_epochs: epochs between two savings.
        every_n_train_steps: save after so many optimizer steps, too: for epochs of hours.
        monitor: logged metric that ``best.ckpt`` is best at, such as ``probe/knn_top1``.
        mode: whether large or small values of it are good.
    """

    every_n_epochs: int = 1
    every_n_train_steps: int | None = None
    monitor: str | None = None
    mode: Literal["max", "min"] = "max"

    def __post_init__(self) -> None:
        """Refuse intervals without savings."""
        for name in ("every_n_epochs", "every_n_train_steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"checkpoint.{name} must be at least 1, not {value}")

    def callbacks(self, folder: Path) -> list[Callback]:
        """Build the callbacks that write into a folder."""
        settings: dict[str, Any] = {
            "dirpath": folder.absolute(),
            "auto_insert_metric_name": False,
            "enable_version_counter": False,
            "save_on_train_epoch_end": True,
            "every_n_epochs": self.every_n_epochs,
        }
        made: list[Callback] = []
        if self.monitor is not None:  # first: ``last.ckpt`` has to know of it
            made.append(ModelCheckpoint(filename="best", monitor=self.monitor, mode=self.mode, **settings))
        made.append(ModelCheckpoint(filename=Path(LAST).stem, **settings))
        if self.every_n_train_steps is not None:
            made.append(StepCheckpoint(folder.absolute(), self.every_n_train_steps))
        return made


def problem_of(path: Path) -> str | None:
    """Say why a run cannot go on from a checkpoint: it is not there, torn or incomplete.

    Every byte is read and compared with its checksum; what a failing disk zeroes within tensors is found, too.

    Returns:
        What is wrong, in a few words; None where nothing is.

    Raises:
        OSError: the file is there and cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            return f"{damaged} is damaged"
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except FileNotFoundError:
        return "it is not there"
    except OSError:
        raise
    except Exception as error:  # whatever zipfile and unpickling make of broken bytes
        return " ".join(str(error).split())[:100]
    missing = [name for name in NEEDED if name not in checkpoint]
    return f"it lacks {', '.join(missing)}" if missing else None


def newest(folder: Path) -> Path | None:
    """Find the checkpoint to go on from: ``last.ckpt``, or, with a warning, the one before it where that is torn.

    Args:
        folder: of the checkpoints.

    Returns:
        Path of the file; of a torn one where there is no other, None where there is none.
    """
    last, previous = folder / LAST, folder / PREVIOUS
    if not last.is_file() and not previous.is_file():
        return None
    problem = problem_of(last)
    if problem is None:
        return last
    if problem_of(previous) is None:
        _warn(f"{last} is torn ({problem}): {previous}, the one before it, is taken")
        return previous
    return last if last.is_file() else previous


@rank_zero_only
def _warn(line: str) -> None:
    _log.warning(line)


def step_of(path: str | Path) -> int:
    """Optimizer step that a checkpoint was written at.

    Raises:
        ValueError: if it is no checkpoint of a run.
    """
    try:
        with zipfile.ZipFile(path):  # of half a file torch says in some cases that the disk failed
            pass
        # Mapped, not read: only the number is wanted.
        return int(torch.load(path, map_location="cpu", weights_only=True, mmap=True)["global_step"])
    except OSError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{path} is no checkpoint of a run ({reason}): move it away to start anew, or give --ckpt_path"
        ) from error
