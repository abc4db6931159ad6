"""Videos per second of the ten-clip test protocol on one core: each video decoded once against once for each clip.

``python -m benchmarks.testing [VIDEO...]`` makes a table: 10 evenly spaced clips of 32 frames at 16
a second, short side 128, centre crop 112. Without a video it writes two: 10 seconds of 340x256 H.264 at 30 frames a
second, as Kinetics has them, and 3 seconds of it, as Something-Something has them. ``--network cuda`` adds how many
videos R(2+1)D-18 takes alone. Both ways take turns on the same video, so that other load on the machine hits all alike.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.decode import write_texture
from benchmarks.record import record
from datamodules.readers.video import VideoReader
from datamodules.sample_list import SampleList
from datamodules.sampling.clips import ClipSampler
from datamodules.sampling.resumable_sampler import Draw
from datamodules.video_dataset import VideoDataset
from lightning_modules import ActionRecognition
from lightning_modules.networks import R2Plus1D

CLIPS, FRAMES, SHORT_SIDE, SIDE = 10, 32, 128, 112
SAMPLER = ClipSampler(FRAMES, CLIPS, fps=16)


def once(path: Path) -> Tensor:
    """This project's dataset: all clips of one decoding."""
    dataset = VideoDataset(SampleList([(str(path), 0)]), SAMPLER, (SHORT_SIDE,), SIDE, training=False)
    return dataset[Draw(0, 0)]["clip"]


def for_each_clip(path: Path) -> Tensor:
    """The same clips, each of a decoding of its own, from the nearest key frame on."""
    clips = []
    for number in range(CLIPS):
        with VideoReader(path) as video:
            images = torch.from_numpy(video.read(SAMPLER.evenly_spaced(video)[number], SHORT_SIDE))
        top, left = (images.shape[1] - SIDE) // 2, (images.shape[2] - SIDE) // 2
        clips.append(images[:, top : top + SIDE, left : left + SIDE])
    return torch.stack(clips)


def network_seconds(device: str, videos: int) -> float:
    """Seconds that the network takes for the clips of a video, normalisation included; bfloat16 on a GPU."""
    model = ActionRecognition(R2Plus1D(), num_classes=101, channels_last=device == "cuda").to(device).eval()
    clips = torch.zeros(1, CLIPS, FRAMES, SIDE, SIDE, 3, dtype=torch.uint8, device=device)
    batch = {"clip": clips, "label": torch.zeros(1), "video": torch.zeros(1), "path": [""], "broken": []}
    times = []
    with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        for _ in range(videos + 1):
            start = time.perf_counter()
            model(batch).cpu()
            times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def row(path: Path, ways: dict[str, Callable[[Path], Tensor]], rounds: int) -> dict[str, object]:
    """Measure a video; returns its row, medians of times and of ratios."""
    with VideoReader(path) as video:
        what = f"{path.name}, {video.num_frames} frames"
    first, second = (way(path) for way in ways.values())  # also warms up
    assert torch.equal(first, second)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way(path)
            seconds[name].append(time.perf_counter() - start)
    rates = {f"{name}, videos/s": 1 / statistics.median(values) for name, values in seconds.items()}
    ratio = statistics.median(other / own for own, other in zip(*seconds.values(), strict=True))
    return {"video": what, **rates, "ratio": ratio}


def main() -> None:
    """Measure the videos named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="*", type=Path, metavar="VIDEO")
    parser.add_argument("--rounds", type=int, default=10, help="that are measured, after one that warms up")
    parser.add_argument("--network", choices=("none", "cpu", "cuda"), default="none", help="measure it on this device")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        videos = arguments.videos
        if not videos:
            videos = [Path(folder) / "ten_seconds.mp4", Path(folder) / "three_seconds.mp4"]
            for path, seconds in zip(videos, (10, 3), strict=True):
                write_texture(path, seconds)
        ways = {"decoded once": once, "for each clip": for_each_clip}
        tables = {"videos": [row(path, ways, arguments.rounds) for path in videos]}
    if arguments.network != "none":
        seconds = network_seconds(arguments.network, 3)
        tables["network"] = [{"network": f"R(2+1)D-18 on {arguments.network}", "videos/s": 1 / seconds}]
    record("testing" if arguments.network == "none" else f"testing_{arguments.network}", tables, seed=0)


if __name__ == "__main__":
    main()
