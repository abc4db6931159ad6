"""Fourteen actions other than those of ``kinematic_body.py``, of the same bodies: what a teacher is trained with.

They are made as those are: the motion of a few joint angles or of the place is the class, and most of the rest is held
at values drawn alike for all. Five pairs are each other's reversal in time.
"""

import math

import numpy as np

from datamodules.kinematic_body import FPS, Performer, Posture, enact

CLASSES = (
    "raising both arms sideways",
    "lowering both arms sideways",
    "bending an elbow",
    "stretching an elbow",
    "swinging a leg forwards",
    "swinging a leg backwards",
    "stepping forwards",
    "stepping backwards",
    "circling each other clockwise",
    "circling each other counterclockwise",
    "squatting again and again",
    "bowing again and again",
    "waving an arm",
    "clapping",
)
_TOGETHER = 4  # the pair of two people
_IN_PAIRS = 10  # the first so many


def perform(label: int, performers: tuple[Performer, Performer], rng: np.random.Generator) -> np.ndarray:
    """Act.

    Args:
        label: index into ``CLASSES``.
        performers: the second acts in the classes of two people.
        rng: source of all else: length, start, extent, heading, and how all other joints are held.

    Returns:
        float64 (M, T, 25, 3), metres in the world, at 30 frames a second; 1 or 2 bodies.
    """

    def act(bodies: list[Posture], progress: np.ndarray) -> None:
        if label >= _IN_PAIRS:
            _act_repeatedly(CLASSES[label], bodies[0], rng)
            return
        if label % 2:
            progress = progress[::-1]
        if label // 2 == _TOGETHER:
            _circle(bodies, progress, rng)
        else:
            _act_once(label // 2, bodies[0], progress, rng)

    return enact(2 if label // 2 == _TOGETHER else 1, act, performers, rng)


def _act_once(pair: int, body: Posture, progress: np.ndarray, rng: np.random.Generator) -> None:
    side = int(rng.integers(2))
    if pair == 0:
        for arm in range(2):
            body.arm_forward[arm] = rng.uniform(0, 0.3)
            body.elbow[arm] = rng.uniform(0, 0.3)
            body.arm_sideways[arm] = rng.uniform(0.1, 0.3) + rng.uniform(1.2, 1.7) * progress
    elif pair == 1:
        body.elbow[side] = rng.uniform(0, 0.3) + rng.uniform(1.5, 2.1) * progress
    elif pair == 2:
        body.crouch[:] = rng.uniform(0, 0.15)
        body.leg_forward[side] = rng.uniform(-0.5, -0.2) + rng.uniform(1.0, 1.5) * progress
        body.leg_forward[1 - side] = rng.uniform(-0.1, 0.1)
    else:
        _walk(body, rng.uniform(0.9, 1.5) * (progress - 0.5), rng)


def _walk(body: Posture, way: np.ndarray, rng: np.random.Generator) -> None:
    """Go along the way, metres ahead of the middle, stepping with it."""
    body.crouch[:] = rng.uniform(0, 0.15)
    direction = body.heading[0]
    body.place = way[:, None] * np.array([math.sin(direction), math.cos(direction)])
    stride = rng.uniform(0.3, 0.5) * np.sin(rng.uniform(0, 2 * math.pi) + 5 * way)
    body.leg_forward[0], body.leg_forward[1] = stride, -stride


def _circle(bodies: list[Posture], progress: np.ndarray, rng: np.random.Generator) -> None:
    distance = rng.uniform(1.0, 1.4)
    angle = rng.uniform(0, 2 * math.pi) + rng.uniform(1.3, 2.0) * progress
    for number, body in enumerate(bodies):
        around = angle + number * math.pi
        body.crouch[:] = rng.uniform(0, 0.2)
        body.place = distance / 2 * np.stack([np.sin(around), np.cos(around)], 1)
        body.heading = around + math.pi + rng.uniform(-0.2, 0.2)
        stride = rng.uniform(0.25, 0.4) * np.sin(rng.uniform(0, 2 * math.pi) + 5 * angle)
        body.leg_forward[0], body.leg_forward[1] = stride, -stride


def _act_repeatedly(name: str, body: Posture, rng: np.random.Generator) -> None:
    rate = 2 * math.pi * rng.uniform(1.0, 1.7)  # radians a second
    wave = (1 - np.cos(rng.uniform(0, 2 * math.pi) + rate * np.arange(len(body.place)) / FPS)) / 2
    arm = int(rng.integers(2))
    if name.startswith("squatting"):
        body.crouch = rng.uniform(0.1, 0.3) + rng.uniform(0.4, 0.7) * wave
    elif name.startswith("bowing"):
        body.bow = rng.uniform(0, 0.2) + rng.uniform(0.5, 0.9) * wave
    elif name.startswith("waving"):
        body.arm_forward[arm] = rng.uniform(2.0, 2.5)
        body.elbow[arm] = rng.uniform(0, 0.4)
        body.arm_sideways[arm] = rng.uniform(-0.2, 0.1) + rng.uniform(0.6, 1.0) * wave
    else:
        opening = rng.uniform(0.5, 0.8) * wave
        for side in range(2):
            body.arm_forward[side] = rng.uniform(1.2, 1.5)
            body.elbow[side] = rng.uniform(0.2, 0.6)
            body.arm_sideways[side] = opening - 0.15
