"""Training pairs per second of tubelet contrast with R(2+1)D-18: precision, channels-last and compilation, on and off.

Whole steps of a Trainer on uint8 clips in memory (16 frames, 112 x 112, two tubelets, non-linear motion and rotation):
views, query forward and backward, keys, loss, optimizer, momentum update, queue. The settings are those of
``tubelet_mini_kinetics.yaml``. Makes a table: mean step, pairs per second, the share of the step that the
views and their normalisation take when they run alone, and the arithmetic rate at 323.5 GFLOP a pair.

    python -m benchmarks.training --batch_size 4 --steps 3
    python -m benchmarks.training --device cuda --batch_size 128 --steps 30
"""

import argparse
import itertools
import logging
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch.utils.data import DataLoader, IterableDataset

from benchmarks.record import record
from benchmarks.turns import measure
from datamodules.batch import ClipBatch
from lightning_modules import TubeletContrast
from lightning_modules.networks import R2Plus1D

NUM_FRAMES, SIDE = 16, 112
GFLOP_PER_PAIR = 323.5  # forward and backward of the query, forward of the key, counted by torch's FlopCounterMode


class InMemory(IterableDataset[ClipBatch]):
    """One batch of noise, again and again: nothing is decoded."""

    def __init__(self, batch_size: int, steps: int, num_frames: int = NUM_FRAMES, side: int = SIDE) -> None:
        shape = (batch_size, 1, num_frames, side, side, 3)
        self.clip = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        self.steps = steps

    def __iter__(self) -> Iterator[ClipBatch]:
        """Yield the batch once for each step."""
        rows = torch.arange(len(self.clip))
        for _ in range(self.steps):
            yield {"clip": self.clip, "label": rows, "video": rows, "path": [""] * len(rows), "broken": []}


class Stopwatch(Callback):
    """Mean seconds of a step behind a warm-up.

    It waits for the device at the start and at the end alone: steps may overlap as they do in a run.

    Args:
        wait: returns when the device is done.
        warmup: steps that do not count.
        steps: steps that do.
    """

    def __init__(self, wait: Callable[[], None], warmup: int, steps: int) -> None:
        self.wait, self.warmup, self.steps = wait, warmup, steps
        self.times: dict[int, float] = {}

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:  # noqa: ANN401
        """Note the time at the start and at the end."""
        done = args[-1] + 1
        if done in (1, self.warmup, self.warmup + self.steps):
            self.wait()
            self.times[done] = time.perf_counter()

    def seconds(self) -> float:
        """Return the mean."""
        return (self.times[self.warmup + self.steps] - self.times[self.warmup]) / self.steps


Row = dict[str, object]


def row(device: str, precision: Any, channels_last: bool, compiled: bool, batch_size: int, steps: int) -> Row:  # noqa: ANN401
    """Train for a few steps and return one row of the table."""
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    warmup = 3 if device == "cuda" or compiled else 1
    torch.manual_seed(0)
    model = TubeletContrast(R2Plus1D(), channels_last=channels_last, compile=compiled)
    data = InMemory(batch_size, warmup + steps)
    if device == "cuda":
        data.clip = data.clip.pin_memory()
    stopwatch = Stopwatch(wait, warmup, steps)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            accelerator="gpu" if device == "cuda" else "cpu",
            devices=1,
            precision=precision,
            max_steps=warmup + steps,
            gradient_clip_val=40,
            log_every_n_steps=1000,
            default_root_dir=folder,
            callbacks=[stopwatch],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            benchmark=device == "cuda",
        )
        trainer.fit(model, DataLoader(data, batch_size=None))
    step = stopwatch.seconds()
    model.to(device)
    clip = data.clip.to(device)
    work = {"views": lambda: [model.prepare(view) for view in model.views(clip, model.generator(0))]}
    views = measure(work, steps, wait)["views"]
    rate = batch_size / step
    return {
        **setting(precision, channels_last, compiled),
        "step ms": 1000 * step,
        "pairs/s": rate,
        "views alone, % of the step": 100 * views / step,
        "TFLOP/s": rate * GFLOP_PER_PAIR / 1000,
    }


def setting(precision: object, channels_last: bool, compiled: bool) -> Row:
    """The first columns of a row."""
    return {
        "precision": precision,
        "channels-last": "on" if channels_last else "off",
        "compile": "on" if compiled else "off",
    }


def main() -> None:
    """Measure each setting."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--batch_size", type=int, default=4, help="pairs a step")
    parser.add_argument("--steps", type=int, default=3, help="that are measured, after a warm-up")
    parser.add_argument("--precisions", nargs="+", default=["32-true", "bf16-mixed"], help="of the Trainer")
    parser.add_argument("--compile", choices=("off", "on", "both"), default="both")
    arguments = parser.parse_args()
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    device = arguments.device
    compilation = {"off": (False,), "on": (True,), "both": (False, True)}[arguments.compile]
    rows = []
    for chosen in itertools.product(arguments.precisions, (False, True), compilation):
        try:
            rows.append(row(device, *chosen, arguments.batch_size, arguments.steps))
        except ValueError as error:
            if not str(error).startswith("the loss is "):
                raise
            rows.append(setting(*chosen) | {"step ms": f"stopped: {str(error).partition(',')[0]}"})
        print(rows[-1], flush=True)
    record(f"training_{device}", {"steps": rows}, seed=0)


if __name__ == "__main__":
    main()
