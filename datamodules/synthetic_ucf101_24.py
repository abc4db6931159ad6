"""A small UCF101-24 that the project writes itself: real MPEG-4 files, and boxes in the format of ``finalAnnots.mat``.

Six classes of motion of textured objects before a drifting background. As in UCF101-24, all actors of a video do the
same, sometimes only in a part of it (before and after they are there and stand still), and one video in four has two.
In each lies another object that never moves and is not annotated. A left-right flip keeps the label.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.io

from datamodules.moving_shapes import CLASSES as MOTIONS
from datamodules.moving_shapes import Look, Pose, Thing, draw_drift, draw_look, draw_still, draw_thing, film, motion
from datamodules.moving_shapes import texture as draw_texture
from datamodules.sample_datamodule import require_positive
from datamodules.ucf101_24 import UCF10124DataModule
from datamodules.writers.folder import content_key, write_missing_folder
from datamodules.writers.video import require_encodable, write_video

FPS = 16
TWO_ACTORS = 0.25  # share of the videos
PART_OF_VIDEO = 0.4  # share of the videos in which the action takes place in a part
# The motions of each class; the two of a class are one seen in a mirror.
CLASSES: dict[str, tuple[str, ...]] = {
    "Bouncing": ("swinging up and down",),
    "Circling": ("circling clockwise", "circling counterclockwise"),
    "Growing": ("growing",),
    "Shrinking": ("shrinking",),
    "Spinning": ("spinning clockwise", "spinning counterclockwise"),
    "Swinging": ("swinging sideways",),
}


class SyntheticUCF10124DataModule(UCF10124DataModule):
    """Writes a synthetic UCF101-24 once, then reads it like the real one.

    Several processes may start at once: each writes into a folder of its own and the first to finish gives it its name.
    """

    def __init__(
        self,
        cache: str | Path = "~/.cache/video-efficient-zoo/synthetic_ucf101_24",
        train_videos: int = 80,
        test_videos: int = 10,
        video_frames: int = 32,
        height: int = 48,
        width: int = 64,
        content_seed: int = 0,
        num_frames: int = 8,
        strides: tuple[int, ...] = (1,),
        size: int = 48,
        jitter: float = 0.1,
        train_step: int = 1,
        train_unannotated: bool = True,
        eval_frames: int = 16,
        global_batch_size: int = 32,
        eval_batch_size: int = 4,
        num_workers: int = 2,
        seed: int = 0,
    ) -> None:
        """Remember what to write; it is written in ``prepare_data``.

        Args:
            cache: folder that holds one folder per set of the next 6 arguments.
            train_videos: of a class, to train with.
            test_videos: of a class, to test with.
            video_frames: frames of a video, at 16 a second.
            height: of a video in pixels, even.
            width: of a video in pixels, even.
            content_seed: of the videos' content.
            num_frames: see ``UCF10124DataModule``, as all that follow.
            strides: see there.
            size: see there.
            jitter: see there.
            train_step: see there.
            train_unannotated: see there.
            eval_frames: see there.
            global_batch_size: see there.
            eval_batch_size: see there.
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
            num_frames=num_frames,
            strides=strides,
            size=size,
            jitter=jitter,
            train_step=train_step,
            train_unannotated=train_unannotated,
            eval_frames=eval_frames,
            picture_size=(height, width),
            global_batch_size=global_batch_size,
            eval_batch_size=eval_batch_size,
            num_workers=num_workers,
            seed=seed,
        )

    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes, in the order of the annotations' numbers."""
        return tuple(CLASSES)

    def prepare_data(self) -> None:
        """Write the videos, their boxes and the lists unless they are there."""
        write_missing_folder(self.root, self._write, f"the small videos of {type(self).__name__}")

    def _write(self, folder: Path) -> None:
        write_videos(folder, **self.content)


class Scene(NamedTuple):
    """A video and its actors.

    Attributes:
        frames: uint8 (T, H, W, 3).
        boxes: float64 (A, T, 4) of A actors: left, top, right and bottom in pixels.
        start: first frame of the action.
        end: the frame after its last.
    """

    frames: np.ndarray
    boxes: np.ndarray
    start: int
    end: int


def draw_scene(label: int, video_frames: int, height: int, width: int, rng: np.random.Generator) -> Scene:
    """Draw a video.

    Args:
        label: index into ``CLASSES``.
        video_frames: T.
        height: in pixels.
        width: likewise.
        rng: source of everything else.
    """
    start, end = 0, video_frames
    if rng.random() < PART_OF_VIDEO:
        length = int(rng.integers(video_frames // 3, 2 * video_frames // 3 + 1))
        start = int(rng.integers(video_frames - length + 1))
        end = start + length
    actors, boxes = [], []
    halves = ((0.0, 0.5), (0.5, 1.0)) if rng.random() < TWO_ACTORS else ((0.0, 1.0),)
    for side in halves:
        radius, look = rng.uniform(0.14, 0.2) * height, draw_look(rng)
        pose = hold(draw_pose(label, video_frames, height, width // len(halves), rng), start, end)
        actor, box = place(Thing(pose, radius, look), side, height, width)
        actors.append(actor)
        boxes.append(box)
    background = draw_texture(height, width, int(rng.integers(2, 6)), rng)
    still = draw_still(height, width, rng)
    frames = film(background, draw_drift(height, rng), (still, *actors), video_frames)
    return Scene(frames, np.stack(boxes), start, end)


def draw_pose(label: int, video_frames: int, height: int, width: int, rng: np.random.Generator) -> Pose:
    """Draw one motion of a class; arguments as of ``moving_shapes.motion``, ``label`` an index into ``CLASSES``."""
    motions = list(CLASSES.values())[label]
    return motion(MOTIONS.index(motions[rng.integers(len(motions))]), video_frames, height, width, rng)


def hold(pose: Pose, start: int, end: int) -> Pose:
    """Let an object stand still before and after its action."""
    frame = np.arange(len(pose.x)).clip(start, end - 1)
    return Pose(*(values[frame] for values in pose))


def place(thing: Thing, side: tuple[float, float], height: int, width: int) -> tuple[Thing, np.ndarray]:
    """Move an object so that all it does lies in a part of the picture, as far as it fits, and measure it there.

    Args:
        thing: as drawn.
        side: first and last column of the part, as shares of the width.
        height: of the picture in pixels.
        width: likewise.

    Returns:
        The object, and its box in each frame, float64 (T, 4), cut to the picture.
    """
    reach = thing.radius * thing.pose.scale
    moved = [
        values + shift(float((values - reach).min()), float((values + reach).max()), low, high)
        for values, low, high in (
            (thing.pose.x, side[0] * width, side[1] * width),
            (thing.pose.y, 0.0, float(height)),
        )
    ]
    moved_thing = thing._replace(pose=thing.pose._replace(x=moved[0], y=moved[1]))
    # The object's shape alone, white on black: what is white of it is its box.
    middle = int(reach.max()) + 2
    corners = [np.floor(values).astype(int) - middle for values in moved]
    pose = moved_thing.pose._replace(x=moved[0] - corners[0], y=moved[1] - corners[1])
    canvas = np.zeros((len(reach), 2 * middle + 1, 2 * middle + 1, 3), np.float32)
    draw_thing(canvas, Thing(pose, thing.radius, Look(thing.look.shape, np.full((2, 3), 255, np.float32), 1.0)))
    inside = canvas[..., 0] > 127
    edges = []
    for axis, corner, limit in ((1, corners[0], width), (2, corners[1], height)):
        line = np.asarray(inside.any(axis))
        first = corner + line.argmax(1)
        last = corner + line.shape[1] - line[:, ::-1].argmax(1)
        edges.append((first.clip(0, limit - 1), last.clip(1, limit)))
    (left, right), (top, bottom) = edges
    return moved_thing, np.stack([left, top, right, bottom], 1).astype(np.float64)


def shift(low: float, high: float, least: float, most: float) -> float:
    """How far to move an interval so that it lies in another, or in its middle if it is longer."""
    if high - low > most - least:
        return (least + most - low - high) / 2
    return max(least - low, 0.0) + min(most - high, 0.0)


def write_videos(
    folder: Path, train_videos: int, test_videos: int, video_frames: int, height: int, width: int, content_seed: int
) -> None:
    """Write ``<folder>/UCF-101/<class>/*.avi``, and beside it ``finalAnnots.mat`` and the lists of the first split.

    Args:
        folder: exists.
        train_videos: of a class.
        test_videos: of a class, groups 1 to this.
        video_frames: of a video.
        height: of a video in pixels, even.
        width: see there.
        content_seed: of all that is drawn.
    """
    videos = list(product(enumerate(CLASSES), range(1, train_videos + test_videos + 1)))
    for name in CLASSES:
        (folder / "UCF-101" / name).mkdir(parents=True)

    def write(video: tuple[tuple[int, str], int]) -> dict[str, Any]:
        (label, name), group = video
        scene = draw_scene(label, video_frames, height, width, np.random.default_rng([content_seed, label, group]))
        write_video(folder / "UCF-101" / f"{video_name(name, group)}.avi", scene.frames, FPS, quality=3, codec="mpeg4")
        boxes = scene.boxes[:, scene.start : scene.end]
        corners = np.concatenate([boxes[..., :2], boxes[..., 2:] - boxes[..., :2]], 2).astype(np.uint16)
        span = {"sf": scene.start + 1, "ef": scene.end, "class": label + 1}
        tubes = [{**span, "boxes": corner} for corner in corners]
        return {"name": video_name(name, group), "num_imgs": video_frames, "tubes": struct_array(tubes)}

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        annotations = list(pool.map(write, videos))
    scipy.io.savemat(folder / "finalAnnots.mat", {"annot": struct_array(annotations)}, do_compression=True)
    for list_name, groups in (
        ("testlist01", range(1, test_videos + 1)),
        ("trainlist01", range(test_videos + 1, 10**6)),
    ):
        lines = [video_name(name, group) for (_, name), group in videos if group in groups]
        (folder / f"{list_name}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="ascii")


def video_name(name: str, group: int) -> str:
    """Return ``Class/v_Class_gGROUP_c01``; groups are counted from 1."""
    return f"{name}/v_{name}_g{group:02d}_c01"


def struct_array(rows: list[dict[str, Any]]) -> np.ndarray:
    """Return what becomes an array of structs in a .mat file."""
    array = np.empty((1, len(rows)), dtype=[(name, object) for name in rows[0]])
    for number, row in enumerate(rows):
        array[0, number] = tuple(row.values())
    return array
