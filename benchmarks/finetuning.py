"""Clips per second of fine-tuning R(2+1)D-18: precision, channels-last and compilation.

Whole steps of a Trainer on uint8 clips in memory (112 x 112, by default 32 frames), as of ``severe/ucf101.yaml``:
flips, colour jitter, normalisation, forward, backward, Adam. Makes a table: mean step, clips per second, the share of
the step that the views and their normalisation take when they run alone, and the arithmetic rate.

    python -m benchmarks.finetuning --batch_size 2 --steps 3
    python -m benchmarks.finetuning --device cuda --batch_size 32 --steps 30 --frames 16 32
"""

import argparse
import itertools
import logging
import tempfile
import warnings
from typing import Any

import torch
from pytorch_lightning import Trainer
from torch.utils.data import DataLoader

from benchmarks.record import record
from benchmarks.training import InMemory, Row, Stopwatch, setting
from benchmarks.turns import measure
from lightning_modules import ActionRecognition
from lightning_modules.networks import R2Plus1D

CLASSES = 101
GFLOP_PER_FRAME = 484.9 / 32  # forward and backward, counted by torch's FlopCounterMode


def row(
    device: str,
    precision: Any,  # noqa: ANN401
    channels_last: bool,
    compiled: bool,
    batch_size: int,
    steps: int,
    frames: int,
) -> Row:
    """Train for a few steps and return one row of the table."""
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    warmup = 3 if device == "cuda" or compiled else 1
    torch.manual_seed(0)
    model = ActionRecognition(R2Plus1D(), num_classes=CLASSES, channels_last=channels_last, compile=compiled)
    data = InMemory(batch_size, warmup + steps, frames)
    if device == "cuda":
        data.clip = data.clip.pin_memory()
    stopwatch = Stopwatch(wait, warmup, steps)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            accelerator="gpu" if device == "cuda" else "cpu",
            devices=1,
            precision=precision,
            max_steps=warmup + steps,
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
    clip = data.clip.to(device)
    augmentation = model.crop
    changes = augmentation.draw(batch_size, 1, model.generator(0))  # type: ignore[call-arg, arg-type]
    views = measure({"views": lambda: augmentation.random(clip, changes)}, steps, wait)["views"]  # type: ignore
    rate = batch_size / step
    return {
        "frames": frames,
        **setting(precision, channels_last, compiled),
        "step ms": 1000 * step,
        "clips/s": rate,
        "views alone, % of the step": 100 * views / step,
        "TFLOP/s": rate * frames * GFLOP_PER_FRAME / 1000,
    }


def main() -> None:
    """Measure each setting."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--batch_size", type=int, default=2, help="clips a step")
    parser.add_argument("--steps", type=int, default=3, help="that are measured, after a warm-up")
    parser.add_argument("--frames", type=int, nargs="+", default=[32], help="of a clip")
    parser.add_argument("--precisions", nargs="+", default=["32-true", "bf16-mixed"], help="of the Trainer")
    parser.add_argument("--compile", choices=("off", "on", "both"), default="off")
    arguments = parser.parse_args()
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    device = arguments.device
    compilation = {"off": (False,), "on": (True,), "both": (False, True)}[arguments.compile]
    rows = []
    for frames, *chosen in itertools.product(arguments.frames, arguments.precisions, (False, True), compilation):
        rows.append(row(device, *chosen, arguments.batch_size, arguments.steps, frames))
        print(rows[-1], flush=True)
    record(f"finetuning_{device}", {"steps": rows}, seed=0)


if __name__ == "__main__":
    main()
