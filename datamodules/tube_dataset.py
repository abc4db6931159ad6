"""Clips with the boxes in their last frames, from a list of videos and their annotated tubes to batches."""

import os
from collections.abc import Sequence
from typing import NamedTuple, Self, TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from datamodules.batch import TubeBatch
from datamodules.readers.numbered_pictures import FrameFolder
from datamodules.readers.video import MAX_MISSING_FRAMES, VideoError, VideoReader
from datamodules.sample_list import SampleList
from datamodules.sampling.resumable_sampler import Draw
from datamodules.video_dataset import MAX_TRIES, UnreadableVideosError, broken_line

# What is left of a box after a crop is learnt where it is at least this share of the picture (wei-tim/YOWO, clip.py).
_LEAST_SIDE = 0.001


class AnnotatedVideo(NamedTuple):
    """One video.

    Attributes:
        name: such as ``Basketball/v_Basketball_g01_c01``.
        path: of its file, or of a folder of pictures.
        num_frames: that it has.
        rows: int64 (N, 3), frame, class and number of the tube, of each box.
        boxes: float32 (N, 4), as shares of the picture.
    """

    name: str
    path: str
    num_frames: int
    rows: np.ndarray
    boxes: np.ndarray


class TubeTable:
    """The boxes of V videos in flat tensors, found by video and frame.

    Attributes:
        videos: their files.
        names: their names, as the paths of a list.
        num_frames: int64 (V,).
        boxes: float32 (N, 4), by video and frame.
        label: int64 (N,), classes from 0.
        tube: int64 (N,), another number for each tube.

    Args:
        videos: in order.
    """

    def __init__(self, videos: Sequence[AnnotatedVideo]) -> None:
        self.videos = SampleList((video.path, -1) for video in videos)
        self.names = SampleList((video.name, -1) for video in videos)
        self.num_frames = torch.tensor([video.num_frames for video in videos]).long()
        self._first_frame = torch.cat([torch.zeros(1, dtype=torch.long), self.num_frames.cumsum(0)])
        counts = [int(video.rows[:, 2].max(initial=-1)) + 1 for video in videos]
        tubes = np.cumsum([0, *counts])
        rows = [np.empty((0, 3), np.int64), *(video.rows for video in videos)]
        starts = np.repeat(self._first_frame[:-1].numpy(), [len(video.rows) for video in videos])
        table = torch.from_numpy(np.concatenate(rows))
        place = table[:, 0] + torch.from_numpy(starts)
        order = place.argsort(stable=True)
        self._first_box = torch.searchsorted(place[order], torch.arange(int(self._first_frame[-1]) + 1))
        boxes = np.concatenate([np.empty((0, 4), np.float32), *(video.boxes for video in videos)])
        self.boxes = torch.from_numpy(boxes)[order]
        self.label = table[order, 1]
        self.tube = (table[:, 2] + torch.from_numpy(np.repeat(tubes[:-1], [len(video.rows) for video in videos])))[
            order
        ]

    def rows_of(self, video: int, frame: int) -> slice:
        """Return which of the boxes are those of a frame."""
        place = int(self._first_frame[video]) + frame
        return slice(int(self._first_box[place]), int(self._first_box[place + 1]))

    def box_labels(self, video: Tensor, start: Tensor, run: int) -> Tensor:
        """Return the classes of the boxes of runs of frames, int64 (S,), in the table's order.

        Args:
            video: int64 (R,), of each run.
            start: int64 (R,), its first frame.
            run: frames of each; it ends with its video at the latest.
        """
        first = self._first_frame[video] + start
        end = torch.minimum(first + run, self._first_frame[video + 1])
        ends = torch.zeros(len(self.label) + 1, dtype=torch.int64)
        for place, sign in ((first, 1), (end, -1)):
            ends.index_add_(0, self._first_box[place], torch.full_like(place, sign))
        return self.label.repeat_interleave(ends.cumsum(0)[:-1])

    def annotated_frames(self) -> tuple[Tensor, Tensor]:
        """Return video and frame of each frame that has a box, int64 (F,), in order."""
        place = (self._first_box.diff() > 0).nonzero()[:, 0]
        video = torch.searchsorted(self._first_frame, place, right=True) - 1
        return video, place - self._first_frame[video]


class KeyFrameList(SampleList):
    """Key frames of videos, one or a run of them a row; ``path`` gives a row's video's name.

    Attributes:
        table: videos and boxes.
        row: int64 (N,), video of each row.
        start: int64 (N,), its first key frame.
        run: key frames of a row, fewer where its video ends.

    Args:
        table: videos and boxes.
        row: see above.
        start: see above.
        run: see above.
    """

    def __init__(self, table: TubeTable, row: Tensor, start: Tensor, run: int = 1) -> None:
        names = [table.names.path(video) for video in range(len(table.names))]
        super().__init__((names[video], -1) for video in row.tolist())
        self.table = table
        self.row, self.start, self.run = row, start, run

    def box_labels(self) -> Tensor:
        """Classes of the boxes of all listed key frames, int64 (S,), in the order of the table."""
        return self.table.box_labels(self.row, self.start, self.run)

    def select(self, keep: Tensor) -> Self:
        """Return the marked rows, in order, of the same videos.

        Args:
            keep: bool (N,).
        """
        part = super().select(keep)
        part.row, part.start = self.row[keep], self.start[keep]
        return part


class TubeSample(TypedDict):
    """One row: the keys of ``TubeBatch`` without the batch axis; ``owner`` counts the row's own key frames."""

    clip: Tensor
    frame: Tensor
    boxes: Tensor
    owner: Tensor
    box_label: Tensor
    tube: Tensor
    video: int
    name: str
    broken: list[str]


class TubeDataset(Dataset[TubeSample]):
    """Clips that end in listed key frames, with the boxes of these.

    Training takes a crop whose four sides lie up to ``jitter`` of the picture further in or out, black where it reaches
    out, and brings it to the clip's size, whatever its aspect; so do the boxes. Evaluation takes the whole picture.

    A video that cannot be read, or that ends before a key frame, is named in ``broken`` and replaced by the next one.

    Args:
        samples: which key frames.
        num_frames: of a clip (T).
        strides: distances between a clip's frames in training, one drawn per clip; evaluation takes consecutive ones.
        size: height and width of a clip in pixels.
        jitter: of the crop's sides.
        run: key frames of a row (K) in evaluation; None in training, where it is one.
    """

    def __init__(
        self,
        samples: KeyFrameList,
        num_frames: int,
        strides: tuple[int, ...],
        size: int,
        jitter: float,
        run: int | None,
    ) -> None:
        self.samples = samples
        self.num_frames = num_frames
        self.strides = strides
        self.size = size
        self.jitter = jitter
        self.run = run

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.samples)

    def __getitem__(self, draw: Draw) -> TubeSample:
        """Read one row.

        Raises:
            UnreadableVideosError: neither its video nor the next ones can be read.
        """
        broken: list[str] = []
        video, tried = -1, 0
        for place in range(draw.row, draw.row + len(self)):
            row = place % len(self)
            if int(self.samples.row[row]) == video:
                continue
            video, tried = int(self.samples.row[row]), tried + 1
            if tried > MAX_TRIES:
                break
            try:
                return {**self._read(row, torch.Generator().manual_seed(draw.seed)), "broken": broken}
            except VideoError as error:
                path = self.samples.table.videos.path(video)
                broken.append(broken_line(path, str(error)))
        raise UnreadableVideosError(
            f"{broken[0]} (nor can the {len(broken) - 1} videos after it be read; check the folder and its files)"
        )

    def _read(self, row: int, generator: torch.Generator) -> TubeSample:
        table, video, start = self.samples.table, int(self.samples.row[row]), int(self.samples.start[row])
        run = 1 if self.run is None else self.run
        key = start + torch.arange(run)
        key[key >= table.num_frames[video]] = -1
        if self.run is None:
            stride = self.strides[int(torch.randint(len(self.strides), (), generator=generator))]
            frames = start + stride * np.arange(1 - self.num_frames, 1)
            sides = self.jitter * (2 * torch.rand(4, dtype=torch.float64, generator=generator).numpy() - 1)
            crop = np.array([0.0, 0.0, 1.0, 1.0]) + sides
        else:
            frames = start + np.arange(1 - self.num_frames, run)
            crop = np.array([0.0, 0.0, 1.0, 1.0])
        clip, crop = self._pixels(table.videos.path(video), frames, int(key.max()), crop)
        slices = [table.rows_of(video, frame) for frame in key.tolist() if frame >= 0]
        rows = torch.cat([torch.arange(part.start, part.stop) for part in slices])
        owner = torch.arange(len(slices)).repeat_interleave(torch.tensor([part.stop - part.start for part in slices]))
        boxes = crop_boxes(table.boxes[rows], torch.from_numpy(crop).float())
        there = (boxes[:, 2:] - boxes[:, :2]).amin(1) >= _LEAST_SIDE
        return {
            "clip": torch.from_numpy(clip),
            "frame": key,
            "boxes": boxes[there],
            "owner": owner[there],
            "box_label": table.label[rows[there]],
            "tube": table.tube[rows[there]],
            "video": video,
            "name": self.samples.path(row),
            "broken": [],
        }

    def _pixels(self, path: str, frames: np.ndarray, last: int, crop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Read frames; return them cropped, uint8 (T, size, size, 3), and the crop, moved to whole pixels of these."""
        height, width = np.rint(self.size / (crop[2:] - crop[:2])[::-1]).astype(int).tolist()
        with FrameFolder(path) if os.path.isdir(path) else VideoReader(path) as video:
            if last >= video.num_frames + MAX_MISSING_FRAMES:
                raise VideoError(f"{path}: has {video.num_frames} frames, the annotations tell of frame {last + 1}")
            pixels = video.read(frames.clip(0, video.num_frames - 1), size=(height, width))
        if (height, width) == (self.size, self.size) and not crop[:2].any():
            return pixels, crop
        left, top = np.rint(crop[:2] * (width, height)).astype(int).tolist()
        cut = np.zeros((len(frames), self.size, self.size, 3), np.uint8)
        rows, columns = (slice(max(low, 0), min(low + self.size, side)) for low, side in ((top, height), (left, width)))
        cut[:, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = pixels[
            :, rows, columns
        ]
        return cut, np.array([left / width, top / height, (left + self.size) / width, (top + self.size) / height])


def crop_boxes(boxes: Tensor, crop: Tensor) -> Tensor:
    """Boxes as shares of a crop, cut to it.

    Args:
        boxes: float32 (S, 4), left, top, right and bottom as shares of the picture.
        crop: float32 (4,), likewise; may reach out of the picture.

    Returns:
        float32 (S, 4), in 0..1; one that lies outside has no area.
    """
    start, extent = crop[:2].repeat(2), (crop[2:] - crop[:2]).repeat(2)
    return ((boxes - start) / extent).clamp(0, 1)


def collate(samples: list[TubeSample]) -> TubeBatch:
    """Put rows into a batch, in shared memory when a worker does it."""
    run = len(samples[0]["frame"])
    return {
        "clip": default_collate([sample["clip"] for sample in samples]),
        "frame": torch.stack([sample["frame"] for sample in samples]),
        "boxes": torch.cat([sample["boxes"] for sample in samples]),
        "owner": torch.cat([number * run + sample["owner"] for number, sample in enumerate(samples)]),
        "box_label": torch.cat([sample["box_label"] for sample in samples]),
        "tube": torch.cat([sample["tube"] for sample in samples]),
        "video": torch.tensor([sample["video"] for sample in samples]),
        "name": [sample["name"] for sample in samples],
        "broken": [line for sample in samples for line in sample["broken"]],
    }
