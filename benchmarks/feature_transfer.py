"""A student's epoch with cached against recomputed features of its teacher, and how fast the teacher's are computed.

``python -m benchmarks.feature_transfer`` makes a table. Recomputed means what a training step needs without a
cache: the clips of each video (one clip for ``clip_to_clip``) read again and passed through the teacher. Videos are
uncompressed arrays in files, which is kind to recomputing: real ones would have to be decoded again too. All kinds of
epoch take turns, so that other load on the machine hits all alike; the table has the medians.
"""

import argparse
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.record import record
from datamodules.batch import MultimodalBatch
from lightning_modules import FeatureTransfer
from lightning_modules.feature_transfer import Granularity
from lightning_modules.networks import ResNet3D
from lightning_modules.teacher import Teacher
from lightning_modules.weights.importers.hara import SUBTRACTED_MEAN

CLIP_LENGTH = 16
SIZE = (64, 80)


class Videos(Dataset[dict[str, Any]]):
    """Clips of videos: all of them, or one for each video, another at each epoch."""

    def __init__(
        self, folder: Path, names: Sequence[str], modalities: Sequence[str], clips: int, training: bool
    ) -> None:
        self.folder, self.names, self.modalities = folder, names, modalities
        self.clips, self.training = clips, training

    def __len__(self) -> int:
        """Number of videos."""
        return len(self.names)

    def __getitem__(self, row: int) -> dict[str, Any]:
        """Read a video."""
        clips = torch.randint(self.clips, (1,)) if self.training else torch.arange(self.clips)
        frames = (clips[:, None] * CLIP_LENGTH + torch.arange(CLIP_LENGTH)).numpy()
        sample: dict[str, Any] = {"name": self.names[row], "clip": clips, "sample": torch.tensor(row)}
        for modality in self.modalities:
            video = np.load(self.folder / f"{self.names[row]}_{modality}.npy", mmap_mode="r")
            sample[modality] = torch.from_numpy(video[frames])
        return sample


class Pairs(LightningDataModule):
    """RGB and depth of random numbers."""

    def __init__(self, folder: Path, videos: int, clips: int, batch_size: int) -> None:
        super().__init__()
        self.folder, self.clips, self.batch_size = folder, clips, batch_size
        self.names = [f"S{number:03d}" for number in range(videos)]
        self.read: tuple[str, ...] = ("rgb", "depth")

    def write(self) -> None:
        """Write the videos."""
        random = np.random.default_rng(0)
        shape = (self.clips * CLIP_LENGTH, *SIZE)
        for name in self.names:
            np.save(self.folder / f"{name}_rgb.npy", random.integers(0, 256, (*shape, 3), dtype=np.uint8))
            np.save(self.folder / f"{name}_depth.npy", random.integers(0, 4500, shape, dtype=np.int16))

    def sample_names(self) -> list[str]:
        """All of them."""
        return self.names

    def describe_modality(self, modality: str) -> str:
        """The folder."""
        return f"{modality} of {self.folder}"

    def modality_dataloader(self, modality: str, names: Sequence[str]) -> DataLoader[dict[str, Any]]:
        """All clips of videos."""
        return DataLoader(Videos(self.folder, names, (modality,), self.clips, False), self.batch_size)

    def read_only(self, modalities: Sequence[str]) -> None:
        """Read no more than these."""
        self.read = tuple(modalities)

    def train_dataloader(self) -> DataLoader[dict[str, Any]]:
        """One clip of each video."""
        return DataLoader(Videos(self.folder, self.names, self.read, self.clips, True), self.batch_size)


class Uncached(FeatureTransfer):
    """Asks the teacher at each step for all clips of the batch's videos."""

    def _cached(self, batch: MultimodalBatch) -> tuple[Tensor, Tensor, Tensor]:
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        (whole,) = data.modality_dataloader("rgb", batch["name"])
        prepared = self._teacher.preprocessing(whole["rgb"].flatten(0, 1).to(self.device))
        self._teacher.network.to(self.device)
        features = self._teacher.features(prepared).view(*whole["clip"].shape, -1)  # (B, N, D)
        rows = torch.arange(len(features), device=self.device)[:, None]
        known = torch.ones(len(features), dtype=torch.bool, device=self.device)
        return features[rows, batch["clip"]], features.mean(1), known


class Stopwatch(Callback):
    """Seconds of each epoch."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.started = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start."""
        self.started = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop, when the device is done."""
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - self.started)


def epoch(folder: Path, data: Pairs, widths: tuple[int, ...], granularity: Granularity, cached: bool) -> float:
    """Seconds of a student's second epoch; the first has a cache to write and kernels to choose."""
    native = cached or granularity == "clip_to_clip"
    model = (FeatureTransfer if native else Uncached)(
        teacher=ResNet3D(widths=widths, blocks=(1,) * len(widths)),
        teacher_weights=str(folder / "teacher.pth"),
        student=ResNet3D(widths=widths, blocks=(1,) * len(widths)),
        teacher_modality="rgb",
        granularity=granularity,
        teacher_features="cached" if cached or not native else "recomputed",
        teacher_preprocessing=SUBTRACTED_MEAN,
        cache=str(folder / "cache"),
        learning_rate=0.01,
    )
    stopwatch = Stopwatch()
    trainer = Trainer(
        max_epochs=2,
        devices=1,
        default_root_dir=folder,
        callbacks=[stopwatch],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    data.read_only(["depth"] if cached or not native else ["rgb", "depth"])
    trainer.fit(model, data)
    return stopwatch.seconds[1]


def caching(folder: Path, data: Pairs, widths: tuple[int, ...], device: torch.device) -> float:
    """Seconds that the teacher's features of all videos take."""
    network = ResNet3D(widths=widths, blocks=(1,) * len(widths))
    teacher = Teacher(network, str(folder / "teacher.pth"), "rgb", preprocessing=SUBTRACTED_MEAN)
    with tempfile.TemporaryDirectory() as cache:
        start = time.perf_counter()
        teacher.cached(Path(cache), data, device, lambda: None)
        return time.perf_counter() - start


def main() -> None:
    """Measures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=8)
    parser.add_argument("--clips", type=int, default=5, help="of a video; those of NTU RGB+D have about as many")
    parser.add_argument("--batch_size", type=int, default=4)
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 32, 64, 128], help="of teacher and student")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    widths = tuple(options.widths)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    times: dict[tuple[Granularity, bool], list[float]] = {
        (granularity, cached): [] for granularity in ("clip_to_clip", "video_to_clip") for cached in (True, False)
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = Pairs(folder, options.videos, options.clips, options.batch_size)
        data.write()
        torch.save({"state_dict": ResNet3D(widths, (1,) * len(widths)).state_dict()}, folder / "teacher.pth")
        computing = []
        for _ in range(options.rounds):
            computing.append(caching(folder, data, widths, device))
            for (granularity, cached), values in times.items():
                values.append(epoch(folder, data, widths, granularity, cached))
    medians = {key: statistics.median(values) for key, values in times.items()}
    rows = [
        {
            "granularity": label,
            "epoch recomputed, s": medians[granularity, False],
            "epoch cached, s": medians[granularity, True],
            "ratio": medians[granularity, False] / medians[granularity, True],
        }
        for granularity, label in (
            ("video_to_clip", "video-to-clip, and combined, which needs the same"),
            ("clip_to_clip", "clip-to-clip"),
        )
    ]
    teacher = [{"work": "teacher's features, once", "videos/s": options.videos / statistics.median(computing)}]
    record("feature_transfer", {"epochs": rows, "teacher": teacher}, seed=0)


if __name__ == "__main__":
    main()
