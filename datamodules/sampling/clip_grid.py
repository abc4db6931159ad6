"""The grid of clips of a video: N = frames / clip length clips one after another (thesis, equations 2.2 and 2.3)."""

import numpy as np


def grid_size(num_frames: int, clip_length: int) -> int:
    """Return how many clips a video has: N of equation 2.3, rounded down, at least 1."""
    return max(1, num_frames // clip_length)


def grid_frames(clips: np.ndarray, clip_length: int, num_frames: int) -> np.ndarray:
    """Return the frames of clips.

    Args:
        clips: int64 (N,), numbers of clips in the grid, from 0.
        clip_length: T.
        num_frames: of the video, at least 1.

    Returns:
        int64 (N, T): clip i covers frames i * T .. (i + 1) * T - 1; a video shorter than T repeats its last frame.
    """
    frames = np.asarray(clips, np.int64)[:, None] * clip_length + np.arange(clip_length)
    return np.asarray(np.minimum(frames, num_frames - 1))
