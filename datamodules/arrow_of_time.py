"""Arrow of time: UCF101's videos played forwards and backwards (Ghodrati et al., BMVC 2018; thesis, B.2.4).

Each video of a split comes twice, as it is and reversed, in training and in evaluation: two classes of one size. What
is on the disk is that of ``ucf101.py``. A left-right flip keeps the label.
"""

from pathlib import Path
from typing import Literal

import torch

from datamodules.listed_videos import ListedVideo
from datamodules.sample_list import SampleList
from datamodules.sampling.resumable_sampler import Draw
from datamodules.sampling.whole_video import WholeVideoSampler
from datamodules.ucf101 import UCF101DataModule
from datamodules.video_dataset import ClipSample, VideoDataset

DIRECTIONS = ("forwards", "backwards")


class ArrowOfTimeDataModule(UCF101DataModule):
    """UCF101 by one of its official splits, each video in both directions.

    A clip is 8 frames evenly spaced over the whole video, with a random offset in training (``WholeVideoSampler``).
    Frames are scaled and the centre is cropped, in training too.

    Args:
        root: folder of the videos.
        split: see ``UCF101DataModule``, as the next; B.2.4 does not tell it.
        lists: see there.
        num_frames: frames of a clip (T).
        crop_size: side of the square crop in pixels.
        short_side: that frames are scaled to; 128 for crops of 112 as in the rest of chapter 4, B.2.4 does not tell.
        eval_clips: clips of a video in evaluation, of offsets spread evenly.
        global_batch_size: see ``ListedVideoDataModule``, as all that follow.
        eval_batch_size: see there.
        probe_samples: see there.
        num_workers: see there.
        seed: see there.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(
        self,
        root: str | Path,
        split: Literal[1, 2, 3] = 1,
        lists: str | Path | None = None,
        num_frames: int = 8,
        crop_size: int = 112,
        short_side: int = 128,
        eval_clips: int = 1,
        global_batch_size: int = 12,
        eval_batch_size: int = 32,
        probe_samples: int | None = None,
        num_workers: int = 4,
        seed: int = 0,
    ) -> None:
        super().__init__(
            root,
            split=split,
            lists=lists,
            num_frames=num_frames,
            fps=None,
            crop_size=crop_size,
            short_sides=(short_side,),
            eval_clips=eval_clips,
            random_resized_crop=False,
            global_batch_size=global_batch_size,
            eval_batch_size=eval_batch_size,
            probe_samples=probe_samples,
            num_workers=num_workers,
            seed=seed,
        )

    @property
    def preprocessing(self) -> dict[str, object]:
        """How evaluation prepares a clip; see ``VideoDataModule``."""
        return {**super().preprocessing, "stride": None}

    def read_lists(self) -> tuple[list[ListedVideo], list[ListedVideo]]:
        """Read the lists; the classes are the two directions. See ``ListedVideoDataModule``."""
        rows = super().read_lists()
        self.class_names = list(DIRECTIONS)
        return rows

    def dataset(self, samples: SampleList, training: bool) -> "ArrowOfTimeDataset":
        """Return the videos, offsets drawn at random in training and evenly spaced in evaluation."""
        clips = WholeVideoSampler(self.num_frames, self.num_clips if training else self.eval_clips)
        return ArrowOfTimeDataset(samples, clips, self.short_sides, self.crop_size, training)

    def _samples(self, present: list[tuple[str, ListedVideo]]) -> SampleList:
        return SampleList((path, direction) for path, _ in present for direction in range(len(DIRECTIONS)))

    def _note(self, listed: tuple[int, int], train: SampleList) -> str:
        return "; ".join(filter(None, ["each video both ways", super()._note(listed, train)]))


class ArrowOfTimeDataset(VideoDataset):
    """Clips of listed videos, reversed where the label says so; centre crops in training too."""

    def __getitem__(self, draw: Draw) -> ClipSample:
        """Read the clips of one video; see ``VideoDataset``."""
        sample = super().__getitem__(draw)
        if sample["label"] == DIRECTIONS.index("backwards"):
            sample["clip"] = sample["clip"].flip(1)
        return sample

    def _corner(self, spare_height: int, spare_width: int, generator: torch.Generator) -> tuple[int, int]:
        return spare_height // 2, spare_width // 2
