"""What the data modules of skeletons share: prepared sequences in two lists."""

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from importlib.resources import files
from pathlib import Path

import torch
from pytorch_lightning.utilities import rank_zero_info

from datamodules.batch import SkeletonBatch
from datamodules.resident_sequences import ResidentDataset, ResidentSequences
from datamodules.rows_datamodule import RowsDataModule
from datamodules.sample_datamodule import Loader, Loading
from datamodules.sample_list import SampleList
from datamodules.skeleton_dataset import (
    Listed,
    SkeletonDataset,
    SkeletonList,
    SkeletonRows,
    SkeletonSample,
    collate,
)


class SkeletonDataModule(RowsDataModule):
    """Base of the data modules of skeletons; batches are ``SkeletonBatch``, of whole sequences.

    A crop in time is a method's view. Sequences are read alike for training and evaluation, through a memory map.

    Rows alone (``RowsDataModule.rows_only``) are ``SkeletonRowBatch``.

    Args:
        labelled_fraction: share of each class that the training list keeps (``SampleList.labelled_subset``): 0.01,
            0.05, 0.1 and 0.2 in table 3.3.
        labelled_seed: of that choice; ``seed`` when None.
        global_batch_size: see ``SampleDataModule``, as all that follow but the last.
        eval_batch_size: see there.
        probe_samples: see there.
        num_workers: see there.
        seed: see there.
        on_device: whether to keep the sequences of both lists in the memory of the device that trains. Batches are the
            same to the bit, are made there, and ``num_workers`` is unused. Each process holds a copy of its own; one of
            NTU-60 takes 9.5 GiB.

    Raises:
        ValueError: a number is out of range.
    """

    noun = "sequences"
    train_samples: SkeletonList
    val_samples: SkeletonList

    def __init__(
        self,
        labelled_fraction: float,
        labelled_seed: int | None,
        global_batch_size: int,
        eval_batch_size: int,
        probe_samples: int | None,
        num_workers: int,
        seed: int,
        on_device: bool,
    ) -> None:
        super().__init__(global_batch_size, eval_batch_size, probe_samples, num_workers, seed)
        if not 0 < labelled_fraction <= 1:
            raise ValueError(f"labelled_fraction={labelled_fraction} must be above 0 and at most 1, such as 0.05")
        self.labelled_fraction = labelled_fraction
        self.on_device = on_device
        self.labelled_seed = seed if labelled_seed is None else labelled_seed

    @property
    @abstractmethod
    def folder(self) -> Path:
        """Folder of the prepared sequences, as of ``skeleton_dataset.read_index``."""

    def dataset(self, samples: SampleList, training: bool) -> SkeletonDataset | ResidentDataset:
        """Return the sequences of a list.

        Raises:
            ValueError: they are to be kept on the device, and it has not enough free memory.
        """
        assert isinstance(samples, SkeletonList)
        return ResidentDataset(self._resident, samples) if self.on_device else SkeletonDataset(self.folder, samples)

    @cached_property
    def _resident(self) -> ResidentSequences:
        trainer = self.trainer
        device = torch.device("cpu") if trainer is None else trainer.strategy.root_device
        processes = 1 if trainer is None else trainer.num_devices
        rows = torch.cat([self.train_samples.rows, self.val_samples.rows])
        return ResidentSequences(self.folder, rows, device, processes)

    def collate(self, samples: list[SkeletonSample] | SkeletonBatch) -> SkeletonBatch:
        """Put samples into a batch; what is kept on the device is one already."""
        return collate(samples) if isinstance(samples, list) else samples

    def _loading(self, persistent: bool) -> Loading:
        if not self.on_device:
            return super()._loading(persistent)
        here: Loading = {**super()._loading(persistent=False), "num_workers": 0, "pin_memory": False}
        return {**here, "multiprocessing_context": None}

    def rows(self, samples: SampleList, unreadable: frozenset[int]) -> SkeletonRows:
        """Return what is listed of sequences; none is unreadable."""
        assert isinstance(samples, SkeletonList)
        return SkeletonRows(samples)

    def training_views(self, views: int) -> list[tuple[Sequence[int], Loader]]:
        """Return the whole sequences once, for all views: what is drawn of them is a method's."""
        return [(range(views), self._evaluation_loader(self.train_samples))]

    def _part(self, train: list[Listed], val: list[Listed]) -> None:
        """Set the two lists; where one is empty the other serves for both."""
        parts = [SkeletonList((sample, sample.action - 1) for sample in part) for part in (train, val)]
        if self.labelled_fraction < 1 and len(parts[0]):
            known = len(parts[0])
            parts[0] = parts[0].labelled_subset(self.labelled_fraction, self.labelled_seed)
            rank_zero_info(
                f"{type(self).__name__}: {len(parts[0]):,} of {known:,} training sequences are used, "
                f"{100 * self.labelled_fraction:g} % of each class, seed {self.labelled_seed}"
            )
        self.train_samples, self.val_samples = (part if len(part) else parts[1 - i] for i, part in enumerate(parts))


def counts(train: int, val: int, official: tuple[int, int] | None, left_out: dict[str, int]) -> str:
    """Return how many sequences there are, in words.

    Args:
        train: sequences to train with.
        val: and to test with.
        official: the same of a complete copy, None where there is no such number.
        left_out: how many are left out, by what they are.
    """
    line = f"{train:,} training sequences, {val:,} to test"
    if official == (train, val):
        line += ", as many as the official lists have"
    elif official is not None:
        line += f", of the official {official[0]:,} and {official[1]:,}"
    if not train or not val:
        line += "; nothing is held out"
    return line + "".join(f"; {number:,} {what}" for what, number in left_out.items() if number)


def read_class_names(dataset: str) -> tuple[str, ...]:
    """Return the names of a dataset's classes, from the list that is shipped.

    Args:
        dataset: ``ntu`` (120 classes, of shahroudy/NTURGB-D's README) or ``pku_mmd`` (51).
    """
    file = files("datamodules") / "lists" / f"{dataset}_classes.txt"
    return tuple(file.read_text(encoding="ascii").splitlines())
