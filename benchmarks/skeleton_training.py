"""Training sequences per second of inter-skeleton contrast, BiGRU and A-GCN at full size: precision, compilation, data.

Whole steps of a Trainer on sequences of 300 frames: views, queries forward and backward, keys, loss, optimizer,
momentum update, queues. The settings are those of ``skeleton_contrast/ntu60_xview.yaml``. The data either stay on the
device (``kept``), or come through the data module's loader from a prepared folder (``loader``). Makes a table: mean
step, sequences per second, and the arithmetic rate with its share of ``--peak``. The operations of a sequence are
counted first, by torch's FlopCounterMode.

    python -m benchmarks.skeleton_training --batch_size 4 --steps 3
    python -m benchmarks.skeleton_training --device cuda --batch_size 64 --steps 50 --peak 790 --compile both
"""

import argparse
import itertools
import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Trainer
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.record import record
from benchmarks.training import Stopwatch
from datamodules import NTUSkeletonDataModule
from datamodules.batch import SkeletonBatch
from datamodules.prepare_ntu import SEQUENCE_SHAPE, listed, write_index
from datamodules.skeleton_dataset import ARRAY_FILE
from lightning_modules import SkeletonContrast
from lightning_modules.networks import AGCN, BiGRU


class Kept(Dataset[SkeletonBatch]):
    """One batch that is where the network is, again and again."""

    def __init__(self, batch_size: int, steps: int, device: str) -> None:
        generator = torch.Generator().manual_seed(0)
        rows = torch.arange(batch_size, device=device)
        self.batch: SkeletonBatch = {
            "skeleton": torch.randn((batch_size, *SEQUENCE_SHAPE), generator=generator).to(device),
            "num_frames": torch.randint(40, 301, (batch_size,), generator=generator).to(device),
            "label": rows,
            "sample": rows,
            "name": [""] * batch_size,
        }
        self.steps = steps

    def __len__(self) -> int:
        """Return the number of steps."""
        return self.steps

    def __getitem__(self, step: int) -> SkeletonBatch:
        """Return the batch."""
        return self.batch


def write_cache(folder: Path, sequences: int) -> None:
    """Write noise as ``lightning prepare ntu`` writes sequences."""
    names = [f"S001C002P001R{number // 60 + 1:03d}A{number % 60 + 1:03d}" for number in range(sequences)]
    random = np.random.default_rng(0)
    array = np.lib.format.open_memmap(folder / ARRAY_FILE, "w+", np.float32, (sequences, *SEQUENCE_SHAPE))
    for row in range(sequences):
        array[row] = random.standard_normal(SEQUENCE_SHAPE, np.float32)
    write_index(folder, [listed(row, name, int(random.integers(40, 301))) for row, name in enumerate(names)])


def method(compiled: bool = False) -> SkeletonContrast:
    """Return the published pair of networks."""
    torch.manual_seed(0)
    return SkeletonContrast([BiGRU(), AGCN()], compile=compiled)


def gflop_per_sequence() -> float:
    """Count multiplications and additions of one sequence: queries forward and backward, keys forward."""
    model, views = method(), torch.randn(2, 3, 64, 25, 2)
    with FlopCounterMode(display=False) as counter:
        sum(encoder(views).sum() for encoder in model.query_encoders).backward()
        with torch.no_grad():
            for encoder in model.key_encoders:
                encoder(views)
    return float(counter.get_total_flops() / len(views) / 1e9)


def seconds(options: argparse.Namespace, precision: Any, compiled: bool, data: str, folder: str) -> float:  # noqa: ANN401
    """Train for a few steps and return the mean of one."""
    warmup = 3 if options.device == "cuda" or compiled else 1
    model = method(compiled)
    wait = torch.cuda.synchronize if options.device == "cuda" else lambda: None
    stopwatch = Stopwatch(wait, warmup, options.steps)
    trainer = Trainer(
        accelerator="gpu" if options.device == "cuda" else "cpu",
        devices=1,
        precision=precision,
        max_steps=warmup + options.steps,
        log_every_n_steps=1000,
        default_root_dir=folder,
        callbacks=[stopwatch],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        use_distributed_sampler=False,
        benchmark=options.device == "cuda",
    )
    if data == "kept":
        kept = Kept(options.batch_size, warmup + options.steps, options.device)
        trainer.fit(model, DataLoader(kept, batch_size=None))
    else:
        module = NTUSkeletonDataModule(
            root=folder, global_batch_size=options.batch_size, num_workers=options.num_workers
        )
        trainer.fit(model, datamodule=module)
    return stopwatch.seconds()


def main() -> None:
    """Measure each setting."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--batch_size", type=int, default=4, help="sequences a step")
    parser.add_argument("--steps", type=int, default=3, help="that are measured, after a warm-up")
    parser.add_argument("--precisions", nargs="+", default=["32-true", "bf16-mixed"], help="of the Trainer")
    parser.add_argument("--compile", choices=("off", "on", "both"), default="off")
    parser.add_argument("--data", nargs="+", choices=("kept", "loader"), default=["kept", "loader"])
    parser.add_argument("--num_workers", type=int, default=4, help="of the loader")
    parser.add_argument("--peak", type=float, help="TFLOP/s that the device can do; 790 on an H200 in bf16, dense")
    options = parser.parse_args()
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    gflop = gflop_per_sequence()
    rows = []
    compilation = {"off": (False,), "on": (True,), "both": (False, True)}[options.compile]
    with tempfile.TemporaryDirectory() as folder:
        if "loader" in options.data:
            write_cache(Path(folder), min(max((options.steps + 3) * options.batch_size, 64), 2048))
        for precision, compiled, data in itertools.product(options.precisions, compilation, options.data):
            step = seconds(options, precision, compiled, data, folder)
            rate = options.batch_size / step
            speed = rate * gflop / 1000
            rows.append(
                {
                    "precision": precision,
                    "compile": "on" if compiled else "off",
                    "data": data,
                    "step ms": 1000 * step,
                    "sequences/s": rate,
                    "GFLOP a sequence": gflop,
                    "TFLOP/s": speed,
                    **({"% of the peak": 100 * speed / options.peak} if options.peak else {}),
                }
            )
            print(rows[-1], flush=True)
    record(f"skeleton_training_{options.device}", {"steps": rows}, seed=0)


if __name__ == "__main__":
    main()
