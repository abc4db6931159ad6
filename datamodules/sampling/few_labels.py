"""Which samples are used, where only a few of each class are."""

import math
import os
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
        rows.sort(key=lambda row: _digest(f"{seed} {samples.path(row)}"))
        keep[rows[:per_class]] = True
    return keep


def uniform(samples: SampleList, total: int, seed: int) -> Tensor:
    """Choose a number of samples, as evenly over the classes as they allow (section 4.4: from 1,000 videos on).

    In turns each class gives one sample, until the number is reached; one that has none left gives its turns to the
    others. Which sample, and which classes have a turn more than others, depends on the seed and the file names
    without folder and extension alone: all models get the same samples, and so do copies of a data set elsewhere or in
    another format. A smaller number is part of a larger one.

    Args:
        samples: paths and labels to choose from; those of label -1 are never chosen.
        total: samples to choose.
        seed: of this choice alone.

    Returns:
        bool (N,), True where chosen.

    Raises:
        ValueError: there are fewer samples with a label, or ``total`` is less than 1.
    """
    classes: dict[int, list[int]] = {}
    for row, label in enumerate(samples.labels.tolist()):
        if label >= 0:
            classes.setdefault(label, []).append(row)
    known = sum(map(len, classes.values()))
    if not 1 <= total <= known:
        raise ValueError(f"samples={total} must be at least 1 and at most the {known:,} labelled training videos")

    def place(row: int) -> bytes:
        name = os.path.splitext(os.path.basename(samples.path(row)))[0]
        start, end = samples.segment(row) or (0.0, math.inf)
        return _digest(f"{seed} {name} {start:g} {end:g}")

    def up_to(turn: int) -> int:
        return sum(min(len(rows), turn) for rows in classes.values())

    turns = max(turn for turn in range(max(map(len, classes.values())) + 1) if up_to(turn) <= total)
    left = [label for label, rows in classes.items() if len(rows) > turns]
    left.sort(key=lambda label: _digest(f"{seed} {turns} {label}"))
    one_more = set(left[: total - up_to(turns)])
    keep = torch.zeros(len(samples), dtype=torch.bool)
    for label, rows in classes.items():
        keep[sorted(rows, key=place)[: turns + (label in one_more)]] = True
    return keep


def _digest(text: str) -> bytes:
    return blake2b(text.encode(errors="surrogateescape"), digest_size=8).digest()
