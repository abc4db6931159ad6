"""Pictures of the embedded bodies: depth and colour of one geometry, and where the joints say."""

import numpy as np
import pytest

from datamodules.body_renderer import Clothes, Light, _capsules, record
from datamodules.depth_camera import cameras
from datamodules.kinematic_body import ONE_PERSON, Performer, perform
from datamodules.room_renderer import Lens, Room

LENS = Lens(48, 64)


def scene(label=0, seed=0, frames=None):
    rng = np.random.default_rng([label, seed])
    bodies = perform(label, (Performer.draw(rng), Performer.draw(rng)), rng)[:, ::8]
    return bodies[:, :frames], [Clothes.draw(rng) for _ in bodies], Room.draw(rng), Light.draw(rng)


def filmed(label=0, seed=0, camera=1, frames=None, lens=LENS, noise=0.0, **options):
    bodies, clothes, room, light = scene(label, seed, frames)
    camera = cameras(1)[camera]
    rng = np.random.default_rng(seed)
    return bodies, record(bodies, clothes, room, light, camera, lens, rng, noise, **options)


def test_shapes_and_types():
    bodies, recording = filmed()
    shape = (bodies.shape[1], 48, 64)
    assert (recording.rgb.shape, recording.rgb.dtype) == ((*shape, 3), np.uint8)
    assert (recording.depth.shape, recording.depth.dtype) == (shape, np.uint16)
    assert (recording.is_body.shape, recording.is_body.dtype) == (shape, bool)
    assert not recording.masked_depth[~recording.is_body].any()


def distance(points, start, end):
    axis = end - start
    share = ((points - start) @ axis / (axis @ axis)).clip(0, 1)
    return np.linalg.norm(points - start - share[..., None] * axis, axis=-1)


def test_depth_is_where_a_walk_along_the_ray_meets_a_capsule():
    bodies, clothes, room, light = scene(frames=1)
    camera, lens = cameras(1)[0], Lens(24, 32)
    recording = record(bodies, clothes, room, light, camera, lens, np.random.default_rng(0), noise=0, oversampling=1)
    metres = np.arange(2, 5, 0.004)
    points = lens.rays()[:, :, None] * metres[:, None]  # (H, W, steps, 3)
    inside = np.zeros(points.shape[:3], bool)
    for capsule in _capsules(camera.see(bodies[0]), clothes[0]):
        inside |= distance(points, capsule.start[0], capsule.end[0]) < capsule.radius
    walked = np.where(inside.any(-1), metres[inside.argmax(-1)], np.inf)
    hit = walked < room.seen(camera, lens, light.colour).depths  # soles are below the floor
    # Grazing rays may pass between two steps.
    assert (hit & ~recording.is_body[0]).sum() == 0
    assert (recording.is_body[0] & ~hit).sum() <= 3
    np.testing.assert_allclose(recording.depth[0][hit] / 1000, walked[hit], atol=0.006)


@pytest.mark.parametrize("label", range(0, ONE_PERSON, 2))
@pytest.mark.parametrize("number", range(3))
def test_joints_fall_on_the_body(label, number):
    lens = Lens(96, 128)
    bodies, recording = filmed(label, camera=number, lens=lens)
    thumbs = [22, 24]
    joints = np.delete(cameras(1)[number].see(bodies[0]), thumbs, axis=1)  # (T, 23, 3)
    column, row = np.moveaxis(np.rint(lens.project(joints)).astype(int), -1, 0)
    seen = (column >= 0) & (column < 128) & (row >= 0) & (row < 96)
    assert seen.mean() > 0.9
    frame = np.broadcast_to(np.arange(len(joints))[:, None], seen.shape)
    spots = frame[seen], row[seen], column[seen]
    on_body = recording.is_body[spots]
    assert on_body.mean() > 0.98  # toes may be below the floor
    behind_surface = joints[..., 2][seen][on_body] - recording.depth[spots][on_body] / 1000
    assert (behind_surface > -0.02).all()
    assert (behind_surface < 0.7).all()  # an arm before the trunk
    assert 0.03 < np.median(behind_surface) < 0.2


def test_the_nearer_body_hides_the_other():
    bodies, clothes, room, light = scene(label=10)
    both, first, second = (
        record(part, worn, room, light, cameras(1)[1], LENS, np.random.default_rng(0), noise=0)
        for part, worn in ((bodies, clothes), (bodies[:1], clothes[:1]), (bodies[1:], clothes[1:]))
    )
    np.testing.assert_array_equal(both.is_body, first.is_body | second.is_body)
    np.testing.assert_array_equal(both.depth, np.minimum(first.depth, second.depth))


def test_colour_and_depth_show_the_same_body():
    bodies, clothes, room, light = scene()
    white = np.ones(3)
    clothes = [
        worn._replace(skin=white, hair=white, shirt=np.ones((2, 3)), trousers=white, shoes=white) for worn in clothes
    ]
    black = room._replace(patterns=np.zeros_like(room.patterns), poster_colours=np.zeros_like(room.poster_colours))
    light = light._replace(ambient=1.0, colour=white)
    recording = record(bodies, clothes, black, light, cameras(1)[1], LENS, np.random.default_rng(0), 0, 1)
    np.testing.assert_array_equal(recording.rgb[..., 0] > 127, recording.is_body)
    fine = record(bodies, clothes, black, light, cameras(1)[1], LENS, np.random.default_rng(0), 0, 2)
    assert ((fine.rgb[..., 0] > 127) == fine.is_body).mean() > 0.98


def test_the_room_is_behind_and_as_deep_as_its_floor():
    _, recording = filmed()
    background = ~recording.is_body
    assert (recording.depth[background] > 500).all()
    assert (recording.depth[background] <= 8000).all()
    camera = cameras(1)[1]
    lowest = recording.depth[0, -1, 32] / 1000 * LENS.rays()[-1, 32]
    floor = camera.see(np.array([[0.0, 0, 0], [1.0, 0, 0], [0.0, 0, 1]]))
    normal = np.cross(floor[1] - floor[0], floor[2] - floor[0])
    # Depth takes the sample half a fine pixel beside the middle of its pixel.
    assert abs((lowest - floor[0]) @ normal) < 0.02


def test_any_size_shows_the_same_scene():
    _, small = filmed(frames=2)
    _, large = filmed(frames=2, lens=Lens(96, 128))
    assert (large.is_body[:, 1::2, 1::2] == small.is_body).mean() > 0.98


def test_noise_is_the_sensor_s():
    _, clean = filmed(label=10)
    _, noisy = filmed(label=10, noise=1.0)
    lost = noisy.depth == 0
    assert 0.002 < lost.mean() < 0.01
    errors = noisy.depth[~lost].astype(float) - clean.depth[~lost]
    far = clean.depth[~lost] > 4000
    assert 5 < errors[far].std() < 30
    assert errors[~far].std() < errors[far].std()
    difference = noisy.rgb.astype(float) - clean.rgb
    assert 0.5 < difference.std() < 1.5
    np.testing.assert_array_equal(noisy.is_body, clean.is_body)


def test_looks_vary():
    pictures = np.stack([filmed(seed=seed, frames=1)[1].rgb[0] for seed in range(6)]).astype(float)
    differences = np.abs(pictures[:, None] - pictures[None]).mean((2, 3, 4))
    assert (differences[~np.eye(6, dtype=bool)] > 8).all()
    assert (pictures.mean((1, 2, 3)) > 25).all()  # nothing is left in the dark
    assert (pictures.mean((1, 2, 3)) < 220).all()


def test_long_recordings_are_drawn_in_parts(monkeypatch):
    _, whole = filmed()
    monkeypatch.setattr("datamodules.body_renderer._FRAMES_AT_ONCE", 2)
    bodies, parts = filmed()
    assert bodies.shape[1] > 4
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one.astype(int), other.astype(int), atol=1)


def test_bodies_out_of_sight_are_no_error():
    bodies, clothes, room, light = scene(frames=2)
    camera = cameras(1)[1]
    recording = record(bodies + np.array([3.0, 0, 0]), clothes, room, light, camera, LENS, np.random.default_rng(0))
    assert not recording.is_body.any()
