"""One point of ``benchmarks.scaling``, in a process of its own: its peak memory is of this point alone.

``python -m benchmarks.scaling_points SERIES VALUE DEVICE FOLDER`` writes ``FOLDER/point.json``. On the CPU a second is
one of processor time, of one thread, so that other load on the machine does not count; on a GPU it is one of the clock.
"""

import argparse
import json
import logging
import os
import resource
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import ArgumentParser
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import distributed
from torch.utils.data import DataLoader

import cli
from benchmarks.lists import write
from benchmarks.training import InMemory
from datamodules import KineticsDataModule
from datamodules.kinetics import read_list
from datamodules.sample_datamodule import Loader
from datamodules.sample_list import SampleList
from datamodules.writers.video import write_video
from lightning_modules.losses.info_nce import InfoNCE
from lightning_modules.losses.key_queue import KeyQueue
from lightning_modules.views.clip import ClipAugmentation
from lightning_modules.views.tubelets import Tubelets

CONFIG = Path(cli.__file__).parent / "configs" / "tubelet.yaml"
SIDE = 32  # of its clips
BATCH, FRAMES, QUERIES = 16, 8, 32  # where they do not vary
WARMUP, STEPS = 2, 3
LOADED = 20  # batches that the workers of a list load before they are looked at

Point = dict[str, object]


def seconds(device: str) -> float:
    """Now: processor time of this process, or the clock once the GPU is done."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def peak_mib(device: str) -> float:
    """Most memory so far, MiB: of this process, or allocated on the GPU."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Watch(Callback):
    """Writes seconds a step and peak memory of each rank.

    Args:
        file: for a list with a point of each rank.
        device: ``cpu`` or ``cuda``.
        before: peak memory before the run, MiB.
    """

    def __init__(self, file: str, device: str, before: float) -> None:
        self.file, self.device, self.before = Path(file), device, before
        self.times: list[tuple[float, float]] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:  # noqa: ANN401
        """Look at the clocks."""
        self.times.append((seconds(self.device), time.perf_counter()))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what was seen behind the warm-up."""
        (start, clock_start), (end, clock_end) = self.times[WARMUP - 1], self.times[-1]
        steps = len(self.times) - WARMUP
        own = {
            "step ms": 1000 * (end - start) / steps,
            "clock ms": 1000 * (clock_end - clock_start) / steps,
            "MiB": peak_mib(self.device) - self.before,
        }
        ranks: list[Any] = [own] * trainer.world_size
        if trainer.world_size > 1:
            distributed.all_gather_object(ranks, own)
        if trainer.is_global_zero:
            self.file.write_text(json.dumps(ranks))


def step(batch_size: int, num_frames: int, device: str, folder: Path) -> Point:
    """Whole steps of tubelet contrast with the network of ``tubelet.yaml`` on clips in memory."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(LightningModule, "model", required=True)
    settings = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["model"]
    settings["init_args"]["tubelets"]["init_args"]["num_points"] = (
        64  # of a path: as many as the longest clip has frames
    )
    before = peak_mib(device)
    model = parser.instantiate_classes(parser.parse_object({"model": settings})).model
    trainer = Trainer(
        accelerator="gpu" if device == "cuda" else "cpu",
        devices=1,
        max_steps=WARMUP + STEPS,
        gradient_clip_val=40,
        log_every_n_steps=1000,
        default_root_dir=folder,
        callbacks=[Watch(str(folder / "ranks.json"), device, before)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, DataLoader(InMemory(batch_size, WARMUP + STEPS, num_frames, SIDE), batch_size=None))
    point = json.loads((folder / "ranks.json").read_text())[0]
    del point["clock ms"]
    return point


def batch(value: int, device: str, folder: Path) -> Point:
    """Pairs of a step."""
    point = step(value, FRAMES, device, folder)
    return {"batch": value, **point, "ms a pair": point["step ms"] / value}


def frames(value: int, device: str, folder: Path) -> Point:
    """Frames of a clip."""
    point = step(BATCH, value, device, folder)
    return {"frames": value, **point, "ms a frame and pair": point["step ms"] / BATCH / value}


def queue(value: int, device: str, folder: Path) -> Point:
    """Negatives: the loss forward and backward, and the queue's turn, beside the two bare products."""
    generator = torch.Generator(device).manual_seed(0)
    query, key = (torch.randn(QUERIES, 128, device=device, generator=generator) for _ in range(2))
    before = peak_mib(device)
    negatives, loss = KeyQueue(value).to(device), InfoNCE()

    def turn() -> None:
        leaf = query.clone().requires_grad_()
        loss(leaf, key, negatives.snapshot())[0].mean().backward()
        negatives.push(key)

    def products() -> None:
        logits = query @ negatives.keys.T
        logits @ negatives.keys

    took = per_run(turn, device)
    peak = peak_mib(device)
    return {
        "queue": value,
        "step ms": 1000 * took,
        "products alone, ms": 1000 * per_run(products, device),
        "MiB": peak - before,
        "of it keys, MiB": value * 128 * 4 / 2**20,
    }


def draws(value: int, device: str, folder: Path) -> Point:
    """Pairs of a global batch, for all of which each rank draws the views' parameters."""
    tubelets, colours = Tubelets(), ClipAugmentation()
    generator = torch.Generator().manual_seed(0)
    before = peak_mib("cpu")

    def draw() -> None:
        tubelets.draw(value, 16, 112, 112, generator)
        colours.draw_colours(value, generator)
        colours.draw_flips(value, generator)

    took = per_run(draw, "cpu")
    return {"global batch": value, "step ms": 1000 * took, "MiB": peak_mib("cpu") - before}


def per_run(work: Callable[[], object], device: str) -> float:
    """Seconds of a run, the least of three averages over a tenth of a second or more, behind one that warms up."""
    work()
    means = []
    for _ in range(3):
        start, runs = seconds(device), 0
        while runs == 0 or seconds(device) - start < 0.1:
            work()
            runs += 1
        means.append((seconds(device) - start) / runs)
    return min(means)


def devices(value: int, device: str, folder: Path, per_device: bool = False) -> Point:
    """Processes that share a global batch of 32, or have one of 32 each, through ``lightning fit``."""
    size = QUERIES * (value if per_device else 1)
    watch = {"file": str(folder / "ranks.json"), "device": device, "before": peak_mib(device)}
    callback = {"class_path": "benchmarks.scaling_points.Watch", "init_args": watch}
    (folder / "watch.yaml").write_text(yaml.safe_dump({"trainer": {"callbacks": [callback]}}))
    options = [
        *("--config", "tubelet.yaml", "--config", str(folder / "watch.yaml"), "--run_dir", str(folder / "run")),
        *("--trainer.accelerator", "gpu" if device == "cuda" else "cpu", "--trainer.devices", str(value)),
        *("--trainer.max_steps", str(WARMUP + STEPS), "--trainer.limit_val_batches", "0", "--data.num_workers", "0"),
        *("--data.global_batch_size", str(size), "--data.train_videos", str(size * (WARMUP + STEPS))),
        *("--data.val_videos", "16", "--data.cache", str(folder / "cache"), "--model.queue_size", "4096"),
    ]
    if code := cli.main(["fit", *options]):
        sys.exit(code)
    if int(os.environ.get("LOCAL_RANK", 0)):
        sys.exit()
    ranks = json.loads((folder / "ranks.json").read_text())
    return {
        "devices": value,
        "global batch": size,
        "step ms": max(rank["step ms"] for rank in ranks),
        "clock ms": max(rank["clock ms"] for rank in ranks),
        "MiB": max(rank["MiB"] for rank in ranks),
    }


def devices_each(value: int, device: str, folder: Path) -> Point:
    """Processes with a batch of 32 each."""
    return devices(value, device, folder, per_device=True)


def rows(value: int, device: str, folder: Path) -> Point:
    """Videos of an official CSV and their files: to the first batch, and what main process and workers then hold."""
    before, own, start = peak_mib("cpu"), private_mib(os.getpid()), time.process_time()
    data = KineticsDataModule(
        folder / "kinetics", train_list="train.csv", num_frames=2, crop_size=16, short_sides=(16,), num_workers=2
    )
    data.setup("fit")
    point: Point = {"rows": value, "set up s": time.process_time() - start, "set up MiB": peak_mib("cpu") - before}
    return point | held(data, data.train_dataloader(), own)


def listed(value: int, device: str, folder: Path) -> Point:
    """The same for a list of ``path label`` alone, whose videos nobody looks for and workers do not open."""
    file = folder / "train.txt"
    name = "/data/train/class {}/{:011d}_000000_000010.mp4 {}\n"
    with file.open("w") as lines:
        lines.writelines(name.format(row % 400, row, row % 400) for row in range(value))
    before, own, start = peak_mib("cpu"), private_mib(os.getpid()), time.process_time()
    data = KineticsDataModule(folder, num_workers=2)
    data.train_samples = SampleList((name, int(label or 0)) for name, label in read_list(file, 0, 400))
    point: Point = {"rows": value, "set up s": time.process_time() - start, "set up MiB": peak_mib("cpu") - before}
    loading = data._loading(persistent=True) | {"collate_fn": as_it_is}
    return point | held(data, data._training_loader(data.rows(data.train_samples, frozenset()), loading), own)


def as_it_is(batch: Point) -> Point:
    """A batch that its dataset has put together."""
    return batch


def held(data: KineticsDataModule, loader: Loader, own: float) -> Point:
    """The first batches of a list: processor time of their indices, and memory of main process and workers, MiB.

    Args:
        data: set up.
        loader: of its training samples, with workers.
        own: memory of this process before there was a list.
    """
    kept = private_mib(os.getpid()) - own
    start = time.process_time()
    batches = iter(loader.batch_sampler)
    next(batches)
    first = time.process_time()
    for _ in range(LOADED):
        next(batches, None)
    end = time.process_time()
    del batches
    loaded = iter(loader)
    for _ in range(min(LOADED, len(loader) - 2)):
        next(loaded)
    workers = loader._iterator._workers
    return {
        "kept MiB": kept,
        "permutation s": first - start,
        "permutation MiB": len(data.train_samples) * 8 / 2**20,
        "indices of a batch ms": 1000 * (end - first) / LOADED,
        "worker's own MiB": max(private_mib(worker.pid) for worker in workers),
    }


def private_mib(process: int) -> float:
    """Memory that a process shares with no other, MiB (Linux)."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def write_rows(value: int, folder: Path) -> None:
    """Write a list and a small video for each row, all links to a few."""
    folder.mkdir()
    clip = torch.randint(0, 256, (10, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    write_video(folder / "video.mp4", clip.numpy())
    content = (folder / "video.mp4").read_bytes()
    (folder / "video.mp4").unlink()
    write(folder, value, content)


SERIES = {
    "batch": batch,
    "frames": frames,
    "devices": devices,
    "devices each": devices_each,
    "queue": queue,
    "draws": draws,
    "rows": rows,
    "list": listed,
}


def main() -> None:
    """Measure one point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("series", choices=SERIES)
    parser.add_argument("value", type=int)
    parser.add_argument("device", choices=("cpu", "cuda"))
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    point = SERIES[options.series](options.value, options.device, options.folder)
    (options.folder / "point.json").write_text(json.dumps(point))


if __name__ == "__main__":
    main()
