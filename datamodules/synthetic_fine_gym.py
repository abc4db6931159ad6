"""A small FineGym that the project writes itself: trimmed elements, the lists of Gym99 and Gym288, and categories.

The hierarchy is that of FineGym. The event is told by a single frame: its apparatus and the colour of its hall. The set
is a kind of motion; the elements of a set differ in how often and to which side the object turns while it moves, which
no single frame tells. Gym99 has 15 classes, as many videos of each; Gym288 has three more, and each of its classes has
fewer training videos than the one before, down to one. The other classes of the lists have a name and no video.

Turns are to the side that the object moves to, or against it, so a left-right flip keeps the label.
"""

import colorsys
import math
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from datamodules.fine_gym import FineGymDataModule, Subset
from datamodules.fine_gym_lists import SETS
from datamodules.moving_shapes import Pose, Thing, draw_drift, draw_look, draw_still, film, texture
from datamodules.sample_datamodule import require_positive
from datamodules.writers.folder import content_key, write_missing_folder
from datamodules.writers.video import require_encodable, write_video

FPS = 16
RARER = 0.83  # training videos of a class of Gym288, as a share of those of the class before it
ACTIONS = 6  # elements of one event of one gymnast

Kind = Literal["flight", "leap", "travelling leap", "spot", "circle", "swing"]


class Event(NamedTuple):
    """What the videos of an event share.

    Attributes:
        abbreviation: as in the categories' names.
        hue: of the hall.
        apparatus: shape of the object that stands still.
    """

    abbreviation: str
    hue: float
    apparatus: str


class Element(NamedTuple):
    """A class.

    Attributes:
        gym99: number in Gym99, None where it is in Gym288 alone.
        gym288: number in Gym288.
        set: of FineGym; the tens tell the event.
        kind: of motion.
        turns: in one leap or circle, positive to the side that the object moves to.
    """

    gym99: int | None
    gym288: int
    set: int
    kind: Kind
    turns: int

    @property
    def event(self) -> int:
        """Key of ``EVENTS``."""
        return self.set // 10

    @property
    def name(self) -> str:
        """Name in the categories, such as ``(FX) travelling leap with 1 turn backward``."""
        turns = ("", " with 1 turn", " with 2 turns")[abs(self.turns)]
        return f"({EVENTS[self.event].abbreviation}) {self.kind}{turns}{' backward' if self.turns < 0 else ''}"


EVENTS = {
    0: Event("VT", 0.13, "square"),
    2: Event("FX", 0.6, "disc"),
    3: Event("BB", 0.35, "bar"),
    4: Event("UB", 0.95, "cross"),
}
ELEMENTS = (
    Element(0, 3, 1, "flight", 0),
    Element(6, 41, 21, "leap", 0),
    Element(74, 233, 41, "circle", 0),
    Element(17, 81, 22, "spot", 1),
    Element(7, 45, 21, "leap", 1),
    Element(1, 12, 1, "flight", 1),
    Element(75, 237, 41, "circle", 1),
    Element(8, 50, 21, "travelling leap", 0),
    Element(18, 84, 22, "spot", 2),
    Element(9, 57, 21, "travelling leap", 1),
    Element(76, 246, 41, "circle", -1),
    Element(10, 60, 21, "travelling leap", -1),
    Element(2, 25, 1, "flight", -1),
    Element(77, 251, 41, "swing", 0),
    Element(11, 72, 21, "leap", 2),
    Element(None, 133, 31, "leap", 0),
    Element(None, 140, 31, "leap", 1),
    Element(None, 152, 31, "travelling leap", 0),
)
# Number of classes of each set, in their order, counted in the official categories.
SET_SIZES = {
    "gym99": dict(zip(SETS, (6, 11, 7, 0, 7, 10, 12, 4, 8, 4, 5, 15, 5, 2, 3), strict=True)),
    "gym288": dict(zip(SETS, (40, 40, 16, 2, 14, 19, 33, 15, 18, 10, 25, 29, 10, 2, 15), strict=True)),
}


class SyntheticFineGymDataModule(FineGymDataModule):
    """Writes a synthetic FineGym once, then reads it like the real one.

    Several processes may start at once: each writes into a folder of its own and the first to finish gives it its name.
    """

    def __init__(
        self,
        cache: str | Path = "~/.cache/video-efficient-zoo/synthetic_fine_gym",
        train_repetitions: int = 28,
        val_repetitions: int = 16,
        video_frames: int = 40,
        height: int = 40,
        width: int = 48,
        content_seed: int = 0,
        subset: Subset = "gym99",
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
            train_repetitions: training videos of each class of Gym99.
            val_repetitions: evaluation videos of each class.
            video_frames: frames of a video, at 16 a second.
            height: of a video in pixels, even.
            width: of a video in pixels, even.
            content_seed: of the videos' content.
            subset: see ``FineGymDataModule``, as all that follow.
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
        require_positive(train_repetitions=train_repetitions, val_repetitions=val_repetitions)
        require_encodable(video_frames, height, width)
        self.content = {
            "train_repetitions": train_repetitions,
            "val_repetitions": val_repetitions,
            "video_frames": video_frames,
            "height": height,
            "width": width,
            "content_seed": content_seed,
        }
        key = content_key([self.content, 1])
        super().__init__(
            Path(cache).expanduser() / key,
            subset=subset,
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


class Performance(NamedTuple):
    """One video.

    Attributes:
        element: index into ``ELEMENTS``.
        repetition: of the element in its split, from 0.
        gymnast: number of the raw video, which is of one gymnast in one event.
        action: place of the element in it.
    """

    element: int
    repetition: int
    gymnast: int
    action: int

    @property
    def name(self) -> str:
        """``VIDEO_E_START_END_A_START_END``: the event in seconds of the raw video, the element in those of it."""
        start = 100 * (1 + ELEMENTS[self.element].event)
        seconds = f"A_{3 * self.action:04d}_{3 * self.action + 3:04d}"
        return f"gymnast{self.gymnast:04d}_E_{start:06d}_{start + 3 * ACTIONS:06d}_{seconds}"


def draw_pose(element: Element, num_frames: int, height: int, width: int, rng: np.random.Generator) -> Pose:
    """Draw one performance of an element, repeated every 12 to 18 frames.

    Args:
        element: of ``ELEMENTS``.
        num_frames: T.
        height: frame height in pixels.
        width: frame width in pixels.
        rng: source of the start, side, speed and period.

    Returns:
        The pose in each frame; positions may leave the frame and are to be wrapped around it.
    """
    time = np.arange(num_frames, dtype=np.float32)
    extent = min(height, width)
    side = rng.choice((-1, 1))
    x, y = rng.uniform((0.3 * width, 0.35 * height), (0.7 * width, 0.65 * height))
    rounds = time / rng.uniform(12, 18) + rng.uniform()
    path_x = path_y = np.zeros(num_frames)
    if element.kind in ("flight", "leap", "travelling leap"):
        cycle = rounds % 1
        path_y = -rng.uniform(0.25, 0.4) * extent * (4 * cycle * (1 - cycle) - 0.5)
    if element.kind in ("flight", "travelling leap"):
        speed = rng.uniform(0.06, 0.09) if element.kind == "flight" else rng.uniform(0.02, 0.04)
        path_x = side * speed * extent * time
    if element.kind in ("circle", "swing"):
        radius = rng.uniform(0.18, 0.28) * extent
        phase = 2 * math.pi * rounds
        around = side * phase if element.kind == "circle" else math.pi / 2 + 1.2 * np.sin(phase)
        path_x, path_y = radius * np.cos(around), radius * np.sin(around)
    angle = rng.uniform(0, 2 * math.pi) + side * element.turns * 2 * math.pi * rounds
    values = (x + path_x, y + path_y, np.ones_like(time), angle)
    return Pose(*(np.broadcast_to(value, num_frames).astype(np.float32) for value in values))


def render(
    element: Element,
    num_frames: int,
    height: int,
    width: int,
    gymnast_rng: np.random.Generator,
    rng: np.random.Generator,
) -> np.ndarray:
    """Render one video.

    Args:
        element: of ``ELEMENTS``.
        num_frames: T.
        height: in pixels.
        width: in pixels.
        gymnast_rng: source of what the videos of a gymnast in an event share: hall, apparatus, and how they look.
        rng: source of everything else.

    Returns:
        uint8 (T, H, W, 3), RGB.
    """
    extent = min(height, width)
    event = EVENTS[element.event]
    hue, light = (event.hue + gymnast_rng.normal(0, 0.03)) % 1, gymnast_rng.uniform(0.4, 0.8)
    tint = 255 * np.array(colorsys.hsv_to_rgb(hue, 0.5, light), np.float32)
    background = texture(height, width, int(gymnast_rng.integers(2, 6)), gymnast_rng, tint)
    still = draw_still(height, width, gymnast_rng)
    still = still._replace(look=still.look._replace(shape=event.apparatus))
    radius, look = gymnast_rng.uniform(0.17, 0.25) * extent, draw_look(gymnast_rng)
    pose = draw_pose(element, num_frames, height, width, rng)
    return film(background, draw_drift(extent, rng), (still, Thing(pose, radius, look)), num_frames)


def performances(repetitions: list[int], first_gymnast: int, rng: np.random.Generator) -> list[Performance]:
    """Deal the repetitions of each element out to gymnasts, six of one event to each.

    Args:
        repetitions: of each of ``ELEMENTS``.
        first_gymnast: number of the first one.
        rng: source of the order.
    """
    dealt = []
    for event in EVENTS:
        rows = [
            (number, repetition)
            for number in range(len(ELEMENTS))
            if ELEMENTS[number].event == event
            for repetition in range(repetitions[number])
        ]
        for place, row in enumerate(rng.permutation(len(rows)).tolist()):
            element, repetition = rows[row]
            dealt.append(Performance(element, repetition, first_gymnast + place // ACTIONS, place % ACTIONS))
        first_gymnast += math.ceil(len(rows) / ACTIONS)
    return dealt


def write_videos(
    folder: Path,
    train_repetitions: int,
    val_repetitions: int,
    video_frames: int,
    height: int,
    width: int,
    content_seed: int,
) -> None:
    """Write ``<folder>/videos/<name>.mp4``, and lists and categories into ``<folder>/annotations``.

    Args:
        folder: exists.
        train_repetitions: training videos of each class of Gym99.
        val_repetitions: evaluation videos of each class.
        video_frames: of a video.
        height: of a video in pixels, even.
        width: see there.
        content_seed: of all that is drawn.
    """
    tail = [max(1, round(train_repetitions * RARER**place)) for place in range(len(ELEMENTS))]
    train_counts = [
        few if element.gym99 is None else train_repetitions for element, few in zip(ELEMENTS, tail, strict=True)
    ]
    rng = np.random.default_rng(content_seed)
    train = performances(train_counts, 0, rng)
    val = performances([val_repetitions] * len(ELEMENTS), 1 + max(row.gymnast for row in train), rng)
    (folder / "videos").mkdir()

    def write(row: Performance) -> None:
        gymnast_rng = np.random.default_rng([content_seed, row.gymnast])
        rng = np.random.default_rng([content_seed, row.gymnast, row.action])
        frames = render(ELEMENTS[row.element], video_frames, height, width, gymnast_rng, rng)
        write_video(folder / "videos" / f"{row.name}.mp4", frames, FPS)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(write, train + val))
    lists = folder / "annotations"
    lists.mkdir()
    long_tail = [row for row in train if row.repetition < tail[row.element]]
    for split, rows in (("train", train), ("val", val)):
        _write_lines(lists / f"gym99_{split}.txt", [(row.name, ELEMENTS[row.element].gym99) for row in rows])
    for split, rows in (("train", long_tail), ("val", val)):
        _write_lines(lists / f"gym288_{split}.txt", [(row.name, ELEMENTS[row.element].gym288) for row in rows])
    for name in SET_SIZES:
        (lists / f"{name}_categories.txt").write_text(categories(name), encoding="ascii")


def _write_lines(file: Path, rows: list[tuple[str, int | None]]) -> None:
    # The last line has no end in some of the official lists.
    file.write_text("\n".join(f"{name} {label}" for name, label in rows if label is not None), encoding="ascii")


def categories(name: str) -> str:
    """Return the text of ``gym99_categories.txt`` or of ``gym288_categories.txt``."""
    labels = {element.gym99 if name == "gym99" else element.gym288: element for element in ELEMENTS}
    lines: list[str] = []
    for number, count in SET_SIZES[name].items():
        for _ in range(count):
            label = len(lines)
            text = (
                labels[label].name
                if label in labels
                else f"({EVENTS[number // 10].abbreviation}) element {label}, of no video"
            )
            lines.append(f"Clabel: {label:3d}; set: {number:2d}; Glabel: {label:3d}; {text}\n")
    return "".join(lines)
