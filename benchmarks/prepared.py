"""Clips decoded per second on one core: original videos against what ``lightning prepare videos`` makes of them.

``python benchmarks/prepared.py [VIDEO...]`` prints a markdown table: bytes, seconds of preparing, and clips a second,
by the same reader on the same random clips. Without a video it writes the one of ``decode.py``. Original and copy take
turns, clip by clip, and processor time counts, so that other load on the machine tells little.
"""

import argparse
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

import av
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # runs from a checkout too

from decode import decode_with_reader, write_texture

from datamodules.prepare_videos import prepare_videos
from datamodules.readers.video import VideoReader
from datamodules.sampling.clips import ClipSampler

COLUMNS = ("video", "MB", "prepared MB", "s to prepare", "clips/s", "prepared clips/s", "ratio")


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


def row(path: Path, folder: Path, num_clips: int) -> list[str]:
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
    sizes = [f"{file.stat().st_size / 1e6:.2f}" for file in (path, small / path.name)]
    rates = [f"{len(values) / sum(values):.0f}" for values in (original, prepared)]
    return [what, *sizes, f"{preparing:.2f}", *rates, f"{ratio:.1f}"]


def main() -> None:
    """Measures the videos named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="*", type=Path, metavar="VIDEO")
    parser.add_argument("--clips", type=int, default=40, help="clips per video")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{platform.machine()}, torch {torch.__version__}, PyAV {av.__version__}, seed 0\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    with tempfile.TemporaryDirectory() as folder:
        videos = arguments.videos
        if not videos:
            videos = [Path(folder) / "texture.mp4"]
            write_texture(videos[0])
        for number, path in enumerate(videos):
            print(f"| {' | '.join(row(path, Path(folder) / str(number), arguments.clips))} |", flush=True)


if __name__ == "__main__":
    main()
