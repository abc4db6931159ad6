"""From a list of videos to clips: opens, reads and closes one file per sample."""

from typing import NamedTuple, TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from datamodules.batch import ClipBatch, VideoRowBatch
from datamodules.readers.video import VideoError, VideoReader
from datamodules.sample_list import SampleList
from datamodules.sampling.clips import ClipSampler, Segment, Timeline
from datamodules.sampling.crops import random_size
from datamodules.sampling.resumable_sampler import Draw

MAX_TRIES = 10


class UnreadableVideosError(ValueError):
    """No video could be read in ``MAX_TRIES``."""

    def __init__(self, message: str) -> None:
        # A loader's worker hands an exception over as a traceback that ends in its message.
        last_line = message.rstrip().rpartition("\n")[2]
        super().__init__(last_line.removeprefix(f"{type(self).__module__}.{type(self).__qualname__}: "))


class ClipSample(TypedDict):
    """One video: the keys of ``ClipBatch`` without the batch axis."""

    clip: Tensor
    label: int
    video: int
    path: str
    broken: list[str]


class Cut(NamedTuple):
    """The clips of one video.

    Attributes:
        clip: uint8 (N, T, H, W, 3).
        frames: int64 (M, T), which ones of the video, in the order of the clips; several clips may be crops of the
            same, N being a multiple of M.
        fps: of the video, 0 where unknown.
    """

    clip: Tensor
    frames: np.ndarray
    fps: float


class VideoDataset(Dataset[ClipSample]):
    """Clips of listed videos.

    Training: the short side is drawn from ``short_sides``, clips are drawn at random, and each is cropped at its own
    random place (thesis 5.4.1); or each takes a part of random size, place and aspect, the same in all its frames,
    resized to the crop (chapter 4). Evaluation: evenly spaced clips, the first short side, centre crop, or several
    crops from one end of the longer side to the other; those of a clip follow each other.

    A video that cannot be read is never passed over in silence: it is named in ``broken`` and replaced by the next one
    of the list (from the end to the start), the label, row and path being those of the replacement.

    Where the list holds segments, clips are drawn inside a sample's segment as if it were the video.

    Args:
        samples: the videos.
        clips: which frames to take.
        short_sides: sizes in pixels that a frame's short side is scaled to.
        crop_size: side of the square crop in pixels.
        training: whether to draw at random.
        random_resized_crop: whether training takes random resized crops; ``short_sides`` are then for evaluation.
        eval_crops: crops of each clip in evaluation.
    """

    def __init__(
        self,
        samples: SampleList,
        clips: ClipSampler,
        short_sides: tuple[int, ...],
        crop_size: int,
        training: bool,
        random_resized_crop: bool = False,
        eval_crops: int = 1,
    ) -> None:
        self.samples = samples
        self.clips = clips
        self.short_sides = short_sides
        self.crop_size = crop_size
        self.training = training
        self.random_resized_crop = random_resized_crop
        self.eval_crops = eval_crops

    def __len__(self) -> int:
        """Return the number of videos."""
        return len(self.samples)

    def __getitem__(self, draw: Draw) -> ClipSample:
        """Read the clips of one video.

        Returns:
            ``clip`` is uint8 (N, T, H, W, 3), contiguous; the rest as in ``ClipBatch``.

        Raises:
            UnreadableVideosError: neither the video nor the next ones can be read.
        """
        broken: list[str] = []
        tried: set[str] = set()
        for row in range(draw.row, draw.row + len(self)):
            row %= len(self)
            path = self.samples.path(row)
            if path in tried:  # many samples may lie in one long video
                continue
            try:
                cut = self._read(row, path, torch.Generator().manual_seed(draw.seed))
            except VideoError as error:
                broken.append(broken_line(path, str(error)))
                tried.add(path)
                if len(broken) == MAX_TRIES:
                    break
                continue
            return self._sample(row, path, cut, broken)
        raise UnreadableVideosError(
            f"{broken[0]} (nor can the {len(broken) - 1} videos after it be read; check the folder and its files)"
        )

    def _sample(self, row: int, path: str, cut: Cut, broken: list[str]) -> ClipSample:
        """Put what is known of a video together."""
        return {"clip": cut.clip, "label": self.samples.label(row), "video": row, "path": path, "broken": broken}

    def _read(self, row: int, path: str, generator: torch.Generator) -> Cut:
        with VideoReader(path) as video:
            timeline, first_frame = _timeline(video, path, self.samples.segment(row))
            if not self.training:
                frames = first_frame + self.clips.evenly_spaced(timeline)
                images = video.read(frames.reshape(-1), self.short_sides[0])
                return Cut(self._evaluated(images, frames.shape), frames, video.fps)
            if self.random_resized_crop:
                frames = first_frame + self.clips.random(timeline, generator)
                views = [
                    self._crop(self._resized(video, numbers, generator), (1, len(numbers)), generator)
                    for numbers in frames
                ]
                return Cut(torch.cat(views), frames, video.fps)
            side = self.short_sides[int(torch.randint(len(self.short_sides), (), generator=generator))]
            frames = first_frame + self.clips.random(timeline, generator)
            return Cut(self._crop(video.read(frames.reshape(-1), side), frames.shape, generator), frames, video.fps)

    def _resized(self, video: VideoReader, frames: np.ndarray, generator: torch.Generator) -> np.ndarray:
        """Read frames at such a size that a crop of ``crop_size`` is a random resized one: scaled once, antialiased."""
        height, width = random_size(video.height, video.width, generator)
        size = round(video.height * self.crop_size / height), round(video.width * self.crop_size / width)
        return video.read(frames, size=size)

    def _evaluated(self, images: np.ndarray, shape: tuple[int, ...]) -> Tensor:
        """Cut the squares of evaluation: (N * T, H, W, 3) to (N * eval_crops, T, crop_size, crop_size, 3)."""
        _, height, width, _ = images.shape
        side, crops = self.crop_size, self.eval_crops
        clip = torch.empty((shape[0], crops, shape[1], side, side, 3), dtype=torch.uint8)
        source = torch.from_numpy(images).reshape(*shape, height, width, 3)
        spare_height, spare_width = height - side, width - side
        for number in range(crops):
            top, left = spare_height // 2, spare_width // 2
            if crops > 1 and width >= height:
                left = spare_width * number // (crops - 1)
            elif crops > 1:
                top = spare_height * number // (crops - 1)
            clip[:, number] = source[:, :, top : top + side, left : left + side]
        return clip.flatten(0, 1)

    def _crop(self, images: np.ndarray, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Cut a square from the frames of each clip: (N * T, H, W, 3) to (N, T, crop_size, crop_size, 3)."""
        _, height, width, _ = images.shape
        clip = torch.empty((*shape, self.crop_size, self.crop_size, 3), dtype=torch.uint8)
        for view, source in zip(clip, torch.from_numpy(images).reshape(*shape, height, width, 3), strict=True):
            top, left = self._corner(height - self.crop_size, width - self.crop_size, generator)
            view.copy_(source[:, top : top + self.crop_size, left : left + self.crop_size])
        return clip

    def _corner(self, spare_height: int, spare_width: int, generator: torch.Generator) -> tuple[int, int]:
        top = torch.randint(spare_height + 1, (), generator=generator)
        left = torch.randint(spare_width + 1, (), generator=generator)
        return int(top), int(left)


class VideoRows(Dataset[VideoRowBatch]):
    """The same list without its clips, in whole batches: nothing is read from the disk.

    Args:
        samples: the videos.
        unreadable: rows that the next one of the list stands in for, as in ``VideoDataset``.
    """

    def __init__(self, samples: SampleList, unreadable: frozenset[int]) -> None:
        self.samples = samples
        self.unreadable = unreadable

    def __len__(self) -> int:
        """Return the number of videos."""
        return len(self.samples)

    def __getitems__(self, draws: list[Draw]) -> VideoRowBatch:
        """Return what is listed of some videos."""
        rows = [draw.row for draw in draws]
        for place in range(len(rows)):
            while rows[place] in self.unreadable:
                rows[place] = (rows[place] + 1) % len(self)
        video = torch.tensor(rows)
        paths = [self.samples.path(row) for row in rows]
        return {"label": self.samples.labels[video], "video": video, "path": paths, "broken": []}


def _timeline(video: VideoReader, path: str, segment: tuple[float, float] | None) -> tuple[Timeline, int]:
    """Return what clips are drawn from, and the number of its first frame in the video."""
    if segment is None:
        return video, 0
    try:
        part = Segment(video, *segment)
    except ValueError as error:
        raise VideoError(f"{path}: {error}") from None
    return part, part.first_frame


def broken_line(path: str, message: str) -> str:
    """Write ``path: reason`` so that the last ``: `` parts the two, whatever the path holds."""
    reason = message.removeprefix(f"{path}: ").replace(": ", ", ")
    return f"{path}: {reason}".replace("\n", " ")


def collate(samples: list[ClipSample]) -> ClipBatch:
    """Put samples into a batch, in shared memory when a worker does it."""
    return {
        "clip": default_collate([sample["clip"] for sample in samples]),
        "label": torch.tensor([sample["label"] for sample in samples]),
        "video": torch.tensor([sample["video"] for sample in samples]),
        "path": [sample["path"] for sample in samples],
        "broken": [line for sample in samples for line in sample["broken"]],
    }
