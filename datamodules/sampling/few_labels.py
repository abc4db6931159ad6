"""Which samples keep their labels, where only a few of each class do."""

from hashlib import blake2b

import torch
from torch import Tensor

from datamodules.sample_list import SampleList


def labelled(samples: SampleList, per_class: int, seed: int) -> Tensor:
    """Choose a number of samples of each class.

    A sample's place in the choice depends on the seed and its name alone: all methods get the same samples, whatever
    modalities they read, and a smaller number is part of a larger one.

    Args:
        samples: names and labels to choose from; those of label -1 are never chosen.
        per_class: samples of each class.
        seed: of this choice alone.

    Returns:
        bool (N,), True where chosen.

    Raises:
        ValueError: a class has fewer samples.
    """
    keep = torch.zeros(len(samples), dtype=torch.bool)
    for label in sorted(set(samples.labels.tolist())):
        rows = (samples.labels == label).nonzero()[:, 0].tolist()
        if label < 0:
            continue
        if len(rows) < per_class:
            raise ValueError(
                f"labels_per_class={per_class}: class {label} has {len(rows)} training samples; take at most so many"
            )
        rows.sort(key=lambda row: blake2b(f"{seed} {samples.path(row)}".encode(), digest_size=8).digest())
        keep[rows[:per_class]] = True
    return keep
