"""From videos to a clip cache: in parallel, shard by shard, each whole or not at all; a stopped run goes on."""

import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from datamodules.clip_cache import (
    MANIFEST_FILE,
    VERSION,
    ClipLayout,
    Shard,
    check_size,
    facts_name,
    header,
    shard_name,
)
from datamodules.prepare_folder import followed, in_bytes, settle, write_lines
from datamodules.prepare_ntu import BROKEN_FILE, available_cores, in_parallel, locked
from datamodules.readers.video import VideoError, VideoReader
from datamodules.sample_list import find_videos

SHARD_BYTES = 4 << 30

Task = TypeVar("Task")
Result = TypeVar("Result")


class PreparedClips(NamedTuple):
    """What came of preparing videos.

    Attributes:
        folder: of the cache.
        layout: of its clips.
        videos: number of those whose clips are there.
        shards: number of files that they are in.
        bytes: of these files.
        source_bytes: of the videos.
        broken: what is wrong with each broken video.
        written: number of videos whose clips were written this time.
    """

    folder: Path
    layout: ClipLayout
    videos: int
    shards: int
    bytes: int
    source_bytes: int
    broken: list[str]
    written: int

    def __str__(self) -> str:
        """Return one line for the user."""
        layout = self.layout
        line = f"clips of {self.videos:,} videos in {self.folder}, {self.written:,} written now: {layout.clips} each of"
        line += f" {layout.frames} frames, {layout.rate}, {layout.height}x{layout.width} pixels;"
        line += f" {in_bytes(self.bytes)} in {self.shards:,} files, of {in_bytes(self.source_bytes)} of videos"
        if self.broken:
            line += f"; {len(self.broken):,} broken videos, such as {self.broken[0]}"
            line += f" (all in {self.folder / BROKEN_FILE})"
        return line


class _Place(NamedTuple):
    """Where the clips of a video go: which one of which shard; its file's name."""

    shard: int
    place: int
    video: str


class _Done(NamedTuple):
    """What came of a video: where it was to go, what is wrong with it, and else how long and what its clips are."""

    shard: int
    place: int
    size: int
    broken: str | None
    lengths: list[int]
    checksum: int


def prepare_clips(
    root: str | Path,
    out: str | Path,
    clips: int = 4,
    frames: int = 16,
    stride: int = 2,
    fps: float | None = None,
    height: int = 128,
    width: int = 170,
    squeeze: bool = False,
    videos: list[str] | None = None,
    shard_bytes: int = SHARD_BYTES,
    workers: int | None = None,
    progress: bool = True,
) -> PreparedClips:
    """Decode clips of all videos below a folder once, into files that data modules map as ``clip_cache``.

    Clips are evenly spaced over a video, the first starts with it and the last ends with it. A picture is scaled until
    it covers the frame, and its centre is kept; or it is squeezed into the frame whole.

    A shard gets its name when all its videos are done and what is on the disk has the check sums of what was meant to
    be. A run that is stopped goes on with the shards that are not there; those that are there are read and checked, and
    made again where they are damaged or a file of their videos has another size by now.

    Args:
        root: folder of the videos, nested or flat; ``root`` of the data module.
        out: folder of the cache. ``broken.txt`` lists videos that cannot be read, where there are some.
        clips: of a video.
        frames: of a clip.
        stride: frames of the video from one frame of a clip to the next; has no effect where ``fps`` is set.
        fps: frames per second of a clip; None goes by frame number.
        height: of a frame in pixels.
        width: likewise; 170 for 128 is the shape of most videos of Kinetics, 4 to 3.
        squeeze: whether the whole picture is squeezed into the frame, whatever its shape.
        videos: names below ``root`` to take; all when None.
        shard_bytes: most bytes of a shard; a video's clips are never parted.
        workers: processes; as many as there are cores when None.
        progress: whether to draw a bar on stderr.

    Raises:
        ValueError: a number is out of range, there are no videos, all are broken, or ``out`` lies within ``root``, was
            made in another way, has no room or cannot be written.
    """
    root, out = Path(root).expanduser(), Path(out).expanduser()
    numbers = {"clips": clips, "frames": frames, "stride": stride, "height": height, "width": width}
    for name, value in {**numbers, "shard_bytes": shard_bytes, "workers": workers}.items():
        if value is not None and value < 1:
            raise ValueError(f"{name}={value} must be at least 1")
    if fps is not None and not fps > 0:
        raise ValueError(f"fps={fps} must be above 0")
    if out.resolve().is_relative_to(root.resolve()):
        raise ValueError(f"{out}: lies within {root}, whose videos are read; give a folder outside of it")
    names = sorted(find_videos(root) if videos is None else set(videos))
    if not names:
        raise ValueError(f"{root}: holds no videos; give the folder that holds them")
    layout = ClipLayout(clips, frames, None if fps is not None else stride, fps, height, width)
    per_shard = max(1, shard_bytes // layout.video_bytes)
    key = blake2b("\0".join(names).encode(errors="surrogateescape"), digest_size=8).hexdigest()
    wanted = {"version": VERSION, **layout._asdict(), "squeeze": squeeze, "videos": len(names), "names": key}
    shards = [names[first : first + per_shard] for first in range(0, len(names), per_shard)]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with locked(out):  # by the workers of a killed run, too
            settle(out, {**wanted, "videos_per_shard": per_shard}, "cached clips")
            job = _Job(root, out, layout, squeeze, shards, available_cores() if workers is None else workers, progress)
            written = job.run()
            return job.finish(written)
    except OSError as error:
        raise ValueError(f"{out}: cannot be written ({error.strerror}); make room for it, or give another") from error


class _Job:
    """A cache being made."""

    def __init__(
        self,
        root: Path,
        out: Path,
        layout: ClipLayout,
        squeeze: bool,
        shards: list[list[str]],
        workers: int,
        progress: bool,
    ) -> None:
        self.root, self.out, self.layout, self.squeeze, self.shards = root, out, layout, squeeze, shards
        self.workers, self.progress = workers, progress
        for part in out.glob("clips-*.part"):
            part.unlink()

    def run(self) -> int:
        """Make the shards that are not there, or no longer right.

        Returns:
            How many videos were written.
        """
        there = [number for number in range(len(self.shards)) if (self.out / shard_name(number)).exists()]
        check = partial(_is_right, self.root, self.out, self.layout, self.shards)
        results = self._each(check, there, "shards to check") if there else ()
        right = {number for number, is_right in results if is_right}
        to_do = [number for number in range(len(self.shards)) if number not in right]
        if not to_do:
            return 0
        (self.out / MANIFEST_FILE).unlink(missing_ok=True)  # whoever trains meanwhile is told
        for number in to_do:
            (self.out / shard_name(number)).unlink(missing_ok=True)
        self._require_room(sum(len(self.shards[number]) for number in to_do))
        for number in to_do:
            with self._part(number).open("wb") as stream:
                first = header(len(self.shards[number]), self.layout)
                stream.write(first)
                stream.truncate(len(first) + len(self.shards[number]) * self.layout.video_bytes)
        places = [_Place(number, *video) for number in to_do for video in enumerate(self.shards[number])]
        work = partial(_write_clips, self.root, self.out, self.layout, self.squeeze, list(map(len, self.shards)))
        found: dict[int, list[_Done]] = {number: [] for number in to_do}
        for done in self._each(work, places, f"videos of {self.root.name}"):
            found[done.shard].append(done)
            if len(found[done.shard]) == len(self.shards[done.shard]):
                self._name(done.shard, sorted(found.pop(done.shard)))
        return len(places)

    def finish(self, written: int) -> PreparedClips:
        """Write the manifest."""
        facts = [Shard.read(self.out / facts_name(number)) for number in range(len(self.shards))]
        broken = [f"{self.root / shard.videos[place]}: {why}" for shard in facts for place, why in shard.broken.items()]
        count = sum(map(len, self.shards))
        if len(broken) == count:
            raise ValueError(f"{self.root}: all {count:,} videos are broken, such as {broken[0]}")
        write_lines(self.out / BROKEN_FILE, broken)
        total = sum((self.out / shard_name(number)).stat().st_size for number in range(len(facts)))
        source = sum(sum(shard.sizes) for shard in facts)
        manifest = {
            "version": VERSION,
            **self.layout._asdict(),
            "squeeze": self.squeeze,
            "source": str(self.root.absolute()),
            "videos": count - len(broken),
            "bytes": total,
            "source_bytes": source,
            "broken": broken,
            "shards": list(map(len, self.shards)),
        }
        part = self.out / f"{MANIFEST_FILE}.{os.getpid()}.part"
        part.write_text(json.dumps(manifest, indent=2))
        part.rename(self.out / MANIFEST_FILE)
        return PreparedClips(self.out, self.layout, count - len(broken), len(facts), total, source, broken, written)

    def _each(self, work: Callable[[Task], Result], tasks: list[Task], label: str) -> Iterator[Result]:
        parallel = self.workers > 1 and len(tasks) > 1
        results: Iterable[Result] = in_parallel(work, tasks, self.workers) if parallel else map(work, tasks)
        return followed(results, label, len(tasks), self.progress)

    def _require_room(self, videos: int) -> None:
        each, free = self.layout.video_bytes, shutil.disk_usage(self.out).free
        if videos * each > free:
            raise ValueError(
                f"{self.out}: {videos:,} videos need {in_bytes(videos * each)} ({in_bytes(each)} each),"
                f" {in_bytes(free)} are free; ask for fewer clips or frames, smaller ones, or give a folder on another"
                f" disk"
            )

    def _part(self, number: int) -> Path:
        return self.out / f"{shard_name(number)}.part"

    def _name(self, number: int, done: list[_Done]) -> None:
        """Check what is on the disk, and give it its name."""
        part = self._part(number)
        checksums = [video.checksum for video in done]
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
            if not _are_right(part, checksums, self.layout):
                raise ValueError(f"{part}: is not what was written; look after the disk, then run the same again")
        broken = {video.place: video.broken for video in done if video.broken is not None}
        lengths = [video.lengths for video in done]
        facts = Shard(self.shards[number], [video.size for video in done], lengths, checksums, broken)
        facts.write(self.out / facts_name(number))
        part.rename(self.out / shard_name(number))


def _is_right(root: Path, out: Path, layout: ClipLayout, shards: list[list[str]], number: int) -> tuple[int, bool]:
    """Tell whether a shard is whole, undamaged, and of videos that have not changed."""
    file = out / shard_name(number)
    try:
        facts = Shard.read(out / facts_name(number))
        check_size(file, len(shards[number]), layout)
    except ValueError:
        return number, False
    same = facts.videos == shards[number] and facts.sizes == [_bytes_of(root / name) for name in facts.videos]
    return number, same and _are_right(file, facts.checksums, layout)


def _are_right(file: Path, checksums: list[int], layout: ClipLayout) -> bool:
    with file.open("rb") as stream:
        stream.seek(len(header(len(checksums), layout)))
        return all(zlib.crc32(stream.read(layout.video_bytes)) == checksum for checksum in checksums)


def _bytes_of(video: Path) -> int:
    try:
        return video.stat().st_size
    except OSError:
        return 0


def _write_clips(root: Path, out: Path, layout: ClipLayout, squeeze: bool, counts: list[int], place: _Place) -> _Done:
    """Decode the clips of a video and write them into its shard; those of a broken one are black."""
    path, broken, lengths = root / place.video, None, [0] * layout.clips
    try:
        pictures, lengths = _clips(path, layout, squeeze)
    except VideoError as error:
        broken = str(error).removeprefix(f"{path}: ")
        pictures = np.zeros(layout.video_bytes, np.uint8)
    data = memoryview(pictures.tobytes())
    checksum = zlib.crc32(data)
    offset = len(header(counts[place.shard], layout)) + place.place * layout.video_bytes
    # Not through a map: a full disk is then an error, not the end of the process.
    handle = os.open(out / f"{shard_name(place.shard)}.part", os.O_WRONLY)
    try:
        while data:
            written = os.pwrite(handle, data, offset)
            data, offset = data[written:], offset + written
    finally:
        os.close(handle)
    return _Done(place.shard, place.place, _bytes_of(path), broken, lengths, checksum)


def _clips(path: Path, layout: ClipLayout, squeeze: bool) -> tuple[np.ndarray, list[int]]:
    """Read the clips of a video.

    Returns:
        uint8 (N, T, H, W, 3); and how many frames of each are the video's, before its last is repeated.

    Raises:
        VideoError: the video is damaged, or has no frame rate where one is needed.
    """
    with VideoReader(path) as video:
        if layout.fps is not None and not video.fps > 0:
            raise VideoError(f"{path}: its frame rate is unknown; prepare with a stride, or encode it anew")
        frames = layout.sampler.evenly_spaced(video)
        pictures = _pictures(video, frames.reshape(-1), layout.height, layout.width, squeeze)
    lengths = [int(np.argmax(numbers == numbers[-1])) + 1 for numbers in frames]
    return pictures.reshape(*frames.shape, *pictures.shape[1:]), lengths


def _pictures(video: VideoReader, frames: np.ndarray, height: int, width: int, squeeze: bool) -> np.ndarray:
    """Read frames of one size, contiguous."""

    def scaled(stored_height: int, stored_width: int) -> tuple[int, int]:
        if squeeze:
            return height, width
        scale = max(height / stored_height, width / stored_width)
        return max(height, round(stored_height * scale)), max(width, round(stored_width * scale))

    wanted = scaled(video.height, video.width)
    pictures = video.read(frames, size=wanted)
    if pictures.shape[1:3] != wanted:  # turned upright: only a decoded frame tells
        wanted = scaled(video.width, video.height)
        pictures = video.read(frames, size=wanted[::-1])
    top, left = (wanted[0] - height) // 2, (wanted[1] - width) // 2
    return np.ascontiguousarray(pictures[:, top : top + height, left : left + width])
