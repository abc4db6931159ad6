"""A small Something-Something v2 that the project writes itself: real WebM files and the official JSON lists.

Ten classes in five pairs: one of a pair is the other played backwards, so a single frame never tells the two apart; a
network that sees single frames stays at half of what it could know. Left and right, and the two ways of turning the
camera, change places in a mirror: a left-right flip changes the label.
"""

import json
import math
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from datamodules.moving_shapes import (
    CLASSES as MOTIONS,
)
from datamodules.moving_shapes import (
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
from datamodules.something_something import SomethingSomethingDataModule
from datamodules.writers.folder import content_key, write_missing_folder
from datamodules.writers.video import require_encodable, write_video

FPS = 16
# The second of a pair is the first played backwards.
PAIRS = (
    ("Pulling [something] from left to right", "Pulling [something] from right to left"),
    ("Moving [something] down", "Moving [something] up"),
    ("Moving [something] towards the camera", "Moving [something] away from the camera"),
    (
        "Moving [something] and [something] closer to each other",
        "Moving [something] and [something] away from each other",
    ),
    ("Turning the camera right while filming [something]", "Turning the camera left while filming [something]"),
)
TEMPLATES = tuple(sorted(template for pair in PAIRS for template in pair))
_MOTIONS = ("moving right", "moving down", "growing")  # of the first pairs


class SyntheticSomethingSomethingDataModule(SomethingSomethingDataModule):
    """Writes a synthetic Something-Something once, then reads it like the real one.

    Several processes may start at once: each writes into a folder of its own and the first to finish gives it its name.
    """

    def __init__(
        self,
        cache: str | Path = "~/.cache/video-efficient-zoo/synthetic_something_something",
        train_videos: int = 480,
        val_videos: int = 200,
        video_frames: int = 40,
        height: int = 40,
        width: int = 48,
        content_seed: int = 0,
        subset: float = 1.0,
        subset_seed: int = 0,
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
            train_videos: training videos, evenly over the classes.
            val_videos: evaluation videos.
            video_frames: frames of a video, at 16 a second.
            height: of a video in pixels, even.
            width: of a video in pixels, even.
            content_seed: of the videos' content.
            subset: see ``SomethingSomethingDataModule``, as all that follow.
            subset_seed: see there.
            num_frames: see there.
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
        require_positive(train_videos=train_videos, val_videos=val_videos)
        require_encodable(video_frames, height, width)
        self.content = {
            "train_videos": train_videos,
            "val_videos": val_videos,
            "video_frames": video_frames,
            "height": height,
            "width": width,
            "content_seed": content_seed,
        }
        key = content_key([self.content, 1])
        super().__init__(
            Path(cache).expanduser() / key,
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
        write_videos(folder, **self.content)


def render(label: int, num_frames: int, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Render one video of a class: two objects before a background.

    Args:
        label: index into ``TEMPLATES``.
        num_frames: T.
        height: in pixels.
        width: in pixels.
        rng: source of everything else.

    Returns:
        uint8 (T, H, W, 3), RGB.
    """
    template = TEMPLATES[label]
    number = next(number for number, pair in enumerate(PAIRS) if template in pair)
    extent = min(height, width)
    background = texture(height, width, int(rng.integers(2, 6)), rng)
    drift = draw_drift(extent, rng)
    first = draw_still(height, width, rng)
    second = Thing(draw_still(height, width, rng).pose, rng.uniform(0.14, 0.22) * extent, draw_look(rng))
    if number < len(_MOTIONS):
        pose = motion(MOTIONS.index(_MOTIONS[number]), num_frames, height, width, rng)
        second = second._replace(pose=pose)
    elif number == len(_MOTIONS):
        poses = draw_approach(num_frames, height, width, rng)
        first, second = first._replace(pose=poses[0]), second._replace(pose=poses[1])
    else:
        drift = (rng.uniform(0.03, 0.07) * extent, drift[1])
        first, second = (thing._replace(pose=_seen(thing.pose, drift, num_frames)) for thing in (first, second))
    frames = film(background, drift, (first, second), num_frames)
    return frames if template == PAIRS[number][0] else frames[::-1]


def draw_approach(num_frames: int, height: int, width: int, rng: np.random.Generator) -> tuple[Pose, Pose]:
    """Draw two objects that come closer to each other, again and again, every 12 to 18 frames."""
    extent = min(height, width)
    cycle = (np.arange(num_frames, dtype=np.float32) / rng.uniform(12, 18) + rng.uniform()) % 1
    apart = (0.4 - 0.25 * cycle) * extent
    direction = rng.uniform(0, 2 * math.pi)
    middle = rng.uniform(0.4, 0.6, 2) * (width, height)

    def pose(sign: int) -> Pose:
        x = middle[0] + sign * apart * math.cos(direction)
        y = middle[1] + sign * apart * math.sin(direction)
        angle = np.full(num_frames, rng.uniform(0, 2 * math.pi), np.float32)
        return Pose(x.astype(np.float32), y.astype(np.float32), np.ones(num_frames, np.float32), angle)

    return pose(1), pose(-1)


def _seen(pose: Pose, drift: tuple[float, float], num_frames: int) -> Pose:
    """Return how an object that stands still is seen from a camera that turns."""
    time = np.arange(num_frames, dtype=np.float32)
    scale, angle = (np.broadcast_to(values, num_frames) for values in (pose.scale, pose.angle))
    return Pose(pose.x - drift[0] * time, pose.y - drift[1] * time, scale, angle)


def write_videos(
    folder: Path, train_videos: int, val_videos: int, video_frames: int, height: int, width: int, content_seed: int
) -> None:
    """Write ``<folder>/20bn-something-something-v2/<id>.webm`` and the lists of classes, training and validation.

    Args:
        folder: exists.
        train_videos: training videos, evenly over the classes.
        val_videos: evaluation videos.
        video_frames: of a video.
        height: of a video in pixels, even.
        width: see there.
        content_seed: of all that is drawn.
    """
    videos = folder / "20bn-something-something-v2"
    videos.mkdir()

    def write(number: int) -> None:
        rng = np.random.default_rng([content_seed, number])
        frames = render(number % len(TEMPLATES), video_frames, height, width, rng)
        write_video(videos / f"{number}.webm", frames, FPS, codec="vp9")

    numbers = {"train": range(train_videos), "validation": range(train_videos, train_videos + val_videos)}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(write, range(train_videos + val_videos)))
    names = [template.replace("[something]", "something") for template in TEMPLATES]
    _write_json(folder, "labels", {name: str(label) for label, name in enumerate(names)})
    for split, rows in numbers.items():
        _write_json(folder, split, [_entry(number, TEMPLATES[number % len(TEMPLATES)]) for number in rows])


def _entry(number: int, template: str) -> dict[str, object]:
    placeholders = [f"object {place}" for place in range(1, 1 + template.count("[something]"))]
    label = template.lower()
    for word in placeholders:
        label = label.replace("[something]", word, 1)
    return {"id": str(number), "label": label, "template": template, "placeholders": placeholders}


def _write_json(folder: Path, name: str, content: object) -> None:
    file = folder / f"something-something-v2-{name}.json"
    file.write_text(f"{json.dumps(content, indent=1)}\n", encoding="utf-8")
