"""The published preprocessing of skeletons, step by step (thesis 3.4.2).

Source of all steps: ``data_gen/ntu_gendata.py`` of https://github.com/fmthoker/skeleton-contrast (b2b0a58), and
``data_gen/preprocess.py``, ``rotation.py`` of https://github.com/lshiwjx/2s-AGCN (d8f5ad2), which it takes over.
Differs: a body or frame is absent where all its coordinates are zero, not where their sum happens to be.

Sequences are float32 (M, T, V, 3): M bodies or actors, T frames, V joints, metres; zeros where a body is not seen.
"""

import numpy as np

NUM_FRAMES = 300
NUM_ACTORS = 2
PELVIS, SPINE = 0, 1
LEFT_SHOULDER, RIGHT_SHOULDER = 4, 8

# Below this a vector has no direction (2s-AGCN's rotation.py).
_NO_LENGTH = 1e-6


def seen(bodies: np.ndarray) -> np.ndarray:
    """Tell where a body is seen.

    Returns:
        bool (M, T).
    """
    where: np.ndarray = (bodies != 0).any((2, 3))
    return where


def energy(bodies: np.ndarray) -> np.ndarray:
    """Measure how much each body moves and extends: the standard deviations of x, y and z, added.

    Each is taken over all joints of the frames that show the body.

    Returns:
        float64 (M,), metres; 0 for a body that is never seen.
    """
    present = seen(bodies)
    values = np.zeros(len(bodies))
    for number in np.flatnonzero(present.any(1)):
        axes = bodies[number, present[number]].reshape(-1, 3).T.astype(np.float64, order="C")
        values[number] = axes.std(1).sum()
    return values


def most_energetic(bodies: np.ndarray, count: int = NUM_ACTORS) -> np.ndarray:
    """Choose the actors: the bodies with the most energy, the most energetic first.

    Returns:
        float32 (``count``, T, V, 3); zeros where there are fewer bodies.
    """
    present = np.flatnonzero(seen(bodies).any(1))
    chosen = present[np.argsort(-energy(bodies[present]), kind="stable")[:count]]
    actors = np.zeros((count, *bodies.shape[1:]), bodies.dtype)
    actors[: len(chosen)] = bodies[chosen]
    return actors


def drop_gaps(actors: np.ndarray) -> np.ndarray:
    """Let each actor start at the first frame: where it is absent there, its frames are put together, without gaps.

    An actor that is there from the start keeps its gaps (zeros), as in the source.

    Returns:
        As given, of the same length; the rest is zeros.
    """
    started = actors.copy()
    for actor, present in zip(started, seen(actors), strict=True):
        if not present[:1].all():
            frames = actor[present]
            actor[len(frames) :] = 0
            actor[: len(frames)] = frames
    return started


def lengths(actors: np.ndarray) -> np.ndarray:
    """Count each actor's frames up to the last one that shows it.

    Returns:
        int64 (M,).
    """
    present = seen(actors)
    num_frames = present.shape[1]
    return np.where(present.any(1), num_frames - present[:, ::-1].argmax(1), 0) if num_frames else present.sum(1)


def repeat(actors: np.ndarray, num_frames: int = NUM_FRAMES) -> np.ndarray:
    """Fill up to ``num_frames`` by showing each actor's sequence again and again; longer ones are cut.

    Returns:
        float32 (M, ``num_frames``, V, 3); zeros for an actor that is never seen.
    """
    filled = np.zeros((len(actors), num_frames, *actors.shape[2:]), actors.dtype)
    for target, source, length in zip(filled, actors, lengths(actors), strict=True):
        if length:
            target[:] = source[np.arange(num_frames) % length]
    return filled


def centre(actors: np.ndarray) -> np.ndarray:
    """Move the first actor's spine joint to the origin, frame by frame; joints that are not seen stay zeros.

    Returns:
        As given. In a frame without the first actor nothing is moved.
    """
    moved = np.zeros_like(actors)
    origin = np.tile(actors[0, :, SPINE], actors.shape[2])  # (T, V * 3): long rows are subtracted faster
    for target, actor in zip(moved, actors, strict=True):
        if not actor.any():
            continue
        np.subtract(actor.reshape(origin.shape), origin, out=target.reshape(origin.shape))
        unseen = actor[..., 0] == 0
        if unseen.any():
            target[unseen & (actor[..., 1] == 0) & (actor[..., 2] == 0)] = 0
    return moved


def rotation_onto(vector: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Find the smallest rotation that gives a vector the direction of an axis.

    Args:
        vector: float (3,).
        axis: float (3,), unit length.

    Returns:
        float64 (3, 3), to be applied to columns; the identity where the vector has no length, or is parallel to the
        axis in either direction, as in the source.
    """
    vector, axis = np.asarray(vector, np.float64), np.asarray(axis, np.float64)
    normal = np.cross(vector, axis)
    if np.abs(vector).sum() < _NO_LENGTH or np.abs(normal).sum() < _NO_LENGTH:
        return np.eye(3)
    cosine = vector @ axis / np.linalg.norm(vector)
    x, y, z = normal / np.linalg.norm(normal)
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    # Rodrigues' formula.
    turn: np.ndarray = np.eye(3) + np.sqrt(max(0.0, 1 - cosine**2)) * skew + (1 - cosine) * skew @ skew
    return turn


def turn_spine_upright(actors: np.ndarray, frame: int = 0) -> np.ndarray:
    """Turn everything so that the first actor's spine (joints 0 to 1) points along z in the first frame, or another.

    Returns:
        As given.
    """
    return _turned(actors, frame, PELVIS, SPINE, np.array([0.0, 0, 1]))


def turn_shoulders_sideways(actors: np.ndarray, frame: int = 0) -> np.ndarray:
    """Turn everything so that the first actor's shoulders (from joint 4 to 8) point along x in that frame.

    Done after ``turn_spine_upright``, it tilts the spine as far as the shoulders were not level.

    Returns:
        As given.
    """
    return _turned(actors, frame, LEFT_SHOULDER, RIGHT_SHOULDER, np.array([1.0, 0, 0]))


def _turned(actors: np.ndarray, frame: int, start: int, end: int, axis: np.ndarray) -> np.ndarray:
    turn = rotation_onto(actors[0, frame, end].astype(np.float64) - actors[0, frame, start], axis)
    turned: np.ndarray = (actors.reshape(-1, 3) @ turn.T.astype(actors.dtype)).reshape(actors.shape)
    return turned


def preprocess(bodies: np.ndarray, num_frames: int = NUM_FRAMES) -> tuple[np.ndarray, int]:
    """Apply all steps, in the published order.

    Args:
        bodies: float32 (M, T, V, 3), metres; frames after the first ``num_frames`` are left out.
        num_frames: of the result.

    Returns:
        float32 (3, ``num_frames``, V, 2), contiguous; and how many frames there are before the first repetition,
        those of the actor that is seen longest. The published files hold T instead, frames without a body included.

    Raises:
        ValueError: no body is seen in any frame.
    """
    actors = drop_gaps(most_energetic(bodies[:, :num_frames]))
    length = int(lengths(actors).max(initial=0))
    if not length:
        raise ValueError("no body is seen in any frame")
    actors = centre(repeat(actors, num_frames))
    actors = turn_shoulders_sideways(turn_spine_upright(actors))
    sequence = np.empty((3, num_frames, actors.shape[2], NUM_ACTORS), np.float32)
    for number, actor in enumerate(actors):  # faster than to transpose all at once
        sequence[..., number] = actor.transpose(2, 0, 1)
    return sequence, length


def preprocess_video(bodies: np.ndarray) -> np.ndarray:
    """Apply the steps to a long video whose frames have to keep their numbers: no gap is closed, nothing is repeated.

    The frame that decides the rotations is the first one to show the first actor.

    Args:
        bodies: float32 (M, T, V, 3), metres.

    Returns:
        float32 (3, T, V, 2).

    Raises:
        ValueError: no body is seen in any frame.
    """
    actors = most_energetic(bodies)
    present = seen(actors)[0]
    if not present.any():
        raise ValueError("no body is seen in any frame")
    frame = int(present.argmax())
    actors = turn_shoulders_sideways(turn_spine_upright(centre(actors), frame), frame)
    return actors.transpose(3, 1, 2, 0)
