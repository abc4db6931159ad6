"""The grid of clips, and which samples keep their labels."""

import numpy as np
import pytest
import torch

from datamodules.sample_list import SampleList
from datamodules.sampling.clip_grid import grid_frames, grid_size
from datamodules.sampling.few_labels import labelled


@pytest.mark.parametrize(("frames", "clips"), [(1, 1), (15, 1), (16, 1), (31, 1), (32, 2), (103, 6)])
def test_number_of_clips(frames, clips):
    assert grid_size(frames, 16) == clips


def test_clips_follow_each_other():
    np.testing.assert_array_equal(grid_frames(np.arange(2), 4, 9), [[0, 1, 2, 3], [4, 5, 6, 7]])


def test_a_short_video_repeats_its_last_frame():
    np.testing.assert_array_equal(grid_frames(np.array([0]), 4, 2), [[0, 1, 1, 1]])


def names(count=30, classes=3):
    return SampleList((f"S001C001P001R001A{number:03d}", number % classes) for number in range(count))


def chosen(samples, per_class, seed=0):
    keep = labelled(samples, per_class, seed)
    return {samples.path(row) for row in keep.nonzero()[:, 0].tolist()}


def test_so_many_of_each_class():
    samples = names()
    assert torch.bincount(samples.labels[labelled(samples, 4, 0)]).tolist() == [4, 4, 4]


def test_fewer_labels_are_among_more():
    assert chosen(names(), 2) < chosen(names(), 5) < chosen(names(), 9)


def test_seeds_differ():
    assert chosen(names(), 3, 0) != chosen(names(), 3, 1)


def test_the_choice_depends_on_names_alone():
    backwards = SampleList((f"S001C001P001R001A{number:03d}", number % 3) for number in reversed(range(30)))
    assert chosen(names(), 3) == chosen(backwards, 3)
    without = names().select(torch.tensor([names().path(row) not in chosen(names(), 3) for row in range(30)]))
    assert chosen(without, 2).isdisjoint(chosen(names(), 3))
    some_left_out = names().select(torch.arange(30) < 27)
    assert chosen(names(), 3) - chosen(some_left_out, 3) <= {
        f"S001C001P001R001A{number:03d}" for number in (27, 28, 29)
    }


def test_too_few_samples_of_a_class_are_an_error():
    with pytest.raises(ValueError, match=r"labels_per_class=11: class 0 has 10 training samples"):
        labelled(names(), 11, 0)


def test_samples_without_a_label_are_never_chosen():
    samples = SampleList([("a", -1), ("b", 0), ("c", -1)])
    assert labelled(samples, 1, 0).tolist() == [False, True, False]
