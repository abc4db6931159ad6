"""What the data modules of video folders share: loaders, order, broken videos."""

import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict, cast

from pytorch_lightning import LightningDataModule
from pytorch_lightning.utilities import rank_zero_info, rank_zero_warn
from torch.utils.data import DataLoader

from datamodules.batch import ClipBatch
from datamodules.sample_list import SampleList
from datamodules.sampling.clips import ClipSampler
from datamodules.sampling.resumable_sampler import EvaluationSampler, ResumableSampler
from datamodules.video_dataset import ClipSample, VideoDataset, collate

# ImageNet's statistics, which the published configurations of fmthoker/tubelet-contrast normalise with.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

# Workers are forked: they start at once and share the imported libraries. That is safe here because the parent holds no
# open decoder, and a worker decodes and computes in one thread. Workers of a fork server outlive a killed parent, as
# torch watches for a change of the parent process, which is then the server.
START_METHOD = "fork" if sys.platform == "linux" else None

_log = logging.getLogger(__name__)


class _Loading(TypedDict):
    collate_fn: Callable[[list[ClipSample]], ClipBatch]
    num_workers: int
    worker_init_fn: Callable[[int], None]
    persistent_workers: bool
    multiprocessing_context: str | None
    pin_memory: bool


class TrainLoader(DataLoader[ClipSample]):
    """Loader of a ``ResumableSampler``, which asks the Trainer where to start.

    It keeps no position of its own; having a state tells a Trainer that resuming in mid-epoch is safe.
    """

    def state_dict(self) -> dict[str, int]:
        """Return what the order of samples depends on."""
        sampler = cast(ResumableSampler, self.batch_sampler)
        per_step = sampler.batch_size * sampler.world_size * sampler.accumulate
        return {"videos": sampler.num_samples, "global_batch_size": per_step, "seed": sampler.seed}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Warn where the order is not that of the run being resumed."""
        for name, value in self.state_dict().items():
            if state.get(name) != value:
                rank_zero_warn(f"{name} was {state.get(name)} and is {value}: the order of videos is another from here")


class VideoDataModule(LightningDataModule):
    """Base of the data modules of video files; ``setup`` of a subclass fills the two lists.

    Attributes:
        train_samples: videos of the training list.
        val_samples: videos of the evaluation list; the same object where nothing is held out.
        num_classes: number of classes, known after ``setup``; 0 without labels.
        broken: reason of each video that this process found unreadable, by path.

    Args:
        num_frames: frames of a clip (T).
        num_clips: clips of a video in training (N); two for temporal contrast.
        strides: distances between a clip's frames, one drawn per clip; evaluation takes the smallest.
        temporal_jitter: whether each frame moves by a random part of the stride.
        fps: frames per second to sample by time; strides are then unused.
        crop_size: side of the square crop in pixels.
        short_sides: sizes of the short side in pixels, one drawn per video; evaluation takes the first.
        eval_clips: evenly spaced clips of a video in evaluation.
        global_batch_size: videos per optimizer step, over all processes and accumulated batches.
        eval_batch_size: videos per batch and process in evaluation.
        probe_samples: most training videos that ``probe_dataloaders`` gives; all when None.
        num_workers: loading processes per training process; 0 loads in the training process.
        seed: of the order of samples and of all that is drawn while loading.

    Raises:
        ValueError: a number is out of range.
    """

    train_samples: SampleList
    val_samples: SampleList
    num_classes: int | None = None

    def __init__(
        self,
        num_frames: int = 16,
        num_clips: int = 1,
        strides: tuple[int, ...] = (1, 2, 3, 4),
        temporal_jitter: bool = True,
        fps: float | None = None,
        crop_size: int = 112,
        short_sides: tuple[int, ...] = (112, 128, 144),
        eval_clips: int = 10,
        global_batch_size: int = 32,
        eval_batch_size: int = 8,
        probe_samples: int | None = None,
        num_workers: int = 4,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name, value in (
            ("num_frames", num_frames),
            ("num_clips", num_clips),
            ("crop_size", crop_size),
            ("eval_clips", eval_clips),
            ("global_batch_size", global_batch_size),
            ("eval_batch_size", eval_batch_size),
        ):
            if value < 1:
                raise ValueError(f"{name}={value} must be at least 1")
        if not strides or not short_sides:
            raise ValueError(f"strides={strides} and short_sides={short_sides} must hold at least one number each")
        if min(short_sides) < crop_size:
            raise ValueError(f"short_sides={tuple(short_sides)} must not be smaller than crop_size={crop_size}")
        self.num_frames = num_frames
        self.num_clips = num_clips
        self.strides = tuple(strides)
        self.temporal_jitter = temporal_jitter
        self.fps = fps
        self.crop_size = crop_size
        self.short_sides = tuple(short_sides)
        self.eval_clips = eval_clips
        self.global_batch_size = global_batch_size
        self.eval_batch_size = eval_batch_size
        self.probe_samples = probe_samples
        self.num_workers = num_workers
        self.seed = seed
        self.broken: dict[str, str] = {}
        # With fewer evaluation videos than processes some have none.
        self.allow_zero_length_dataloader_with_multiple_devices = True

    @property
    def preprocessing(self) -> dict[str, object]:
        """How evaluation prepares a clip, in plain JSON types, for the header of exported weights."""
        return {
            "num_frames": self.num_frames,
            "stride": min(self.strides),
            "fps": self.fps,
            "short_side": self.short_sides[0],
            "crop_size": self.crop_size,
            "mean": list(MEAN),
            "std": list(STD),
        }

    def train_dataloader(self) -> DataLoader[ClipSample]:
        """Return batches in an order that depends on the seed and the batch number alone.

        Raises:
            ValueError: ``global_batch_size`` does not divide, or the Trainer would replace the sampler.
        """
        world_size, rank = self._processes()
        accumulate = 1 if self.trainer is None else self.trainer.accumulate_grad_batches
        share = world_size * accumulate
        if self.global_batch_size % share:
            below = self.global_batch_size // share * share
            nearest = f"{below} and {below + share}" if below else str(share)
            raise ValueError(
                f"global_batch_size={self.global_batch_size} does not divide into {world_size} processes x {accumulate}"
                f" accumulated batches; the nearest that do: {nearest}"
            )
        sampler = ResumableSampler(
            len(self.train_samples),
            self.global_batch_size // share,
            rank,
            world_size,
            self.seed,
            accumulate,
            self._batches_done,
        )
        clips = ClipSampler(self.num_frames, self.num_clips, self.strides, self.temporal_jitter, self.fps)
        dataset = VideoDataset(self.train_samples, clips, self.short_sides, self.crop_size, training=True)
        return TrainLoader(dataset, batch_sampler=sampler, **self._loading(persistent=True))

    def val_dataloader(self) -> DataLoader[ClipSample]:
        """Return the evaluation videos, each once, in order, dealt out over the processes."""
        return self._evaluation_loader(self.val_samples, persistent=True)

    def test_dataloader(self) -> DataLoader[ClipSample]:
        """Return the same as ``val_dataloader``: the test labels of Kinetics are not public."""
        return self._evaluation_loader(self.val_samples)

    def predict_dataloader(self) -> DataLoader[ClipSample]:
        """Return the same as ``val_dataloader``."""
        return self._evaluation_loader(self.val_samples)

    def probe_dataloaders(self) -> tuple[DataLoader[ClipSample], DataLoader[ClipSample]] | None:
        """Return labelled training videos and evaluation videos, both read as in evaluation, to probe features with.

        Each process gets its share. Whoever iterates over them calls ``on_before_batch_transfer`` with each batch, as
        a Trainer does, so that broken videos are counted.

        Returns:
            The two loaders; None where videos have no labels or none are held out.
        """
        if self.val_samples is self.train_samples:
            return None
        known = self.train_samples.select(self.train_samples.labels >= 0)
        held_out = self.val_samples.select(self.val_samples.labels >= 0)
        if not len(known) or not len(held_out):
            return None
        if self.probe_samples is not None and self.probe_samples < len(known):
            known = known.subset(self.probe_samples / len(known), self.seed)
        return self._evaluation_loader(known), self._evaluation_loader(held_out)

    def on_before_batch_transfer(self, batch: ClipBatch, dataloader_idx: int) -> ClipBatch:
        """Count and list the batch's broken videos.

        Raises:
            ValueError: more than 1 % of the training list (and more than one video) is broken.
        """
        fresh = {}
        for line in batch["broken"]:
            path, _, reason = line.rpartition(": ")
            if path not in self.broken:
                fresh[path] = self.broken[path] = reason
        if fresh:
            self._list_broken(fresh)
        return batch

    def _list_broken(self, fresh: dict[str, str]) -> None:
        lines = [f"{path}: {reason}" for path, reason in fresh.items()]
        folder = self._record_folder()
        if folder is not None:
            file = folder / "broken.txt"
            known = set(_read_lines(file))
            with file.open("a", encoding="utf-8", errors="surrogateescape") as stream:
                stream.write("".join(f"{line}\n" for line in lines if line not in known))
        if len(self.broken) == len(fresh):
            _log.warning("broken video replaced by the next of the list: %s", lines[0])
        limit = max(1, len(self.train_samples) // 100)
        if len(self.broken) > limit:
            raise ValueError(
                f"{len(self.broken)} of {len(self.train_samples)} videos are broken, more than the {limit} that a run"
                f" tolerates (1 %): {', '.join(list(self.broken)[:3])}; replace or remove them"
                + (f" (all are listed in {file})" if folder is not None else "")
            )

    def _evaluation_loader(self, samples: SampleList, persistent: bool = False) -> DataLoader[ClipSample]:
        world_size, rank = self._processes()
        clips = ClipSampler(self.num_frames, self.eval_clips, self.strides, False, self.fps)
        dataset = VideoDataset(samples, clips, self.short_sides, self.crop_size, training=False)
        sampler = EvaluationSampler(len(samples), rank, world_size)
        return DataLoader(dataset, batch_size=self.eval_batch_size, sampler=sampler, **self._loading(persistent))

    def _loading(self, persistent: bool) -> _Loading:
        """Return the arguments that all loaders share."""
        if self.trainer is not None:
            connector = self.trainer._accelerator_connector
            if connector.use_distributed_sampler and connector.is_distributed:
                raise ValueError("the order of videos is set here: run with --trainer.use_distributed_sampler=false")
        workers = self.num_workers > 0
        return {
            "collate_fn": collate,
            "num_workers": self.num_workers,
            "worker_init_fn": _ignore_interrupts,
            "persistent_workers": persistent and workers,
            "multiprocessing_context": START_METHOD if workers else None,
            "pin_memory": self.trainer is not None and self.trainer.strategy.root_device.type == "cuda",
        }

    def _processes(self) -> tuple[int, int]:
        return (1, 0) if self.trainer is None else (self.trainer.world_size, self.trainer.global_rank)

    def _batches_done(self) -> int:
        # Of the Trainer's counters `processed` alone is right whenever the checkpoint was written: at the end of a
        # batch (`completed` is one behind), or inside one by an exception or a signal (`ready` is one ahead).
        if self.trainer is None:
            return 0
        progress = self.trainer.fit_loop.epoch_loop.batch_progress.total
        return int(progress.processed)  # type: ignore[attr-defined]  # declared without it

    def _record_folder(self) -> Path | None:
        """Return the folder for lists of videos inside the run folder, created."""
        if self.trainer is None:
            return None
        folder = Path(self.trainer.default_root_dir) / "data"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _report(self, missing: list[str]) -> None:
        """Log one line on what was found; list the missing videos in the run folder."""
        held_out = "the same" if self.val_samples is self.train_samples else f"{len(self.val_samples):,}"
        line = f"{type(self).__name__}: {len(self.train_samples):,} training videos, {held_out} for evaluation, "
        line += f"{self.num_classes} classes" if self.num_classes else "no labels"
        if missing:
            line += f"; {len(missing):,} listed videos are missing, such as {missing[0]}"
            folder = self._record_folder()
            if folder is not None and self._processes()[1] == 0:
                file = folder / "missing.txt"
                text = "".join(f"{name}\n" for name in missing)
                file.write_text(text, encoding="utf-8", errors="surrogateescape")
                line += f" (all in {file})"
        rank_zero_info(line)


def _ignore_interrupts(worker: int) -> None:
    """Leave Ctrl-C, which reaches the workers too, to the training process: it may want to finish its step."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _read_lines(file: Path) -> list[str]:
    if not file.exists():
        return []
    return file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
