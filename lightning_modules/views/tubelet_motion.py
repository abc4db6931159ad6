"""How a tubelet moves: paths of its centre, and values that change between key frames.

Positions are in pixels, ``(x, y)``, in a frame that spans [0, width] x [0, height]: pixel i has its centre at i + 0.5.
Everything is drawn for a whole batch at once, on the generator's device.
"""

import math

import torch
from torch import Tensor

PUBLISHED_KEY_FRAME_PROBABILITIES = (0.5, 0.3, 0.2)  # of 0, 1, 2 key frames between the first and the last
PUBLISHED_BEND_PROBABILITIES = (0.7, 0.15, 0.15)  # of even speed, speeding up, slowing down


def uniform(shape: tuple[int, ...], low: float | Tensor, high: float | Tensor, generator: torch.Generator) -> Tensor:
    """Draw float32 numbers of a shape from U(low, high); tensors as limits broadcast."""
    return low + (high - low) * torch.rand(shape, generator=generator, device=generator.device)


def choose(shape: tuple[int, ...], probabilities: tuple[float, ...], generator: torch.Generator) -> Tensor:
    """Draw int64 indices of a shape with the given probabilities."""
    limits = torch.tensor(probabilities, dtype=torch.float64, device=generator.device).cumsum(0)[:-1].float()
    return torch.bucketize(torch.rand(shape, generator=generator, device=generator.device), limits, right=True)


def draw_published_key_frames(shape: tuple[int, ...], num_frames: int, generator: torch.Generator) -> Tensor:
    """Draw the first, the last and up to two inner key frames (microsoft/CtP, dynamic_utils.py).

    The inner ones are evenly spaced, each moved by up to a third of their distance.

    Returns:
        int64 (*shape, 4), not decreasing; unused key frames repeat the last frame.
    """
    num_inner = choose(shape, PUBLISHED_KEY_FRAME_PROBABILITIES, generator)
    distance = num_frames / (num_inner + 1)
    reach = (distance / 3).floor().unsqueeze(-1)
    jitter = uniform((*shape, 2), -reach, reach, generator).floor()  # the upper limit is left out, as published
    number = torch.tensor([1, 2], device=generator.device)
    ticks = ((distance.unsqueeze(-1) * number).floor() + jitter).long()
    inner = torch.where(number <= num_inner.unsqueeze(-1), ticks, num_frames - 1)
    first = torch.zeros_like(inner[..., :1])
    return torch.cat((first, inner, first + num_frames - 1), dim=-1)


def draw_text_key_frames(shape: tuple[int, ...], num_frames: int, generator: torch.Generator) -> Tensor:
    """Draw K = 3 key frames: the first, the last and one at random between them (thesis 5.4.1).

    Returns:
        int64 (*shape, 3), not decreasing.
    """
    last = num_frames - 1
    inner = uniform((*shape, 1), 1, max(last, 1), generator).long().clamp(max=last)
    return torch.cat((torch.zeros_like(inner), inner, torch.full_like(inner, last)), dim=-1)


def draw_bends(key_frames: Tensor, generator: torch.Generator) -> Tensor:
    """Draw how the speed changes between neighbouring key frames, with the published probabilities.

    Args:
        key_frames: int64 (..., K).
        generator: source of randomness.

    Returns:
        float32 (..., K - 1): 0 even speed, 1 speeding up, -1 slowing down.
    """
    kind = choose((*key_frames.shape[:-1], key_frames.shape[-1] - 1), PUBLISHED_BEND_PROBABILITIES, generator)
    return torch.tensor([0.0, 1.0, -1.0], device=generator.device)[kind]


def interpolate(values: Tensor, key_frames: Tensor, num_frames: int, bends: Tensor | None = None) -> Tensor:
    """Spread values at key frames over all frames.

    Args:
        values: float32 (..., K), one value at each key frame.
        key_frames: int64 (..., K), from 0 to ``num_frames - 1``, not decreasing; broadcasts with ``values``.
        num_frames: T.
        bends: float32 (..., K - 1), see :func:`draw_bends`; all zero (linear) if omitted.

    Returns:
        float32 (..., T).
    """
    key_frames = key_frames.expand(values.shape)
    frames = torch.arange(num_frames, device=values.device)
    segment = (frames[:, None] > key_frames[..., None, 1:-1]).sum(-1)
    start, end = key_frames.gather(-1, segment), key_frames.gather(-1, segment + 1)
    fraction = (frames - start) / (end - start).clamp(min=1)
    if bends is not None:
        bend = bends.expand(*values.shape[:-1], -1).gather(-1, segment)
        fraction = fraction + bend * (fraction.square() - fraction)
    return torch.lerp(values.gather(-1, segment), values.gather(-1, segment + 1), fraction)


def draw_walk(shape: tuple[int, ...], key_frames: Tensor, velocity: float, generator: torch.Generator) -> Tensor:
    """Draw a random walk that starts at 0 and moves by at most ``velocity`` a frame.

    Args:
        shape: of the walks; ``key_frames`` (..., K) broadcasts with (*shape, K).
        key_frames: int64 (..., K).
        velocity: the largest change a frame, in the value's unit.
        generator: source of randomness.

    Returns:
        float32 (*shape, K), the value at each key frame.
    """
    reach = velocity * key_frames.diff(dim=-1)
    steps = uniform((*shape, key_frames.shape[-1] - 1), -reach, reach, generator)
    return torch.nn.functional.pad(steps.cumsum(-1), (1, 0))


def draw_linear_walk(
    low: Tensor, high: Tensor, key_frames: Tensor, velocity: float, generator: torch.Generator
) -> Tensor:
    """Draw key positions by the published linear motion: shifts of at most ``velocity`` px a frame, kept inside.

    Args:
        low: float32 (..., 2), the smallest position in px.
        high: float32 (..., 2), the largest position in px.
        key_frames: int64 (..., K), broadcasting with the positions (..., 2, K).
        velocity: px a frame.
        generator: source of randomness.

    Returns:
        float32 (..., 2, K), in px.
    """
    shape = tuple(low.shape)
    positions = [uniform(shape, low, high, generator)]
    for reach in (velocity * key_frames.diff(dim=-1)).unbind(-1):
        positions.append((positions[-1] + uniform(shape, -reach, reach, generator)).clamp(low, high))
    return torch.stack(positions, dim=-1)


def draw_near_points(
    shape: tuple[int, ...],
    num_points: int,
    frame: Tensor,
    displacement: tuple[float, float],
    generator: torch.Generator,
) -> Tensor:
    """Draw points in the frame, neighbours at most delta px apart (equation 5.5).

    Each point is uniform in the frame; one that lies farther than delta from the one before it is brought nearer along
    the line between them. Delta is drawn once for each row.

    Args:
        shape: of the rows.
        num_points: K.
        frame: float32 (2,), width and height in px.
        displacement: smallest and largest delta in px.
        generator: source of randomness.

    Returns:
        float32 (*shape, 2, K), in px.
    """
    delta = uniform((*shape, 1), *displacement, generator)
    points = [uniform((*shape, 2), 0, frame, generator)]
    for _ in range(num_points - 1):
        step = uniform((*shape, 2), 0, frame, generator) - points[-1]
        points.append(points[-1] + step * (delta / step.norm(dim=-1, keepdim=True).clamp(min=1e-6)).clamp(max=1))
    return torch.stack(points, dim=-1)


def gaussian_filter_matrix(num_points: int, sigma: float) -> Tensor:
    """Write a Gaussian filter along ``num_points`` points as a matrix.

    The same filter as ``scipy.ndimage.gaussian_filter1d`` with its defaults: cut at 4 sigma, edges mirrored.

    Returns:
        float32 (num_points, num_points); ``points @ matrix.T`` filters the last axis.
    """
    if sigma == 0:
        return torch.eye(num_points)
    radius = int(4 * sigma + 0.5)
    offsets = torch.arange(-radius, radius + 1)
    weights = torch.exp(-0.5 * (offsets.double() / sigma) ** 2)
    weights /= weights.sum()
    source = (torch.arange(num_points)[:, None] + offsets) % (2 * num_points)
    source = torch.minimum(source, 2 * num_points - 1 - source)
    matrix = torch.zeros(num_points, num_points, dtype=torch.float64)
    return matrix.scatter_add_(1, source, weights.expand(num_points, -1)).float()


def draw_smooth_path(
    shape: tuple[int, ...],
    num_frames: int,
    frame: Tensor,
    extent: tuple[float, float] | None,
    filter_matrix: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """Draw a non-linear path: random points, filtered, evenly thinned to the frames (equation 5.6).

    Args:
        shape: of the rows.
        num_frames: T, at most the number of points.
        frame: float32 (2,), width and height in px.
        extent: smallest and largest extent of the path in px: the filtered points are stretched on each axis to an
            extent drawn once for both, and moved to a random place inside the frame (published). ``None`` leaves them.
        filter_matrix: float32 (N, N), see :func:`gaussian_filter_matrix`.
        generator: source of randomness.

    Returns:
        float32 (*shape, 2, T), in px.
    """
    num_points = len(filter_matrix)
    points = torch.rand((*shape, 2, num_points), generator=generator, device=generator.device) @ filter_matrix.T
    if extent is None:
        points = points * frame[:, None]
    else:
        low, high = points.aminmax(dim=-1, keepdim=True)
        stretch = uniform((*shape, 1, 1), *extent, generator)
        offset = uniform((*shape, 2, 1), 0, 1, generator) * (frame[:, None] - stretch)
        points = (points - low) / (high - low).clamp(min=1e-12) * stretch + offset
    return points[..., torch.linspace(0, num_points - 1, num_frames, device=points.device).round().long()]


def affine_matrix(scale: Tensor, angle: Tensor, shear: Tensor) -> Tensor:
    """Compose scale x rotation x shear, the shear along x followed by the shear along y (so its determinant is 1).

    Args:
        scale: float32 (..., 2), along x and y.
        angle: float32 (...), degrees, clockwise on the screen (y points down).
        shear: float32 (..., 2), along x and y.

    Returns:
        float32 (..., 2, 2), from the patch to the frame.
    """
    cos, sin = torch.cos(angle * (math.pi / 180)), torch.sin(angle * (math.pi / 180))
    shear_x, shear_y = shear.unbind(-1)
    both = 1 + shear_x * shear_y
    rows = (
        scale[..., 0] * (cos - sin * shear_y),
        scale[..., 0] * (cos * shear_x - sin * both),
        scale[..., 1] * (sin + cos * shear_y),
        scale[..., 1] * (sin * shear_x + cos * both),
    )
    return torch.stack(rows, dim=-1).view(*angle.shape, 2, 2)
