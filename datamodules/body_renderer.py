"""Pictures of acting people: colour and depth of the same bodies, before the same room, in step with their joints.

A body is capsules along its bones. A ray through each pixel meets a capsule where a quadratic equation says, so depth
is exact; many frames of a recording are drawn at once, one capsule after another, each within the box it covers.
"""

from typing import NamedTuple

import numpy as np

from datamodules.depth_camera import Camera
from datamodules.room_renderer import Backdrop, Lens, Room

# Radius in metres of each capsule, and the joints at its ends, by what it wears; a person of usual build.
_TORSO = ((0.14, 0, 20), (0.075, 4, 12), (0.075, 8, 16), (0.075, 4, 8))
_HIPS = ((0.095, 12, 16), (0.105, 0, 12), (0.105, 0, 16))
_UPPER_ARMS = ((0.058, 4, 5), (0.058, 8, 9))
_FOREARMS = ((0.047, 5, 6), (0.047, 9, 10))
_HANDS = ((0.042, 6, 21), (0.042, 10, 23))
_THIGHS = ((0.085, 12, 13), (0.085, 16, 17))
_SHINS = ((0.062, 13, 14), (0.062, 17, 18))
_FEET = ((0.05, 14, 15), (0.05, 18, 19))
_NECK = ((0.055, 20, 2),)
_NECK_JOINT, _HEAD_JOINT = 2, 3
_LEFT_SHOULDER, _RIGHT_SHOULDER = 4, 8
_HEAD_RADIUS = 0.105
# Hair grows from this much above the middle of the head, and the farther back the lower; in radii.
_HAIR_FROM = 0.5

_ANKLES = (14, 18)
# How dark the floor is below a foot, over which square metres, and how far it is drawn, metres.
_SHADOW, _SHADOW_AREA, _SHADOW_REACH = 0.4, 0.05, 0.6

# Bounds the memory that long recordings take.
_FRAMES_AT_ONCE = 64

_SKINS = np.array([(0.95, 0.80, 0.69), (0.88, 0.67, 0.53), (0.72, 0.50, 0.36), (0.45, 0.29, 0.20)])
_HAIRS = np.array([(0.08, 0.06, 0.05), (0.30, 0.19, 0.10), (0.62, 0.47, 0.27), (0.55, 0.55, 0.55)])


class Clothes(NamedTuple):
    """How somebody looks. Colours are float64 (3,), RGB, 0..1.

    Attributes:
        build: factor of all radii.
        skin: colour of hands and face.
        hair: colour of hair.
        shirt: two colours, of which the second makes stripes.
        trousers: colour of trousers.
        shoes: colour of shoes.
        stripes: per metre; 0 for none.
        sleeves: parts of an arm that the shirt covers: 0, 1 or 2.
        shorts: whether the shins are bare.
    """

    build: float
    skin: np.ndarray
    hair: np.ndarray
    shirt: np.ndarray
    trousers: np.ndarray
    shoes: np.ndarray
    stripes: float
    sleeves: int
    shorts: bool

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Clothes":
        """Draw somebody's clothes."""
        return cls(
            build=rng.uniform(0.88, 1.2),
            skin=_SKINS[rng.integers(len(_SKINS))] * rng.uniform(0.9, 1.05),
            hair=_HAIRS[rng.integers(len(_HAIRS))] * rng.uniform(0.8, 1.2),
            shirt=rng.uniform(0.05, 1, (2, 3)),
            trousers=rng.uniform(0.03, 0.8, 3),
            shoes=rng.uniform(0, 0.9, 3),
            stripes=float(rng.choice([0, 0, rng.uniform(4, 10)])),
            sleeves=int(rng.integers(3)),
            shorts=bool(rng.random() < 0.3),
        )


class Light(NamedTuple):
    """What lights a recording.

    Attributes:
        direction: float64 (3,), towards the light, unit length, in the world.
        ambient: share of light from everywhere, 0..1.
        colour: float64 (3,), of the light: brightness, too.
    """

    direction: np.ndarray
    ambient: float
    colour: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Light":
        """Draw a lamp somewhere above."""
        direction = np.array([rng.uniform(-1, 1), rng.uniform(0.4, 1.2), rng.uniform(0.2, 1)])
        colour = rng.uniform(0.8, 1.3) * rng.uniform(0.9, 1.1, 3)
        return cls(direction / np.linalg.norm(direction), rng.uniform(0.3, 0.6), colour)


class _Capsule(NamedTuple):
    """One part of a body in T frames: float64 (T, 3) ends in camera coordinates, and how it is painted."""

    start: np.ndarray
    end: np.ndarray
    radius: float
    colour: np.ndarray
    second: np.ndarray  # colour of stripes, or of hair
    stripes: float
    facing: np.ndarray | None = None  # (T, 3), unit length, of a head


class Recording(NamedTuple):
    """What a camera records of T frames.

    Attributes:
        rgb: uint8 (T, H, W, 3).
        depth: uint16 (T, H, W), millimetres from the camera's plane; 0 where the sensor fails.
        is_body: bool (T, H, W), where a body is.
    """

    rgb: np.ndarray
    depth: np.ndarray
    is_body: np.ndarray

    @property
    def masked_depth(self) -> np.ndarray:
        """Depth of the bodies alone, 0 elsewhere, as NTU RGB+D's ``MDepth`` pictures."""
        return np.where(self.is_body, self.depth, np.uint16(0))


def record(
    bodies: np.ndarray,
    clothes: list[Clothes],
    room: Room,
    light: Light,
    camera: Camera,
    lens: Lens,
    rng: np.random.Generator,
    noise: float = 1.0,
    oversampling: int = 2,
) -> Recording:
    """Film people in a room.

    Args:
        bodies: float (M, T, 25, 3), joints in metres in the world.
        clothes: of each of the M.
        room: what is behind them.
        light: what lights all.
        camera: where it is recorded from.
        lens: of both pictures.
        rng: source of the sensor's noise.
        noise: its factor; 0 for none.
        oversampling: samples of colour a pixel along each axis; depth takes one.
    """
    fine = lens.finer(oversampling)
    backdrop = room.seen(camera, fine, light.colour * (light.ambient + 0.6 * (1 - light.ambient)))
    towards_light = camera.see(light.direction) - camera.see(np.zeros(3))
    parts = []
    for start in range(0, bodies.shape[1], _FRAMES_AT_ONCE):
        part = bodies[:, start : start + _FRAMES_AT_ONCE]
        colours, depths = (np.repeat(of[None], part.shape[1], 0) for of in (backdrop.colours, backdrop.depths))
        for body in part:
            _cast_shadows(colours, backdrop, body)
        for body, worn in zip(part, clothes, strict=True):
            for capsule in _capsules(camera.see(body), worn):
                _draw(capsule, fine, depths, colours, towards_light, light)
        parts.append(_sense(colours, depths, depths < backdrop.depths, oversampling, rng, noise))
    return Recording(*(np.concatenate(pictures) for pictures in zip(*parts, strict=True)))


def _sense(
    colours: np.ndarray,
    depths: np.ndarray,
    is_body: np.ndarray,
    oversampling: int,
    rng: np.random.Generator,
    noise: float,
) -> Recording:
    """Turn what is there, oversampled, into what the sensors tell."""
    shape = (len(colours), colours.shape[1] // oversampling, colours.shape[2] // oversampling)
    rgb = np.zeros((*shape, 3), np.float32)
    for row in range(oversampling):
        for column in range(oversampling):
            rgb += colours[:, row::oversampling, column::oversampling]
    rgb *= 255 / oversampling**2
    middle = oversampling // 2
    metres = depths[:, middle::oversampling, middle::oversampling]
    seen = is_body[:, middle::oversampling, middle::oversampling]
    millimetres = 1e3 * metres
    if noise:
        rgb += np.float32(noise) * rng.standard_normal(rgb.shape, np.float32)
        # Of the Kinect v2 the error grows with the square of the distance, to about a centimetre at 4 m.
        millimetres += noise * (1 + 0.6 * metres**2) * rng.standard_normal(shape, np.float32)
        millimetres[rng.random(shape, np.float32) < 0.005 * noise] = 0
    return Recording(
        np.rint(rgb).clip(0, 255).astype(np.uint8), np.rint(millimetres).clip(0, 65535).astype(np.uint16), seen.copy()
    )


def _capsules(joints: np.ndarray, worn: Clothes) -> list[_Capsule]:
    """Dress a body; ``joints`` is (T, 25, 3) in camera coordinates."""
    shirt, stripe = worn.shirt
    sleeves = [shirt if part < worn.sleeves else worn.skin for part in range(2)]
    shins = worn.skin if worn.shorts else worn.trousers
    dressed = (
        (_TORSO, shirt, worn.stripes),
        (_HIPS, worn.trousers, 0.0),
        (_UPPER_ARMS, sleeves[0], 0.0),
        (_FOREARMS, sleeves[1], 0.0),
        (_HANDS, worn.skin, 0.0),
        (_THIGHS, worn.trousers, 0.0),
        (_SHINS, shins, 0.0),
        (_FEET, worn.shoes, 0.0),
        (_NECK, worn.skin, 0.0),
    )
    capsules = [
        _Capsule(joints[:, start], joints[:, end], radius * worn.build, colour, stripe, stripes)
        for parts, colour, stripes in dressed
        for radius, start, end in parts
    ]
    neck, head = joints[:, _NECK_JOINT], joints[:, _HEAD_JOINT]
    up = _unit(head - neck)
    facing = _unit(np.cross(joints[:, _LEFT_SHOULDER] - joints[:, _RIGHT_SHOULDER], up))
    capsules.append(_Capsule(head - 0.04 * up, head + 0.03 * up, _HEAD_RADIUS, worn.skin, worn.hair, 0.0, facing))
    return capsules


def _unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def _draw(
    capsule: _Capsule,
    lens: Lens,
    nearest: np.ndarray,
    colours: np.ndarray,
    towards_light: np.ndarray,
    light: Light,
) -> None:
    """Draw a capsule in all frames, in place, where nothing drawn before is nearer.

    Args:
        capsule: what to draw.
        lens: of the oversampled picture.
        nearest: float32 (T, H, W), metres.
        colours: float32 (T, H, W, 3), 0..1.
        towards_light: float64 (3,), in camera coordinates.
        light: what lights it.
    """
    boxes = lens.boxes(np.stack([capsule.start, capsule.end], 1), capsule.radius)
    if boxes is None:
        return
    rows, columns = boxes  # (T, h), (T, w)
    # A point of the ray at depth z is z * (x, y, 1).
    x, y = lens.across(columns)[:, None, :], lens.up(rows)[:, :, None]
    axis, start = capsule.end - capsule.start, capsule.start

    def along_ray(vectors: np.ndarray) -> np.ndarray:
        return np.asarray(vectors[:, 0, None, None] * x + vectors[:, 1, None, None] * y + vectors[:, 2, None, None])

    def per_frame(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.asarray((first * second).sum(-1)[:, None, None])

    ray_ray = x * x + y * y + 1
    axis_axis, axis_start = per_frame(axis, axis), per_frame(axis, start)
    axis_ray, start_ray = along_ray(axis), along_ray(start)
    radius_squared = capsule.radius**2
    # Round the axis: |p - start|^2 - ((p - start) . axis)^2 / axis^2 = radius^2.
    a = axis_axis * ray_ray - axis_ray**2
    b = axis_start * axis_ray - axis_axis * start_ray
    c = axis_axis * (per_frame(start, start) - radius_squared) - axis_start**2
    with np.errstate(invalid="ignore", divide="ignore"):
        depth = (-b - np.sqrt(b * b - a * c)) / a
        place = (depth * axis_ray - axis_start) / axis_axis  # 0..1 from start to end
        on_side = (place > 0) & (place < 1)
        depth[~on_side] = np.inf
        for centre in (capsule.start, capsule.end):
            centre_ray = along_ray(centre)
            root = np.sqrt(centre_ray**2 - ray_ray * (per_frame(centre, centre) - radius_squared))
            depth = np.fmin(depth, (centre_ray - root) / ray_ray)
    frames = np.arange(len(rows))[:, None, None]
    spots = frames, rows[:, :, None], columns[:, None, :]
    shown = depth < nearest[spots]
    frame, row, column = np.nonzero(shown)
    at = frame, rows[frame, row], columns[frame, column]
    depth = depth[shown]
    nearest[at] = depth
    ray = np.stack([lens.across(at[2]), lens.up(at[1]), np.ones(len(frame))], -1)
    points = depth[:, None] * ray
    offsets = points - start[frame]
    place = ((offsets * axis[frame]).sum(-1) / axis_axis[frame, 0, 0]).clip(0, 1)
    normals = (offsets - place[:, None] * axis[frame]) / capsule.radius
    paint = np.broadcast_to(capsule.colour, points.shape)
    if capsule.facing is not None:
        from_middle = points - (start + axis / 2)[frame]
        above = (from_middle * _unit(axis)[frame]).sum(-1) - (from_middle * capsule.facing[frame]).sum(-1)
        paint = np.where((above > _HAIR_FROM * capsule.radius)[:, None], capsule.second, paint)
    elif capsule.stripes:
        lengths = place * np.sqrt(axis_axis[frame, 0, 0])
        paint = np.where((lengths * capsule.stripes % 1 < 0.5)[:, None], capsule.second, paint)
    diffuse = (normals @ towards_light).clip(0)
    colours[at] = paint * light.colour * (light.ambient + (1 - light.ambient) * diffuse)[:, None]


def _cast_shadows(colours: np.ndarray, backdrop: Backdrop, body: np.ndarray) -> None:
    """Darken the floor round a body's feet, in place; ``colours`` is float32 (T, H, W, 3)."""
    feet = body[:, _ANKLES][..., [0, 2]].astype(np.float32)  # (T, 2, 2)
    low, high = feet.min((0, 1)) - _SHADOW_REACH, feet.max((0, 1)) + _SHADOW_REACH
    near = backdrop.is_floor & (backdrop.floor > low).all(-1) & (backdrop.floor < high).all(-1)
    floor = backdrop.floor[near].astype(np.float32)  # (P, 2), x and z
    shade = np.ones((len(body), len(floor)), np.float32)
    for foot in range(len(_ANKLES)):
        squared = np.square(floor - feet[:, None, foot]).sum(-1)
        shade *= 1 - _SHADOW * np.exp(-squared / _SHADOW_AREA)
    colours[:, near] *= shade[..., None]
