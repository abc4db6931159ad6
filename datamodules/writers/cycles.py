"""Cycles of repeated motions to UCFRep's ``.mat`` files; ``readers/cycles.py`` tells of the format."""

import io
from pathlib import Path

import numpy as np
from scipy.io import savemat

from datamodules.readers.cycles import neighbour_lengths

# In place of the text that scipy begins a file with, which holds the time: the same cycles give the same bytes.
_TEXT = b"MATLAB 5.0 MAT-file".ljust(116)


def write_cycles(file: Path, bounds: np.ndarray) -> None:
    """Write the cycles of a video.

    Args:
        file: ends in ``.mat``.
        bounds: int64 (C + 1,), frames counted from 1, rising.
    """
    previous, following = neighbour_lengths(bounds)
    label = {
        "duration": _smallest(bounds[-1] - bounds[0] + 1),
        "start_frame": _smallest(bounds[0]),
        "end_frame": _smallest(bounds[-1]),
        "temporal_bound_num": _smallest(len(bounds)),
        "temporal_bound": _smallest(bounds)[:, None],
        "offset_next_estimate": np.where(following > 0, following, -1).astype(np.int32)[None],
        "offset_pre_estimate": np.where(previous > 0, previous, -1).astype(np.int16)[None],
    }
    content = io.BytesIO()
    savemat(content, {"label": label}, do_compression=True)
    file.write_bytes(_TEXT + content.getvalue()[len(_TEXT) :])


def _smallest(values: np.ndarray | int) -> np.ndarray:
    """Return values in the smallest unsigned type that holds them, as MATLAB saves them."""
    numbers = np.asarray(values)
    return numbers.astype(np.min_scalar_type(int(numbers.max())))
