"""Samples of colour, depth and skeleton read per second on one core, and frames of optical flow computed.

``python -m benchmarks.multimodal [--root NTU]`` makes tables: of NTU RGB+D where its folder is given, else of
the embedded recordings (64x48) and of one sample in the real sizes (1920x1080 H.264, 512x424 PNGs).
"""

import argparse
import statistics
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.record import record
from datamodules import body_renderer
from datamodules.body_renderer import Light
from datamodules.depth_camera import cameras, film
from datamodules.multimodal_files import Modality
from datamodules.ntu_multimodal import SKELETON_FOLDER, NTUMultimodalDataModule
from datamodules.optical_flow import estimator, video_flow
from datamodules.readers.video import VideoReader
from datamodules.room_renderer import Lens, Room
from datamodules.sampling.resumable_sampler import Draw
from datamodules.synthetic_ntu_multimodal import DEPTH_FOLDERS, RGB_FOLDER, Content, write_performances
from datamodules.writers.depth import write_depth
from datamodules.writers.skeleton import write_skeleton
from datamodules.writers.video import write_video

CHOICES: tuple[tuple[Modality, ...], ...] = (
    ("rgb",),
    ("depth",),
    ("skeleton",),
    ("rgb", "depth"),
    ("depth", "skeleton"),
    ("rgb", "depth", "skeleton"),
)
CONTENT = Content("ntu60", "masked", 1, 1, 0, 1.0, 48, 64, 15)


def write_real_sizes(root: Path) -> None:
    """Writes one sample as large as the real ones."""
    name = next(CONTENT.performances())._replace(camera=2)
    bodies, clothes = CONTENT._replace(fps=30).perform(name)
    rng = np.random.default_rng(0)
    camera = cameras(name.setup)[1]
    seen = body_renderer.record(
        bodies, clothes, Room.draw(rng), Light.draw(rng), camera, Lens(424, 512), rng, oversampling=1
    )
    for folder in (RGB_FOLDER, SKELETON_FOLDER, DEPTH_FOLDERS["masked"]):
        (root / folder).mkdir(parents=True)
    large = np.stack([cv2.resize(frame, (1920, 1080)) for frame in seen.rgb])
    write_video(root / RGB_FOLDER / f"{name}_rgb.avi", large)
    write_depth(root / DEPTH_FOLDERS["masked"] / str(name), seen.masked_depth, "masked")
    write_skeleton(root / SKELETON_FOLDER / f"{name}.skeleton", film(bodies, camera, rng))


def folders(root: Path | None, folder: Path) -> Iterator[tuple[str, Path, tuple[int, int]]]:
    """Writes what is to be read.

    Yields:
        A title, the folder, and the size that pictures are brought to.
    """
    if root is not None:
        yield "NTU RGB+D", root, (128, 171)
        return
    (folder / "small").mkdir()
    performances = list(CONTENT.performances())
    write_performances(CONTENT, performances, folder / "small")
    yield "embedded, 64x48", folder / "small", (48, 64)
    write_real_sizes(folder / "large")
    yield "real sizes", folder / "large", (128, 171)


def milliseconds(root: Path, modalities: tuple[Modality, ...], size: tuple[int, int], cache: Path, draws: int) -> float:
    """Returns the median time to read a sample: one clip of 16 frames, and the skeleton."""
    data = NTUMultimodalDataModule(
        root, modalities, cache=cache, rgb_size=size, depth_size=size, num_workers=0, global_batch_size=1
    )
    data.prepare_data()
    data.setup("fit")
    dataset = data.dataset(data.train_samples, training=True)
    dataset[Draw(0, 0)]
    times = []
    for number in range(draws):
        start = time.perf_counter()
        dataset[Draw(number % len(dataset), number)]
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def main() -> None:
    """Measures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, help="folder of NTU RGB+D")
    parser.add_argument("--draws", type=int, default=60, help="samples read per choice of modalities")
    options = parser.parse_args()
    torch.set_num_threads(1)
    samples: dict[str, dict[str, object]] = {" + ".join(modalities): {} for modalities in CHOICES}
    flow = []
    with tempfile.TemporaryDirectory() as folder:
        for title, root, size in folders(options.root, Path(folder)):
            for modalities in CHOICES:
                cost = milliseconds(root, modalities, size, Path(folder) / f"prepared-{root.name}", options.draws)
                samples[" + ".join(modalities)] |= {f"{title}, ms": cost, f"{title}, samples/s": 1e3 / cost}
            video = next(root.rglob("*_rgb.*"))
            with VideoReader(video) as reader:
                frames = reader.read(np.arange(min(reader.num_frames, 32)), min(size))
            start = time.perf_counter()
            records = video_flow(frames, estimator("dis"))
            rate = len(records) / (time.perf_counter() - start)
            packed = len(zlib.compress(records.tobytes())) / records.nbytes
            height, width = frames.shape[1:3]
            kilobytes = records.nbytes / len(records) / 1e3
            size_of_flow = {"flow": f"DIS, {width}x{height}", "frames/s": rate, "kB a frame": kilobytes}
            flow.append(size_of_flow | {"of it by zlib, %": 100 * packed})
    rows = [{"modalities": modalities, **row} for modalities, row in samples.items()]
    record("multimodal", {"samples": rows, "flow": flow}, seed=0)


if __name__ == "__main__":
    main()
