"""Cycles of repeated motions, as UCFRep's ``.mat`` files tell them.

A file holds one struct ``label``: ``temporal_bound`` (n, 1), frames counted from 1 that the cycles start with, and the
one that the last ends with; ``temporal_bound_num`` n; ``start_frame`` and ``end_frame``, the first and the last of
them; ``duration``, frames from one to the other, both counted; and ``offset_next_estimate`` and
``offset_pre_estimate`` (1, duration), which `neighbour_lengths` gives as well.
"""

from pathlib import Path

import numpy as np
from scipy.io import loadmat

FIELDS = ("duration", "start_frame", "end_frame", "temporal_bound_num", "temporal_bound")

# Lengths of two cycles between which there is one in proportion: they differ by this share of the shorter, or by so
# many frames. Found in the 526 files, all of whose values it gives.
MAX_CHANGE, SMALL_CHANGE = 0.3, 2

_COPY = "copy the file again from the dataset"


def read_cycles(file: Path) -> np.ndarray:
    """Read the bounds of a video's cycles.

    Returns:
        int64 (C + 1,), frames counted from 1, rising.

    Raises:
        ValueError: it is no such file, or what it says does not agree: one line with the file.
    """
    try:
        content = loadmat(file)
    except Exception as error:  # scipy raises many kinds on files that are cut short or none of its own
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{file}: cannot be read as a .mat file ({reason}); {_COPY}") from error
    label = content.get("label")
    lacking = [name for name in FIELDS if name not in (getattr(label, "dtype", np.dtype(int)).names or ())]
    if label is None or lacking or label.size != 1:
        what = "label" if label is None or label.size != 1 else f"label.{lacking[0]}"
        raise ValueError(f"{file}: has no {what}; {_COPY}")
    values = {name: np.asarray(label[name].item()).reshape(-1) for name in FIELDS}
    wrong = [name for name, value in values.items() if not _are_frames(value)]
    if wrong:
        raise ValueError(f"{file}: label.{wrong[0]} is no row of whole numbers; {_COPY}")
    bounds = values["temporal_bound"].astype(np.int64)
    duration, first, last, count = (int(values[name][0]) for name in FIELDS[:-1])
    if len(bounds) < 2 or bounds[0] < 1:
        raise ValueError(f"{file}: temporal_bound is {_text(bounds)}, no cycle from frame 1 on; correct it")
    if (np.diff(bounds) <= 0).any():
        raise ValueError(f"{file}: temporal_bound is {_text(bounds)}, which does not rise; correct it")
    if (count, first, last, duration) != (len(bounds), bounds[0], bounds[-1], bounds[-1] - bounds[0] + 1):
        raise ValueError(
            f"{file}: temporal_bound_num={count}, start_frame={first}, end_frame={last}, duration={duration} are not "
            f"those of temporal_bound ({_text(bounds)}); correct it"
        )
    return bounds


def neighbour_lengths(bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lengths of the cycles behind and ahead of each frame.

    At the frame between two cycles these are their lengths; on the way through a cycle the length behind goes over, in
    proportion, from that of the cycle before to its own, and the length ahead from its own to that of the next. Unknown
    are the length behind in the first cycle, that ahead in the last, and both where the two cycles differ too much.

    Args:
        bounds: int64 (C + 1,), rising.

    Returns:
        The lengths behind and ahead, whole frames in float32 (T,), T from the first bound to the last, both counted; 0
        where unknown.
    """
    lengths = np.diff(bounds)
    time = np.arange(bounds[-1] - bounds[0] + 1) + bounds[0]
    cycle = np.minimum(np.searchsorted(bounds, time, side="right") - 1, len(lengths) - 1)
    share = (time - bounds[cycle]) / lengths[cycle]
    known = np.zeros(len(lengths) + 1, bool)  # of each bound, whether the cycles around it are alike
    shorter = np.minimum(lengths[:-1], lengths[1:])
    known[1:-1] = np.abs(np.diff(lengths)) <= np.maximum(MAX_CHANGE * shorter, SMALL_CHANGE)

    def between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        a, b = (lengths[row.clip(0, len(lengths) - 1)] for row in (first, second))  # what is not there is not known
        return np.asarray(np.floor(a + (b - a) * share + 0.5))

    previous = np.where(known[cycle], between(cycle - 1, cycle), 0)
    following = np.where(known[cycle + 1], between(cycle, cycle + 1), 0)
    return previous.astype(np.float32), following.astype(np.float32)


def _are_frames(values: np.ndarray) -> bool:
    if not len(values) or values.dtype.kind not in "uif":
        return False
    return bool(np.isfinite(values).all() and (values == np.floor(values)).all())


def _text(bounds: np.ndarray) -> str:
    numbers = [str(bound) for bound in bounds[:6].tolist()]
    return " ".join(numbers + (["..."] if len(bounds) > 6 else []))
