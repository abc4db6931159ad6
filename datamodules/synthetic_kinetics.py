"""A small Kinetics that the project writes itself: real H.264 files, class folders and the official CSV.

Twelve classes of motion of one textured object before a drifting background; appearance is independent of the class, so
a network that sees single frames stays at chance (8.3 %). A left-right flip swaps four of the classes, so labels are
only compared between clips that are not flipped.
"""

import csv
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from pytorch_lightning.utilities import rank_zero_info

from datamodules.kinetics import KineticsDataModule
from datamodules.moving_shapes import CLASSES, render
from datamodules.writers.folder import content_key, write_folder
from datamodules.writers.video import require_encodable, write_video

FPS = 30
CSV_COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split", "is_cc")


class SyntheticKineticsDataModule(KineticsDataModule):
    """Writes a synthetic Kinetics once, then reads it like the real one.

    Several processes may start at once: each writes into a folder of its own and the first to finish gives it its name.
    """

    flip_keeps_labels = False

    def __init__(
        self,
        cache: str | Path = "~/.cache/video-efficient-zoo/synthetic_kinetics",
        train_videos: int = 1536,
        val_videos: int = 480,
        video_frames: int = 32,
        height: int = 40,
        width: int = 48,
        video_seed: int = 0,
        subset: float = 1.0,
        subset_seed: int = 0,
        num_frames: int = 16,
        num_clips: int = 1,
        strides: tuple[int, ...] = (1, 2),
        temporal_jitter: bool = True,
        fps: float | None = None,
        crop_size: int = 32,
        short_sides: tuple[int, ...] = (32, 36, 40),
        eval_clips: int = 1,
        clip_cache: str | Path | None = None,
        global_batch_size: int = 32,
        eval_batch_size: int = 32,
        probe_samples: int | None = None,
        num_workers: int = 2,
        seed: int = 0,
    ) -> None:
        """Remember what to write; it is written in ``prepare_data``.

        Args:
            cache: folder that holds one folder per set of the next six arguments.
            train_videos: training videos, evenly over the classes.
            val_videos: evaluation videos.
            video_frames: frames of a video, at 30 a second.
            height: of a video in pixels, even.
            width: of a video in pixels, even.
            video_seed: of the videos' content.
            subset: see ``KineticsDataModule``, as all that follow.
            subset_seed: see there.
            num_frames: see there.
            num_clips: see there.
            strides: see there.
            temporal_jitter: see there.
            fps: see there.
            crop_size: see there.
            short_sides: see there.
            eval_clips: see there.
            clip_cache: see there.
            global_batch_size: see there.
            eval_batch_size: see there.
            probe_samples: see there.
            num_workers: see there.
            seed: see there.

        Raises:
            ValueError: a number is out of range.
        """
        require_encodable(video_frames, height, width)
        self.content = {
            "train_videos": train_videos,
            "val_videos": val_videos,
            "video_frames": video_frames,
            "height": height,
            "width": width,
            "video_seed": video_seed,
        }
        key = content_key([self.content, CLASSES, 1])
        super().__init__(
            root=Path(cache).expanduser() / key,
            train_list="train.csv",
            val_list="val.csv",
            subset=subset,
            subset_seed=subset_seed,
            num_frames=num_frames,
            num_clips=num_clips,
            strides=strides,
            temporal_jitter=temporal_jitter,
            fps=fps,
            crop_size=crop_size,
            short_sides=short_sides,
            eval_clips=eval_clips,
            clip_cache=clip_cache,
            global_batch_size=global_batch_size,
            eval_batch_size=eval_batch_size,
            probe_samples=probe_samples,
            num_workers=num_workers,
            seed=seed,
        )

    def prepare_data(self) -> None:
        """Write the videos and lists unless they are there."""
        if self.root.is_dir():
            return
        count = self.content["train_videos"] + self.content["val_videos"]
        rank_zero_info(f"SyntheticKineticsDataModule: writing {count:,} small videos to {self.root}")
        write_folder(self.root, self._write)

    def _write(self, folder: Path) -> None:
        for number, split in enumerate(("train", "val")):
            write_split(folder, split, number, **self.content)


def write_split(
    folder: Path,
    split: str,
    number: int,
    train_videos: int,
    val_videos: int,
    video_frames: int,
    height: int,
    width: int,
    video_seed: int,
) -> None:
    """Write ``<folder>/<split>/<class>/<id>_<start>_<end>.mp4`` and ``<folder>/<split>.csv``.

    Args:
        folder: exists.
        split: ``train`` or ``val``.
        number: of the split: part of the seed, so that no video is in both.
        train_videos: as in ``SyntheticKineticsDataModule``, as all that follow.
        val_videos: see there.
        video_frames: see there.
        height: see there.
        width: see there.
        video_seed: see there.
    """
    count = train_videos if split == "train" else val_videos
    end = max(round(video_frames / FPS), 1)
    rows = [(CLASSES[row % len(CLASSES)], f"syn{number}{row:07d}", 0, end, split, 1) for row in range(count)]
    for label in CLASSES:
        (folder / split / label).mkdir(parents=True)

    def write(row: int) -> None:
        label, name, start, stop, *_ = rows[row]
        frames = render(
            row % len(CLASSES), video_frames, height, width, np.random.default_rng([video_seed, number, row])
        )
        write_video(folder / split / label / f"{name}_{start:06d}_{stop:06d}.mp4", frames, FPS)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(write, range(count)))
    with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([CSV_COLUMNS, *rows])
