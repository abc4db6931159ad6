"""What ``data/wait`` shows: the same short training while each clip is held back, and from a clip cache.

``python -m benchmarks.data_wait`` runs ``lightning fit --config tubelet.yaml`` on embedded videos: as it is, with a
pause for each clip, which stands for a slow disk or a long decode, with more workers against the pause, and without
workers, from videos and from a cache of ``lightning prepare clips``. The pause is such that two workers need twice as
long for the clips of a step as a step of the first run took. One pass over the videos a run, a log every second step.
"""

import argparse
import csv
import shlex
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch.utils.data import Dataset

import cli
from benchmarks.record import record
from datamodules import SyntheticKineticsDataModule
from datamodules.sample_list import SampleList
from datamodules.sampling.resumable_sampler import Draw
from datamodules.video_dataset import ClipSample

SEED = 0
BATCH = 32


class StepSeconds(Callback):
    """Logs ``train/seconds``: mean over an epoch's steps, each from the end of the one before, the wait included."""

    def __init__(self) -> None:
        self.since: float | None = None

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:  # noqa: ANN401
        """Log the time since the end of the step before."""
        now = time.perf_counter()
        if self.since is not None:
            pl_module.log("train/seconds", now - self.since, batch_size=1, on_step=False, on_epoch=True)
        self.since = now


class HeldBack(Dataset[ClipSample]):
    """Samples that take longer to come.

    Args:
        dataset: of the samples.
        seconds: that each takes longer.
    """

    def __init__(self, dataset: Dataset[ClipSample], seconds: float) -> None:
        self.dataset, self.seconds = dataset, seconds

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.dataset)  # type: ignore[arg-type]  # all of ours have a length

    def __getitem__(self, draw: Draw) -> ClipSample:
        """Wait, and read a sample."""
        time.sleep(self.seconds)
        return self.dataset[draw]


class HeldBackVideos(SyntheticKineticsDataModule):
    """Embedded videos whose training clips take longer to come.

    Args:
        pause: seconds that each takes longer.
        cache: see ``SyntheticKineticsDataModule``, as all that follow.
        train_videos: see there.
        val_videos: see there.
        num_frames: see there.
        strides: see there.
        temporal_jitter: see there.
        clip_cache: see there.
        eval_clips: see there.
        global_batch_size: see there.
        num_workers: see there.
    """

    def __init__(
        self,
        pause: float = 0.0,
        cache: str | Path = "~/.cache/video-efficient-zoo/synthetic_kinetics",
        train_videos: int = 1536,
        val_videos: int = 480,
        num_frames: int = 8,
        strides: tuple[int, ...] = (1, 2),
        temporal_jitter: bool = False,
        clip_cache: str | Path | None = None,
        eval_clips: int = 4,
        global_batch_size: int = 64,
        num_workers: int = 2,
    ) -> None:
        super().__init__(
            cache,
            train_videos,
            val_videos,
            num_frames=num_frames,
            strides=strides,
            temporal_jitter=temporal_jitter,
            clip_cache=clip_cache,
            eval_clips=eval_clips,
            global_batch_size=global_batch_size,
            num_workers=num_workers,
        )
        self.pause = pause

    def dataset(self, samples: SampleList, training: bool) -> Any:  # noqa: ANN401 - a dataset, held back in training
        """Return the videos, see ``VideoDataModule``."""
        dataset = super().dataset(samples, training)
        return HeldBack(dataset, self.pause) if training and self.pause else dataset


def lightning(words: list[str]) -> None:
    """Run a command of the project, or end with its exit code."""
    code = cli.main(words)
    if code:
        sys.exit(code)


def row(what: str, run: Path, data: list[str], workers: int, pause: float) -> tuple[dict[str, object], float]:
    """Train, and return a row of the table, and the mean seconds of a step."""
    changes = f"--run_dir {run} --trainer.max_epochs 1 --trainer.log_every_n_steps 2 --data.num_workers {workers}"
    name = f"--data=benchmarks.data_wait.{HeldBackVideos.__name__}"
    words = ["fit", "--config", "tubelet.yaml", name, *shlex.split(changes), *data, f"--data.pause={pause}"]
    words.append(f"--trainer.callbacks+=benchmarks.data_wait.{StepSeconds.__name__}")
    lightning(words)
    with (run / "logs" / "metrics.csv").open(newline="") as stream:
        logged = list(csv.DictReader(stream))
    waits, seconds = ([float(line[name]) for line in logged if line[name]] for name in ("data/wait", "train/seconds"))
    columns = {
        "data": what,
        "workers": workers,
        "pause of a clip, ms": round(1000 * pause),
        "step, s": statistics.fmean(seconds),
        "data/wait, mean": statistics.fmean(waits),
        "lowest": min(waits),
        "highest": max(waits),
        "logs": len(waits),
    }
    return columns, statistics.fmean(seconds)


def main() -> None:
    """Make the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=640, help=f"to train on, {BATCH} a step (default: 640)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        content = f"--data.cache {folder / 'videos'} --data.train_videos {arguments.videos} --data.val_videos 12"
        data = [*shlex.split(content), f"--data.global_batch_size={BATCH}"]
        cache = folder / "cache"
        lightning(["prepare", "clips", "--config", "tubelet.yaml", "--out", str(cache), *data])
        from_cache = [*data, f"--data.clip_cache={cache}"]
        first, seconds = row("videos", folder / "1", data, 2, 0.0)
        pause = 2 * 2 * seconds / BATCH
        rows = [
            first,
            row("videos, held back", folder / "2", data, 2, pause)[0],
            row("videos, held back", folder / "3", data, 8, pause)[0],
            row("videos", folder / "4", data, 0, 0.0)[0],
            row("clip cache", folder / "5", from_cache, 0, 0.0)[0],
        ]
    record("data_wait", {"runs": rows}, seed=SEED)


if __name__ == "__main__":
    main()
