"""A small UCFRep that the project writes itself: real MPEG-4 files in class folders, and ``.mat`` files of cycles.

Five classes of an object that moves in cycles. Tempo and count vary from video to video, and the length of a cycle
within one; before and after its cycles the object stands still. Nothing seen in a single frame tells the count.
"""

import math
import os
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import numpy as np

from datamodules.moving_shapes import Pose, Thing, draw_drift, draw_look, draw_still, film, texture
from datamodules.sample_datamodule import require_positive
from datamodules.ucfrep import UCFRepDataModule
from datamodules.writers.cycles import write_cycles
from datamodules.writers.folder import content_key, write_missing_folder
from datamodules.writers.video import require_encodable, write_video

FPS = 16
CLASSES = ("Bouncing", "Circling", "Pulsing", "Spinning", "Swinging")
TRAIN_GROUPS = 20  # as in UCFRep: groups 1 to 20 are trained with, the others tested
FRAMES = (48, 112)  # of all cycles of a video, about
MIN_CYCLE = 6  # frames, on average over a video
UNEVENNESS = 0.12  # of the lengths of a video's cycles
MAX_STILL = 8  # frames before the first cycle, and after the last


class SyntheticUCFRepDataModule(UCFRepDataModule):
    """Writes a synthetic UCFRep once, then reads it like the real one.

    Several processes may start at once: each writes into a folder of its own and the first to finish gives it its name.
    """

    def __init__(
        self,
        cache: str | Path = "~/.cache/video-efficient-zoo/synthetic_ucfrep",
        groups: int = 25,
        clips: int = 2,
        height: int = 36,
        width: int = 48,
        content_seed: int = 0,
        crop_size: int = 32,
        global_batch_size: int = 16,
        eval_batch_size: int = 10,
        num_workers: int = 2,
        seed: int = 0,
    ) -> None:
        """Remember what to write; it is written in ``prepare_data``.

        Args:
            cache: folder that holds one folder per set of the next 5 arguments.
            groups: of a class, of which the first 20 are to train with.
            clips: videos of a group.
            height: of a video in pixels, even.
            width: of a video in pixels, even.
            content_seed: of the videos' content.
            crop_size: see ``UCFRepDataModule``, as all that follow.
            global_batch_size: see there.
            eval_batch_size: see there.
            num_workers: see there.
            seed: see there.

        Raises:
            ValueError: a number is out of range.
        """
        require_positive(clips=clips)
        if groups <= TRAIN_GROUPS:
            raise ValueError(f"groups={groups} must be more than {TRAIN_GROUPS}: those after are for evaluation")
        require_encodable(FRAMES[0], height, width)
        self.content = {
            "groups": groups,
            "clips": clips,
            "height": height,
            "width": width,
            "content_seed": content_seed,
        }
        key = content_key([self.content, 1])
        super().__init__(
            Path(cache).expanduser() / key,
            crop_size=crop_size,
            global_batch_size=global_batch_size,
            eval_batch_size=eval_batch_size,
            num_workers=num_workers,
            seed=seed,
        )

    @property
    def official_counts(self) -> None:
        """None: the videos are no official ones."""

    def prepare_data(self) -> None:
        """Write the videos and their cycles unless they are there."""
        write_missing_folder(self.root, self._write, f"the small videos of {type(self).__name__}")

    def _write(self, folder: Path) -> None:
        write_videos(folder, **self.content)


def draw_bounds(rng: np.random.Generator) -> np.ndarray:
    """Draw the bounds of a video's cycles: how long all of them last tells next to nothing of their number.

    Returns:
        int64 (C + 1,), frames counted from 1.
    """
    frames = rng.uniform(*FRAMES)
    mean = math.exp(rng.uniform(math.log(MIN_CYCLE), math.log(frames / 2)))
    lengths = mean * np.exp(rng.normal(0, UNEVENNESS, round(frames / mean)))
    lengths = np.maximum(np.rint(lengths), MIN_CYCLE - 2).astype(np.int64)
    first = 1 + int(rng.integers(MAX_STILL + 1))
    return first + np.concatenate([[0], lengths.cumsum()])


def draw_pose(
    name: str, bounds: np.ndarray, num_frames: int, height: int, width: int, rng: np.random.Generator
) -> Pose:
    """Draw one motion of a class that goes through its cycles between given bounds.

    Args:
        name: of ``CLASSES``.
        bounds: int64 (C + 1,), frames counted from 1.
        num_frames: of the video.
        height: in pixels.
        width: in pixels.
        rng: source of place, extent and direction.

    Returns:
        The pose in each frame; it stands still before the first bound and after the last.
    """
    cycles = np.interp(np.arange(1, num_frames + 1), bounds, np.arange(len(bounds)))
    turn = (2 * math.pi * cycles).astype(np.float32)
    extent = min(height, width)
    x = np.full(num_frames, rng.uniform(0.35, 0.65) * width, np.float32)
    y = np.full(num_frames, rng.uniform(0.35, 0.65) * height, np.float32)
    scale = np.ones(num_frames, np.float32)
    angle = np.full(num_frames, rng.uniform(0, 2 * math.pi), np.float32)
    reach, sign = rng.uniform(0.2, 0.32) * extent, rng.choice((-1, 1))
    if name == "Bouncing":
        y += reach * (0.5 - np.abs(np.sin(turn / 2)))
    elif name == "Circling":
        x += sign * reach * np.cos(turn)
        y += reach * np.sin(turn)
    elif name == "Pulsing":
        scale = np.exp(-0.5 * np.cos(turn))
    elif name == "Spinning":
        angle += sign * turn
    else:
        x -= sign * reach * np.cos(turn)
    return Pose(x, y, scale, angle)


def write_videos(folder: Path, groups: int, clips: int, height: int, width: int, content_seed: int) -> None:
    """Write ``<folder>/UCF-101/<class>/*.avi`` and ``<folder>/annotations/{train,val}/*.mat``.

    Args:
        folder: exists.
        groups: of a class.
        clips: of a group.
        height: of a video in pixels, even.
        width: see there.
        content_seed: of all that is drawn.
    """
    for split in ("train", "val"):
        (folder / "annotations" / split).mkdir(parents=True)
    for name in CLASSES:
        (folder / "UCF-101" / name).mkdir(parents=True)

    def write(video: tuple[tuple[int, str], int, int]) -> None:
        (label, name), group, clip = video
        rng = np.random.default_rng([content_seed, label, group, clip])
        bounds = draw_bounds(rng)
        num_frames = int(bounds[-1]) + int(rng.integers(MAX_STILL + 1))
        extent = min(height, width)
        pose = draw_pose(name, bounds, num_frames, height, width, rng)
        moving = Thing(pose, rng.uniform(0.16, 0.24) * extent, draw_look(rng))
        background = texture(height, width, int(rng.integers(2, 6)), rng)
        things = (draw_still(height, width, rng), moving)
        frames = film(background, draw_drift(extent, rng), things, num_frames)
        stem = f"v_{name}_g{group:02d}_c{clip:02d}"
        write_video(folder / "UCF-101" / name / f"{stem}.avi", frames, FPS, quality=3, codec="mpeg4")
        split = "train" if group <= TRAIN_GROUPS else "val"
        write_cycles(folder / "annotations" / split / f"{stem}.mat", bounds)

    videos = product(enumerate(CLASSES), range(1, groups + 1), range(1, clips + 1))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(write, videos))
