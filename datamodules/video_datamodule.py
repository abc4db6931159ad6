"""What the data modules of video folders share: clips and broken videos."""

from functools import cached_property
from pathlib import Path

from pytorch_lightning.utilities import rank_zero_info

from datamodules.batch import ClipBatch
from datamodules.broken_samples import BrokenSamplesDataModule
from datamodules.cached_videos import CachedVideoDataset
from datamodules.clip_cache import ClipCache
from datamodules.rows_datamodule import RowsDataModule
from datamodules.sample_datamodule import Loader, require_positive
from datamodules.sample_list import SampleList
from datamodules.sampling.clips import ClipSampler
from datamodules.sampling.few_labels import uniform
from datamodules.video_dataset import ClipSample, VideoDataset, VideoRows, collate

# ImageNet's statistics, which the published configurations of fmthoker/tubelet-contrast normalise with.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class VideoDataModule(BrokenSamplesDataModule, RowsDataModule):
    """Base of the data modules of video files; ``setup`` of a subclass fills the two lists.

    Attributes:
        root: folder of the videos.
        train_samples: videos of the training list.
        val_samples: videos of the evaluation list; the same object where nothing is held out.
        num_classes: number of classes, known after ``setup``; 0 without labels.
        class_names: of the classes, in their order, known after ``setup``; empty where they have no names.
        flip_keeps_labels: whether a video that is turned left to right is of the same class.

    Args:
        num_frames: frames of a clip (T).
        num_clips: clips of a video in training (N); two for temporal contrast.
        strides: distances between a clip's frames, one drawn per clip; evaluation takes the smallest.
        temporal_jitter: whether each frame moves by a random part of the stride.
        fps: frames per second to sample by time; strides are then unused.
        crop_size: side of the square crop in pixels.
        short_sides: sizes of the short side in pixels, one drawn per video; evaluation takes the first.
        eval_clips: evenly spaced clips of a video in evaluation.
        random_resized_crop: whether a training clip is a part of the picture of random size (8 to 100 % of its area),
            place and aspect (3/4 to 4/3), the same in all its frames, resized to ``crop_size`` (chapter 4); then
            ``short_sides`` are for evaluation alone.
        clip_cache: folder of ``lightning prepare clips`` that clips are cut out of in place of the videos, which need
            not be readable then, only listed below the root; None reads the videos.
        samples: training videos to use, spread uniformly over the classes (figure 4.3); all when None.
        samples_seed: of that choice alone: 1,000 videos are among the 2,000, the same ones for every model.
        global_batch_size: videos per optimizer step, over all processes and accumulated batches.
        eval_batch_size: videos per batch and process in evaluation.
        probe_samples: most training videos that ``probe_dataloaders`` gives; all when None.
        num_workers: loading processes per training process; 0 loads in the training process.
        seed: of the order of samples and of all that is drawn while loading.

    Raises:
        ValueError: a number is out of range.
    """

    root: Path
    noun = "videos"
    flip_keeps_labels: bool = True

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
        random_resized_crop: bool = False,
        clip_cache: str | Path | None = None,
        samples: int | None = None,
        samples_seed: int = 0,
        global_batch_size: int = 32,
        eval_batch_size: int = 8,
        probe_samples: int | None = None,
        num_workers: int = 4,
        seed: int = 0,
    ) -> None:
        super().__init__(global_batch_size, eval_batch_size, probe_samples, num_workers, seed)
        require_positive(num_frames=num_frames, num_clips=num_clips, crop_size=crop_size, eval_clips=eval_clips)
        if samples is not None:
            require_positive(samples=samples)
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
        self.random_resized_crop = random_resized_crop
        self.clip_cache = clip_cache
        self.samples = samples
        self.samples_seed = samples_seed
        self.class_names: list[str] = []

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

    def train_dataloader(self) -> Loader:
        """Return the training batches as of ``RowsDataModule``.

        Raises:
            ValueError: see ``dataset``; of the evaluation, too, which may be hours away.
        """
        if self._cache is not None:
            self.dataset(self.val_samples, training=False)
        return super().train_dataloader()

    def test_dataloader(self) -> Loader:
        """Return the same as ``val_dataloader``: the test labels of Kinetics are not public."""
        return super().test_dataloader()

    def dataset(self, samples: SampleList, training: bool) -> VideoDataset:
        """Return the videos, clips drawn at random in training and evenly spaced in evaluation.

        Raises:
            ValueError: there is a clip cache, and it is damaged, lacks videos, or has too few frames or clips.
        """
        if training:
            clips = ClipSampler(self.num_frames, self.num_clips, self.strides, self.temporal_jitter, self.fps)
        else:
            clips = ClipSampler(self.num_frames, self.eval_clips, self.strides, False, self.fps)
        if self._cache is not None:
            return CachedVideoDataset(
                samples,
                self.root,
                self._cache,
                clips,
                self.short_sides,
                self.crop_size,
                training,
                self.random_resized_crop,
            )
        return VideoDataset(samples, clips, self.short_sides, self.crop_size, training, self.random_resized_crop)

    def rows(self, samples: SampleList, unreadable: frozenset[int]) -> VideoRows:
        """Return what is listed of videos, ``VideoRowBatch``."""
        return VideoRows(samples, unreadable)

    def collate(self, samples: list[ClipSample]) -> ClipBatch:
        """Put samples into a batch."""
        return collate(samples)

    @cached_property
    def _cache(self) -> ClipCache | None:
        return None if self.clip_cache is None else ClipCache(self.clip_cache)

    def _few(self, train: SampleList) -> SampleList:
        """Return the training videos to use, of those on the disk.

        Raises:
            ValueError: there are fewer than ``samples``.
        """
        return train if self.samples is None else train.select(uniform(train, self.samples, self.samples_seed))

    def _report(self, missing: list[str], note: str = "") -> None:
        """Log one line on what was found; list the missing videos in the run folder.

        Args:
            missing: names of listed videos that are not on the disk.
            note: what else is to be said of the lists.
        """
        held_out = "the same" if self.val_samples is self.train_samples else f"{len(self.val_samples):,}"
        line = f"{type(self).__name__}: {len(self.train_samples):,} training videos, {held_out} for evaluation, "
        line += f"{self.num_classes} classes" if self.num_classes else "no labels"
        line += f"; {note}" if note else ""
        rank_zero_info(line + self._missing_note(missing))
