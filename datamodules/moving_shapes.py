"""A renderer of small videos of textured objects that move before a drifting background.

``render`` gives videos in which only the motion of one object tells the class. The object's path, turning and growth
are the class. Everything seen in a single frame is drawn independently of it: background, its drift, colours, texture,
shape, size, place, and one more object that stands still. The other functions are the parts of such a video.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

CLASSES = (
    "moving right",
    "moving left",
    "moving up",
    "moving down",
    "circling clockwise",
    "circling counterclockwise",
    "swinging sideways",
    "swinging up and down",
    "growing",
    "shrinking",
    "spinning clockwise",
    "spinning counterclockwise",
)
SHAPES = ("disc", "square", "triangle", "bar", "cross")


class Pose(NamedTuple):
    """Where an object is in each of T frames: float32 (T,) each; pixels, pixels, factor, radians.

    One frame holds for all frames of a video.
    """

    x: np.ndarray
    y: np.ndarray
    scale: np.ndarray
    angle: np.ndarray


class Look(NamedTuple):
    """What an object looks like.

    Attributes:
        shape: of ``SHAPES``.
        colours: of its two kinds of stripes, float32 (2, 3), 0..255.
        stripes: their frequency, radians for one radius.
    """

    shape: str
    colours: np.ndarray
    stripes: float


class Thing(NamedTuple):
    """An object and what it does.

    Attributes:
        pose: may leave the frame and is then wrapped around it.
        radius: in pixels, at scale 1.
        look: see ``Look``.
    """

    pose: Pose
    radius: float
    look: Look


def motion(label: int, num_frames: int, height: int, width: int, rng: np.random.Generator) -> Pose:
    """Draw one motion of a class.

    Args:
        label: index into ``CLASSES``.
        num_frames: T.
        height: frame height in pixels.
        width: frame width in pixels.
        rng: source of the start, speed and period.

    Returns:
        The pose in each frame; positions may leave the frame and are to be wrapped around it.
    """
    time = np.arange(num_frames, dtype=np.float32)
    extent = min(height, width)
    x = np.full(num_frames, rng.uniform(0.25, 0.75) * width, np.float32)
    y = np.full(num_frames, rng.uniform(0.25, 0.75) * height, np.float32)
    scale = np.ones(num_frames, np.float32)
    angle = np.full(num_frames, rng.uniform(0, 2 * math.pi), np.float32)
    name = CLASSES[label]
    sign = 1 if name.endswith(("right", "down", " clockwise", "growing")) else -1
    phase = rng.uniform(0, 2 * math.pi)
    turn = 2 * math.pi / rng.uniform(10, 18) * time  # one round in 10 to 18 frames
    if name.startswith("moving"):
        path = sign * rng.uniform(0.03, 0.07) * extent * time
        if name.endswith(("right", "left")):
            x += path
        else:
            y += path
    elif name.startswith("circling"):
        radius = rng.uniform(0.15, 0.28) * extent
        x += radius * np.cos(phase + sign * turn)
        y += radius * np.sin(phase + sign * turn)
    elif name.startswith("swinging"):
        path = rng.uniform(0.15, 0.3) * extent * np.sin(phase + turn)
        if name.endswith("sideways"):
            x += path
        else:
            y += path
    elif name.startswith("spinning"):
        angle += sign * turn
    else:
        cycle = (time / rng.uniform(12, 18) + rng.uniform()) % 1
        scale = np.exp(sign * (2 * cycle - 1) * 0.6).astype(np.float32)
    return Pose(x, y, scale, angle)


def texture(
    height: int, width: int, cells: int, rng: np.random.Generator, tint: np.ndarray | None = None
) -> np.ndarray:
    """Smooth coloured noise that tiles.

    Args:
        height: in pixels.
        width: in pixels.
        cells: of the noise along each side.
        rng: source of the noise.
        tint: mean colour, float32 (3,), 0..255; that of the noise when None.

    Returns:
        float32 (H, W, 3), 0..255.
    """
    grid = rng.uniform(0, 255, (cells, cells, 3)).astype(np.float32)
    contrast = rng.uniform(0.2, 0.7)
    mean = grid.mean((0, 1))
    grid = (mean if tint is None else tint) + contrast * (grid - mean)

    def blend(values: np.ndarray, size: int) -> np.ndarray:
        place = np.arange(size) * cells / size
        low = place.astype(int)
        share = ((1 - np.cos(math.pi * (place - low))) / 2).astype(np.float32)[:, None, None]
        blended: np.ndarray = values[low % cells] * (1 - share) + values[(low + 1) % cells] * share
        return blended

    rows = blend(grid, height)
    return np.ascontiguousarray(blend(rows.transpose(1, 0, 2), width).transpose(1, 0, 2))


def _inside(shape: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Distance from the edge of a shape of radius 1, positive inside; u, v in object coordinates."""
    edge: np.ndarray
    if shape == "disc":
        edge = 1 - np.hypot(u, v)
    elif shape == "square":
        edge = 0.8 - np.maximum(np.abs(u), np.abs(v))
    elif shape == "triangle":
        edge = np.minimum(0.5 - v, 0.5 + v / 2 - np.abs(u) * 0.866)
    elif shape == "bar":
        edge = np.minimum(1 - np.abs(u), 0.4 - np.abs(v))
    else:
        edge = np.maximum(
            np.minimum(1 - np.abs(u), 0.33 - np.abs(v)),
            np.minimum(1 - np.abs(v), 0.33 - np.abs(u)),
        )
    return edge


def draw_look(rng: np.random.Generator) -> Look:
    """Draw a look out of all."""
    shape = SHAPES[rng.integers(len(SHAPES))]
    colours = rng.uniform(0, 255, (2, 3)).astype(np.float32)
    return Look(shape, colours, rng.uniform(2, 5))


def draw_still(height: int, width: int, rng: np.random.Generator) -> Thing:
    """Draw an object that stands still somewhere in the frame."""
    place = rng.uniform((0, 0, 1, 0), (width, height, 1, 2 * math.pi))
    pose = Pose(*(np.array([value], np.float32) for value in place))
    return Thing(pose, rng.uniform(0.1, 0.18) * min(height, width), draw_look(rng))


def draw_drift(extent: float, rng: np.random.Generator) -> tuple[float, float]:
    """Draw a slow movement of the background, (x, y) in pixels a frame, at most 0.01 of the extent."""
    direction, speed = rng.uniform(0, 2 * math.pi), rng.uniform(0, 0.01) * extent
    return speed * math.cos(direction), speed * math.sin(direction)


def film(background: np.ndarray, drift: tuple[float, float], things: Sequence[Thing], num_frames: int) -> np.ndarray:
    """Film objects before a background.

    Args:
        background: float32 (H, W, 3), 0..255, tiles.
        drift: in pixels a frame along x and y: by how much the window that is seen moves over the background.
        things: from the back to the front.
        num_frames: T.

    Returns:
        uint8 (T, H, W, 3), RGB.
    """
    height, width, _ = background.shape
    time = np.arange(num_frames)
    rows = (np.arange(height) + np.rint(drift[1] * time)[:, None].astype(int)) % height
    columns = (np.arange(width) + np.rint(drift[0] * time)[:, None].astype(int)) % width
    frames = background[rows[:, :, None], columns[:, None, :]]
    for thing in things:
        draw_thing(frames, thing)
    video: np.ndarray = np.rint(frames).clip(0, 255).astype(np.uint8)
    return video


def draw_thing(frames: np.ndarray, thing: Thing) -> None:
    """Draw an object, wrapped around the frame's edges, into float32 (T, H, W, 3) frames in place."""
    _, height, width, _ = frames.shape
    pose, radius, (shape, colours, stripes) = thing
    # Coordinates relative to the nearest copy of the object's centre on the torus.
    dx = (np.arange(width) - pose.x[:, None] + width / 2) % width - width / 2
    dy = (np.arange(height) - pose.y[:, None] + height / 2) % height - height / 2
    size = (radius * pose.scale)[:, None, None]
    cos, sin = np.cos(pose.angle)[:, None, None] / size, np.sin(pose.angle)[:, None, None] / size
    dx, dy = dx[:, None, :].astype(np.float32), dy[:, :, None].astype(np.float32)
    u, v = cos * dx + sin * dy, cos * dy - sin * dx
    alpha = np.clip(_inside(shape, u, v) * size + 0.5, 0, 1)[..., None]
    # The stripe's two halves differ, so that half a turn is seen.
    stripe = (np.sin(stripes * u + 1) + (v > 0)).clip(0, 1)[..., None]
    frames *= 1 - alpha
    frames += alpha * (colours[0] * stripe + colours[1] * (1 - stripe))


def render(label: int, num_frames: int, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Render one video of a class.

    Args:
        label: index into ``CLASSES``.
        num_frames: T.
        height: in pixels.
        width: in pixels.
        rng: source of everything else.

    Returns:
        uint8 (T, H, W, 3), RGB.
    """
    extent = min(height, width)
    background = texture(height, width, int(rng.integers(2, 6)), rng)
    drift = draw_drift(extent, rng)
    still = draw_still(height, width, rng)
    moving = Thing(motion(label, num_frames, height, width, rng), rng.uniform(0.14, 0.22) * extent, draw_look(rng))
    return film(background, drift, (still, moving), num_frames)
