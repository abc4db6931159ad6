"""A Kinect v2: where it stands, what it sees of joints, how it errs.

Camera coordinates are the sensor's: x to its left, y up, z away from it, in metres.
"""

import math
from typing import NamedTuple

import numpy as np

# Focal length and centre in pixels of the depth (512x424) and colour (1920x1080) pictures, as the pairs of metres and
# pixels in NTU RGB+D's files have them.
_DEPTH = (366.0, 256.4, 208.4)
_COLOUR = (1060.0, 975.0, 567.0)

# The IDs of the Kinect's bodies start from here.
_FIRST_ID = 2**56
TRACKED, INFERRED = 2, 1


class SeenBody(NamedTuple):
    """One body in one frame.

    Attributes:
        number: its ID.
        joints: float64 (25, 3), metres in camera coordinates.
        tracking: int64 (25,), 2 where a joint is seen, 1 where it is guessed.
    """

    number: int
    joints: np.ndarray
    tracking: np.ndarray


class Camera(NamedTuple):
    """Where a camera stands, in metres; it looks at the middle of the scene.

    Attributes:
        angle: to the left of the scene's z axis, radians.
        distance: from the middle.
        height: above the ground.
    """

    angle: float
    distance: float
    height: float

    def see(self, points: np.ndarray) -> np.ndarray:
        """Turn world coordinates, float (..., 3), into camera coordinates."""
        middle = np.array([0.0, 0.9, 0.0])
        eye = np.array([self.distance * math.sin(self.angle), self.height, self.distance * math.cos(self.angle)])
        ahead = (middle - eye) / np.linalg.norm(middle - eye)
        left = np.cross([0.0, 1.0, 0.0], ahead)
        left /= np.linalg.norm(left)
        seen: np.ndarray = (points - eye) @ np.stack([left, np.cross(ahead, left), ahead], 1)
        return seen


def cameras(setup: int) -> tuple[Camera, Camera, Camera]:
    """Return the three cameras of a setup, at 45 degrees from each other as those of NTU RGB+D (section 3.1).

    Args:
        setup: from 1; decides height and distance.
    """
    distance, height = 2.8 + 0.4 * (setup % 3), 1.1 + 0.3 * (setup % 4)
    first, second, third = (Camera(math.radians(degrees), distance, height) for degrees in (45, 0, -45))
    return first, second, third


def pixels(joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Project camera coordinates, float (..., 3).

    Returns:
        (..., 2) x and y in pixels of the depth picture, and of the colour picture.
    """
    across, up = joints[..., 0] / joints[..., 2], joints[..., 1] / joints[..., 2]
    depth, colour = (
        np.stack([centre_x + focal * across, centre_y - focal * up], -1)
        for focal, centre_x, centre_y in (_DEPTH, _COLOUR)
    )
    return depth, colour


def film(bodies: np.ndarray, camera: Camera, rng: np.random.Generator, noise: float = 1.0) -> list[list[SeenBody]]:
    """Record a scene as the sensor does: with jitter, guessed joints, and frames in which it loses somebody.

    Args:
        bodies: float (M, T, 25, 3), metres in the world.
        camera: where it is recorded from.
        rng: source of the errors.
        noise: factor of all errors; at 0 everything is seen as it is.

    Returns:
        The bodies seen in each frame.
    """
    num_bodies, num_frames = bodies.shape[:2]
    joints = camera.see(bodies)
    guessed = rng.random((num_bodies, num_frames, 25)) < 0.04 * noise
    metres = noise * np.where(guessed, 0.03, 0.006)
    joints = joints + metres[..., None] * rng.standard_normal(joints.shape)
    lost = rng.random((num_bodies, num_frames)) < 0.01 * noise
    late = rng.random(num_bodies) < 0.15 * noise
    for body in np.flatnonzero(late):
        lost[body, : rng.integers(1, 4)] = True
    numbers = _FIRST_ID + rng.permutation(10_000)[:num_bodies]
    frames = []
    for time in range(num_frames):
        seen = [body for body in range(num_bodies) if not lost[body, time]]
        frames.append(
            [
                SeenBody(int(numbers[body]), joints[body, time], np.where(guessed[body, time], INFERRED, TRACKED))
                for body in seen
            ]
        )
    return frames
