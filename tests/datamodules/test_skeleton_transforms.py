"""The published preprocessing: each step against a loop over single numbers, written from its description."""

import math

import numpy as np
import pytest
from skeleton_fakes import standing_body

from datamodules.readers.skeleton import read_ntu
from datamodules.transforms import skeleton as steps


def sequences(lengths=((0, 9), (2, 6), (0, 0)), num_frames=9):
    """Bodies that are seen from a frame on up to another, float32 (M, T, 25, 3)."""
    bodies = np.zeros((len(lengths), num_frames, 25, 3), np.float32)
    for number, (start, end) in enumerate(lengths):
        body = standing_body(num_frames, number, number, 0.1 + 0.2 * number)
        bodies[number, start:end] = body[start:end]
    return bodies


def absent(frame):
    return all(value == 0 for joint in frame for value in joint)


def plain_energy(body):
    total = 0.0
    for axis in range(3):
        values = [float(joint[axis]) for frame in body if not absent(frame) for joint in frame]
        if values:
            mean = sum(values) / len(values)
            total += math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
    return total


def plain_two_most_energetic(bodies):
    ranked = sorted(range(len(bodies)), key=lambda number: -plain_energy(bodies[number]))
    chosen = [bodies[number].tolist() for number in ranked[:2]]
    return chosen + [np.zeros_like(bodies[0]).tolist()] * (2 - len(chosen))


def plain_start(body):
    """Frames of one actor: those that show it, one after the other, if the first frame does not."""
    if not absent(body[0]):
        return body
    frames = [frame for frame in body if not absent(frame)]
    return frames + [[[0.0] * 3] * 25] * (len(body) - len(frames))


def plain_repeat(body, num_frames):
    last = max((time for time, frame in enumerate(body) if not absent(frame)), default=-1)
    if last < 0:
        return [[[0.0] * 3] * 25] * num_frames
    out = []
    while len(out) < num_frames:
        out += body[: last + 1]
    return out[:num_frames]


def plain_centre(actors):
    out = []
    for body in actors:
        frames = []
        for time, frame in enumerate(body):
            origin = actors[0][time][1]
            frames.append(
                [joint if absent([joint]) else [v - o for v, o in zip(joint, origin, strict=True)] for joint in frame]
            )
        out.append(frames)
    return out


def plain_turn(actors, start, end, axis):
    """Rotate about the common normal, by the angle between; Rodrigues' formula for each joint."""
    v = [e - s for s, e in zip(actors[0][0][start], actors[0][0][end], strict=True)]
    cross = lambda a, b: [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]  # noqa: E731
    dot = lambda a, b: sum(x * y for x, y in zip(a, b, strict=True))  # noqa: E731
    normal = cross(v, axis)
    angle = math.acos(dot(v, axis) / math.sqrt(dot(v, v)))
    k = [value / math.sqrt(dot(normal, normal)) for value in normal]

    def turn(joint):
        side, along = cross(k, joint), dot(k, joint)
        return [
            joint[i] * math.cos(angle) + side[i] * math.sin(angle) + k[i] * along * (1 - math.cos(angle))
            for i in range(3)
        ]

    return [[[turn(joint) for joint in frame] for frame in body] for body in actors]


def plain(bodies, num_frames):
    actors = plain_two_most_energetic(bodies)
    actors = [plain_repeat(plain_start(body), num_frames) for body in actors]
    actors = plain_turn(plain_turn(plain_centre(actors), 0, 1, [0, 0, 1]), 4, 8, [1, 0, 0])
    return np.array(actors).transpose(3, 1, 2, 0)


def test_energy():
    bodies = sequences()
    np.testing.assert_allclose(steps.energy(bodies), [plain_energy(body) for body in bodies], rtol=1e-6)
    assert steps.energy(bodies)[2] == 0


def test_the_two_most_energetic_bodies():
    bodies = sequences(((0, 9), (0, 9), (3, 5), (0, 9)))
    np.testing.assert_array_equal(steps.most_energetic(bodies), bodies[[3, 2]])  # that of body 2 is in two frames
    np.testing.assert_array_equal(steps.most_energetic(bodies), np.float32(plain_two_most_energetic(bodies)))
    frozen = np.zeros((2, 1, 25, 3), np.float32)
    frozen[1] = 0.5  # no energy, and yet somebody
    np.testing.assert_array_equal(steps.most_energetic(frozen, 1)[0], frozen[1])
    one = steps.most_energetic(bodies[:1])
    np.testing.assert_array_equal(one[0], bodies[0])
    assert one.shape == (2, 9, 25, 3)
    assert not one[1].any()
    assert not steps.most_energetic(bodies[:0]).any()


def test_empty_leading_frames_and_gaps():
    actors = sequences(((2, 8), (0, 6), (0, 0)))
    actors[:, 4] = 0
    started = steps.drop_gaps(actors)
    np.testing.assert_array_equal(started, np.float32([plain_start(body.tolist()) for body in actors]))
    np.testing.assert_array_equal(started[0, :5], actors[0, [2, 3, 5, 6, 7]])
    assert not started[0, 5:].any()
    np.testing.assert_array_equal(started[1], actors[1])  # its gap stays: it is there from the start
    assert steps.lengths(started).tolist() == [5, 6, 0]


@pytest.mark.parametrize("num_frames", [4, 9, 20, 300])
def test_repeating(num_frames):
    actors = steps.drop_gaps(sequences(((0, 7), (2, 6), (0, 0))))
    filled = steps.repeat(actors, num_frames)
    np.testing.assert_array_equal(filled, np.float32([plain_repeat(body.tolist(), num_frames) for body in actors]))


def test_centre_on_the_first_actors_spine():
    actors = sequences(((0, 9), (2, 6)))
    actors[1, 3, 7] = 0  # a joint that is not seen
    actors[0, 5] = 0  # a gap of the first actor
    moved = steps.centre(actors)
    np.testing.assert_allclose(moved, plain_centre(actors.tolist()), atol=1e-6)
    assert not moved[0, :, 1].any()
    assert not moved[1, 3, 7].any()
    np.testing.assert_array_equal(moved[1, 5], actors[1, 5])
    assert not moved[1, 6:].any()


def test_spine_along_z_then_shoulders_along_x():
    actors = steps.centre(sequences(((0, 9), (2, 6))))
    upright = steps.turn_spine_upright(actors)
    np.testing.assert_allclose(upright, plain_turn(actors.tolist(), 0, 1, [0, 0, 1]), atol=1e-5)
    spine = upright[0, 0, 1] - upright[0, 0, 0]
    np.testing.assert_allclose(spine / np.linalg.norm(spine), [0, 0, 1], atol=1e-6)
    sideways = steps.turn_shoulders_sideways(upright)
    np.testing.assert_allclose(sideways, plain_turn(upright.tolist(), 4, 8, [1, 0, 0]), atol=1e-5)
    shoulders = sideways[0, 0, 8] - sideways[0, 0, 4]
    np.testing.assert_allclose(shoulders / np.linalg.norm(shoulders), [1, 0, 0], atol=1e-6)
    # One rotation for all: distances between joints of both actors stay.
    joints, turned = actors[:, 2:6].reshape(-1, 3), sideways[:, 2:6].reshape(-1, 3)
    distances = [np.linalg.norm(points[:, None] - points, axis=-1) for points in (joints, turned)]
    np.testing.assert_allclose(*distances, atol=1e-5)


@pytest.mark.parametrize("vector", [[0, 0, 0], [0, 0, 2], [0, 0, -2]])
def test_no_turn_where_no_normal_is_defined(vector):
    np.testing.assert_array_equal(steps.rotation_onto(np.array(vector), np.array([0, 0, 1])), np.eye(3))


@pytest.mark.parametrize("seed", range(20))
def test_rotation_onto_any_axis(seed):
    vector, axis = np.random.default_rng(seed).standard_normal((2, 3))
    axis /= np.linalg.norm(axis)
    turn = steps.rotation_onto(vector, axis)
    np.testing.assert_allclose(turn @ vector, np.linalg.norm(vector) * axis, atol=1e-12)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)


@pytest.mark.parametrize("spans", [((0, 9),), ((0, 9), (2, 6)), ((3, 9), (0, 5), (1, 4)), ((2, 3),), ((0, 4),)])
def test_all_steps(spans):
    bodies = sequences(spans)
    result, length = steps.preprocess(bodies, 24)
    assert result.shape == (3, 24, 25, 2)
    assert result.dtype == np.float32
    assert result.flags.c_contiguous
    np.testing.assert_allclose(result, plain(bodies, 24), atol=1e-5)
    chosen = sorted(range(len(spans)), key=lambda number: -plain_energy(bodies[number]))[:2]
    assert length == max(
        spans[number][1] - spans[number][0] if spans[number][0] else spans[number][1] for number in chosen
    )


def test_longer_recordings_are_cut():
    bodies = sequences(((0, 9),))
    result, length = steps.preprocess(bodies, 5)
    assert length == 5
    np.testing.assert_array_equal(result, steps.preprocess(bodies[:, :5], 5)[0])


@pytest.mark.parametrize("shape", [(0, 4, 25, 3), (4, 4, 25, 3), (2, 0, 25, 3)])
def test_nobody_to_be_seen(shape):
    with pytest.raises(ValueError, match="no body is seen"):
        steps.preprocess(np.zeros(shape, np.float32))


def test_real_files(shared_data):
    for file in sorted((shared_data / "ntu_rgbd" / "skeletons").glob("*.skeleton"))[::2]:
        bodies = read_ntu(file).listed(4)
        result, length = steps.preprocess(bodies)
        assert length == bodies.shape[1]
        np.testing.assert_allclose(result[:, :10], plain(bodies, 10), atol=1e-5)
        np.testing.assert_array_equal(result[:, length : 2 * length], result[:, :length])
