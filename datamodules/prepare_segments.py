"""From long videos to a small file per segment: parallel, resumable, each file whole or not at all."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import av.error
import numpy as np

from datamodules.prepare_folder import followed, settle, write_lines
from datamodules.prepare_ntu import BROKEN_FILE, available_cores, in_parallel
from datamodules.readers.video import VideoError, VideoReader
from datamodules.sample_list import find_videos
from datamodules.sampling.clips import Segment
from datamodules.writers.video import write_video

SUFFIX = ".mp4"
MISSING_FILE = "missing.txt"
VERSION = 1

_PRESET = "veryfast"
_CUTS_PER_TASK = 16
_BYTES_AT_ONCE = 256 << 20
_LARGEST_RATE_DENOMINATOR = 1001  # of 30000/1001 and its like
_MISSING_SECONDS = 0.5  # that a video may lack of its last segment


class Cut(NamedTuple):
    """A segment to cut out.

    Attributes:
        name: of the file to write, without extension.
        video: what the long video is known by.
        start: in seconds from the video's first frame.
        end: likewise, exclusive.
    """

    name: str
    video: str
    start: float
    end: float


class PreparedSegments(NamedTuple):
    """What came of cutting.

    Attributes:
        folder: of the files.
        noun: what messages call the segments.
        segments: number of those that are there.
        wanted: number of those that were asked for.
        missing: long videos that are not there.
        broken: what is wrong, for each segment of a video that is there.
        written: number of files that were written this time.
    """

    folder: Path
    noun: str
    segments: int
    wanted: int
    missing: list[str]
    broken: list[str]
    written: int

    def __str__(self) -> str:
        """Return one line for the user."""
        line = f"{self.segments:,} of {self.wanted:,} {self.noun} in {self.folder}, {self.written:,} cut out now"
        if self.missing:
            line += f"; {len(self.missing):,} videos are missing, such as {self.missing[0]}"
            line += f" (all in {self.folder / MISSING_FILE})"
        if self.broken:
            line += f"; {len(self.broken):,} {self.noun} could not be had, such as {self.broken[0]}"
            line += f" (all in {self.folder / BROKEN_FILE})"
        return line


def long_videos(root: Path, known_by: Callable[[str], str | None], example: str) -> dict[str, str]:
    """Find the long videos below a folder.

    Args:
        root: the folder.
        known_by: from a file's name without extension to what the video is known by; None for other videos.
        example: of such a name, for messages.

    Returns:
        Path of each below the folder, by what it is known by.

    Raises:
        ValueError: there is no folder or none of them, or one is there twice.
    """
    found: dict[str, str] = {}
    for path in find_videos(root):
        name = known_by(os.path.splitext(os.path.basename(path))[0])
        if name is None:
            continue
        other = found.setdefault(name, path)
        if other != path:
            raise ValueError(f"{root / path}: is also at {other}; keep one of the two")
    if not found:
        raise ValueError(f"{root}: holds no videos named such as {example}; give the folder that does")
    return found


def cut_out(
    root: Path,
    videos: dict[str, str],
    cuts: Sequence[Cut],
    out: Path,
    source: dict[str, Any],
    noun: str,
    short_side: int | None,
    workers: int | None,
    progress: bool,
) -> PreparedSegments:
    """Cut segments out of long videos.

    A segment is the frames on screen from its start up to its end. They are encoded anew, without sound, at the video's
    mean frame rate, as H.264 in ``<out>/<name>.mp4``. A file gets its name when it is complete; a run that is stopped
    goes on where it was when it is started again.

    Args:
        root: folder of the long videos.
        videos: as of ``long_videos``.
        cuts: what to cut out, each name once.
        out: folder of the files. Videos that are not there are listed in ``missing.txt``, what is wrong with other
            segments in ``broken.txt``, where there are some.
        source: what tells the annotations from others, in plain JSON types.
        noun: what messages call the segments.
        short_side: pixels that a frame's shorter side is scaled to; smaller frames are left as they are, as are all
            when None. Both sides are cut to an even number of pixels.
        workers: processes; as many as there are cores when None.
        progress: whether to draw a bar on stderr.

    Raises:
        ValueError: a number is out of range, none of the segments could be had, or ``out`` was made in another way or
            cannot be written.
    """
    for name, value, least in (("short_side", short_side, 2), ("workers", workers, 1)):
        if value is not None and value < least:
            raise ValueError(f"{name}={value} must be at least {least}")
    workers = available_cores() if workers is None else workers
    missing = sorted({cut.video for cut in cuts} - videos.keys())
    there = [cut for cut in cuts if cut.video in videos]
    tasks = list(_tasks(there, videos))
    broken, written = [], 0
    try:
        out.mkdir(parents=True, exist_ok=True)
        settle(out, {"version": VERSION, "short_side": short_side, **source}, noun)
        work = partial(_cut_out, root, out, short_side)
        results = in_parallel(work, tasks, workers) if workers > 1 and len(tasks) > 1 else map(work, tasks)
        for reason, is_new in followed(chain.from_iterable(results), f"{noun} of {root.name}", len(there), progress):
            broken += [reason] if reason else []
            written += is_new
        broken.sort()
        write_lines(out / BROKEN_FILE, broken)
        write_lines(out / MISSING_FILE, missing)
    except OSError as error:
        raise ValueError(f"{out}: cannot be written ({error.strerror}); make room for it, or give another") from error
    if len(broken) == len(there):
        example = broken[0] if broken else f"{missing[0]} is no video below it"
        raise ValueError(f"{root}: none of the {len(cuts):,} {noun} could be cut out: {example}")
    return PreparedSegments(out, noun, len(there) - len(broken), len(cuts), missing, broken, written)


_Task = tuple[str, list[Cut]]


def _tasks(cuts: Iterable[Cut], videos: dict[str, str]) -> Iterator[_Task]:
    """Deal out the segments of each video, in order of time, a few at once."""
    by_video: dict[str, list[Cut]] = {}
    for cut in cuts:
        by_video.setdefault(cut.video, []).append(cut)
    for video, of_video in by_video.items():
        of_video.sort(key=lambda cut: (cut.start, cut.end))
        for start in range(0, len(of_video), _CUTS_PER_TASK):
            yield videos[video], of_video[start : start + _CUTS_PER_TASK]


def _cut_out(root: Path, out: Path, short_side: int | None, task: _Task) -> list[tuple[str | None, bool]]:
    """Cut some segments out of a video, unless that is done.

    Returns:
        Of each, what is wrong, if anything is; and whether its file is new.
    """
    path, cuts = task
    to_do = [cut for cut in cuts if not (out / f"{cut.name}{SUFFIX}").exists()]
    results: list[tuple[str | None, bool]] = [(None, False)] * (len(cuts) - len(to_do))
    if not to_do:
        return results
    try:
        with VideoReader(root / path) as video:
            for cut in to_do:
                try:
                    _write(video, cut, short_side, out / f"{cut.name}{SUFFIX}")
                    results.append((None, True))
                except ValueError as error:
                    reason = str(error).removeprefix(f"{root / path}: ")
                    results.append((f"{cut.name}: {root / path}: {reason}", False))
    except VideoError as error:
        results += [(f"{cut.name}: {error}", False) for cut in to_do]
    return results


def _write(video: VideoReader, cut: Cut, short_side: int | None, file: Path) -> None:
    """Write the file of a segment.

    Raises:
        ValueError: the video is too short, is damaged there, or has no frame rate.
        OSError: the file cannot be written.
    """
    segment = Segment(video, cut.start, cut.end)
    seconds = video.num_frames / video.fps
    if cut.end > seconds + _MISSING_SECONDS:
        raise ValueError(f"ends after {seconds:.2f} s, the segment at {cut.end:.2f} s; get the whole video")
    frames = _frames(video, segment.first_frame, segment.first_frame + segment.num_frames, short_side)
    rate = Fraction(video.fps).limit_denominator(_LARGEST_RATE_DENOMINATOR)
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        write_video(part, frames, rate, preset=_PRESET, container="mp4")
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
        part.rename(file)
    except av.error.FFmpegError as error:  # does not travel between processes
        raise OSError(error.errno, error.strerror) from None
    finally:
        part.unlink(missing_ok=True)


def _frames(video: VideoReader, first: int, stop: int, short_side: int | None) -> Iterator[np.ndarray]:
    """Read frames, as many at once as memory allows, cut to even sides."""
    shorter = min(video.height, video.width)
    side = shorter if short_side is None else min(short_side, shorter)
    at_once = max(1, int(_BYTES_AT_ONCE / (3 * video.height * video.width * (side / shorter) ** 2)))
    for start in range(first, stop, at_once):
        for image in video.read(np.arange(start, min(start + at_once, stop)), side):
            yield image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
