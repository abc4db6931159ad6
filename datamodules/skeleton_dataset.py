"""Prepared skeletons on the disk, and from a list of them to batches."""

import csv
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, Self, TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from datamodules.batch import SkeletonBatch, SkeletonRowBatch
from datamodules.sample_list import SampleList
from datamodules.sampling.resumable_sampler import Draw

ARRAY_FILE = "skeletons.npy"
FRAMES_FILE = "num_frames.npy"
INDEX_FILE = "index.csv"
COLUMNS = ("name", "subject", "camera", "setup", "action", "frames")


class Listed(NamedTuple):
    """One sample of a cache's index.

    Attributes:
        row: of the array.
        name: such as S001C001P001R001A001.
        subject: number of the performer, from 1, as all that follow.
        camera: of the view.
        setup: of the camera's height and distance.
        action: the class.
        frames: before the sequence repeats; 0 where the file was broken, so that the row holds nothing.
    """

    row: int
    name: str
    subject: int
    camera: int
    setup: int
    action: int
    frames: int


def is_cache(folder: Path) -> bool:
    """Tell whether a folder holds prepared skeletons."""
    return (folder / ARRAY_FILE).is_file() and (folder / INDEX_FILE).is_file()


def read_index(folder: Path) -> list[Listed]:
    """Read the index of prepared skeletons, and check it against the arrays.

    Args:
        folder: holds ``skeletons.npy``, float32 (N, 3, T, 25, 2); ``num_frames.npy``, int64 (N,); and ``index.csv``
            with a line ``name,subject,camera,setup,action,frames`` for each of the N.

    Raises:
        ValueError: a file is missing or damaged, or they do not belong together.
    """
    remedy = f"remove {folder} and prepare it again"
    listed: list[Listed] = []
    file = folder / INDEX_FILE
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            lines = csv.reader(stream)
            if tuple(next(lines, ())) != COLUMNS:
                raise ValueError(f"{file}:1: is not the line {','.join(COLUMNS)}; {remedy}")
            for row, words in enumerate(lines):
                try:
                    name, *numbers = words
                    subject, camera, setup, action, frames = map(int, numbers)
                except ValueError:
                    raise ValueError(f"{file}:{lines.line_num}: {','.join(words)!r} is no sample; {remedy}") from None
                listed.append(Listed(row, name, subject, camera, setup, action, frames))
    except OSError as error:
        raise ValueError(f"{file}:1: cannot be read ({error.strerror}); {remedy}") from error
    try:
        # Opening it as a map finds a file that is cut short, too.
        sequences, num_frames = np.load(folder / ARRAY_FILE, mmap_mode="r"), np.load(folder / FRAMES_FILE)
    except (OSError, EOFError, ValueError) as error:
        raise ValueError(f"{folder}: {error}; {remedy}") from error
    shape, dtype = sequences.shape, sequences.dtype
    if dtype != np.float32 or len(shape) != 5 or (shape[1], *shape[3:]) != (3, 25, 2):
        raise ValueError(f"{folder / ARRAY_FILE}: is {dtype} {shape}, not float32 (N, 3, T, 25, 2); {remedy}")
    if shape[0] != len(listed) or not np.array_equal(num_frames, [sample.frames for sample in listed]):
        raise ValueError(
            f"{folder}: the index lists {len(listed):,} samples, the arrays hold {shape[0]:,} and {len(num_frames):,},"
            f" or their frames differ; {remedy}"
        )
    outside = next((sample for sample in listed if not 0 <= sample.frames <= shape[2]), None)
    if outside is not None:
        raise ValueError(f"{file}:{outside.row + 2}: {outside.frames} frames of {shape[2]}; {remedy}")
    return listed


class SkeletonList(SampleList):
    """Names and labels of prepared sequences, and where they are.

    Attributes:
        rows: int64 (N,), of the cache's array.
        num_frames: int64 (N,), before the sequence repeats.

    Args:
        samples: of an index, with the class of each from 0, -1 where it is unknown.
    """

    def __init__(self, samples: Iterable[tuple[Listed, int]]) -> None:
        rows, frames = array("q"), array("q")

        def names() -> Iterable[tuple[str, int]]:
            for sample, label in samples:
                rows.append(sample.row)
                frames.append(sample.frames)
                yield sample.name, label

        super().__init__(names())
        self.rows = torch.frombuffer(rows, dtype=torch.int64) if rows else torch.empty(0).long()
        self.num_frames = torch.frombuffer(frames, dtype=torch.int64) if frames else torch.empty(0).long()

    def select(self, keep: Tensor) -> Self:
        """Return the marked sequences, in order.

        Args:
            keep: bool (N,).
        """
        part = super().select(keep)
        part.rows, part.num_frames = self.rows[keep], self.num_frames[keep]
        return part


class SkeletonSample(TypedDict):
    """One sequence: the keys of ``SkeletonBatch`` without the batch axis."""

    skeleton: Tensor
    num_frames: int
    label: int
    sample: int
    name: str


class SkeletonDataset(Dataset[SkeletonSample]):
    """Prepared sequences of a list. They are mapped into memory, which all processes of a machine then share.

    Args:
        folder: as of ``read_index``.
        samples: which of its sequences.
    """

    def __init__(self, folder: Path, samples: SkeletonList) -> None:
        self.file = folder / ARRAY_FILE
        self.samples = samples
        self._sequences: np.ndarray | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the map: pickled, it would be all of the data."""
        return {**self.__dict__, "_sequences": None}

    def __len__(self) -> int:
        """Return the number of sequences."""
        return len(self.samples)

    def __getitem__(self, draw: Draw) -> SkeletonSample:
        """Read one sequence.

        Returns:
            ``skeleton`` is float32 (3, T, 25, 2); the rest as in ``SkeletonBatch``.
        """
        if self._sequences is None:
            self._sequences = np.load(self.file, mmap_mode="r")
        row = draw.row
        return {
            "skeleton": torch.from_numpy(np.array(self._sequences[int(self.samples.rows[row])])),
            "num_frames": int(self.samples.num_frames[row]),
            "label": self.samples.label(row),
            "sample": row,
            "name": self.samples.path(row),
        }


class SkeletonRows(Dataset[SkeletonRowBatch]):
    """The same list without its sequences, in whole batches: nothing is read from the disk.

    Args:
        samples: any sequences.
    """

    def __init__(self, samples: SkeletonList) -> None:
        self.samples = samples

    def __len__(self) -> int:
        """Return the number of sequences."""
        return len(self.samples)

    def __getitems__(self, draws: list[Draw]) -> SkeletonRowBatch:
        """Return what is listed of some sequences."""
        rows = [draw.row for draw in draws]
        sample = torch.tensor(rows)
        return {
            "label": self.samples.labels[sample],
            "sample": sample,
            "name": [self.samples.path(row) for row in rows],
        }


def collate(samples: list[SkeletonSample]) -> SkeletonBatch:
    """Put samples into a batch, in shared memory when a worker does it."""
    return {
        "skeleton": default_collate([sample["skeleton"] for sample in samples]),
        "num_frames": torch.tensor([sample["num_frames"] for sample in samples]),
        "label": torch.tensor([sample["label"] for sample in samples]),
        "sample": torch.tensor([sample["sample"] for sample in samples]),
        "name": [sample["name"] for sample in samples],
    }
