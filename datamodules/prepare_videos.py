"""From a folder of videos to one of small videos that decode fast: parallel, resumable, each file whole or not at all.

A training clip costs the decoding from the key frame before it, at full size, and the scaling. Short sides of 128
pixels and a key frame every few frames leave little of both.
"""

import json
import os
import shutil
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import NamedTuple

import av
import av.error
import numpy as np

from datamodules.prepare_folder import followed, in_bytes, settle, write_lines
from datamodules.prepare_ntu import BROKEN_FILE, SETTINGS_FILE, available_cores, in_parallel
from datamodules.readers.video import VideoError, VideoReader
from datamodules.sample_list import find_videos
from datamodules.writers.video import write_video

MANIFEST_FILE = "manifest.json"
VERSION = 1
LIST_SUFFIXES = (".csv", ".json", ".list", ".mat", ".pbtxt", ".pkl", ".txt", ".xml")

_QUALITY, _PRESET = 20, "veryfast"
_BYTES_AT_ONCE = 256 << 20
_LARGEST_RATE_DENOMINATOR = 1001  # of 30000/1001 and its like
_OWN_FILES = (MANIFEST_FILE, SETTINGS_FILE, BROKEN_FILE)


class PreparedVideos(NamedTuple):
    """What came of preparing a folder.

    Attributes:
        folder: of the small videos.
        videos: number of those that are there.
        frames: of all of them.
        bytes_before: of their sources.
        bytes_after: of them.
        broken: what is wrong with each broken source.
        written: number of videos that were written this time.
        lists: number of lists, such as annotations, that were copied.
    """

    folder: Path
    videos: int
    frames: int
    bytes_before: int
    bytes_after: int
    broken: list[str]
    written: int
    lists: int

    def __str__(self) -> str:
        """Return one line for the user."""
        line = f"{self.videos:,} small videos in {self.folder}, {self.written:,} written now, and {self.lists:,} lists;"
        line += f" {in_bytes(self.bytes_before)} became {in_bytes(self.bytes_after)}"
        if self.broken:
            line += f"; {len(self.broken):,} broken videos, such as {self.broken[0]}"
            line += f" (all in {self.folder / BROKEN_FILE})"
        return line


class _Result(NamedTuple):
    """What came of a video: what is wrong, or how large it is."""

    broken: str | None = None
    frames: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    is_new: bool = False


def prepare_videos(
    root: str | Path,
    out: str | Path,
    short_side: int = 128,
    key_frame_interval: int = 12,
    workers: int | None = None,
    progress: bool = True,
) -> PreparedVideos:
    """Encode all videos below a folder anew, small and with many key frames.

    Every file keeps its place and name, and every frame its number and time, so that a data module reads ``out`` as it
    reads ``root``; lists, such as annotations, are copied. The files are MP4 whatever their names end in, as FFmpeg
    goes by the content. Sound is left out.

    A video's file gets its name when it is complete, decodes, and has as many frames as its source. A run that is
    stopped goes on where it was when it is started again: files that are there are checked against their sources.

    Args:
        root: folder of the videos, nested or flat.
        out: folder of the small ones. Their counts are in ``manifest.json``; broken sources are listed there and, where
            there are some, in ``broken.txt``.
        short_side: pixels that a frame's shorter side is scaled to; smaller frames are left as they are. Both sides are
            rounded to an even number of pixels.
        key_frame_interval: frames from a key frame to the next at most.
        workers: processes; as many as there are cores when None.
        progress: whether to draw a bar on stderr.

    Raises:
        ValueError: a number is out of range, there are no videos, all are broken, or ``out`` lies within ``root``, was
            made in another way or cannot be written.
    """
    root, out = Path(root).expanduser(), Path(out).expanduser()
    for name, value, least in (
        ("short_side", short_side, 2),
        ("key_frame_interval", key_frame_interval, 1),
        ("workers", workers, 1),
    ):
        if value is not None and value < least:
            raise ValueError(f"{name}={value} must be at least {least}")
    if out.resolve().is_relative_to(root.resolve()):
        raise ValueError(f"{out}: lies within {root}, whose videos are read; give a folder outside of it")
    videos = list(find_videos(root))
    if not videos:
        raise ValueError(f"{root}: holds no videos; give the folder that holds them")
    workers = available_cores() if workers is None else workers
    wanted = {"version": VERSION, "short_side": short_side, "key_frame_interval": key_frame_interval}
    try:
        out.mkdir(parents=True, exist_ok=True)
        settle(out, wanted, "small videos")
        work = partial(_encode, root, out, short_side, key_frame_interval)
        results = in_parallel(work, videos, workers) if workers > 1 and len(videos) > 1 else map(work, videos)
        broken: list[str] = []
        totals = np.zeros(4, np.int64)
        for result in followed(results, f"videos of {root.name}", len(videos), progress):
            broken += [result.broken] if result.broken else []
            totals += result[1:]
        broken.sort()
        frames, before, after, written = totals.tolist()
        lists = _copy_lists(root, out)
        done = PreparedVideos(out, len(videos) - len(broken), frames, before, after, broken, written, lists)
        write_lines(out / BROKEN_FILE, broken)
        manifest = {**wanted, **done._asdict(), "folder": str(root.absolute())}
        part = out / f"{MANIFEST_FILE}.{os.getpid()}.part"
        part.write_text(
            json.dumps({("source" if key == "folder" else key): manifest[key] for key in manifest}, indent=2)
        )
        part.rename(out / MANIFEST_FILE)
    except OSError as error:
        raise ValueError(f"{out}: cannot be written ({error.strerror}); make room for it, or give another") from error
    if len(broken) == len(videos):
        raise ValueError(f"{root}: all {len(videos):,} videos are broken, such as {broken[0]}")
    return done


def _encode(root: Path, out: Path, short_side: int, key_frame_interval: int, video: str) -> _Result:
    """Encode one video, unless that is done."""
    path, file = root / video, out / video
    try:
        with VideoReader(path) as reader:
            is_new = not _has_frames(file, reader.num_frames)
            if is_new:
                file.parent.mkdir(parents=True, exist_ok=True)
                _write(path, reader, short_side, key_frame_interval, file)
            return _Result(None, reader.num_frames, path.stat().st_size, file.stat().st_size, is_new)
    except VideoError as error:
        return _Result(str(error))


def _has_frames(file: Path, count: int) -> bool:
    try:
        with VideoReader(file) as reader:
            return reader.num_frames == count
    except VideoError:
        return False


def _write(path: Path, video: VideoReader, short_side: int, key_frame_interval: int, file: Path) -> None:
    """Write the small file of a video.

    Raises:
        VideoError: the video is damaged, or has no frame rate.
        OSError: the file cannot be written.
    """
    shorter = min(video.height, video.width)
    scale = min(short_side, shorter) / shorter
    height, width = (max(2, 2 * round(side * scale / 2)) for side in (video.height, video.width))
    rate = Fraction(video.fps).limit_denominator(_LARGEST_RATE_DENOMINATOR)
    told = video.frame_times()
    if told is None and not rate:
        raise VideoError(f"{path}: has no frame rate; put it into a container that does, such as MP4")
    times, time_base = told or (np.arange(video.num_frames), 1 / rate)
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        write_video(
            part,
            _frames(video, height, width),
            rate or 30,  # the times hold
            _QUALITY,
            preset=_PRESET,
            container="mp4",
            key_frame_interval=key_frame_interval,
            times=times.tolist(),
            time_base=time_base,
        )
        count = _decoded_frames(part)
        if count != video.num_frames:
            raise VideoError(f"{path}: has {video.num_frames} frames, its small copy {count}; report this file")
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
        part.rename(file)
    except av.error.FFmpegError as error:  # does not travel between processes
        raise OSError(error.errno, error.strerror) from None
    finally:
        part.unlink(missing_ok=True)


def _frames(video: VideoReader, height: int, width: int) -> Iterator[np.ndarray]:
    """Read frames, as many at once as memory allows."""
    at_once = max(1, _BYTES_AT_ONCE // (3 * height * width))
    for start in range(0, video.num_frames, at_once):
        numbers = np.arange(start, min(start + at_once, video.num_frames))
        yield from video.read(numbers, size=(height, width))


def _decoded_frames(file: Path) -> int:
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        return sum(not frame.is_corrupt for frame in container.decode(stream))


def _copy_lists(root: Path, out: Path) -> int:
    """Copy annotations and the like, so that a data module finds them; returns how many there are."""
    count = 0
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if not name.startswith(".")]
        for name in files:
            source = Path(folder) / name
            inside = source.relative_to(root)
            is_list = source.suffix.lower() in LIST_SUFFIXES and not name.startswith(".")
            if not is_list or str(inside) in _OWN_FILES:
                continue
            target = out / inside
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_name(f"{name}.{os.getpid()}.part")
            shutil.copy(source, part)
            part.rename(target)
            count += 1
    return count
