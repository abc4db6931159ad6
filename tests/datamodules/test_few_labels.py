from collections import Counter
from itertools import pairwise

import pytest
import torch

from datamodules.sample_list import SampleList
from datamodules.sampling.few_labels import uniform


def listed(sizes: dict[int, int], form: str = "/data/class {label}/v_{label}_{number}.avi") -> SampleList:
    return SampleList(
        (form.format(label=label, number=number), label) for label, size in sizes.items() for number in range(size)
    )


def chosen(samples: SampleList, total: int, seed: int = 0) -> list[str]:
    kept = samples.select(uniform(samples, total, seed))
    return [kept.path(row).rpartition("/")[2].partition(".")[0] for row in range(len(kept))]


def test_as_many_of_each_class_as_there_can_be() -> None:
    samples = listed({label: 95 for label in range(101)})
    kept = samples.select(uniform(samples, 1000, 0))
    assert len(kept) == 1000
    counts = Counter(kept.labels.tolist())
    assert sorted(counts) == list(range(101))
    assert set(counts.values()) == {9, 10}
    assert Counter(counts.values())[10] == 1000 - 9 * 101


def test_small_classes_give_their_turns_to_others() -> None:
    samples = listed({0: 2, 1: 50, 2: 5, 3: 50})
    kept = samples.select(uniform(samples, 47, 0))
    assert Counter(kept.labels.tolist()) == {0: 2, 1: 20, 2: 5, 3: 20}
    assert len(chosen(samples, 107)) == 107


def test_nested_and_the_same_for_every_copy() -> None:
    samples = listed({0: 3, 4: 40, 2: 17})
    for seed in (0, 1):
        parts = [set(chosen(samples, total, seed)) for total in range(1, 61)]
        assert [len(part) for part in parts] == list(range(1, 61))
        assert all(small < large for small, large in pairwise(parts))
    other = listed({2: 17, 4: 40, 0: 3}, "elsewhere/v_{label}_{number}.mp4")
    assert set(chosen(other, 20)) == set(chosen(samples, 20))
    assert set(chosen(samples, 20, seed=1)) != set(chosen(samples, 20))
    assert chosen(samples, 20) != [f"v_{label}_{number}" for label in (0, 4, 2) for number in range(7)][:20]


def test_segments_of_one_video_are_samples_of_their_own() -> None:
    bounds = [(float(number), number + 1.0) for number in range(30)]
    samples = SampleList((("video.mp4", 0) for _ in bounds), bounds)
    kept = samples.select(uniform(samples, 10, 0))
    assert kept.bounds is not None
    starts = kept.bounds[:, 0].tolist()
    assert len(set(starts)) == 10
    assert starts == sorted(starts) != list(range(10))


def test_only_labelled_samples_count() -> None:
    samples = SampleList([("a", 0), ("b", -1), ("c", 1)])
    assert uniform(samples, 2, 0).equal(torch.tensor([True, False, True]))
    for total in (3, 0):
        with pytest.raises(ValueError, match=f"samples={total} must be at least 1 and at most the 2 labelled"):
            uniform(samples, total, 0)
    with pytest.raises(ValueError, match="at most the 0 labelled"):
        uniform(SampleList([("a", -1)]), 1, 0)
