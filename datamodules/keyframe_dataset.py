"""Clips around keyframes with boxes in them, from lists to batches."""

import os
from collections.abc import Sequence
from typing import Self, TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from datamodules.ava_lists import BoxTable
from datamodules.batch import BoxBatch
from datamodules.readers.numbered_pictures import PictureFrames
from datamodules.readers.video import VideoError, VideoReader
from datamodules.sample_list import SampleList
from datamodules.sampling.resumable_sampler import Draw
from datamodules.video_dataset import MAX_TRIES, UnreadableVideosError, broken_line

#: Seconds in the film: of the first frame that the field's scripts take, and of the last keyframe.
FIRST_FRAME, LAST_SECOND = 900.0, 1798.0

# A crop that shows none of the boxes is drawn anew as often.
_TRIES = 10


class KeyframeList(SampleList):
    """Keyframes of videos and boxes in them; ``path`` gives a keyframe's name, ``video,0902``.

    Attributes:
        videos: the files of the videos, one a video.
        video: int64 (K,), video of each keyframe.
        seconds: int64 (K,), time of each in its film.
        first: int64 (K,), first box of each.
        count: int64 (K,), number of boxes of each.
        box: float32 (N, 4), keyframe by keyframe: those that actions are learnt or predicted for.
        target: bool (N, C), actions of each.
        true_first: int64 (K,), as the next four: boxes to measure with, one for each action of each.
        true_count: int64 (K,).
        true_box: float32 (M, 4).
        true_label: int64 (M,).

    Args:
        paths: of the videos' files by name; all that are in ``names`` are there.
        names: of the keyframes.
        boxes: to learn or to predict from; those of other keyframes are left out.
        num_classes: C.
        truth: to measure with; none when None.
    """

    def __init__(
        self,
        paths: dict[str, str],
        names: Sequence[str],
        boxes: Sequence[BoxTable],
        num_classes: int,
        truth: BoxTable | None = None,
    ) -> None:
        super().__init__((name, -1) for name in names)
        films = list(dict.fromkeys(name.rpartition(",")[0] for name in names))
        number = {film: row for row, film in enumerate(films)}
        self.videos = SampleList((paths[film], -1) for film in films)
        place = {name: row for row, name in enumerate(names)}
        self.video = torch.tensor([number[name.rpartition(",")[0]] for name in names]).long()
        self.seconds = torch.tensor([int(name.rpartition(",")[2]) for name in names]).long()
        keyframe = torch.cat([_places(table, place)[table.keyframe] for table in boxes])
        box = torch.cat([table.box for table in boxes])
        target = torch.cat([_targets(table, num_classes) for table in boxes])
        order, self.first, self.count = _grouped(keyframe, len(names))
        self.box, self.target = box[order], target[order]
        if truth is None:
            empty = torch.empty(0).long()
            true_keyframe, true_box, true_label = empty, torch.empty(0, 4), empty
        else:
            true_keyframe = _places(truth, place)[truth.keyframe[truth.action_box]]
            true_box, true_label = truth.box[truth.action_box], truth.action
        order, self.true_first, self.true_count = _grouped(true_keyframe, len(names))
        self.true_box, self.true_label = true_box[order], true_label[order]

    def select(self, keep: Tensor) -> Self:
        """Return the marked keyframes, in order, of the same videos and boxes.

        Args:
            keep: bool (K,).
        """
        part = super().select(keep)
        for name in ("video", "seconds", "first", "count", "true_first", "true_count"):
            setattr(part, name, getattr(self, name)[keep])
        return part

    def boxes_of(self, row: int) -> tuple[Tensor, Tensor]:
        """Boxes of a keyframe, float32 (N, 4), and their actions, bool (N, C)."""
        rows = slice(int(self.first[row]), int(self.first[row] + self.count[row]))
        return self.box[rows], self.target[rows]

    def truth_of(self, row: int) -> tuple[Tensor, Tensor]:
        """Boxes to measure with, float32 (M, 4), and their action, int64 (M,)."""
        rows = slice(int(self.true_first[row]), int(self.true_first[row] + self.true_count[row]))
        return self.true_box[rows], self.true_label[rows]


def _places(table: BoxTable, place: dict[str, int]) -> Tensor:
    """Row in the list of each keyframe of a table, -1 where it is not listed."""
    return torch.tensor([place.get(name, -1) for name in table.names]).long()


def _targets(table: BoxTable, num_classes: int) -> Tensor:
    target = torch.zeros(len(table.box), num_classes, dtype=torch.bool)
    target[table.action_box, table.action] = True
    return target


def _grouped(keyframe: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Order by keyframe without those that are not listed, and the first row and number of each."""
    order = keyframe.argsort(stable=True)
    order = order[keyframe[order] >= 0]
    number = torch.bincount(keyframe[order], minlength=count)
    return order, number.cumsum(0) - number, number


class _NoSuchTimeError(VideoError):
    """A keyframe is not in its video, which may have others."""


class KeyframeSample(TypedDict):
    """One keyframe: the keys of ``BoxBatch`` without the batch axis; ``clip`` is (T, h, w, 3)."""

    clip: Tensor
    box: Tensor
    target: Tensor
    true_box: Tensor
    true_label: Tensor
    sample: int
    name: str
    broken: list[str]


class KeyframeDataset(Dataset[KeyframeSample]):
    """Clips around listed keyframes.

    Frame k of T is at ``(k - T / 2) * stride`` frames of 30 a second from the keyframe; before the video's start it is
    the first, after its end the last (facebookresearch/SlowFast, ``slowfast/datasets/utils.py``). Training: the short
    side is drawn between two sizes, a square is cropped at a random place, and boxes are cut to it; those outside are
    left out, and a crop without any box is drawn again, ten times at most. Evaluation: the whole picture.

    A keyframe that cannot be read is named in ``broken`` and replaced by the next one that can.

    Args:
        samples: the keyframes.
        num_frames: T.
        stride: frames from one to the next.
        short_side: smallest and largest size of the short side in pixels; the first is taken in evaluation.
        crop_size: side of the square; None for evaluation.
        video_start: time of the files' first frame in the film, seconds; 900 when None, and 0 for a file that reaches
            beyond second 1798, the last that has keyframes: it is a whole film.
    """

    rate = 30.0  # frames per second

    def __init__(
        self,
        samples: KeyframeList,
        num_frames: int,
        stride: int,
        short_side: tuple[int, int],
        crop_size: int | None,
        video_start: float | None,
    ) -> None:
        self.samples = samples
        self.offsets = (np.arange(num_frames) - num_frames / 2) * stride / self.rate
        self.short_side = short_side
        self.crop_size = crop_size
        self.video_start = video_start

    def __len__(self) -> int:
        """Return the number of keyframes."""
        return len(self.samples)

    def __getitem__(self, draw: Draw) -> KeyframeSample:
        """Read one keyframe.

        Raises:
            UnreadableVideosError: neither it nor the next ones can be read.
        """
        broken: list[str] = []
        unreadable: set[int] = set()
        for row in range(draw.row, draw.row + len(self)):
            row %= len(self)
            video = int(self.samples.video[row])
            if video in unreadable:
                continue
            path = self.samples.videos.path(video)
            try:
                return self._read(row, path, torch.Generator().manual_seed(draw.seed), broken)
            except VideoError as error:
                place = f"{path},{int(self.samples.seconds[row])}"
                broken.append(broken_line(place, str(error).removeprefix(f"{path}: ")))
                if not isinstance(error, _NoSuchTimeError):
                    unreadable.add(video)
                if len(broken) == MAX_TRIES:
                    break
        raise UnreadableVideosError(
            f"{broken[0]} (nor can the {len(broken) - 1} keyframes after it be read; check the folder and its files)"
        )

    def _read(self, row: int, path: str, generator: torch.Generator, broken: list[str]) -> KeyframeSample:
        with PictureFrames(path, self.rate) if os.path.isdir(path) else VideoReader(path) as video:
            length = video.num_frames / video.fps if video.fps > 0 else 0.0
            start = self.video_start
            if start is None:
                start = 0.0 if length > LAST_SECOND else FIRST_FRAME
            time = float(self.samples.seconds[row]) - start
            if not 0 <= time < length:
                raise _NoSuchTimeError(
                    f"{path}: its keyframe at {time + start:g} s is not there, the file holds"
                    f" {start:g} to {start + length:g} s; set video_start, or correct the list"
                )
            frames = video.frame_at(time + self.offsets)
            height, width = self._size(video.height, video.width, generator)
            images = torch.from_numpy(video.read(frames, size=(height, width)))
        box, target = self.samples.boxes_of(row)
        if self.crop_size is not None:
            images, box, target = self._cropped(images, box, target, self.crop_size, generator)
        true_box, true_label = self.samples.truth_of(row)
        return {
            "clip": images,
            "box": box,
            "target": target.float(),
            "true_box": true_box,
            "true_label": true_label,
            "sample": row,
            "name": self.samples.path(row),
            "broken": broken,
        }

    def _size(self, height: int, width: int, generator: torch.Generator) -> tuple[int, int]:
        smallest, largest = self.short_side
        short = smallest
        if self.crop_size is not None:
            short += int(torch.randint(largest - smallest + 1, (), generator=generator))
        scale = short / min(height, width)
        return round(height * scale), round(width * scale)

    def _cropped(
        self, images: Tensor, box: Tensor, target: Tensor, crop: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        _, height, width, _ = images.shape
        for _ in range(_TRIES):
            top = int(torch.randint(height - crop + 1, (), generator=generator))
            left = int(torch.randint(width - crop + 1, (), generator=generator))
            cut, seen = crop_boxes(box, (height, width), (top, left), crop)
            if seen.any():
                break
        return images[:, top : top + crop, left : left + crop].contiguous(), cut[seen], target[seen]


def crop_boxes(box: Tensor, size: tuple[int, int], corner: tuple[int, int], crop: int) -> tuple[Tensor, Tensor]:
    """Bring boxes to a square crop.

    Args:
        box: float32 (N, 4), x1, y1, x2, y2 in 0..1 of the picture.
        size: height and width of the picture in pixels.
        corner: top and left of the crop.
        crop: its side.

    Returns:
        float32 (N, 4) in 0..1 of the crop, cut to it, and which of them show at least a pixel each way, bool (N,).
    """
    scale = torch.tensor([size[1], size[0]] * 2)
    cut = ((box * scale - torch.tensor([corner[1], corner[0]] * 2)) / crop).clamp(0, 1)
    return cut, ((cut[:, 2:] - cut[:, :2]) * crop >= 1).all(1)


def collate(samples: list[KeyframeSample]) -> BoxBatch:
    """Put keyframes into a batch."""
    size = torch.tensor([sample["clip"].shape[1:3] for sample in samples])
    height, width = size.max(0).values.tolist()
    clip = torch.zeros(len(samples), len(samples[0]["clip"]), height, width, 3, dtype=torch.uint8)
    for row, sample in enumerate(samples):
        clip[row, :, : size[row, 0], : size[row, 1]] = sample["clip"]
    number = torch.arange(len(samples))
    return {
        "clip": clip,
        "size": size,
        "box": torch.cat([sample["box"] for sample in samples]),
        "box_row": number.repeat_interleave(torch.tensor([len(sample["box"]) for sample in samples])),
        "target": torch.cat([sample["target"] for sample in samples]),
        "true_box": torch.cat([sample["true_box"] for sample in samples]),
        "true_label": torch.cat([sample["true_label"] for sample in samples]),
        "true_row": number.repeat_interleave(torch.tensor([len(sample["true_box"]) for sample in samples])),
        "sample": torch.tensor([sample["sample"] for sample in samples]),
        "name": [sample["name"] for sample in samples],
        "broken": [line for sample in samples for line in sample["broken"]],
    }
