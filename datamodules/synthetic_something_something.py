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
from datamodules.writers.video import write_video

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
