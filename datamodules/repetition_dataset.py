"""Videos of repeated motion with their cycles, from a list to batches."""

from collections.abc import Iterable
from typing import NamedTuple, Self, TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from datamodules.batch import RepetitionBatch
from datamodules.readers.cycles import neighbour_lengths
from datamodules.readers.video import VideoError, VideoReader
from datamodules.sample_list import SampleList
from datamodules.sampling.resumable_sampler import Draw
from datamodules.video_dataset import MAX_TRIES, UnreadableVideosError, broken_line


class RepeatedMotion(NamedTuple):
    """One video.

    Attributes:
        path: of its file.
        bounds: int64 (C + 1,), frames counted from 1 that its cycles start with, and the one that the last ends with.
    """

    path: str
    bounds: np.ndarray


class RepetitionList(SampleList):
    """Videos of repeated motion.

    Attributes:
        bounds_of_all: int64 (all cycles and N more,), see ``RepeatedMotion``, video by video.
        first_bound: int64 (N + 1,), where those of each video start.

    Args:
        videos: in order.
    """

    def __init__(self, videos: Iterable[RepeatedMotion]) -> None:
        listed = list(videos)
        super().__init__((video.path, -1) for video in listed)
        self.bounds_of_all = torch.tensor([bound for video in listed for bound in video.bounds.tolist()]).long()
        self.first_bound = torch.tensor([0, *(len(video.bounds) for video in listed)]).cumsum(0)

    @property
    def counts(self) -> Tensor:
        """Cycles of each video, int64 (N,)."""
        return self.first_bound.diff() - 1

    def cycles(self, row: int) -> Tensor:
        """Return the bounds of a video's cycles, int64 (C + 1,), by its row."""
        return self.bounds_of_all[self.first_bound[row] : self.first_bound[row + 1]]

    def select(self, keep: Tensor) -> Self:
        """Return the marked videos, in order.

        Args:
            keep: bool (N,).
        """
        part = super().select(keep)
        sizes = self.first_bound.diff()
        part.bounds_of_all = self.bounds_of_all[keep.repeat_interleave(sizes)]
        part.first_bound = torch.cat([torch.zeros(1, dtype=torch.int64), sizes[keep].cumsum(0)])
        return part


class RepetitionSample(TypedDict):
    """One video: the keys of ``RepetitionBatch`` without the batch axis."""

    frames: Tensor
    bounds: Tensor
    previous_length: Tensor
    next_length: Tensor
    sample: int
    name: str
    broken: list[str]


class RepetitionDataset(Dataset[RepetitionSample]):
    """The part of each video that its cycles fill, each frame whole: scaled to fit a square, black around it.

    A video that cannot be read is named in ``broken`` and replaced by the next one of the list.

    Args:
        samples: the videos.
        crop_size: side of the square in pixels.
    """

    def __init__(self, samples: RepetitionList, crop_size: int) -> None:
        self.samples = samples
        self.crop_size = crop_size

    def __len__(self) -> int:
        """Return the number of videos."""
        return len(self.samples)

    def __getitem__(self, draw: Draw) -> RepetitionSample:
        """Read one video.

        Raises:
            UnreadableVideosError: neither the video nor the next ones can be read.
        """
        broken: list[str] = []
        for row in range(draw.row, draw.row + min(len(self), MAX_TRIES)):
            row %= len(self)
            path, bounds = self.samples.path(row), self.samples.cycles(row)
            try:
                frames = self._read(path, int(bounds[0]), int(bounds[-1]))
            except VideoError as error:
                broken.append(broken_line(path, str(error)))
                continue
            previous, following = neighbour_lengths(bounds.numpy())
            return {
                "frames": frames,
                "bounds": bounds - bounds[0],
                "previous_length": torch.from_numpy(previous),
                "next_length": torch.from_numpy(following),
                "sample": row,
                "name": path,
                "broken": broken,
            }
        raise UnreadableVideosError(
            f"{broken[0]} (nor can the {len(broken) - 1} videos after it be read; check the folder and its files)"
        )

    def _read(self, path: str, first: int, last: int) -> Tensor:
        """Read frames counted from 1, uint8 (T, crop_size, crop_size, 3)."""
        with VideoReader(path) as video:
            numbers = np.minimum(np.arange(first - 1, last), video.num_frames - 1)
            scale = self.crop_size / max(video.height, video.width)
            height, width = max(round(video.height * scale), 1), max(round(video.width * scale), 1)
            pictures = torch.from_numpy(video.read(numbers, size=(height, width)))
        _, height, width, _ = pictures.shape  # a rotation may turn them
        frames = torch.zeros(len(pictures), self.crop_size, self.crop_size, 3, dtype=torch.uint8)
        top, left = (self.crop_size - height) // 2, (self.crop_size - width) // 2
        frames[:, top : top + height, left : left + width] = pictures
        return frames


def collate(samples: list[RepetitionSample]) -> RepetitionBatch:
    """Put samples into a batch."""
    return {
        "frames": pad_sequence([sample["frames"] for sample in samples], batch_first=True),
        "num_frames": torch.tensor([len(sample["frames"]) for sample in samples]),
        "bounds": [sample["bounds"] for sample in samples],
        "previous_length": pad_sequence([sample["previous_length"] for sample in samples], batch_first=True),
        "next_length": pad_sequence([sample["next_length"] for sample in samples], batch_first=True),
        "sample": torch.tensor([sample["sample"] for sample in samples]),
        "name": [sample["name"] for sample in samples],
        "broken": [line for sample in samples for line in sample["broken"]],
    }
