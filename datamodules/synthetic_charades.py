"""A small Charades that the project writes itself: real MP4 files, and the official tables and list of classes.

In each video two textured objects before a drifting background do one thing after another and stand still between;
what they do, at once or in turn, are the video's actions. Nine classes of motion, some rarer than others; in some
videos nothing happens. Appearance tells nothing, and a left-right flip keeps the labels.
"""

import csv
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from datamodules.charades import CharadesDataModule
from datamodules.moving_shapes import Pose, Thing, draw_drift, draw_look, film, texture
from datamodules.sample_datamodule import require_positive
from datamodules.synthetic_ucf101 import CLASSES as MOTIONS
from datamodules.synthetic_ucf101 import draw_pose
from datamodules.writers.folder import content_key, write_missing_folder
from datamodules.writers.video import require_encodable, write_video

FPS = 16
CLASSES = tuple(name for name, motions in MOTIONS.items() if motions)
OBJECTS = 2
# Each class is this many times as frequent as the next; in real videos a few actions are everywhere, too.
FREQUENCY_RATIO = 1.15
IDLE = 0.2  # share of the objects that do nothing
COLUMNS = (
    *("id", "subject", "scene", "quality", "relevance", "verified", "script", "objects", "descriptions", "actions"),
    "length",
)


class Act(NamedTuple):
    """What an object does from one frame to another.

    Attributes:
        label: index into ``CLASSES``.
        start: first frame.
        end: frame after the last.
    """

    label: int
    start: int
    end: int


class SyntheticCharadesDataModule(CharadesDataModule):
    """Writes a synthetic Charades once, then reads it like the real one.

    Several processes may start at once: each writes into a folder of its own and the first to finish gives it its name.
    """

    official_counts = None

    def __init__(
        self,
        cache: str | Path = "~/.cache/video-efficient-zoo/synthetic_charades",
        train_videos: int = 600,
        test_videos: int = 200,
        video_frames: int = 56,
        height: int = 40,
        width: int = 48,
        content_seed: int = 0,
        training_labels: Literal["clip", "video"] = "clip",
        num_frames: int = 8,
        num_clips: int = 1,
        strides: tuple[int, ...] = (2,),
        temporal_jitter: bool = False,
        fps: float | None = None,
        crop_size: int = 32,
        short_sides: tuple[int, ...] = (36, 40),
        eval_short_side: int = 36,
        eval_clips: int = 6,
        eval_crops: int = 3,
        random_resized_crop: bool = False,
        global_batch_size: int = 32,
        eval_batch_size: int = 16,
        probe_samples: int | None = None,
        num_workers: int = 2,
        seed: int = 0,
    ) -> None:
        """Remember what to write; it is written in ``prepare_data``.

        Args:
            cache: folder that holds one folder per set of the next 6 arguments.
            train_videos: training videos.
            test_videos: evaluation videos.
            video_frames: frames of a video, at 16 a second.
            height: of a video in pixels, even.
            width: of a video in pixels, even.
            content_seed: of the videos' content.
            training_labels: see ``CharadesDataModule``, as all that follow.
            num_frames: see there.
            num_clips: see there.
            strides: see there.
            temporal_jitter: see there.
            fps: see there.
            crop_size: see there.
            short_sides: see there.
            eval_short_side: see there.
            eval_clips: see there.
            eval_crops: see there.
            random_resized_crop: see there.
            global_batch_size: see there.
            eval_batch_size: see there.
            probe_samples: see there.
            num_workers: see there.
            seed: see there.

        Raises:
            ValueError: a number is out of range.
        """
        require_positive(train_videos=train_videos, test_videos=test_videos)
        require_encodable(video_frames, height, width)
        self.content = {
            "train_videos": train_videos,
            "test_videos": test_videos,
            "video_frames": video_frames,
            "height": height,
            "width": width,
            "content_seed": content_seed,
        }
        key = content_key([self.content, 1])
        super().__init__(
            Path(cache).expanduser() / key,
            training_labels=training_labels,
            num_frames=num_frames,
            num_clips=num_clips,
            strides=strides,
            temporal_jitter=temporal_jitter,
            fps=fps,
            crop_size=crop_size,
            short_sides=short_sides,
            eval_short_side=eval_short_side,
            eval_clips=eval_clips,
            eval_crops=eval_crops,
            random_resized_crop=random_resized_crop,
            global_batch_size=global_batch_size,
            eval_batch_size=eval_batch_size,
            probe_samples=probe_samples,
            num_workers=num_workers,
            seed=seed,
        )

    def prepare_data(self) -> None:
        """Write the videos and tables unless they are there."""
        write_missing_folder(self.root, self._write, f"the small videos of {type(self).__name__}")

    def _write(self, folder: Path) -> None:
        write_videos(folder, **self.content)


def draw_acts(num_frames: int, rng: np.random.Generator) -> list[Act]:
    """Draw what one object does in a video: acts of 1 to 2 seconds, with breaks before and between; perhaps none."""
    if rng.random() < IDLE:
        return []
    weights = FREQUENCY_RATIO ** -np.arange(len(CLASSES), dtype=np.float64)
    acts = []
    start = int(rng.integers(FPS))
    while (end := start + int(rng.integers(FPS, 2 * FPS + 1))) <= num_frames:
        acts.append(Act(int(rng.choice(len(CLASSES), p=weights / weights.sum())), start, end))
        start = end + int(rng.integers(FPS // 4, FPS))
    return acts


def perform(acts: Sequence[Act], num_frames: int, height: int, width: int, rng: np.random.Generator) -> Pose:
    """Return the pose of an object that does one thing after another, each from where the last one ended."""
    numbers = list(MOTIONS)
    moves = np.zeros((2, num_frames), np.float32)  # x and y
    moves += rng.uniform((0.25 * width, 0.25 * height), (0.75 * width, 0.75 * height))[:, None]
    scale = np.ones(num_frames, np.float32)
    angle = np.full(num_frames, rng.uniform(0, 2 * math.pi), np.float32)
    for act in acts:
        pose = draw_pose(numbers.index(CLASSES[act.label]), act.end - act.start, height, width, rng)
        for values, way in zip((*moves, angle), (pose.x, pose.y, pose.angle), strict=True):
            values[act.start : act.end] += way - way[0]
            values[act.end :] += way[-1] - way[0]
        scale[act.start : act.end] = pose.scale
    return Pose(moves[0], moves[1], scale, angle)


def write_videos(
    folder: Path, train_videos: int, test_videos: int, video_frames: int, height: int, width: int, content_seed: int
) -> None:
    """Write ``<folder>/Charades_v1/<id>.mp4``, and ``<folder>/Charades`` with both tables and the classes.

    Args:
        folder: exists.
        train_videos: training videos.
        test_videos: evaluation videos.
        video_frames: of a video.
        height: of a video in pixels, even.
        width: see there.
        content_seed: of all that is drawn.
    """
    extent = min(height, width)
    (folder / "Charades_v1").mkdir()

    def write(number: int) -> list[Act]:
        rng = np.random.default_rng([content_seed, number])
        things, acts = [], []
        for _ in range(OBJECTS):
            own = draw_acts(video_frames, rng)
            pose = perform(own, video_frames, height, width, rng)
            things.append(Thing(pose, rng.uniform(0.14, 0.22) * extent, draw_look(rng)))
            acts += own
        background = texture(height, width, int(rng.integers(2, 6)), rng)
        frames = film(background, draw_drift(extent, rng), things, video_frames)
        write_video(folder / "Charades_v1" / f"{name_of(number)}.mp4", frames, FPS)
        return acts

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        videos = list(pool.map(write, range(train_videos + test_videos)))
    lists = folder / "Charades"
    lists.mkdir()
    classes = "".join(f"c{label:03d} {name} something\n" for label, name in enumerate(CLASSES))
    (lists / "Charades_v1_classes.txt").write_text(classes, encoding="ascii")
    for split, numbers in (("train", range(train_videos)), ("test", range(train_videos, len(videos)))):
        with (lists / f"Charades_v1_{split}.csv").open("w", encoding="ascii", newline="") as stream:
            table = csv.writer(stream)
            table.writerow(COLUMNS)
            table.writerows(_row(number, videos[number], video_frames) for number in numbers)


def name_of(number: int) -> str:
    """Return the id of a video: five letters and digits."""
    return f"{np.base_repr(number, 36):0>5}"


def _row(number: int, acts: Sequence[Act], num_frames: int) -> list[str]:
    doing = [f"{CLASSES[act.label].lower()} something" for act in acts]
    script = f"Two objects, of any shape: {', then '.join(doing)}." if doing else "Nothing happens."
    actions = ";".join(f"c{act.label:03d} {act.start / FPS:.2f} {act.end / FPS:.2f}" for act in acts)
    facts = [name_of(number), "ZOO1", "Small room", "7", "7", "Yes", script, "something;something", script, actions]
    return [*facts, f"{num_frames / FPS:.2f}"]
