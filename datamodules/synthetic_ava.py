"""A small AVA that the project writes itself: real videos, and its lists of boxes, actions and a detector's findings.

One to three textured objects move before a drifting background, each within its own part of the picture. Each stands,
swings sideways, swings up and down or circles, and may spin and pulse meanwhile: several actions at once. Nothing that
a single frame shows tells them. A left-right flip keeps the actions.
"""

import math
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from datamodules.ava import AVADataModule
from datamodules.moving_shapes import Pose, Thing, draw_drift, draw_look, film, texture
from datamodules.sample_datamodule import require_positive
from datamodules.writers.folder import content_key, write_missing_folder
from datamodules.writers.video import require_encodable, write_video

FPS = 10
START = 900  # time in the film of a file's first frame, seconds
PLACES = ("stand", "swing sideways", "swing up and down", "circle")
EXTRAS = ("spin", "pulse")
#: From 1 on, as AVA's; the label map leaves out the last two: all objects are seen, and none ever leaves.
ACTIONS = (*PLACES, *EXTRAS, "is seen", "leaves")
EVALUATED = 6
# Of a detector: share of the objects that it misses, deviation of its boxes in parts of their size, and other boxes.
_MISSED, _DEVIATION, _FALSE = 0.05, 0.06, 0.5
_EXCLUDED = 10  # every tenth keyframe to evaluate is excluded


class SyntheticAVADataModule(AVADataModule):
    """Writes a synthetic AVA once, then reads it like the real one.

    Several processes may start at once: each writes into a folder of its own and the first to finish gives it its name.
    """

    def __init__(
        self,
        cache: str | Path = "~/.cache/video-efficient-zoo/synthetic_ava",
        train_videos: int = 100,
        val_videos: int = 50,
        seconds: int = 5,
        height: int = 48,
        width: int = 72,
        content_seed: int = 0,
        score_threshold: float = 0.9,
        num_frames: int = 8,
        stride: int = 3,
        eval_num_frames: int = 8,
        eval_stride: int = 3,
        crop_size: int = 40,
        short_side: tuple[int, int] = (44, 52),
        eval_short_side: int = 48,
        global_batch_size: int = 16,
        eval_batch_size: int = 32,
        num_workers: int = 2,
        seed: int = 0,
    ) -> None:
        """Remember what to write; it is written in ``prepare_data``.

        Args:
            cache: folder that holds one folder per set of the next 6 arguments.
            train_videos: number of videos to train with.
            val_videos: number of videos to evaluate with.
            seconds: of a video, at 10 frames a second; keyframes are at each second but the first and the end.
            height: of a video in pixels, even.
            width: of a video in pixels, even.
            content_seed: of the videos' content.
            score_threshold: see ``AVADataModule``, as all that follow.
            num_frames: see there.
            stride: see there.
            eval_num_frames: see there.
            eval_stride: see there.
            crop_size: see there.
            short_side: see there.
            eval_short_side: see there.
            global_batch_size: see there.
            eval_batch_size: see there.
            num_workers: see there.
            seed: see there.

        Raises:
            ValueError: a number is out of range.
        """
        require_positive(train_videos=train_videos, val_videos=val_videos)
        require_encodable(FPS * seconds, height, width)
        if seconds < 2:
            raise ValueError(f"seconds={seconds} must be at least 2, for a keyframe at the first second")
        self.content = {
            "train_videos": train_videos,
            "val_videos": val_videos,
            "seconds": seconds,
            "height": height,
            "width": width,
            "content_seed": content_seed,
        }
        key = content_key([self.content, 1])
        super().__init__(
            Path(cache).expanduser() / key,
            score_threshold=score_threshold,
            num_classes=len(ACTIONS),
            video_start=START,
            num_frames=num_frames,
            stride=stride,
            eval_num_frames=eval_num_frames,
            eval_stride=eval_stride,
            crop_size=crop_size,
            short_side=short_side,
            eval_short_side=eval_short_side,
            global_batch_size=global_batch_size,
            eval_batch_size=eval_batch_size,
            num_workers=num_workers,
            seed=seed,
        )

    def prepare_data(self) -> None:
        """Write the videos and lists unless they are there."""
        write_missing_folder(self.root, self._write, f"the small videos of {type(self).__name__}")

    def _write(self, folder: Path) -> None:
        write_videos(folder, **self.content)


class Actor(NamedTuple):
    """An object with what it does.

    Attributes:
        thing: see ``Thing``.
        actions: from 1, indices into ``ACTIONS`` plus 1.
    """

    thing: Thing
    actions: tuple[int, ...]

    def box(self, frame: int, height: int, width: int) -> tuple[float, float, float, float]:
        """x1, y1, x2, y2 in 0..1 of the square around the object in a frame, cut to the picture."""
        pose, radius, _ = self.thing
        x, y, size = pose.x[frame], pose.y[frame], radius * pose.scale[frame]
        corners = ((x - size) / width, (y - size) / height, (x + size) / width, (y + size) / height)
        x1, y1, x2, y2 = (min(max(float(corner), 0.0), 1.0) for corner in corners)
        return x1, y1, x2, y2


def draw_actors(num_frames: int, height: int, width: int, rng: np.random.Generator) -> list[Actor]:
    """Draw one to three objects, side by side, and what they do.

    Args:
        num_frames: T.
        height: in pixels.
        width: in pixels.
        rng: source of everything.
    """
    parts = 3
    places = rng.permutation(parts)[: rng.integers(1, parts + 1)]
    actors = []
    for place in places:
        radius = rng.uniform(0.1, 0.12) * width
        room = width / parts / 2
        centre = (place + 0.5) * width / parts, rng.uniform(room, height - room)
        where = int(rng.integers(len(PLACES)))
        extras = [bool(rng.random() < 0.4) for _ in EXTRAS]
        pose = draw_pose(where, extras[0], extras[1], centre, radius, num_frames, rng)
        actions = [where + 1, *(len(PLACES) + 1 + number for number, does in enumerate(extras) if does), EVALUATED + 1]
        actors.append(Actor(Thing(pose, radius, draw_look(rng)), tuple(actions)))
    return actors


def draw_pose(
    where: int,
    spins: bool,
    pulses: bool,
    centre: tuple[float, float],
    radius: float,
    num_frames: int,
    rng: np.random.Generator,
) -> Pose:
    """Draw a motion.

    Args:
        where: index into ``PLACES``.
        spins: whether the object turns.
        pulses: whether it grows and shrinks.
        centre: that it moves around, x and y in pixels.
        radius: of the object; it moves by half of it.
        num_frames: T.
        rng: source of speeds and phases.
    """
    time = np.arange(num_frames)
    phase, beat, start = rng.uniform(0, 2 * math.pi, 3)
    turn, pulse, spin = (2 * math.pi / rng.uniform(8, 12) * time for _ in range(3))
    reach = 0.5 * radius
    sign = rng.choice((-1, 1))
    name = PLACES[where]
    along_x = reach * np.cos(phase + turn) if name in ("swing sideways", "circle") else 0 * time
    along_y = reach * np.sin(phase + sign * turn) if name in ("swing up and down", "circle") else 0 * time
    scale = 1 + (0.3 * np.sin(beat + pulse) if pulses else 0 * time)
    angle = start + (rng.choice((-1, 1)) * spin if spins else 0 * time)
    columns = (centre[0] + along_x, centre[1] + along_y, scale, angle)
    return Pose(*(np.asarray(values, np.float32) for values in columns))


def write_videos(
    folder: Path, train_videos: int, val_videos: int, seconds: int, height: int, width: int, content_seed: int
) -> None:
    """Write ``<folder>/videos/*.mp4`` and ``<folder>/annotations`` with the lists of version 2.2.

    Args:
        folder: exists.
        train_videos: number of videos to train with.
        val_videos: number of videos to evaluate with.
        seconds: of a video.
        height: of a video in pixels, even.
        width: see there.
        content_seed: of all that is drawn.
    """
    (folder / "videos").mkdir()
    (folder / "annotations").mkdir()

    def write(number: int) -> list[Actor]:
        rng = np.random.default_rng([content_seed, number])
        actors = draw_actors(FPS * seconds, height, width, rng)
        background = texture(height, width, int(rng.integers(2, 6)), rng)
        things = [actor.thing for actor in actors]
        frames = film(background, draw_drift(min(height, width), rng), things, FPS * seconds)
        write_video(folder / "videos" / f"{_name(number)}.mp4", frames, FPS)
        return actors

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        videos = list(pool.map(write, range(train_videos + val_videos)))
    rng = np.random.default_rng([content_seed, len(videos)])
    lists: dict[str, list[str]] = {"train": [], "val": [], "given": [], "excluded": []}
    for number, actors in enumerate(videos):
        split = "train" if number < train_videos else "val"
        for second in range(1, seconds):
            key = f"{_name(number)},{START + second:04d}"
            boxes = [actor.box(FPS * second, height, width) for actor in actors]
            for person, (actor, box) in enumerate(zip(actors, boxes, strict=True)):
                lists[split] += [f"{key},{_text(box)},{action},{person}" for action in actor.actions]
            if split == "val":
                found = draw_findings(boxes, rng)
                lists["given"] += [f"{key},{_text(box)},,{score:.6f}" for box, score in found]
                if (number * seconds + second) % _EXCLUDED == 0:
                    lists["excluded"].append(key)
    names = ("ava_train_v2.2.csv", "ava_val_v2.2.csv", "ava_val_predicted_boxes.csv")
    files = dict(zip((*names, "ava_val_excluded_timestamps_v2.2.csv"), lists.values(), strict=True))
    files["ava_action_list_v2.2_for_activitynet_2019.pbtxt"] = [
        f'item {{\n  name: "{name}"\n  id: {action}\n}}' for action, name in enumerate(ACTIONS[:EVALUATED], 1)
    ]
    for file, lines in files.items():
        text = "".join(f"{line}\n" for line in lines)
        (folder / "annotations" / file).write_text(text, encoding="ascii", newline="")


def draw_findings(
    boxes: list[tuple[float, float, float, float]], rng: np.random.Generator
) -> list[tuple[tuple[float, ...], float]]:
    """Draw what a detector finds in a keyframe: most of the objects, roughly, and things that are none.

    Args:
        boxes: of the objects, in 0..1.
        rng: source of everything.

    Returns:
        Boxes and scores.
    """
    found: list[tuple[tuple[float, ...], float]] = []
    for box in boxes:
        size = np.array([box[2] - box[0], box[3] - box[1]] * 2)
        near = np.clip(np.array(box) + _DEVIATION * size * rng.normal(size=4), 0, 1)
        if rng.random() >= _MISSED:
            found.append((tuple(near.tolist()), rng.uniform(0.9, 1)))
    if rng.random() < _FALSE:
        low = rng.uniform(0, 0.7, 2)
        found.append(((*low.tolist(), *(low + rng.uniform(0.1, 0.3, 2)).tolist()), rng.uniform(0.5, 1)))
    return found


def _name(number: int) -> str:
    """Eleven characters, as YouTube's."""
    return f"synth{number:06d}"


def _text(box: tuple[float, ...]) -> str:
    return ",".join(f"{value:.3f}" for value in box)
