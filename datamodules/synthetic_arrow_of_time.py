"""A small UCF101 whose videos run one way only, written by the project itself: real files, groups and official lists.

What the objects do loses momentum, as in the world: a ball bounces lower each time, what rolls, spins or swings comes
to rest, and what grows does so ever more slowly. A single frame does not tell the direction, and everything else in
the videos, the drift of the background among it, may run either way. A left-right flip keeps the direction.
"""

import math
from pathlib import Path

import numpy as np

from datamodules.arrow_of_time import ArrowOfTimeDataModule
from datamodules.moving_shapes import Pose
from datamodules.sample_datamodule import require_positive
from datamodules.synthetic_ucf101 import TEST_GROUPS, write_videos
from datamodules.writers.folder import content_key, write_missing_folder
from datamodules.writers.video import require_encodable

CLASSES = ("Bouncing", "Inflating", "Rolling", "Spinning", "Swinging")


class SyntheticArrowOfTimeDataModule(ArrowOfTimeDataModule):
    """Writes a synthetic UCF101 once, then reads it, forwards and backwards, like the real one.

    Several processes may start at once: each writes into a folder of its own and the first to finish gives it its name.
    """

    official_counts = None

    def __init__(
        self,
        cache: str | Path = "~/.cache/video-efficient-zoo/synthetic_arrow_of_time",
        groups: int = 20,
        clips: int = 4,
        video_frames: int = 40,
        height: int = 40,
        width: int = 48,
        content_seed: int = 0,
        num_frames: int = 8,
        crop_size: int = 32,
        short_side: int = 36,
        eval_clips: int = 1,
        global_batch_size: int = 32,
        eval_batch_size: int = 64,
        probe_samples: int | None = None,
        num_workers: int = 2,
        seed: int = 0,
    ) -> None:
        """Remember what to write; it is written in ``prepare_data``.

        Args:
            cache: folder that holds one folder per set of the next 6 arguments.
            groups: see ``SyntheticUCF101DataModule``, as the next five.
            clips: see there.
            video_frames: see there.
            height: see there.
            width: see there.
            content_seed: see there.
            num_frames: see ``ArrowOfTimeDataModule``, as all that follow.
            crop_size: see there.
            short_side: see there.
            eval_clips: see there.
            global_batch_size: see there.
            eval_batch_size: see there.
            probe_samples: see there.
            num_workers: see there.
            seed: see there.

        Raises:
            ValueError: a number is out of range.
        """
        require_positive(clips=clips)
        if groups <= TEST_GROUPS:
            raise ValueError(
                f"groups={groups} must be more than {TEST_GROUPS}: the first {TEST_GROUPS} are for evaluation"
            )
        require_encodable(video_frames, height, width)
        self.content = {
            "groups": groups,
            "clips": clips,
            "video_frames": video_frames,
            "height": height,
            "width": width,
            "content_seed": content_seed,
        }
        key = content_key([self.content, 1])
        super().__init__(
            Path(cache).expanduser() / key,
            num_frames=num_frames,
            crop_size=crop_size,
            short_side=short_side,
            eval_clips=eval_clips,
            global_batch_size=global_batch_size,
            eval_batch_size=eval_batch_size,
            probe_samples=probe_samples,
            num_workers=num_workers,
            seed=seed,
        )

    def prepare_data(self) -> None:
        """Write the videos and lists unless they are there."""
        write_missing_folder(self.root, self._write, f"the small videos of {type(self).__name__}")

    def _write(self, folder: Path) -> None:
        write_videos(folder, CLASSES, draw_pose, **self.content)


def draw_pose(label: int, num_frames: int, height: int, width: int, rng: np.random.Generator) -> Pose:
    """Draw one motion of a class.

    Args:
        label: index into ``CLASSES``.
        num_frames: T.
        height: frame height in pixels.
        width: frame width in pixels.
        rng: source of place, speed and phase.

    Returns:
        The pose in each frame; positions may leave the frame and are to be wrapped around it.
    """
    name, extent = CLASSES[label], min(height, width)
    part = np.arange(num_frames, dtype=np.float32) / num_frames  # of the video that has passed
    x = np.full(num_frames, rng.uniform(0.25, 0.75) * width, np.float32)
    y: np.ndarray = np.full(num_frames, rng.uniform(0.25, 0.75) * height, np.float32)
    scale: np.ndarray = np.ones(num_frames, np.float32)
    angle = np.full(num_frames, rng.uniform(0, 2 * math.pi), np.float32)
    side = 1 if rng.random() < 0.5 else -1
    left = np.exp(-rng.uniform(0.8, 1.6) * part)  # of the momentum
    turns = 2 * math.pi * (rng.uniform(2, 3) * part + rng.uniform())
    if name == "Bouncing":
        y = 0.8 * height - rng.uniform(0.5, 0.7) * extent * left * np.abs(np.sin(turns))
        x += side * 0.2 * width * part
    elif name == "Inflating":
        scale = rng.uniform(1.4, 1.8) - rng.uniform(0.7, 0.9) * left
    elif name == "Rolling":
        x += side * rng.uniform(1, 1.5) * width * (1 - left)
    elif name == "Spinning":
        angle += side * rng.uniform(6, 9) * (1 - left)
    else:
        x += rng.uniform(0.25, 0.4) * extent * left * np.sin(turns)
    return Pose(*(values.astype(np.float32) for values in (x, y, scale, angle)))
