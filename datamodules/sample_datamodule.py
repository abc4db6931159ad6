"""What all data modules share: who loads which sample when, and where notes on the data go."""

import os
import signal
import sys
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypedDict, cast

import torch
from pytorch_lightning import LightningDataModule
from pytorch_lightning.utilities import rank_zero_warn
from torch.utils.data import DataLoader, Dataset

from datamodules.sample_list import SampleList
from datamodules.sampling.resumable_sampler import EvaluationSampler, ResumableSampler

# Workers are forked: they start at once and share the imported libraries. That is safe here because the parent holds no
# open decoder, and a worker decodes and computes in one thread. Workers of a fork server outlive a killed parent, as
# torch watches for a change of the parent process, which is then the server.
START_METHOD = "fork" if sys.platform == "linux" else None

Loader = DataLoader[Any]


class Loading(TypedDict):
    """Arguments that all loaders share."""

    collate_fn: Callable[[list[Any]], Any]
    num_workers: int
    worker_init_fn: Callable[[int], None]
    persistent_workers: bool
    multiprocessing_context: str | None
    pin_memory: bool
    generator: torch.Generator


class TrainLoader(Loader):
    """Loader of a ``ResumableSampler``, which asks the Trainer where to start.

    It keeps no position of its own; having a state tells a Trainer that resuming in mid-epoch is safe.

    Attributes:
        noun: what messages call the samples.
        seconds_waited: how long its batches were waited for, since it was made.
    """

    noun = "samples"
    seconds_waited = 0.0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Start the workers; the time that each batch is waited for is measured."""
        return self._timed(super().__iter__())

    def _timed(self, batches: Iterator[Any]) -> Iterator[Any]:
        while True:
            start = time.perf_counter()
            batch = next(batches, None)
            self.seconds_waited += time.perf_counter() - start
            if batch is None:
                return
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Return what the order of samples depends on."""
        sampler = cast(ResumableSampler, self.batch_sampler)
        per_step = sampler.batch_size * sampler.world_size * sampler.accumulate
        return {self.noun: sampler.num_samples, "global_batch_size": per_step, "seed": sampler.seed}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Warn where the order is not that of the run being resumed."""
        for name, value in self.state_dict().items():
            if state.get(name) != value:
                rank_zero_warn(
                    f"{name} was {state.get(name)} and is {value}: the order of samples is another from here"
                )


class SampleDataModule(LightningDataModule):
    """Base of the data modules; ``setup`` of a subclass fills the two lists.

    Attributes:
        train_samples: samples of the training list.
        val_samples: samples of the evaluation list; the same object where nothing is held out.
        num_classes: number of classes, known after ``setup``; 0 without labels.
        class_names: of the classes, in their order; None where they are not known.
        noun: what messages call the samples.

    Args:
        global_batch_size: samples per optimizer step, over all processes and accumulated batches.
        eval_batch_size: samples per batch and process in evaluation.
        probe_samples: most training samples that ``probe_dataloaders`` gives; all when None.
        num_workers: loading processes per training process; 0 loads in the training process.
        seed: of the order of samples and of all that is drawn while loading.

    Raises:
        ValueError: a number is out of range.
    """

    train_samples: SampleList
    val_samples: SampleList
    num_classes: int | None = None
    class_names: Sequence[str] | None = None
    noun = "samples"

    def __init__(
        self, global_batch_size: int, eval_batch_size: int, probe_samples: int | None, num_workers: int, seed: int
    ) -> None:
        super().__init__()
        require_positive(global_batch_size=global_batch_size, eval_batch_size=eval_batch_size)
        self.global_batch_size = global_batch_size
        self.eval_batch_size = eval_batch_size
        self.probe_samples = probe_samples
        self.num_workers = num_workers
        self.seed = seed
        # With fewer evaluation samples than processes some have none.
        self.allow_zero_length_dataloader_with_multiple_devices = True

    @abstractmethod
    def dataset(self, samples: SampleList, training: bool) -> Dataset[Any]:
        """Return what reads listed samples, by ``Draw``.

        Args:
            samples: a list of ``setup``, or a part of one.
            training: whether to draw at random.
        """

    @abstractmethod
    def collate(self, samples: list[Any]) -> Any:  # noqa: ANN401 - a batch of datamodules/batch.py
        """Put samples of ``dataset`` into a batch."""

    def train_dataloader(self) -> Loader:
        """Return batches in an order that depends on the seed and the batch number alone.

        Raises:
            ValueError: ``global_batch_size`` does not divide, or the Trainer would replace the sampler.
        """
        dataset = self.dataset(self.train_samples, training=True)
        return self._training_loader(dataset, self._loading(persistent=True))

    def _training_loader(self, dataset: Dataset[Any], loading: Loading) -> Loader:
        world_size, rank = self._processes()
        accumulate = 1 if self.trainer is None else self.trainer.accumulate_grad_batches
        batch_size = samples_per_batch(self.global_batch_size, world_size, accumulate)
        sampler = ResumableSampler(
            len(self.train_samples),
            batch_size,
            rank,
            world_size,
            self.seed,
            accumulate,
            self._batches_done,
            self._view,
        )
        loader = TrainLoader(dataset, batch_sampler=sampler, **loading)
        loader.noun = self.noun
        return loader

    def val_dataloader(self) -> Loader:
        """Return the evaluation samples, each once, in order, dealt out over the processes."""
        return self._evaluation_loader(self.val_samples, persistent=True)

    def test_dataloader(self) -> Loader:
        """Return the same as ``val_dataloader``."""
        return self._evaluation_loader(self.val_samples)

    def predict_dataloader(self) -> Loader:
        """Return the same as ``val_dataloader``."""
        return self._evaluation_loader(self.val_samples)

    def probe_dataloaders(self) -> tuple[Loader, Loader] | None:
        """Return labelled training and evaluation samples, both read as in evaluation, to probe features with.

        Each process gets its share. Whoever iterates over them calls ``on_before_batch_transfer`` with each batch, as
        a Trainer does, so that broken samples are counted.

        Returns:
            The two loaders; None where samples have no labels or none are held out.
        """
        if self.val_samples is self.train_samples:
            return None
        known = self.train_samples.select(self.train_samples.labels >= 0)
        held_out = self.val_samples.select(self.val_samples.labels >= 0)
        if not len(known) or not len(held_out):
            return None
        if self.probe_samples is not None and self.probe_samples < len(known):
            known = known.subset(self.probe_samples / len(known), self.seed)
        return self._evaluation_loader(known), self._evaluation_loader(held_out)

    def _evaluation_loader(self, samples: SampleList, persistent: bool = False) -> Loader:
        return self._once_loader(self.dataset(samples, training=False), len(samples), self._loading(persistent))

    def _once_loader(self, dataset: Dataset[Any], num_samples: int, loading: Loading) -> Loader:
        world_size, rank = self._processes()
        sampler = EvaluationSampler(num_samples, rank, world_size)
        return DataLoader(dataset, batch_size=self.eval_batch_size, sampler=sampler, **loading)

    def _loading(self, persistent: bool) -> Loading:
        """Return the arguments that all loaders share."""
        if self.trainer is not None:
            connector = self.trainer._accelerator_connector
            if connector.use_distributed_sampler and connector.is_distributed:
                raise ValueError(
                    f"the order of {self.noun} is set here: run with --trainer.use_distributed_sampler=false"
                )
        workers = self.num_workers > 0
        return {
            "collate_fn": self.collate,
            "num_workers": self.num_workers,
            "worker_init_fn": _heed_the_parent_alone,
            "persistent_workers": persistent and workers,
            "multiprocessing_context": START_METHOD if workers else None,
            "pin_memory": self.trainer is not None and self.trainer.strategy.root_device.type == "cuda",
            # Else a loader draws its workers' seeds from the global generator, once more in a run that goes on.
            "generator": torch.Generator().manual_seed(self.seed),
        }

    def _processes(self) -> tuple[int, int]:
        return (1, 0) if self.trainer is None else (self.trainer.world_size, self.trainer.global_rank)

    def _batches_done(self) -> int:
        # Of the Trainer's counters `processed` alone is right whenever the checkpoint was written: at the end of a
        # batch (`completed` is one behind), or inside one by an exception or a signal (`ready` is one ahead).
        if self.trainer is None:
            return 0
        progress = self.trainer.fit_loop.epoch_loop.batch_progress.total
        return int(progress.processed)  # type: ignore[attr-defined]  # declared without it

    def _view(self) -> int | None:
        """Number of the view that this epoch shows of each sample; None where it has one of its own."""
        return None

    def _record_folder(self) -> Path | None:
        """Return the folder for lists of samples inside the run folder, created."""
        if self.trainer is None:
            return None
        folder = Path(self.trainer.default_root_dir) / "data"
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def _heed_the_parent_alone(worker: int) -> None:
    """Leave signals to the training process, which may want to finish its step with the samples of this worker.

    Ctrl-C reaches all processes of a terminal, a signal of SLURM all of a job; SIGTERM counts from the parent alone.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        # Blocked for the threads to come, too; a handler would not be told who sent it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_wait_for_the_parent, daemon=True).start()


def _wait_for_the_parent() -> None:
    """End this worker when its parent asks for it."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)


def samples_per_batch(global_batch_size: int, processes: int, accumulate: int = 1) -> int:
    """Share out the samples of an optimizer step.

    Args:
        global_batch_size: samples per optimizer step.
        processes: that take part, over all nodes.
        accumulate: batches per optimizer step.

    Returns:
        Samples of one batch on one process.

    Raises:
        ValueError: they cannot be shared out equally.
    """
    share = processes * accumulate
    if global_batch_size % share:
        below = global_batch_size // share * share
        nearest = f"{below} and {below + share}" if below else str(share)
        raise ValueError(
            f"global_batch_size={global_batch_size} does not divide into {processes} processes x {accumulate}"
            f" accumulated batches; the nearest that do: {nearest}"
        )
    return global_batch_size // share


def require_positive(**numbers: int) -> None:
    """Refuse arguments below 1.

    Raises:
        ValueError: one is.
    """
    for name, value in numbers.items():
        if value < 1:
            raise ValueError(f"{name}={value} must be at least 1")
