"""Clips decoded per second on one core: original videos against what ``lightning prepare videos`` makes of them.

``python -m benchmarks.prepared [VIDEO...]`` makes a table: bytes, seconds of preparing, and clips a second,
by the same reader on the same random clips. Without a video it writes the one of ``decode.py``. Original and copy take
turns, clip by clip, and processor time counts, so that other load on the machine tells little.

A second table is of whole training samples of 16 frames, stride 2, cropped to 112x112, from the original, from the
small copy, and from what ``lightning prepare clips`` makes of it by default, in turns. The cache is in memory by then.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.decode import decode_with_reader, write_texture
from benchmarks.record import record
from datamodules.cached_videos import CachedVideoDataset
from datamodules.clip_cache import ClipCache
from datamodules.prepare_clips import prepare_clips
from datamodules.prepare_videos import prepare_videos
from datamodules.readers.video import VideoReader
from datamodules.sample_list import SampleList
from datamodules.sampling.clips import ClipSampler
from datamodules.sampling.resumable_sampler import Draw
from datamodules.video_dataset import VideoDataset

SAMPLES = (  # column; where from; short sides; whether the crop's size is drawn
    ("originals", "raw", (128,), False),
    ("small copies", "small", (128,), False),
    ("cache", "cache", (128,), False),
    ("small copies, short sides 112, 128, 144", "small", (112, 128, 144), False),
    ("cache, short sides 112, 128, 144", "cache", (112, 128, 144), False),
    ("small copies, random resized crop", "small", (128,), True),
    ("cache, random resized crop", "cache", (128,), True),
)


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


def samples_row(name: str, folder: Path, num_clips: int) -> dict[str, object]:
    """Measure training samples of a video that is in ``raw`` and ``small``; returns its row of the second table."""
    clips, cache = ClipSampler(num_frames=16, strides=(2,), temporal_jitter=False), folder / "cache"
    start = time.process_time()
    prepared = prepare_clips(folder / "raw", cache, workers=1, progress=False)
    columns: dict[str, object] = {"video": name, "cache MB": prepared.bytes / 1e6}
    columns["s to cache"] = time.process_time() - start
    datasets: dict[str, VideoDataset] = {}
    for column, source, short_sides, random_resized_crop in SAMPLES:
        root = folder / ("raw" if source == "cache" else source)
        samples = SampleList([(str(root / name), 0)])
        if source == "cache":
            datasets[column] = CachedVideoDataset(
                samples, root, ClipCache(cache), clips, short_sides, 112, True, random_resized_crop
            )
        else:
            datasets[column] = VideoDataset(samples, clips, short_sides, 112, True, random_resized_crop)
    seconds = dict.fromkeys(datasets, 0.0)
    for turn in range(num_clips + 1):
        for column, dataset in datasets.items():
            start = time.process_time()
            dataset[Draw(0, turn)]
            seconds[column] += (time.process_time() - start) * (turn > 0)  # the first turn warms up
    return {**columns, **{column: num_clips / seconds[column] for column in datasets}}


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
        samples = [
            samples_row(path.name, Path(folder) / str(number), arguments.clips) for number, path in enumerate(videos)
        ]
    record("prepared", {"videos": rows, "training samples a second": samples}, seed=0)


if __name__ == "__main__":
    main()
