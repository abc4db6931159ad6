"""What the data modules of skeletons share: prepared sequences in two lists."""

from abc import abstractmethod
from importlib.resources import files
from pathlib import Path

from datamodules.sample_datamodule import SampleDataModule
from datamodules.sample_list import SampleList
from datamodules.skeleton_dataset import Listed, SkeletonDataset, SkeletonList, collate


class SkeletonDataModule(SampleDataModule):
    """Base of the data modules of skeletons; batches are ``SkeletonBatch``, of whole sequences.

    A crop in time is a method's view. Sequences are read alike for training and evaluation, through a memory map.
    """

    noun = "sequences"
    train_samples: SkeletonList
    val_samples: SkeletonList

    collate = staticmethod(collate)

    @property
    @abstractmethod
    def folder(self) -> Path:
        """Folder of the prepared sequences, as of ``skeleton_dataset.read_index``."""

    def dataset(self, samples: SampleList, training: bool) -> SkeletonDataset:
        """Return the sequences of a list."""
        assert isinstance(samples, SkeletonList)
        return SkeletonDataset(self.folder, samples)

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


def read_class_names(dataset: str) -> tuple[str, ...]:
    """Return the names of a dataset's classes, from the list that is shipped.

    Args:
        dataset: ``ntu`` (120 classes, of shahroudy/NTURGB-D's README) or ``pku_mmd`` (51).
    """
    file = files("datamodules") / "lists" / f"{dataset}_classes.txt"
    return tuple(file.read_text(encoding="ascii").splitlines())
