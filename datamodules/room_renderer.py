"""Rooms to act in: a floor and two walls with patterns on them, as a camera sees them, in colour and depth."""

import math
from typing import NamedTuple

import numpy as np

from datamodules.depth_camera import Camera
from datamodules.moving_shapes import texture

# Focal length over the picture's height: that of the Kinect v2's colour picture, 1060 of 1080 pixels.
_FOCAL = 1060 / 1080
_FARTHEST = 8.0  # metres that the sensor sees
_TEXTURE = 64  # pixels of a pattern that repeats
_MARGIN = 1.0  # pixels round what is drawn


class Lens(NamedTuple):
    """Picture coordinates: H x W pixels, column x and row y of a point in camera coordinates.

    Attributes:
        height: H.
        width: W.
        factor: samples a pixel along each axis.
    """

    height: int
    width: int
    factor: int = 1

    def finer(self, factor: int) -> "Lens":
        """Return the lens of a picture with more samples a pixel."""
        return self._replace(factor=factor)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of samples."""
        return self.factor * self.height, self.factor * self.width

    @property
    def focal(self) -> float:
        """Focal length in samples."""
        return _FOCAL * self.shape[0]

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project camera coordinates, float (..., 3), to x and y in samples, (..., 2); 0 is the first one's middle."""
        rows, columns = self.shape
        across, up = points[..., 0] / points[..., 2], points[..., 1] / points[..., 2]
        return np.stack([(columns - 1) / 2 + self.focal * across, (rows - 1) / 2 - self.focal * up], -1)

    def across(self, columns: np.ndarray) -> np.ndarray:
        """Return x / z of the rays through columns."""
        return np.asarray((columns - (self.shape[1] - 1) / 2) / self.focal)

    def up(self, rows: np.ndarray) -> np.ndarray:
        """Return y / z of the rays through rows."""
        return np.asarray(((self.shape[0] - 1) / 2 - rows) / self.focal)

    def rays(self) -> np.ndarray:
        """Return the point at depth 1 of the ray through each sample, float64 (H, W, 3)."""
        rows, columns = self.shape
        x, y = np.meshgrid(self.across(np.arange(columns)), self.up(np.arange(rows)))
        return np.stack([x, y, np.ones_like(x)], -1)

    def boxes(self, points: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray] | None:
        """Find boxes round balls: one a frame, all of one size.

        Args:
            points: float (T, P, 3), middles of the balls in camera coordinates, in front of the camera.
            radius: of the balls, metres.

        Returns:
            Rows (T, h) and columns (T, w) of the boxes; None where all lie outside the picture.
        """
        reach = self.focal * radius / (points[..., 2] - radius).clip(radius) * 1.2 + _MARGIN
        places = self.project(points)
        low = np.floor((places - reach[..., None]).min(1)).astype(int)
        high = np.ceil((places + reach[..., None]).max(1)).astype(int)
        rows, columns = self.shape
        if (high < 0).any(-1).all() or (low >= (columns, rows)).any(-1).all():
            return None
        size = np.minimum((high - low).max(0) + 1, (columns, rows))
        corner = np.clip(low, 0, np.array([columns, rows]) - size)
        return corner[:, 1, None] + np.arange(size[1]), corner[:, 0, None] + np.arange(size[0])


class Backdrop(NamedTuple):
    """A room as a camera sees it.

    Attributes:
        colours: float32 (H, W, 3), 0..1.
        depths: float32 (H, W), metres from the camera's plane.
        is_floor: bool (H, W).
        floor: float64 (H, W, 2), x and z in the world of what is seen.
    """

    colours: np.ndarray
    depths: np.ndarray
    is_floor: np.ndarray
    floor: np.ndarray


class Room(NamedTuple):
    """A floor and two walls that meet behind the scene.

    Attributes:
        turn: of the back wall about the vertical, radians from facing the camera.
        distances: from the middle of the scene to the back wall and to the side wall, metres.
        side: of the side wall: -1 or 1.
        patterns: float32 (3, 64, 64, 3), of the floor and the walls, 0..1; they repeat.
        pattern_metres: (3,), size of a pattern.
        posters: (P, 5), wall 0 or 1, place along it and height of the middle, width and height, metres.
        poster_colours: (P, 3).
    """

    turn: float
    distances: np.ndarray
    side: int
    patterns: np.ndarray
    pattern_metres: np.ndarray
    posters: np.ndarray
    poster_colours: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Room":
        """Draw a room."""
        patterns = np.stack([_pattern(rng) for _ in range(3)])
        count = int(rng.integers(2, 7))
        posters = np.stack(
            [
                rng.integers(2, size=count),
                rng.uniform(-2.5, 2.5, count),
                rng.uniform(0.6, 2.4, count),
                *rng.uniform(0.25, 1.3, (2, count)),
            ],
            1,
        )
        return cls(
            turn=rng.uniform(-0.5, 0.5),
            distances=rng.uniform(1.9, 3.2, 2),  # nobody walks farther
            side=int(rng.choice([-1, 1])),
            patterns=patterns,
            pattern_metres=rng.uniform(0.8, 3, 3),
            posters=posters,
            poster_colours=rng.uniform(0.05, 0.95, (count, 3)),
        )

    def seen(self, camera: Camera, lens: Lens, light: np.ndarray) -> Backdrop:
        """Return what a camera sees of the room.

        Args:
            camera: where it stands; the back wall is behind the scene from there.
            lens: of the picture.
            light: (3,), on all of it.
        """
        origin = camera.see(np.zeros(3))
        to_camera = camera.see(np.eye(3)) - origin  # a world vector v is v @ to_camera
        eye = -origin @ to_camera.T
        rays = lens.rays() @ to_camera.T
        ahead = math.atan2(-eye[0], -eye[2]) + self.turn
        towards = [
            np.array([math.sin(angle), 0, math.cos(angle)]) for angle in (ahead, ahead + self.side * math.pi / 2)
        ]
        with np.errstate(divide="ignore"):
            depths = [np.where(rays[..., 1] < 0, -eye[1] / rays[..., 1], np.inf)]
            for wall, distance in zip(towards, self.distances, strict=True):
                speed = rays @ wall
                depths.append(np.where(speed > 0, (distance - eye @ wall) / speed, np.inf))
        plane = np.argmin(depths, 0)
        depth = np.minimum(np.min(depths, 0), _FARTHEST)
        points = eye + depth[..., None] * rays
        colours = np.zeros((*lens.shape, 3))
        for number in range(3):
            here = plane == number
            if number == 0:
                place = points[here][:, [0, 2]]
            else:
                along = np.array([towards[number - 1][2], 0, -towards[number - 1][0]])
                place = np.stack([points[here] @ along, points[here][:, 1]], -1)
            colours[here] = self._paint(number, place)
        # Walls get darker towards the corner that they make.
        colours *= np.array([1.0, 0.95, 0.75])[plane][..., None] * light
        return Backdrop(colours.astype(np.float32), depth.astype(np.float32), plane == 0, points[..., [0, 2]])

    def _paint(self, plane: int, place: np.ndarray) -> np.ndarray:
        """Return the colours, (P, 3), of places (P, 2) in metres on the floor (0), back wall (1) or side wall (2)."""
        pixel = np.floor(place / self.pattern_metres[plane] * _TEXTURE).astype(int) % _TEXTURE
        colours = self.patterns[plane][pixel[:, 1], pixel[:, 0]].astype(np.float64)
        if plane > 0:
            for (wall, along, height, wide, high), colour in zip(self.posters, self.poster_colours, strict=True):
                inside = (np.abs(place[:, 0] - along) < wide / 2) & (np.abs(place[:, 1] - height) < high / 2)
                if wall == plane - 1:
                    colours[inside] = colour
        return np.asarray(colours)


def _pattern(rng: np.random.Generator) -> np.ndarray:
    """Draw smooth noise, half of the time with tiles, planks or stripes in it; float32 (64, 64, 3), 0..1."""
    noise = texture(_TEXTURE, _TEXTURE, int(rng.integers(2, 9)), rng) / 255
    pattern = 0.45 * noise + 0.55 * rng.uniform(0.25, 0.95) * rng.uniform(0.85, 1.0, 3)
    rows, columns = np.mgrid[:_TEXTURE, :_TEXTURE]
    width = int(rng.choice([8, 16, 32]))
    kind = int(rng.integers(6))
    if kind == 0:
        other = (rows // width + columns // width) % 2
    elif kind == 1:
        other = (rows // width) % 2
    elif kind == 2:
        other = (columns // width) % 2
    else:
        other = np.zeros_like(rows)
    return np.asarray(pattern * (1 - rng.uniform(0.15, 0.6) * other[..., None]), np.float32)
