"""Windows of long videos of depth or RGB with the actions in them, from a list of videos to batches."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple, Self, TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from datamodules.batch import WindowBatch
from datamodules.pku_protocol import Segment
from datamodules.readers.depth import MAX_MILLIMETRES, DepthError, DepthKind, DepthReader
from datamodules.readers.video import VideoError, VideoReader
from datamodules.sample_list import SampleList
from datamodules.sampling.resumable_sampler import Draw
from datamodules.video_dataset import MAX_TRIES, UnreadableVideosError, broken_line

WindowModality = Literal["depth", "rgb"]


class LongVideo(NamedTuple):
    """One video.

    Attributes:
        name: such as 0002-L.
        path: of a video file, or of a folder of depth maps.
        frames: how many it has.
        segments: its actions, in frames.
    """

    name: str
    path: str
    frames: int
    segments: list[Segment]


class WindowList(SampleList):
    """Windows of videos; a row is a window, ``path`` gives its video's name.

    Attributes:
        videos: the files of the videos, one a video.
        row: int64 (N,), video of each window.
        start: int64 (N,), first frame of each window.
        num_frames: int64 (V,), of each video.
        segments: int64 (S, 3), class from 0, start and end of all actions, video by video.
        first_segment: int64 (V + 1,), where those of each video start.

    Args:
        videos: in order.
        reach: frames of a video that a window covers.
        hop: frames from one window to the next; the last one ends with the video.
    """

    def __init__(self, videos: Iterable[LongVideo], reach: int, hop: int) -> None:
        listed = list(videos)
        places = [(row, start) for row, video in enumerate(listed) for start in window_starts(video.frames, reach, hop)]
        super().__init__((listed[row].name, -1) for row, _ in places)
        self.videos = SampleList((video.path, -1) for video in listed)
        self.row, self.start = torch.tensor(places).long().reshape(-1, 2).unbind(1)
        self.num_frames = torch.tensor([video.frames for video in listed]).long()
        actions = [(of.action - 1, of.start, of.end) for video in listed for of in video.segments]
        self.segments = torch.tensor(actions).long().reshape(-1, 3)
        self.first_segment = torch.tensor([0, *(len(video.segments) for video in listed)]).cumsum(0)

    def select(self, keep: Tensor) -> Self:
        """Return the marked windows, in order, of the same videos.

        Args:
            keep: bool (N,).
        """
        part = super().select(keep)
        part.row, part.start = self.row[keep], self.start[keep]
        return part

    def segments_of(self, video: int) -> Tensor:
        """Return the actions of a video, int64 (S, 3), by its row."""
        return self.segments[self.first_segment[video] : self.first_segment[video + 1]]


def window_starts(num_frames: int, reach: int, hop: int) -> list[int]:
    """First frames of the windows of a video: every ``hop`` frames, and the one that ends with it."""
    last = max(num_frames - reach, 0)
    return [*range(0, last, hop), last]


class WindowSample(TypedDict, total=False):
    """One window: the keys of ``WindowBatch`` without the batch axis."""

    rgb: Tensor
    depth: Tensor
    segments: Tensor
    classes: Tensor
    start: int
    step: int
    num_frames: int
    sample: int
    name: str
    broken: list[str]


class WindowDataset(Dataset[WindowSample]):
    """Windows of listed videos.

    A window that cannot be read is named in ``broken`` and replaced by one of the next videos.

    Args:
        samples: which windows.
        modality: ``depth`` or ``rgb``.
        window: frames of a window (T).
        step: frames of the video from one frame of a window to the next.
        size: height and width that frames are brought to.
        jitter: most frames that a window is moved on at random, within its video; 0 for none.
        depth: which depth maps of a folder.
        millimetres_per_level: of depth in video files, whose pixels have 8 bits.
    """

    def __init__(
        self,
        samples: WindowList,
        modality: WindowModality,
        window: int,
        step: int,
        size: tuple[int, int],
        jitter: int,
        depth: DepthKind,
        millimetres_per_level: float,
    ) -> None:
        self.samples = samples
        self.modality: WindowModality = modality
        self.window = window
        self.step = step
        self.size = size
        self.jitter = jitter
        self.depth: DepthKind = depth
        self.millimetres_per_level = millimetres_per_level

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.samples)

    def __getitem__(self, draw: Draw) -> WindowSample:
        """Read one window.

        Raises:
            UnreadableVideosError: neither its video nor the next ones can be read.
        """
        broken: list[str] = []
        for row in self._rows_from(draw.row):
            try:
                sample = self._read(row, torch.Generator().manual_seed(draw.seed))
            except (VideoError, DepthError) as error:
                path, _, reason = str(error).partition(": ")
                broken.append(broken_line(path, reason))
                continue
            sample["broken"] = broken
            return sample
        raise UnreadableVideosError(
            f"{broken[0]} (nor can the {len(broken) - 1} videos after it be read; check the folder and its files)"
        )

    def _rows_from(self, row: int) -> Iterator[int]:
        """Give a row, then the first ones of the videos after it."""
        video, tried = -1, 0
        for place in range(row, row + len(self)):
            place %= len(self)
            if int(self.samples.row[place]) != video:
                video, tried = int(self.samples.row[place]), tried + 1
                if tried > MAX_TRIES:
                    return
                yield place

    def _read(self, row: int, generator: torch.Generator) -> WindowSample:
        video, start = int(self.samples.row[row]), int(self.samples.start[row])
        length = int(self.samples.num_frames[video])
        if self.jitter:
            start += int(torch.randint(self.jitter + 1, (), generator=generator))
            start = min(start, max(length - self.window * self.step, 0))
        frames = start + self.step * np.arange(self.window)
        pixels = self._pixels(self.samples.videos.path(video), np.minimum(frames, length - 1))
        segments = self.samples.segments_of(video)
        seen = (segments[:, 2] > start) & (segments[:, 1] < start + self.window * self.step)
        sample: WindowSample = {
            "segments": (segments[seen, 1:] - start) / self.step,
            "classes": segments[seen, 0],
            "start": start,
            "step": self.step,
            "num_frames": int((frames < length).sum()),
            "sample": video,
            "name": self.samples.path(row),
        }
        sample[self.modality] = torch.from_numpy(pixels)
        return sample

    def _pixels(self, path: str, frames: np.ndarray) -> np.ndarray:
        if self.modality == "depth" and os.path.isdir(path):
            return DepthReader(path, self.depth).read(frames, size=self.size)
        with VideoReader(path) as video:
            pictures = video.read(frames, size=self.size)
        if self.modality == "rgb":
            return pictures
        levels = np.rint(pictures.mean(-1, dtype=np.float32) * self.millimetres_per_level)
        return np.asarray(levels.clip(max=MAX_MILLIMETRES).astype(np.int16))


def count_frames(path: Path, depth: DepthKind) -> int:
    """Return how many frames a video file, or a folder of depth maps, has.

    Raises:
        VideoError: the file is no video.
        DepthError: the folder holds no depth maps, or one is missing.
    """
    if path.is_dir():
        return DepthReader(path, depth).num_frames
    with VideoReader(path) as video:
        return video.num_frames


def collate(samples: list[WindowSample]) -> WindowBatch:
    """Put windows into a batch, in shared memory when a worker does it."""
    batch: WindowBatch = {
        "segments": [sample["segments"] for sample in samples],
        "classes": [sample["classes"] for sample in samples],
        "start": torch.tensor([sample["start"] for sample in samples]),
        "step": torch.tensor([sample["step"] for sample in samples]),
        "num_frames": torch.tensor([sample["num_frames"] for sample in samples]),
        "sample": torch.tensor([sample["sample"] for sample in samples]),
        "name": [sample["name"] for sample in samples],
        "broken": [line for sample in samples for line in sample["broken"]],
    }
    if "rgb" in samples[0]:
        batch["rgb"] = default_collate([sample["rgb"] for sample in samples])
    if "depth" in samples[0]:
        batch["depth"] = default_collate([sample["depth"] for sample in samples])
    return batch
