"""From how many frames on a data set is recognised no better (thesis B.5, equation B.1)."""

import torch
from torch import Tensor


def interpolate(frames: Tensor, accuracy: Tensor) -> tuple[Tensor, Tensor]:
    """Estimate the accuracy at each number of frames from those that were measured, linearly.

    Args:
        frames: int64 (K,), rising.
        accuracy: float (K,).

    Returns:
        Every number from the first to the last, int64 (N,), and its accuracy, float64 (N,).
    """
    at = torch.arange(int(frames[0]), int(frames[-1]) + 1)
    after = torch.searchsorted(frames, at).clamp(min=1)
    before = after - 1
    share = (at - frames[before]).double() / (frames[after] - frames[before])
    return at, torch.lerp(accuracy.double()[before], accuracy.double()[after], share)


def temporal_awareness(frames: Tensor, accuracy: Tensor, alpha: float = 1.0) -> int:
    """Equation B.1: the number of frames from which on one more improves the accuracy by less than ``alpha`` %.

    The equation takes the first such number, which on a curve that rises and then stays is the same. A curve may dip by
    chance, though, and rise again: read is, as the thesis describes it, where the accuracy has plateaued. Where it
    rises to the end this is the greatest number that was measured, as the thesis gives 32 for EPIC-Kitchens-100.

    Args:
        frames: int64 (K,), numbers of frames that were measured, rising, at least two.
        accuracy: float (K,), of each; not all need to rise.
        alpha: relative improvement in percent.

    Raises:
        ValueError: there are less than two numbers, they do not rise, or an accuracy is not above 0.
    """
    if len(frames) < 2 or len(frames) != len(accuracy) or bool((frames.diff() <= 0).any()):
        raise ValueError(f"frames={frames.tolist()} must be at least two rising numbers, with an accuracy for each")
    if bool((accuracy <= 0).any()):
        raise ValueError(f"accuracy={accuracy.tolist()} must be above 0: the improvement is relative to it")
    at, value = interpolate(frames, accuracy)
    rising = (100 * value.diff() / value[:-1] >= alpha).nonzero()[:, 0]
    return int(at[rising[-1] + 1] if len(rising) else at[0])
