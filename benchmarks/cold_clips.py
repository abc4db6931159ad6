"""Training samples a second from a clip cache that is not in memory, as where it is larger than that.

``python -m benchmarks.cold_clips`` caches many links to one video by ``lightning prepare clips``, lets the system
forget the files, and reads random samples of 16 frames, cropped to 112x112: as the data modules do, which ask for the
frames of a clip at once, and from the mapped file alone, whose pages come when they are touched. Beside them the same
from memory, and the rate at which the disk reads the files from end to end. The clock counts, as what is measured is
waiting; ``read`` is what the system brought from the disk, whether it was wanted or not. The fastest of some turns.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.decode import write_texture
from benchmarks.record import record
from datamodules.cached_videos import CachedVideoDataset
from datamodules.clip_cache import ClipCache, Part
from datamodules.prepare_clips import prepare_clips
from datamodules.sample_list import SampleList
from datamodules.sampling.clips import ClipSampler
from datamodules.sampling.resumable_sampler import Draw

LAYOUTS = {  # frames of a cached clip, stride, height, width; strides of a sample
    "16 frames of 128x170": (16, 2, 128, 170, (2,)),
    "64 frames of 144x192": (64, 1, 144, 192, (1, 2, 3, 4)),
}
CLIPS = 4  # of a video
SEED = 0


class Unasked(ClipCache):
    """A cache whose files are mapped, and no more."""

    def part(self, row: int, clip: int) -> Part:
        """Return a clip that does not say what it needs."""
        return replace(super().part(row, clip), memory=_Silent())  # type: ignore[arg-type]


class _Silent:
    def madvise(self, option: int, start: int, length: int) -> None:
        """Ask for nothing."""


def forget(folder: Path) -> None:
    """Let the system drop what it holds of a folder's files (Linux)."""
    for file in folder.iterdir():
        handle = os.open(file, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def read_through(folder: Path) -> int:
    """Read a folder's files from end to end; returns their bytes."""
    total = 0
    for file in folder.iterdir():
        with file.open("rb", buffering=0) as stream:
            while chunk := stream.read(1 << 23):
                total += len(chunk)
    return total


def from_disk() -> int:
    """Bytes that this process had the system bring from disks (Linux)."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["read_bytes"])


def timed(work: Callable[[], object], count: int) -> dict[str, object]:
    """Columns of some samples."""
    read, processor, start = from_disk(), time.process_time(), time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    return {
        "samples/s": count / seconds,
        "processor ms a sample": 1000 * (time.process_time() - processor) / count,
        "read, MB a sample": (from_disk() - read) / 1e6 / count,
    }


def rows(name: str, gigabytes: float, samples: int, turns: int) -> list[dict[str, object]]:
    """The ways to read a layout, in turns; the fastest turn of each."""
    frames, stride, height, width, strides = LAYOUTS[name]
    videos = max(1, int(gigabytes * 1e9 / (3 * CLIPS * frames * height * width)))
    sampler = ClipSampler(num_frames=16, strides=strides, temporal_jitter=False)
    with tempfile.TemporaryDirectory() as place:
        root, out = Path(place, "videos"), Path(place, "cache")
        root.mkdir()
        write_texture(Path(place, "texture.mp4"))
        names = [f"{number:06d}.mp4" for number in range(videos)]
        for link in names:
            (root / link).hardlink_to(Path(place, "texture.mp4"))
        prepare_clips(root, out, CLIPS, frames, stride, None, height, width)
        listed = SampleList([(str(root / link), 0) for link in names])
        generator = torch.Generator().manual_seed(SEED)
        ways: dict[str, list[dict[str, object]]] = {}

        def measure(way: str, cache: ClipCache) -> None:
            dataset = CachedVideoDataset(listed, root, cache, sampler, (128,), 112, training=True)
            chosen = torch.randint(videos, (samples,), generator=generator).tolist()
            draws = [Draw(row, number) for number, row in enumerate(chosen)]
            ways.setdefault(way, []).append(timed(lambda: [dataset[draw] for draw in draws], samples))

        for _ in range(turns):
            forget(out)
            measure("not in memory: asked for at once", ClipCache(out))
            forget(out)
            measure("not in memory: as pages are touched", Unasked(out))
            forget(out)
            start = time.perf_counter()
            megabytes = read_through(out) / 1e6
            disk = megabytes / (time.perf_counter() - start)
            ways.setdefault("from end to end, MB/s", []).append({"MB/s": disk})
            for _ in range(2):  # the first after the disk is slower
                measure("in memory: asked for at once", ClipCache(out))
                measure("in memory: as pages are touched", Unasked(out))
    speed = max(float(str(turn["MB/s"])) for turn in ways.pop("from end to end, MB/s"))
    return [
        {
            "clips in the cache": name,
            "way": way,
            **max(found, key=lambda turn: float(str(turn["samples/s"]))),
            "the disk from end to end, MB/s": speed,
        }
        for way, found in ways.items()
    ]


def main() -> None:
    """Measure both layouts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=4.0, help="of a cache")
    parser.add_argument("--samples", type=int, default=500, help="that are read, each way")
    parser.add_argument("--turns", type=int, default=3, help="of which the fastest counts")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = [row for name in LAYOUTS for row in rows(name, arguments.gigabytes, arguments.samples, arguments.turns)]
    record("cold_clips", {"samples": found}, seed=SEED)


if __name__ == "__main__":
    main()
