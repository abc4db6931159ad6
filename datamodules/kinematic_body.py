"""People of 25 joints who act: what the embedded skeletons are films of. No camera, no file.

The motion of a few joint angles is the class. Every class comes with its reversal in time, and what one class moves,
all others hold at a value drawn the same way: a single frame tells how many people there are, and little more.

World: x, y, z in metres, y up, the ground at 0. A body of heading 0 faces z and has its left at x.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

FPS = 30

CLASSES = (
    "raising an arm",
    "lowering an arm",
    "circling an arm outwards",
    "circling an arm inwards",
    "crouching down",
    "standing up",
    "bowing",
    "straightening up",
    "turning left",
    "turning right",
    "walking towards each other",
    "walking apart from each other",
    "pushing",
    "pulling",
)
ONE_PERSON = 10  # the first so many

# The joints of the Kinect v2: parent, and offset from it in metres, of a person of 1.7 m who stands with hanging arms.
_LEFT = {
    4: (20, (0.17, -0.03, 0.0)),  # shoulder
    5: (4, (0.0, -0.27, 0.0)),  # elbow
    6: (5, (0.0, -0.24, 0.0)),  # wrist
    7: (6, (0.0, -0.08, 0.0)),  # hand
    21: (7, (0.0, -0.08, 0.0)),  # hand's tip
    22: (6, (0.0, -0.06, 0.05)),  # thumb
    12: (0, (0.09, -0.04, 0.0)),  # hip
    13: (12, (0.0, -0.42, 0.0)),  # knee
    14: (13, (0.0, -0.40, 0.0)),  # ankle
    15: (14, (0.0, -0.06, 0.13)),  # foot
}
_MIRRORED = {4: 8, 5: 9, 6: 10, 7: 11, 21: 23, 22: 24, 12: 16, 13: 17, 14: 18, 15: 19}
_MIDDLE = {
    1: (0, (0.0, 0.30, 0.0)),  # spine
    20: (1, (0.0, 0.24, 0.0)),  # spine at the shoulders
    2: (20, (0.0, 0.07, 0.0)),  # neck
    3: (2, (0.0, 0.15, 0.02)),  # head
}
BONES: dict[int, tuple[int, tuple[float, float, float]]] = {
    **_MIDDLE,
    **_LEFT,
    **{_MIRRORED[j]: (_MIRRORED.get(parent, parent), (-x, y, z)) for j, (parent, (x, y, z)) in _LEFT.items()},
}
PELVIS, SPINE = 0, 1
SHOULDERS, ELBOWS, HIPS, KNEES = (4, 8), (5, 9), (12, 16), (13, 17)
_SIDES = (1, -1)  # left, right

# Frames from an action to rest, or from rest to an action; and of the rest, from and below.
_MOVE = 18
_WAIT = (10, 40)


class Performer(NamedTuple):
    """Who acts.

    Attributes:
        bones: float64 (25,), length of the bone that ends in each joint, relative to a person of 1.7 m.
        speed: relative to the usual.
    """

    bones: np.ndarray
    speed: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Performer":
        """Draw somebody of another size, build and temper; left and right are alike."""
        bones = rng.uniform(0.85, 1.15) * rng.uniform(0.94, 1.06, 25)
        for left, right in _MIRRORED.items():
            bones[right] = bones[left]
        return cls(bones, rng.uniform(0.75, 1.3))


class _Posture:
    """Joint angles and place of one body in T frames, to be filled in; radians and metres."""

    def __init__(self, num_frames: int) -> None:
        self.arm_forward = np.zeros((2, num_frames))
        self.arm_sideways = np.zeros((2, num_frames))
        self.elbow = np.zeros((2, num_frames))
        self.leg_forward = np.zeros((2, num_frames))
        self.crouch = np.zeros(num_frames)
        self.bow = np.zeros(num_frames)
        self.heading = np.zeros(num_frames)
        self.place = np.zeros((num_frames, 2))  # x, z

    def frames(self) -> np.ndarray:
        """Return all of it, (T, 13): angles of arms, elbows and legs, crouch, bow, heading, and place."""
        limbs = (self.arm_forward, self.arm_sideways, self.elbow, self.leg_forward)
        return np.concatenate([*limbs, [self.crouch, self.bow, self.heading], self.place.T]).T

    @classmethod
    def of(cls, frames: np.ndarray) -> "_Posture":
        """Return the posture of ``frames``."""
        body = cls(len(frames))
        body.arm_forward, body.arm_sideways, body.elbow, body.leg_forward = frames.T[:8].reshape(4, 2, -1)
        body.crouch, body.bow, body.heading = frames.T[8:11]
        body.place = frames[:, 11:]
        return body

    def joints(self, performer: Performer, sway: np.ndarray) -> np.ndarray:
        """Find the joints, the lower foot on the ground.

        Args:
            performer: whose bones they are.
            sway: (T, 25, 3), what the angles are out by.

        Returns:
            float64 (T, 25, 3).
        """
        # About x (backwards), y (leftwards) and z, at each joint.
        angles = sway.copy()
        angles[:, PELVIS, 1] += self.heading
        angles[:, SPINE, 0] += self.bow
        for side, sign in enumerate(_SIDES):
            angles[:, SHOULDERS[side], 0] -= self.arm_forward[side]
            angles[:, SHOULDERS[side], 2] += sign * self.arm_sideways[side]
            angles[:, ELBOWS[side], 0] -= self.elbow[side]
            angles[:, HIPS[side], 0] -= 1.6 * self.crouch + self.leg_forward[side]
            angles[:, KNEES[side], 0] += 2.0 * self.crouch
        joints = np.zeros((len(sway), 25, 3))
        turns = {PELVIS: _rotation(angles[:, PELVIS])}
        for joint, (parent, offset) in BONES.items():
            joints[:, joint] = joints[:, parent] + turns[parent] @ (np.array(offset) * performer.bones[joint])
            turns[joint] = turns[parent] @ _rotation(angles[:, joint])
        joints[..., 1] -= joints[..., 1].min(1, keepdims=True)
        joints[..., [0, 2]] += self.place[:, None]
        return joints


def _rotation(angles: np.ndarray) -> np.ndarray:
    """Turn about z, then x, then y.

    Args:
        angles: (T, 3), about x, y and z.

    Returns:
        float64 (T, 3, 3).
    """
    x, y, z = np.moveaxis(angles, -1, 0)
    one, none = np.ones_like(x), np.zeros_like(x)

    def matrix(*rows: list[np.ndarray]) -> np.ndarray:
        return np.moveaxis(np.array(rows), -1, 0)

    about_x = matrix([one, none, none], [none, np.cos(x), -np.sin(x)], [none, np.sin(x), np.cos(x)])
    about_y = matrix([np.cos(y), none, np.sin(y)], [none, one, none], [-np.sin(y), none, np.cos(y)])
    about_z = matrix([np.cos(z), -np.sin(z), none], [np.sin(z), np.cos(z), none], [none, none, one])
    turn: np.ndarray = about_y @ about_x @ about_z
    return turn


def perform(label: int, performers: tuple[Performer, Performer], rng: np.random.Generator) -> np.ndarray:
    """Act.

    Args:
        label: index into ``CLASSES``.
        performers: the second acts in the classes of two people.
        rng: source of all else: length, start, extent, heading, and how all other joints are held.

    Returns:
        float64 (M, T, 25, 3), metres in the world, at 30 frames a second; 1 or 2 bodies.
    """
    return _bodies(_act(label, performers[0].speed, rng), performers, rng)


class Act(NamedTuple):
    """An action within a longer performance.

    Attributes:
        label: index into ``CLASSES``.
        start: its first frame.
        end: the frame after its last.
    """

    label: int
    start: int
    end: int


def perform_in_a_row(
    labels: Sequence[int], performers: tuple[Performer, Performer], rng: np.random.Generator
) -> tuple[np.ndarray, list[Act]]:
    """Act several times, with pauses before, between and after: everybody comes to rest, waits, and gets ready.

    Args:
        labels: indices into ``CLASSES``; all of one person, or all of two.
        performers: as of ``perform``.
        rng: source of all else.

    Returns:
        float64 (M, T, 25, 3), as of ``perform``; and the actions, in order.
    """
    takes = [_act(label, performers[0].speed, rng) for label in labels]
    assert len({len(take) for take in takes}) == 1, "as many people in all actions"
    # The turn of the next action, and the way to its place, fall into the pause before it.
    waits = rng.integers(*_WAIT, len(labels) + 1).tolist()
    bodies, acts = [], []
    for body in range(len(takes[0])):
        rest = _at_rest(rng)
        poses = [take[body].frames() for take in takes]
        parts = [_pause(rest, None, poses[0][0], waits[0])]
        for number, frames in enumerate(poses):
            after = poses[number + 1][0] if number + 1 < len(poses) else None
            parts += [frames, _pause(rest, frames[-1], after, waits[number + 1])]
        bodies.append(_Posture.of(np.concatenate(parts)))
        ends = np.cumsum([len(part) for part in parts]).tolist()
        acts = [Act(label, ends[2 * i], ends[2 * i + 1]) for i, label in enumerate(labels)]
    return _bodies(bodies, performers, rng), acts


def _pause(rest: np.ndarray, before: np.ndarray | None, after: np.ndarray | None, wait: int) -> np.ndarray:
    """Lead from one pose over rest to the next; there is none before the first and after the last.

    Returns:
        (T, 13), as of ``_Posture.frames``.
    """
    there = before if before is not None else after
    assert there is not None
    resting = np.concatenate([rest, there[len(rest) :]])
    parts = [np.tile(resting, (wait, 1))]
    if before is not None:
        parts.insert(0, before + _eased(_MOVE)[:, None] * (resting - before))
    if after is not None:
        parts.append(resting + _eased(_MOVE)[:, None] * (after - resting))
    return np.concatenate(parts)


def _eased(num_frames: int) -> np.ndarray:
    """Return shares of a way, more than 0 and less than 1, slow at both ends."""
    part = np.arange(1, num_frames + 1) / (num_frames + 1)
    return np.asarray(part * part * (3 - 2 * part))


def _at_rest(rng: np.random.Generator) -> np.ndarray:
    """Draw how somebody stands when nothing is to do: the angles of ``_Posture.frames`` without heading and place."""
    arms = np.concatenate([rng.uniform(0, 0.1, 2), rng.uniform(0.05, 0.2, 2), rng.uniform(0.1, 0.3, 2)])
    return np.concatenate([arms, rng.uniform(-0.05, 0.05, 2), rng.uniform(0, 0.1, 2)])


def _act(label: int, speed: float, rng: np.random.Generator) -> list[_Posture]:
    """Draw the postures of an action, of one body or two, where they stand in the scene."""
    num_frames = round(rng.uniform(40, 56) / speed)
    # How far the action has come, 0 to 1: it starts and ends within the recording, or not quite.
    start, duration = rng.uniform(-0.05, 0.35), rng.uniform(0.55, 0.75)
    part = np.clip((np.arange(num_frames) / num_frames - start) / duration, 0, 1)
    progress = part * part * (3 - 2 * part)
    if label % 2:
        progress = progress[::-1]
    bodies = [_held(num_frames, rng) for _ in range(1 if label < ONE_PERSON else 2)]
    if label < ONE_PERSON:
        _act_alone(label // 2, bodies[0], progress, rng)
    else:
        _act_together(label // 2, bodies, progress, rng)
    heading, place = rng.uniform(-0.7, 0.7), rng.uniform(-0.3, 0.3, 2)
    turn = np.array([[math.cos(heading), math.sin(heading)], [-math.sin(heading), math.cos(heading)]])
    for body in bodies:
        body.heading += heading
        body.place = body.place @ turn.T + place
    return bodies


def _bodies(postures: list[_Posture], performers: tuple[Performer, Performer], rng: np.random.Generator) -> np.ndarray:
    """Return the joints of each posture's performer, float64 (M, T, 25, 3)."""
    return np.stack(
        [body.joints(who, _sway(len(body.place), rng)) for body, who in zip(postures, performers, strict=False)],
    )


def _raised(progress: np.ndarray | float, rng: np.random.Generator) -> np.ndarray | float:
    low, high = rng.uniform(0.1, 0.7), rng.uniform(1.9, 2.6)
    return low + (high - low) * progress


def _somewhere(rng: np.random.Generator) -> float:
    """Draw a progress that is held."""
    return float(np.clip(rng.uniform(-0.5, 1.5), 0, 1))


def _held(num_frames: int, rng: np.random.Generator) -> _Posture:
    """Draw a posture as one frame of any action."""
    body = _Posture(num_frames)
    for side in range(2):
        body.arm_forward[side] = _raised(_somewhere(rng), rng)
        body.arm_sideways[side] = rng.uniform(0, 0.8)
        body.elbow[side] = rng.uniform(0.1, 1.2)
    stance = rng.uniform(-0.35, 0.35)
    body.leg_forward[0], body.leg_forward[1] = stance, -stance
    body.crouch[:] = rng.uniform(0.7, 1.0) * _somewhere(rng)
    body.bow[:] = rng.uniform(0.6, 1.1) * _somewhere(rng)
    body.heading[:] = rng.uniform(-0.7, 0.7)
    return body


def _act_alone(pair: int, body: _Posture, progress: np.ndarray, rng: np.random.Generator) -> None:
    arm = int(rng.integers(2))
    if pair == 0:
        body.arm_forward[arm] = _raised(progress, rng)
    elif pair == 1:
        phase = rng.uniform(0, 2 * math.pi) + 2 * math.pi * rng.uniform(1.5, 2.5) * progress
        radius = rng.uniform(0.3, 0.45)
        body.arm_forward[arm] = rng.uniform(1.1, 1.7) + radius * np.sin(phase)
        body.arm_sideways[arm] = rng.uniform(0.3, 0.5) - radius * np.cos(phase)
        body.elbow[arm] = rng.uniform(0.1, 0.3)
    elif pair == 2:
        body.crouch = rng.uniform(0.7, 1.0) * progress
    elif pair == 3:
        body.bow = rng.uniform(0.6, 1.1) * progress
    else:
        body.heading = rng.uniform(-1, 1) + rng.uniform(1.0, 1.8) * (progress - 0.5)


def _act_together(pair: int, bodies: list[_Posture], progress: np.ndarray, rng: np.random.Generator) -> None:
    if pair == 5:
        distance = rng.uniform(2.0, 2.6) * (1 - progress) + rng.uniform(0.8, 1.1) * progress
        ends = (-distance / 2, distance / 2)
        for body in bodies:
            stride = rng.uniform(0.25, 0.4) * np.sin(rng.uniform(0, 2 * math.pi) + 5 * distance)
            body.leg_forward[0], body.leg_forward[1] = stride, -stride
    else:
        distance = rng.uniform(0.7, 0.9) + rng.uniform(0.5, 0.9) * progress
        first = rng.uniform(-0.6, -0.4)
        ends = (np.full_like(distance, first), first + distance)
        for side in range(2):
            bodies[0].arm_forward[side] = rng.uniform(1.2, 1.5)
            bodies[0].arm_sideways[side] = rng.uniform(0, 0.2)
            bodies[0].elbow[side] = rng.uniform(1.5, 1.9) * (1 - progress) + 0.1
    for body, end, towards in zip(bodies, ends, (1, -1), strict=True):
        body.place[:, 0] = end
        body.heading[:] = towards * math.pi / 2 + rng.uniform(-0.2, 0.2)


def _sway(num_frames: int, rng: np.random.Generator) -> np.ndarray:
    """Draw what no body can help: slow small turns of all joints, radians, (T, 25, 3)."""
    time = np.arange(num_frames)[:, None, None] / FPS
    rates = rng.uniform(0.2, 0.7, (2, 25, 3))
    waves = np.sin(2 * math.pi * (rates[:, None] * time + rng.uniform(0, 1, (2, 1, 25, 3)))).sum(0)
    return np.asarray(rng.uniform(0.005, 0.02, (25, 3)) * waves)


Posture = _Posture


def enact(
    num_people: int,
    act: Callable[[list[Posture], np.ndarray], None],
    performers: tuple[Performer, Performer],
    rng: np.random.Generator,
) -> np.ndarray:
    """Act in a way that is told, somewhere in the scene.

    Args:
        num_people: 1 or 2.
        act: moves what it wants in postures that hold still, given how far the action has come: (T,), 0 to 1.
        performers: the second acts where there are two.
        rng: source of all else, as in ``perform``.

    Returns:
        As of ``perform``.
    """
    num_frames = round(rng.uniform(40, 56) / performers[0].speed)
    start, duration = rng.uniform(-0.05, 0.35), rng.uniform(0.55, 0.75)
    part = np.clip((np.arange(num_frames) / num_frames - start) / duration, 0, 1)
    bodies = [_held(num_frames, rng) for _ in range(num_people)]
    act(bodies, part * part * (3 - 2 * part))
    heading, place = rng.uniform(-0.7, 0.7), rng.uniform(-0.3, 0.3, 2)
    turn = np.array([[math.cos(heading), math.sin(heading)], [-math.sin(heading), math.cos(heading)]])
    for body in bodies:
        body.heading += heading
        body.place = body.place @ turn.T + place
    return np.stack([body.joints(who, _sway(num_frames, rng)) for body, who in zip(bodies, performers, strict=False)])
