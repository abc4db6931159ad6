"""Clips of videos, decoded once: uint8 pictures of one size in memory-mapped files that all processes share.

A folder holds shards ``clips-00000.npy``, each a uint8 array (videos, N, T, H, W, 3) that ``numpy.load`` reads too;
beside each ``clips-00000.json`` says which videos they are, how many frames of each clip are the video's, and the
CRC-32 of each video's bytes; ``manifest.json`` is written last and says what all have in common. ``lightning prepare
clips`` makes it.
"""

import json
import math
import mmap
import os
from dataclasses import dataclass, replace
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from datamodules.sample_list import SampleList
from datamodules.sampling.clips import ClipSampler

MANIFEST_FILE = "manifest.json"
VERSION = 1

MOST_MAPS = 256  # of a process: each holds a file open, of which systems often allow 1,024

_SAME_TIME = 1e-3  # seconds; a frame is on screen from this much before its time on, as of VideoReader
_REMAKE = "make it again with `lightning prepare clips`"


class ClipLayout(NamedTuple):
    """What all clips of a cache have in common.

    Attributes:
        clips: of a video, evenly spaced over it (N).
        frames: of a clip (T); a shorter video repeats its last one.
        stride: frames of the video from one frame of a clip to the next; None where ``fps`` is set.
        fps: frames per second; None where ``stride`` is set.
        height: of a frame in pixels.
        width: likewise.
    """

    clips: int
    frames: int
    stride: int | None
    fps: float | None
    height: int
    width: int

    @property
    def video_bytes(self) -> int:
        """Bytes of the clips of one video."""
        return 3 * self.clips * self.frames * self.height * self.width

    @property
    def sampler(self) -> ClipSampler:
        """What tells the frames of a video's clips, as ``evenly_spaced``."""
        return ClipSampler(self.frames, self.clips, (self.stride or 1,), temporal_jitter=False, fps=self.fps)

    @property
    def rate(self) -> str:
        """How close frames are, in words."""
        return f"stride {self.stride}" if self.fps is None else f"{self.fps:g} frames a second"


class Shard(NamedTuple):
    """What is written beside a shard.

    Attributes:
        videos: names, relative to the folder that they were found in.
        sizes: bytes of their files.
        lengths: frames of each clip that are the video's, before its last is repeated; 0 where it is broken.
        checksums: CRC-32 of each video's clips.
        broken: reason of each broken video, by its place in ``videos``.
    """

    videos: list[str]
    sizes: list[int]
    lengths: list[list[int]]
    checksums: list[int]
    broken: dict[int, str]

    def write(self, file: Path) -> None:
        """Write the file, whole or not at all."""
        part = file.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(self._asdict()), encoding="utf-8")  # ASCII: names of odd bytes are escaped
        part.rename(file)

    @classmethod
    def read(cls, file: Path) -> "Shard":
        """Read the file.

        Raises:
            ValueError: it is missing or damaged.
        """
        content = read_json(file)
        if set(content) != set(cls._fields):
            raise ValueError(f"{file}: is damaged; {_REMAKE}")
        return cls(**{**content, "broken": {int(place): why for place, why in content["broken"].items()}})


@dataclass(slots=True)
class Part:
    """A clip of the cache as if it were a video of its own.

    Attributes:
        pictures: uint8 (frames, H, W, 3), in the file's pages.
        num_frames: that are the video's.
        fps: of the clip; 0 where it is not known.
        memory: the file's.
        start: of the pictures in it, in bytes.
    """

    pictures: np.ndarray
    num_frames: int
    fps: float
    memory: mmap.mmap
    start: int

    def frame_at(self, seconds: np.ndarray) -> np.ndarray:
        """Numbers of the frames on screen at these times."""
        numbers = np.floor((np.asarray(seconds, np.float64) + _SAME_TIME) * self.fps).astype(np.int64)
        return np.asarray(np.clip(numbers, 0, self.num_frames - 1))

    def cut(self, frames: np.ndarray, top: int, left: int, height: int, width: int) -> np.ndarray:
        """Copy a window of some frames.

        What is not in memory yet the disk brings all at once: page by page it would be waited for again and again.

        Args:
            frames: int64 (T,), numbers of the frames.
            top: row of the window's first pixel.
            left: its column.
            height: of the window in pixels.
            width: likewise.

        Returns:
            uint8 (T, height, width, 3).
        """
        picture, row = self.pictures.strides[:2]
        numbers = frames.tolist()
        lowest, highest = min(numbers), max(numbers)
        side_by_side = highest - lowest < len(numbers)
        for first, last in [(lowest, highest)] if side_by_side else zip(numbers, numbers, strict=True):
            start = self.start + first * picture + top * row
            page = start - start % mmap.PAGESIZE
            self.memory.madvise(mmap.MADV_WILLNEED, page, start + (last - first) * picture + height * row - page)
        window: np.ndarray = self.pictures[:, top : top + height, left : left + width][frames]
        return window


class ClipCache:
    """The clips of a folder, by row from 0. Files are mapped when a process needs them, and never copied.

    Attributes:
        folder: of the cache.
        layout: of its clips.
        broken: reason of each video that could not be read when the cache was made, by its row.

    Args:
        folder: made by ``lightning prepare clips``.

    Raises:
        ValueError: it is missing, unfinished or of another version, or a file of it is missing, damaged or cut short.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser()
        if not self.folder.is_dir():
            raise ValueError(f"{self.folder}: no such folder; make it with `lightning prepare clips`")
        manifest = self._manifest()
        self.layout = ClipLayout(**{name: manifest[name] for name in ClipLayout._fields})
        self.broken: dict[int, str] = {}
        self._rows: dict[str, int] = {}
        self._maps: dict[int, mmap.mmap] = {}
        first_rows, lengths = [0], [np.empty((0, self.layout.clips), np.int32)]
        for number, count in enumerate(manifest["shards"]):
            shard = Shard.read(self.folder / facts_name(number))
            if len(shard.videos) != count:
                raise ValueError(f"{self.folder / facts_name(number)}: lists {len(shard.videos)} videos, not {count}")
            check_size(self.folder / shard_name(number), count, self.layout)
            self._rows.update((name, first_rows[-1] + place) for place, name in enumerate(shard.videos))
            self.broken.update((first_rows[-1] + place, reason) for place, reason in shard.broken.items())
            lengths.append(np.asarray(shard.lengths, np.int32).reshape(count, self.layout.clips))
            first_rows.append(first_rows[-1] + count)
        self._first_rows = np.array(first_rows)
        self._lengths = np.concatenate(lengths)

    def __len__(self) -> int:
        """Return the number of videos."""
        return len(self._lengths)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a worker that is not forked needs: it maps the files itself."""
        return {**self.__dict__, "_maps": {}, "_rows": {}}

    def part(self, row: int, clip: int) -> Part:
        """Return a clip of a video that is not broken.

        Args:
            row: of the video.
            clip: of the video, from 0, in the order of their times.
        """
        number = int(np.searchsorted(self._first_rows, row, side="right")) - 1
        memory = self._memory(number)
        first, end = map(int, self._first_rows[number : number + 2])
        layout, length = self.layout, int(self._lengths[row, clip])
        place = (row - first) * layout.clips + clip
        start = len(header(end - first, layout)) + place * (layout.video_bytes // layout.clips)
        shape = (length, layout.height, layout.width, 3)
        pictures: np.ndarray = np.ndarray(shape, np.uint8, memory, start)
        return Part(pictures, length, layout.fps or 0.0, memory, start)

    def _memory(self, number: int) -> mmap.mmap:
        memory = self._maps.pop(number, None)
        if memory is None:
            if len(self._maps) >= MOST_MAPS:
                del self._maps[next(iter(self._maps))]  # not used for longest
            with (self.folder / shard_name(number)).open("rb") as stream:
                memory = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        self._maps[number] = memory
        return memory

    def rows(self, samples: SampleList, root: Path) -> Tensor:
        """Find the videos of a list.

        Args:
            samples: the list.
            root: folder that their names are relative to.

        Returns:
            int64 (len(samples),), the row of each.

        Raises:
            ValueError: some are not in the cache, or samples are parts of videos.
        """
        if samples.bounds is not None:
            raise ValueError(
                f"{self.folder}: has clips of whole videos, the list has parts of them; cut the videos first, with"
                f" `lightning prepare finegym` or `epic`, or leave clip_cache out"
            )
        prefix = f"{root}{os.sep}"
        paths = map(samples.path, range(len(samples)))
        names = [
            path.removeprefix(prefix) if path.startswith(prefix) else os.path.relpath(path, root) for path in paths
        ]
        lacking = [name for name in names if name not in self._rows]
        if lacking:
            raise ValueError(
                f"{self.folder}: lacks {len(lacking):,} of the {len(names):,} listed videos, such as {lacking[0]}; it"
                f" has names such as {next(iter(self._rows))}: prepare it from data.root and with all of the list"
            )
        return torch.tensor([self._rows[name] for name in names], dtype=torch.int64)

    def sampler(self, clips: ClipSampler) -> ClipSampler:
        """Return what draws, in frames of this cache, what ``clips`` draws in frames of a video.

        Raises:
            ValueError: that needs frames that the cache does not have.
        """
        layout = self.layout
        here = f"{self.folder}: has {layout.frames} frames of a clip, {layout.rate}"
        if (clips.fps is None) != (layout.fps is None):
            wanted = "frames by number (fps: null)" if clips.fps is None else f"{clips.fps:g} frames a second"
            raise ValueError(f"{here}, asked for are {wanted}; set data.fps and strides to what it has, or {_REMAKE}")
        if clips.fps is not None and layout.fps is not None:
            if clips.fps > layout.fps + 1e-6:
                raise ValueError(f"{here}, asked for are {clips.fps:g} a second; lower data.fps, or {_REMAKE}")
            span = math.ceil((clips.num_frames - 1) * layout.fps / clips.fps - 1e-6) + 1
            strides: tuple[int, ...] = (1,)
        else:
            assert layout.stride is not None
            odd = [stride for stride in clips.strides if stride % layout.stride]
            if odd:
                raise ValueError(f"{here}, asked for is stride {odd[0]}; change data.strides, or {_REMAKE}")
            strides = tuple(stride // layout.stride for stride in clips.strides)
            span = (clips.num_frames - 1) * max(strides) + 1
        if span > layout.frames:
            raise ValueError(
                f"{here}; num_frames={clips.num_frames} as far apart as asked for needs {span}; lower data.num_frames"
                f" or data.strides, or {_REMAKE}"
            )
        return replace(clips, strides=strides)

    def _manifest(self) -> dict[str, Any]:
        file = self.folder / MANIFEST_FILE
        if not file.exists():
            raise ValueError(f"{self.folder}: is no finished clip cache (it has no {MANIFEST_FILE}); {_REMAKE}")
        manifest = read_json(file)
        if manifest.get("version") != VERSION or not {*ClipLayout._fields, "shards"} <= set(manifest):
            raise ValueError(f"{file}: is not of a clip cache of version {VERSION}; {_REMAKE}, in another folder")
        return manifest


def shard_name(number: int) -> str:
    """Name of a shard's file."""
    return f"clips-{number:05d}.npy"


def facts_name(number: int) -> str:
    """Name of the file that says what a shard holds."""
    return f"clips-{number:05d}.json"


@cache
def header(videos: int, layout: ClipLayout) -> bytes:
    """Return the first bytes of a shard, those of any ``.npy`` file."""
    stream = BytesIO()
    shape = (videos, layout.clips, layout.frames, layout.height, layout.width, 3)
    np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return stream.getvalue()


def check_size(file: Path, videos: int, layout: ClipLayout) -> None:
    """Check that a shard is there and whole, as far as its size and first bytes tell.

    Raises:
        ValueError: it is not.
    """
    first = header(videos, layout)
    expected = len(first) + videos * layout.video_bytes
    try:
        with file.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size != expected:
                raise ValueError(f"{file}: has {size:,} bytes, not {expected:,}; {_REMAKE}, which mends it")
            if stream.read(len(first)) != first:
                raise ValueError(f"{file}: is no shard of these clips; {_REMAKE}, which mends it")
    except OSError as error:
        raise ValueError(f"{file}: cannot be read ({error.strerror}); {_REMAKE}, which mends it") from error


def read_json(file: Path) -> dict[str, Any]:
    """Read an object.

    Raises:
        ValueError: the file is missing or damaged.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{file}: cannot be read ({error.strerror}); {_REMAKE}, which mends it") from error
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise ValueError(f"{file}: is damaged; {_REMAKE}, which mends it")
    return content
