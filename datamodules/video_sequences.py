"""Long skeleton sequences with the actions in them: on the disk, and from a list of them to batches."""

import csv
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self, TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from datamodules.batch import DetectionBatch
from datamodules.pku_protocol import Segment
from datamodules.sample_list import SampleList
from datamodules.sampling.resumable_sampler import Draw

ARRAY_FILE = "frames.npy"
INDEX_FILE = "videos.csv"
SEGMENTS_FILE = "segments.csv"
COLUMNS = ("name", "frames")
SEGMENT_COLUMNS = ("video", "action", "start", "end")

_FRAME_SHAPE = (3, 25, 2)


class ListedVideo(NamedTuple):
    """One video of a cache.

    Attributes:
        name: such as 0002-L.
        first: row of the array that holds its first frame.
        frames: how many it has.
        segments: its actions.
    """

    name: str
    first: int
    frames: int
    segments: list[Segment]


def is_video_cache(folder: Path) -> bool:
    """Tell whether a folder holds prepared videos."""
    return all((folder / name).is_file() for name in (ARRAY_FILE, INDEX_FILE, SEGMENTS_FILE))


def write_videos(folder: Path, videos: Iterable[tuple[str, np.ndarray, list[Segment]]]) -> int:
    """Write ``frames.npy``, ``videos.csv`` and ``segments.csv``, as ``read_videos`` wants them, a video at a time.

    Args:
        folder: where to; it is there.
        videos: name, float32 (3, T, 25, 2) and actions of each.

    Returns:
        How many there were.
    """
    index, lines, total = [",".join(COLUMNS)], [",".join(SEGMENT_COLUMNS)], 0
    with (folder / ARRAY_FILE).open("wb") as stream:
        start = _write_header(stream, total)
        for name, sequence, segments in videos:
            stream.write(np.ascontiguousarray(sequence.transpose(1, 0, 2, 3), np.float32).tobytes())
            total += sequence.shape[1]
            index.append(f"{name},{sequence.shape[1]}")
            lines += [f"{name},{segment.action},{segment.start},{segment.end}" for segment in segments]
        stream.seek(0)
        assert _write_header(stream, total) == start, "a header leaves room for its number of rows"
    (folder / INDEX_FILE).write_text("\n".join(index) + "\n")
    (folder / SEGMENTS_FILE).write_text("\n".join(lines) + "\n")
    return len(index) - 1


def _write_header(stream: Any, num_frames: int) -> int:  # noqa: ANN401 - a binary file
    header = {"descr": "<f4", "fortran_order": False, "shape": (num_frames, *_FRAME_SHAPE)}
    np.lib.format.write_array_header_1_0(stream, header)
    return int(stream.tell())


def read_videos(folder: Path) -> list[ListedVideo]:
    """Read the index of prepared videos, and check it against the array.

    Args:
        folder: holds ``frames.npy``, float32 (F, 3, 25, 2), the frames of all videos one after the other;
            ``videos.csv`` with a line ``name,frames`` for each; and ``segments.csv`` with a line
            ``video,action,start,end`` for each action, in frames of its video, the end not included.

    Raises:
        ValueError: a file is missing or damaged, or they do not belong together.
    """
    remedy = f"remove {folder} and prepare it again"
    videos: dict[str, ListedVideo] = {}
    total = 0
    for line, (name, frames) in _lines(folder / INDEX_FILE, COLUMNS, remedy):
        if name in videos or frames < 1:
            raise ValueError(f"{folder / INDEX_FILE}:{line}: {name}, {frames} frames, cannot be; {remedy}")
        videos[name] = ListedVideo(name, total, frames, [])
        total += frames
    for line, (name, action, start, end) in _lines(folder / SEGMENTS_FILE, SEGMENT_COLUMNS, remedy):
        if name not in videos or action < 1 or not 0 <= start < end <= videos[name].frames:
            raise ValueError(f"{folder / SEGMENTS_FILE}:{line}: no action of a video of {INDEX_FILE}; {remedy}")
        videos[name].segments.append(Segment(action, start, end, line))
    try:
        # Opening it as a map finds a file that is cut short, too.
        frames_of_all = np.load(folder / ARRAY_FILE, mmap_mode="r")
    except (OSError, EOFError, ValueError) as error:
        raise ValueError(f"{folder / ARRAY_FILE}: {error}; {remedy}") from error
    if frames_of_all.shape != (total, *_FRAME_SHAPE) or frames_of_all.dtype != np.float32:
        raise ValueError(
            f"{folder / ARRAY_FILE}: is {frames_of_all.dtype} {frames_of_all.shape}, not float32"
            f" {(total, *_FRAME_SHAPE)}; {remedy}"
        )
    return list(videos.values())


def _lines(file: Path, columns: tuple[str, ...], remedy: str) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Read a table of a name and whole numbers; gives the number of each line, too."""
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            lines = csv.reader(stream)
            if tuple(next(lines, ())) != columns:
                raise ValueError(f"{file}:1: is not the line {','.join(columns)}; {remedy}")
            for words in lines:
                try:
                    name, *numbers = words
                    row = (name, *map(int, numbers))
                    if len(row) != len(columns):
                        raise ValueError
                except ValueError:
                    raise ValueError(f"{file}:{lines.line_num}: {','.join(words)!r} is no row; {remedy}") from None
                yield lines.line_num, row
    except OSError as error:
        raise ValueError(f"{file}:1: cannot be read ({error.strerror}); {remedy}") from error


class VideoSequenceList(SampleList):
    """Names of prepared videos, where they are, and the actions in them; a video has no label of its own.

    Attributes:
        firsts: int64 (N,), row of the cache's array that holds the first frame.
        num_frames: int64 (N,).
        segments: int64 (S, 3), class from 0, start and end of all actions, video by video.
        counts: int64 (N,), how many of them are of each video.

    Args:
        videos: of an index.
    """

    def __init__(self, videos: Iterable[ListedVideo]) -> None:
        firsts, frames, segments, counts = array("q"), array("q"), array("q"), array("q")

        def names() -> Iterator[tuple[str, int]]:
            for video in videos:
                firsts.append(video.first)
                frames.append(video.frames)
                counts.append(len(video.segments))
                for segment in video.segments:
                    segments.extend((segment.action - 1, segment.start, segment.end))
                yield video.name, -1

        super().__init__(names())
        self.firsts, self.num_frames, self.counts = (torch.tensor(values).long() for values in (firsts, frames, counts))
        self.segments = torch.tensor(segments).long().reshape(-1, 3)

    def select(self, keep: Tensor) -> Self:
        """Return the marked videos, in order.

        Args:
            keep: bool (N,).
        """
        part = super().select(keep)
        part.firsts, part.num_frames, part.counts = self.firsts[keep], self.num_frames[keep], self.counts[keep]
        part.segments = self.segments[keep.repeat_interleave(self.counts)]
        return part

    def segments_of(self, row: int) -> Tensor:
        """Return the actions of a video, int64 (S, 3), by its row from 0."""
        start = int(self.counts[:row].sum())
        return self.segments[start : start + int(self.counts[row])]


class VideoSequence(TypedDict):
    """One sequence: the keys of ``DetectionBatch`` without the batch axis; ``skeleton`` is (3, T, 25, 2)."""

    skeleton: Tensor
    start: int
    segments: Tensor
    sample: int
    name: str


class VideoSequenceDataset(Dataset[VideoSequence]):
    """Prepared videos of a list, or a window of each. They are mapped into memory.

    Args:
        folder: as of ``read_videos``.
        samples: which of its videos.
        window: frames of a window at a place drawn at random; the whole video where that is shorter, or when None.
    """

    def __init__(self, folder: Path, samples: VideoSequenceList, window: int | None = None) -> None:
        self.file = folder / ARRAY_FILE
        self.samples = samples
        self.window = window
        self._frames: np.ndarray | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the map: pickled, it would be all of the data."""
        return {**self.__dict__, "_frames": None}

    def __len__(self) -> int:
        """Return the number of videos."""
        return len(self.samples)

    def __getitem__(self, draw: Draw) -> VideoSequence:
        """Read one sequence."""
        if self._frames is None:
            self._frames = np.load(self.file, mmap_mode="r")
        first, num_frames = (int(values[draw.row]) for values in (self.samples.firsts, self.samples.num_frames))
        start = 0
        if self.window is not None and self.window < num_frames:
            generator = torch.Generator().manual_seed(draw.seed)
            start = int(torch.randint(num_frames - self.window + 1, (), generator=generator))
            num_frames = self.window
        frames = np.array(self._frames[first + start : first + start + num_frames])
        segments = self.samples.segments_of(draw.row).clone()
        segments[:, 1:] = (segments[:, 1:] - start).clamp(0, num_frames)
        return {
            "skeleton": torch.from_numpy(frames).movedim(0, 1),
            "start": start,
            "segments": segments[segments[:, 1] < segments[:, 2]],
            "sample": draw.row,
            "name": self.samples.path(draw.row),
        }


def collate(samples: list[VideoSequence]) -> DetectionBatch:
    """Put sequences into a batch, zeros after the end of the shorter ones."""
    sequences = [sample["skeleton"].movedim(1, 0) for sample in samples]
    return {
        "skeleton": pad_sequence(sequences, batch_first=True).movedim(1, 2).contiguous(),
        "num_frames": torch.tensor([len(sequence) for sequence in sequences]),
        "start": torch.tensor([sample["start"] for sample in samples]),
        "segments": [sample["segments"] for sample in samples],
        "sample": torch.tensor([sample["sample"] for sample in samples]),
        "name": [sample["name"] for sample in samples],
    }
