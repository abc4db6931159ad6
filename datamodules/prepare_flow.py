"""From a folder of videos to a folder of optical flow: parallel, resumable, each file whole or not at all."""

import os
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from datamodules.optical_flow import Estimator, FlowMethod, estimator, video_flow
from datamodules.prepare_folder import followed, settle, write_lines
from datamodules.prepare_ntu import BROKEN_FILE, available_cores, in_parallel
from datamodules.readers.flow import FlowError, FlowReader, record_type
from datamodules.readers.video import VideoError, VideoReader
from datamodules.sample_list import find_videos

SUFFIX = ".flow.npy"
VERSION = 1
_FRAMES_AT_ONCE = 512


class PreparedFlow(NamedTuple):
    """What came of preparing a folder.

    Attributes:
        folder: of the flow.
        videos: number of those with flow.
        broken: what is wrong with each broken video.
        computed: number of videos whose flow was computed this time.
    """

    folder: Path
    videos: int
    broken: list[str]
    computed: int

    def __str__(self) -> str:
        """Return one line for the user."""
        line = f"flow of {self.videos:,} videos in {self.folder}, {self.computed:,} computed now"
        if self.broken:
            line += f"; {len(self.broken):,} broken videos, such as {self.broken[0]}"
            line += f" (all in {self.folder / BROKEN_FILE})"
        return line


def flow_name(video: str) -> str:
    """Return where the flow of a video is, below the folder of flow; ``video`` is a path below the videos' folder."""
    return os.path.splitext(video)[0] + SUFFIX


def prepare_flow(
    root: str | Path,
    out: str | Path,
    method: FlowMethod = "dis",
    short_side: int = 128,
    weights: str | Path | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> PreparedFlow:
    """Compute the optical flow of all videos below a folder.

    A video's file gets its name when it is complete. A run that is stopped goes on where it was when it is started
    again: files that are there are checked against their videos, and what fails the check is computed again.

    Args:
        root: folder of the videos, nested or flat.
        out: folder of the flow; ``<root>/a/b.avi`` gives ``<out>/a/b.flow.npy``, as of ``readers/flow.py``. Broken
            videos are listed in ``broken.txt``, which is there where there are some.
        method: as of ``optical_flow.estimator``.
        short_side: pixels that a frame's shorter side is scaled to before; smaller frames are left as they are.
        weights: as of ``optical_flow.estimator``.
        workers: processes; as many as there are cores when None.
        progress: whether to draw a bar on stderr.

    Raises:
        ValueError: there are no videos, two would share a file, all are broken, the method cannot be had, or ``out``
            was made in another way or cannot be written.
    """
    root, out = Path(root).expanduser(), Path(out).expanduser()
    for name, value in (("short_side", short_side), ("workers", workers)):
        if value is not None and value < 1:
            raise ValueError(f"{name}={value} must be at least 1")
    videos = list(find_videos(root))
    if not videos:
        raise ValueError(f"{root}: holds no videos; give the folder that holds them")
    by_name: dict[str, str] = {}
    for video in videos:
        other = by_name.setdefault(flow_name(video), video)
        if other != video:
            raise ValueError(f"{root / video}: has the name of {other} but for the suffix; rename one of the two")
    estimator(method, weights)
    wanted = {
        "version": VERSION,
        "method": method,
        "short_side": short_side,
        "weights": None if weights is None else Path(weights).name,
    }
    workers = available_cores() if workers is None else workers
    try:
        out.mkdir(parents=True, exist_ok=True)
        settle(out, wanted, "flow")
        work = partial(_compute, root, out, method, weights, short_side)
        results = in_parallel(work, videos, workers) if workers > 1 and len(videos) > 1 else map(work, videos)
        broken, computed = [], 0
        for reason, is_new in followed(results, f"flow of {root.name}", len(videos), progress):
            broken += [reason] if reason else []
            computed += is_new
        broken.sort()
        write_lines(out / BROKEN_FILE, broken)
    except OSError as error:
        raise ValueError(f"{out}: cannot be written ({error.strerror}); make room for it, or give another") from error
    if len(broken) == len(videos):
        raise ValueError(f"{root}: all {len(videos):,} videos are broken, such as {broken[0]}")
    return PreparedFlow(out, len(videos) - len(broken), broken, computed)


_estimators: dict[tuple[FlowMethod, str | Path | None], Estimator] = {}  # one a process: RAFT takes seconds to build


def _compute(
    root: Path, out: Path, method: FlowMethod, weights: str | Path | None, short_side: int, video: str
) -> tuple[str | None, bool]:
    """Compute the flow of one video, unless that is done.

    Returns:
        What is wrong with the video, if anything is; and whether its flow is new.
    """
    path, file = root / video, out / flow_name(video)
    try:
        with VideoReader(path) as reader:
            try:
                if FlowReader(file).num_frames == reader.num_frames:
                    return None, False
            except FlowError:
                pass
            if (method, weights) not in _estimators:
                _estimators[method, weights] = estimator(method, weights)
            file.parent.mkdir(parents=True, exist_ok=True)
            part = file.with_name(f"{file.name}.{os.getpid()}.part")
            try:
                _write(reader, part, _estimators[method, weights], short_side)
                part.rename(file)
            finally:
                part.unlink(missing_ok=True)
    except VideoError as error:
        return str(error), False
    return None, True


def _write(reader: VideoReader, part: Path, estimate: Estimator, short_side: int) -> None:
    height, width = reader.read(np.zeros(1, np.int64)).shape[1:3]
    side = min(short_side, height, width)
    last = reader.num_frames - 1
    with part.open("wb") as stream:
        for start in range(0, max(last, 1), _FRAMES_AT_ONCE):
            frames = reader.read(np.arange(start, min(start + _FRAMES_AT_ONCE, last) + 1), side)
            if len(frames) == 1:  # of the video
                frames = frames.repeat(2, 0)
            records = video_flow(frames, estimate)
            if not start:
                header = {
                    "descr": np.lib.format.dtype_to_descr(record_type(*frames.shape[1:3])),
                    "fortran_order": False,
                    "shape": (last + 1,),
                }
                np.lib.format.write_array_header_1_0(stream, header)
            stream.write(records.tobytes())
        if last > 0:
            stream.write(records[-1:].tobytes())
        stream.flush()
        os.fsync(stream.fileno())
