"""What the data modules of skeletons share: prepared sequences in two lists."""

from abc import abstractmethod
from functools import cached_property
from pathlib import Path

import torch

from datamodules.batch import SkeletonBatch
from datamodules.resident_sequences import ResidentDataset, ResidentSequences
from datamodules.sample_datamodule import Loading, SampleDataModule
from datamodules.sample_list import SampleList
from datamodules.skeleton_dataset import Listed, SkeletonDataset, SkeletonList, SkeletonSample, collate


class SkeletonDataModule(SampleDataModule):
    """Base of the data modules of skeletons; batches are ``SkeletonBatch``, of whole sequences.

    A crop in time is a method's view. Sequences are read alike for training and evaluation, through a memory map.

    Args:
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
        global_batch_size: int,
        eval_batch_size: int,
        probe_samples: int | None,
        num_workers: int,
        seed: int,
        on_device: bool,
    ) -> None:
        super().__init__(global_batch_size, eval_batch_size, probe_samples, num_workers, seed)
        self.on_device = on_device

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

    def _part(self, train: list[Listed], val: list[Listed]) -> None:
        """Set the two lists; where one is empty the other serves for both."""
        parts = [SkeletonList((sample, sample.action - 1) for sample in part) for part in (train, val)]
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
