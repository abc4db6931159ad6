"""Bodies to the skeleton text of NTU RGB+D and of PKU-MMD; ``readers/skeleton.py`` tells of the formats."""

from pathlib import Path

import numpy as np

from datamodules.depth_camera import SeenBody, pixels

# Fields that are written but mean nothing here: clipped edges, hands, lean, and the turn of each joint.
_HEADER = "%d 0 0 0 0 0 0 0 0 2\n%d\n"
_JOINT = "%.7g %.7g %.7g %.7g %.7g %.7g %.7g 0 0 0 0 %d\n"


def write_skeleton(path: Path, frames: list[list[SeenBody]]) -> None:
    """Write a recording as NTU RGB+D does.

    Args:
        path: ends in ``.skeleton``.
        frames: the bodies seen in each frame.
    """
    lines = [f"{len(frames)}\n"]
    for bodies in frames:
        lines.append(f"{len(bodies)}\n")
        for body in bodies:
            values = np.concatenate([body.joints, *pixels(body.joints), body.tracking[:, None]], 1)
            lines.append(_HEADER % (body.number, len(values)))
            lines.append(_JOINT * len(values) % tuple(values.reshape(-1).tolist()))
    path.write_text("".join(lines), encoding="ascii")


def write_pku(path: Path, frames: list[list[SeenBody]]) -> None:
    """Write a recording as PKU-MMD does: of the first two bodies, each in a place of its own.

    Args:
        path: ends in ``.txt``.
        frames: the bodies seen in each frame.
    """
    places: dict[int, int] = {}
    joints = np.zeros((len(frames), 2, 25, 3))
    for time, bodies in enumerate(frames):
        for body in bodies:
            place = places.setdefault(body.number, len(places))
            if place < 2:
                joints[time, place] = body.joints
    line = " ".join(["%.6f"] * joints[0].size)
    text = "\n ".join(line % tuple(row) for row in joints.reshape(len(frames), -1).tolist())
    path.write_text(f"{text}\n", encoding="ascii")
