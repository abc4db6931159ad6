"""A renderer of small videos in which only the motion of one object tells the class.

The object's path, turning and growth are the class. Everything seen in a single frame is drawn independently of it:
background, its drift, colours, texture, shape, size, place, and one more object that stands still.
"""

import math
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
    """Where an object is in each of T frames: float32 (T,) each; pixels, pixels, factor, radians."""

    x: np.ndarray
    y: np.ndarray
    scale: np.ndarray
    angle: np.ndarray


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


def texture(height: int, width: int, cells: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth coloured noise that tiles.

    Returns:
        float32 (H, W, 3), 0..255.
    """
    grid = rng.uniform(0, 255, (cells, cells, 3)).astype(np.float32)
    contrast = rng.uniform(0.2, 0.7)
    grid = grid.mean((0, 1)) + contrast * (grid - grid.mean((0, 1)))

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


def draw_object(frames: np.ndarray, pose: Pose, radius: float, rng: np.random.Generator) -> None:
    """Draw one textured object, wrapped around the frame's edges, into float32 (T, H, W, 3) frames in place.

    A pose of one frame holds for all of them.
    """
    _, height, width, _ = frames.shape
    shape = SHAPES[rng.integers(len(SHAPES))]
    colours = rng.uniform(0, 255, (2, 3)).astype(np.float32)
    stripes = rng.uniform(2, 5)
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
    direction, speed = rng.uniform(0, 2 * math.pi), rng.uniform(0, 0.01) * extent
    time = np.arange(num_frames)
    rows = (np.arange(height) + np.rint(speed * math.sin(direction) * time)[:, None].astype(int)) % height
    columns = (np.arange(width) + np.rint(speed * math.cos(direction) * time)[:, None].astype(int)) % width
    frames = background[rows[:, :, None], columns[:, None, :]]
    still = Pose(
        *(np.array([value], np.float32) for value in rng.uniform((0, 0, 1, 0), (width, height, 1, 2 * math.pi)))
    )
    draw_object(frames, still, rng.uniform(0.1, 0.18) * extent, rng)
    draw_object(frames, motion(label, num_frames, height, width, rng), rng.uniform(0.14, 0.22) * extent, rng)
    video: np.ndarray = np.rint(frames).clip(0, 255).astype(np.uint8)
    return video
