"""Skeletons of 25 joints as line drawings: one frame, or a strip of frames."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from lightning_modules.networks.ntu_graph import PARENTS

BONES = np.array([(joint, parent) for joint, parent in enumerate(PARENTS) if parent is not None])
HEAD = 3
LEFT = frozenset((4, 5, 6, 7, 21, 22, 12, 13, 14, 15))
# One row an actor: the left side, and all else.
COLOURS = (("#0b3c6f", "#3c8dd9"), ("#8c3510", "#f0893d"))
# Preprocessed, the first actor looks along y. From a little to the side and above, arms and legs come apart; a second
# actor mostly stands before the first, and is seen from farther aside.
AZIMUTHS, ELEVATION = np.radians([25, 65]), np.radians(12)


def project(skeleton: np.ndarray) -> np.ndarray:
    """Look at a preprocessed sequence from in front of the first actor.

    Args:
        skeleton: float (3, T, V, M), z up, the first actor's shoulders along x.

    Returns:
        float64 (T, M, V, 2), to the right and up, parallel projection; NaN for an actor who is not there, and where a
        coordinate is not finite.
    """
    absent = np.logical_not(skeleton.any(axis=(0, 2)))  # (T, M)
    azimuth = AZIMUTHS[0 if absent[:, 1:].all() else 1]
    x, y, z = np.where(np.isfinite(skeleton), skeleton, np.nan).astype(float)  # (T, V, M) each
    right = -x * np.cos(azimuth) - y * np.sin(azimuth)
    near = -x * np.sin(azimuth) + y * np.cos(azimuth)
    up = z * np.cos(ELEVATION) - near * np.sin(ELEVATION)
    points = np.stack([right, up], axis=-1).transpose(0, 2, 1, 3)
    points[absent] = np.nan
    return points


def thin(num_frames: int, columns: int) -> np.ndarray:
    """Indices of at most so many frames, evenly spaced, the first and the last among them."""
    return np.unique(np.linspace(0, num_frames - 1, columns).round().astype(int))


def draw_strip(
    axis: Axes, skeleton: np.ndarray, columns: int, fewest: int | None = None, line_width: float = 1.3
) -> None:
    """Draw frames of a sequence side by side, all to one scale; the first actor is blue, the second orange.

    Left arms and legs are darker.

    Args:
        axis: is filled, and loses its ticks.
        skeleton: float (3, T, 25, M), see `project`; T frames without repetition.
        columns: frames that are shown; those without anybody are passed over.
        fewest: that are shown where actors far apart would get small; ``columns`` by default.
        line_width: of the bones, in points.
    """
    box = axis.get_window_extent()
    ratio = box.width / box.height
    axis.set(xlim=(0, ratio), ylim=(0, 1), xticks=[], yticks=[])
    points = project(skeleton[:, skeleton.any(axis=(0, 2, 3))])
    seen = points[np.isfinite(points).all(-1)]
    if not len(seen):
        return
    low, high = seen.min(0), seen.max(0)
    width, height = np.maximum(high - low, 1e-6) / (0.82, 0.88)  # with a margin
    if fewest is not None:
        columns = int(np.clip(ratio * height / width, fewest, columns))
    cell = ratio / columns
    points = (points[thin(len(points), columns)] - (low + high) / 2) * min(cell / width, 1 / height) + (cell / 2, 0.5)
    points[..., 0] += cell * np.arange(len(points))[:, None, None]
    for actor in reversed(range(points.shape[1])):
        left, right = COLOURS[actor % len(COLOURS)]
        for side, colour in ((False, right), (True, left)):
            bones = BONES[[(joint in LEFT) == side for joint, _ in BONES]]
            lines = points[:, actor][:, bones].reshape(-1, 2, 2)
            lines = lines[np.isfinite(lines).all((1, 2))]
            axis.add_collection(LineCollection(lines, colors=colour, linewidths=line_width, capstyle="round"))
        heads = points[:, actor, HEAD]
        axis.plot(*heads.T, "o", color=right, markersize=2.6 * line_width, markeredgewidth=0)
