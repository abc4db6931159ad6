"""Which samples are used, where only a few of each class are."""

from hashlib import blake2b
from pathlib import PurePath

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
    labels = samples.labels.tolist()
    known = [row for row, label in enumerate(labels) if label >= 0]
    if not 1 <= total <= len(known):
        raise ValueError(f"samples={total} must be at least 1 and at most the {len(known):,} labelled training videos")

    def name(row: int) -> str:
        of_file = PurePath(samples.path(row)).stem
        segment = samples.segment(row)
        return of_file if segment is None else f"{of_file} {segment[0]:g} {segment[1]:g}"

    order = sorted((_digest(f"{seed} {name(row)}"), row) for row in known)
    turns: dict[int, int] = {}
    places = []
    for _, row in order:
        turn = turns[labels[row]] = turns.get(labels[row], -1) + 1
        places.append((turn, _digest(f"{seed} {turn} {labels[row]}"), row))
    keep = torch.zeros(len(samples), dtype=torch.bool)
    keep[[row for _, _, row in sorted(places)[:total]]] = True
    return keep


def _digest(text: str) -> bytes:
    return blake2b(text.encode(errors="surrogateescape"), digest_size=8).digest()
