"""A small UCF101 that the project writes itself: real MPEG-4 files, class folders, groups and the official lists.

Ten classes of motion of one textured object. As in UCF101, what a single frame shows helps: the videos of a group
share scene and object, and those of half of the groups are of the class's own shape and colour of background, so that
appearance alone tells the class of about 55 % of the videos and motion that of all. A left-right flip keeps the label.
"""

import colorsys
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from datamodules.moving_shapes import (
    CLASSES as MOTIONS,
)
from datamodules.moving_shapes import (
    SHAPES,
    Look,
    Pose,
    Thing,
    draw_drift,
    draw_look,
    draw_still,
    film,
    motion,
    texture,
)
from datamodules.sample_datamodule import require_positive
from datamodules.ucf101 import UCF101DataModule
from datamodules.writers.folder import content_key, write_missing_folder
from datamodules.writers.video import require_encodable, write_video

FPS = 16
TEST_GROUPS = 7  # of UCF101's first split: groups 1 to 7 are tested, the others are trained with
OWN_APPEARANCE = 0.5  # share of the groups that look like their class
# The motions of each class; the two of a class are one seen in a mirror.
CLASSES: dict[str, tuple[str, ...]] = {
    "Bouncing": ("swinging up and down",),
    "Circling": ("circling clockwise", "circling counterclockwise"),
    "Falling": ("moving down",),
    "Growing": ("growing",),
    "Rising": ("moving up",),
    "Shrinking": ("shrinking",),
    "Spinning": ("spinning clockwise", "spinning counterclockwise"),
    "Standing": (),
    "Swinging": ("swinging sideways",),
    "Travelling": ("moving right", "moving left"),
}


class SyntheticUCF101DataModule(UCF101DataModule):
    """Writes a synthetic UCF101 once, then reads it like the real one.

    Several processes may start at once: each writes into a folder of its own and the first to finish gives it its name.
    """

    def __init__(
        self,
        cache: str | Path = "~/.cache/video-efficient-zoo/synthetic_ucf101",
        groups: int = 25,
        clips: int = 3,
        video_frames: int = 40,
        height: int = 40,
        width: int = 48,
        content_seed: int = 0,
        num_frames: int = 16,
        num_clips: int = 1,
        strides: tuple[int, ...] = (1,),
        temporal_jitter: bool = False,
        fps: float | None = FPS,
        crop_size: int = 32,
        short_sides: tuple[int, ...] = (32, 36, 40),
        eval_clips: int = 4,
        random_resized_crop: bool = False,
        samples: int | None = None,
        samples_seed: int = 0,
        global_batch_size: int = 32,
        eval_batch_size: int = 32,
        probe_samples: int | None = None,
        num_workers: int = 2,
        seed: int = 0,
    ) -> None:
        """Remember what to write; it is written in ``prepare_data``.

        Args:
            cache: folder that holds one folder per set of the next 6 arguments.
            groups: of a class, of which the first 7 are for evaluation.
            clips: videos of a group.
            video_frames: frames of a video, at 16 a second.
            height: of a video in pixels, even.
            width: of a video in pixels, even.
            content_seed: of the videos' content.
            num_frames: see ``UCF101DataModule``, as all that follow.
            num_clips: see there.
            strides: see there.
            temporal_jitter: see there.
            fps: see there.
            crop_size: see there.
            short_sides: see there.
            eval_clips: see there.
            random_resized_crop: see there.
            samples: see there.
            samples_seed: see there.
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
            num_clips=num_clips,
            strides=strides,
            temporal_jitter=temporal_jitter,
            fps=fps,
            crop_size=crop_size,
            short_sides=short_sides,
            eval_clips=eval_clips,
            random_resized_crop=random_resized_crop,
            samples=samples,
            samples_seed=samples_seed,
            global_batch_size=global_batch_size,
            eval_batch_size=eval_batch_size,
            probe_samples=probe_samples,
            num_workers=num_workers,
            seed=seed,
        )

    @property
    def official_counts(self) -> None:
        """None: the lists are no official ones."""

    def prepare_data(self) -> None:
        """Write the videos and lists unless they are there."""
        write_missing_folder(self.root, self._write, f"the small videos of {type(self).__name__}")

    def _write(self, folder: Path) -> None:
        write_videos(folder, list(CLASSES), draw_pose, **self.content)


# Class from 0, frames, height and width in pixels, source of the rest; to the pose in each frame.
DrawPose = Callable[[int, int, int, int, np.random.Generator], Pose]


class Scene(NamedTuple):
    """What the videos of a group share.

    Attributes:
        background: float32 (H, W, 3), 0..255.
        still: an object that stands still.
        radius: of the object that moves, in pixels.
        look: of the object that moves.
    """

    background: np.ndarray
    still: Thing
    radius: float
    look: Look


def draw_scene(label: int, height: int, width: int, rng: np.random.Generator, num_classes: int = len(CLASSES)) -> Scene:
    """Draw what the videos of a group share.

    Args:
        label: class from 0.
        height: in pixels.
        width: in pixels.
        rng: source of everything else.
        num_classes: over which looks are spread.
    """
    like = label if rng.random() < OWN_APPEARANCE else int(rng.integers(num_classes))
    hue = like / num_classes + rng.normal(0, 0.02)
    tint = 255 * np.array(colorsys.hsv_to_rgb(hue % 1, 0.6, rng.uniform(0.4, 0.8)), np.float32)
    background = texture(height, width, int(rng.integers(2, 6)), rng, tint)
    still = draw_still(height, width, rng)
    radius = rng.uniform(0.14, 0.22) * min(height, width)
    look = draw_look(rng)._replace(shape=SHAPES[like % len(SHAPES)])
    return Scene(background, still, radius, look)


def draw_pose(label: int, num_frames: int, height: int, width: int, rng: np.random.Generator) -> Pose:
    """Draw one motion of a class; arguments as of ``moving_shapes.motion``, ``label`` an index into ``CLASSES``."""
    motions = list(CLASSES.values())[label]
    if motions:
        return motion(MOTIONS.index(motions[rng.integers(len(motions))]), num_frames, height, width, rng)
    place = rng.uniform((0.25 * width, 0.25 * height, 1, 0), (0.75 * width, 0.75 * height, 1, 2 * math.pi))
    return Pose(*(np.full(num_frames, value, np.float32) for value in place))


def file_name(name: str, group: int, clip: int) -> str:
    """Return ``Class/v_Class_gGROUP_cCLIP.avi``; groups and clips are counted from 1."""
    return f"{name}/v_{name}_g{group:02d}_c{clip:02d}.avi"


def write_videos(
    folder: Path,
    classes: Sequence[str],
    draw: DrawPose,
    groups: int,
    clips: int,
    video_frames: int,
    height: int,
    width: int,
    content_seed: int,
) -> None:
    """Write ``<folder>/UCF-101/<class>/*.avi``, and ``<folder>/ucfTrainTestlist`` with classes and the first split.

    Args:
        folder: exists.
        classes: their names.
        draw: draws a motion of a class, as ``draw_pose``.
        groups: of a class.
        clips: of a group.
        video_frames: of a video.
        height: of a video in pixels, even.
        width: see there.
        content_seed: of all that is drawn.
    """
    videos = list(product(enumerate(classes), range(1, groups + 1), range(1, clips + 1)))
    for name in classes:
        (folder / "UCF-101" / name).mkdir(parents=True)

    def write(video: tuple[tuple[int, str], int, int]) -> None:
        (label, name), group, clip = video
        scene = draw_scene(label, height, width, np.random.default_rng([content_seed, label, group]), len(classes))
        rng = np.random.default_rng([content_seed, label, group, clip])
        pose = draw(label, video_frames, height, width, rng)
        moving = Thing(pose, scene.radius, scene.look)
        frames = film(scene.background, draw_drift(min(height, width), rng), (scene.still, moving), video_frames)
        write_video(folder / "UCF-101" / file_name(name, group, clip), frames, FPS, quality=3, codec="mpeg4")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(write, videos))
    lists = {
        "classInd": [f"{label} {name}" for label, name in enumerate(classes, 1)],
        "trainlist01": [
            f"{file_name(name, group, clip)} {label + 1}"
            for (label, name), group, clip in videos
            if group > TEST_GROUPS
        ],
        "testlist01": [file_name(name, group, clip) for (_, name), group, clip in videos if group <= TEST_GROUPS],
    }
    (folder / "ucfTrainTestlist").mkdir()
    for list_name, lines in lists.items():
        text = "".join(f"{line}\r\n" for line in lines)
        (folder / "ucfTrainTestlist" / f"{list_name}.txt").write_text(text, encoding="ascii", newline="")
