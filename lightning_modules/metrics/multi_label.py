"""Mean average precision where a sample has any number of classes."""

import torch
from torch import Tensor


def average_precision(score: Tensor, present: Tensor) -> Tensor:
    """Average precision of each class: the mean, over its samples, of the precision at each one's rank.

    No interpolation, as in the official evaluation of Charades (``map.py`` of gsig/charades-algorithms, after
    ``Charades_v1_classify.m``). Samples of the same score share a rank, as in scikit-learn, so that their order is of
    no account: one score for all has the class's frequency. The official scripts leave it to the sort.

    Args:
        score: float (N, C), any that grows with the probability.
        present: bool (N, C), the classes of each sample.

    Returns:
        float64 (C,), 0..1, NaN for a class without samples.
    """
    num_samples = len(score)
    order = score.argsort(dim=0, descending=True)
    sorted_score, hit = score.gather(0, order), present.gather(0, order)
    rank = torch.arange(num_samples, device=score.device)[:, None].expand_as(hit)
    # The last rank of those that share a score: the next one, from each rank on, at which the score falls.
    falls = torch.ones_like(hit)
    falls[:-1] = sorted_score[:-1] > sorted_score[1:]
    last = torch.where(falls, rank, num_samples).flip(0).cummin(0).values.flip(0)
    precision = hit.cumsum(0).gather(0, last) / (last + 1).double()
    return (precision * hit).sum(0) / hit.sum(0)


def charades_map(score: Tensor, present: Tensor) -> Tensor:
    """Mean average precision of Charades.

    As in the official evaluation, samples without any class are left out (it ranks them last, for all classes).
    Classes without samples, which there are none of in the official test list, are left out too.

    Args:
        score: float (N, C), any that grows with the probability.
        present: bool (N, C), the classes of each sample.

    Returns:
        float64 (), 0..1; NaN where no sample has a class.
    """
    some = present.any(1)
    return average_precision(score[some], present[some]).nanmean()


def frequency_map(present: Tensor) -> Tensor:
    """What ``charades_map`` gives where all samples have the same scores, such as the classes' frequencies.

    Args:
        present: bool (N, C), the classes of each sample.

    Returns:
        float64 (), 0..1; NaN where no sample has a class.
    """
    return charades_map(torch.zeros(present.shape, device=present.device), present)
