"""Clips decoded per second on one core: original videos against what ``lightning prepare videos`` makes of them.

``python -m benchmarks.prepared [VIDEO...]`` makes a table: bytes, seconds of preparing, and clips a second,
by the same reader on the same random clips. Without a video it writes the one of ``decode.py``. Original and copy take
turns, clip by clip, and processor time counts, so that other load on the machine tells little.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.decode import decode_with_reader, write_texture
from benchmarks.record import record
from datamodules.prepare_videos import prepare_videos
from datamodules.readers.video import VideoReader
from datamodules.sampling.clips import ClipSampler


def decode(path: Path, copy: Path, num_clips: int) -> tuple[list[float], list[float]]:
    """Processor seconds of the same clips from the original and from the copy."""
    generator = torch.Generator().manual_seed(0)
    sampler = ClipSampler(num_frames=16, strides=(1, 2, 3, 4))
    seconds: tuple[list[float], list[float]] = ([], [])
    for turn in range(num_clips + 1):
        with VideoReader(path) as video:
            indices = sampler.random(video, generator)[0]
        for file, values in zip((path, copy), seconds, strict=True):
            start = time.process_time()
            decode_with_reader(file, indices)
            if turn:  # the first turn warms up
                values.append(time.process_time() - start)
    return seconds


def row(path: Path, folder: Path, num_clips: int) -> dict[str, object]:
    """Measure a video; returns its row of the table."""
    raw, small = folder / "raw", folder / "small"
    raw.mkdir(parents=True)
    (raw / path.name).symlink_to(path.absolute())
    start = time.process_time()
    prepare_videos(raw, small, workers=1, progress=False)
    preparing = time.process_time() - start
    original, prepared = decode(path, small / path.name, num_clips)
    ratio = statistics.median(one / other for one, other in zip(original, prepared, strict=True))
    with VideoReader(path) as video:
        what = f"{path.name}, {video.width}x{video.height}, {video.num_frames} frames"
    return {
        "video": what,
        "MB": path.stat().st_size / 1e6,
        "prepared MB": (small / path.name).stat().st_size / 1e6,
        "s to prepare": preparing,
        "clips/s": len(original) / sum(original),
        "prepared clips/s": len(prepared) / sum(prepared),
        "ratio": ratio,
    }


def main() -> None:
    """Measures the videos named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="*", type=Path, metavar="VIDEO")
    parser.add_argument("--clips", type=int, default=40, help="clips per video")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        videos = arguments.videos
        if not videos:
            videos = [Path(folder) / "texture.mp4"]
            write_texture(videos[0])
        rows = [row(path, Path(folder) / str(number), arguments.clips) for number, path in enumerate(videos)]
    record("prepared", {"videos": rows}, seed=0)


if __name__ == "__main__":
    main()
