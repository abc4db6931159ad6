"""Which frames make a clip."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from datamodules.readers.video import VideoReader
from datamodules.sampling.clips import ClipSampler
from tests.fakes import write_video


@dataclass
class Steady:
    """A video of constant frame rate."""

    num_frames: int
    fps: float = 30.0

    def frame_at(self, seconds):
        return np.clip(np.floor(seconds * self.fps + 1e-6), 0, self.num_frames - 1).astype(np.int64)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_starts_and_strides_are_uniform_over_all_that_fit():
    sampler = ClipSampler(num_frames=4, num_clips=6000, strides=(1, 3), temporal_jitter=False)
    clips = sampler.random(Steady(12), generator())
    assert clips.shape == (6000, 4) and clips.dtype == np.int64
    stride = np.diff(clips, axis=1)
    assert np.all(stride == stride[:, :1])
    assert abs(np.mean(stride[:, 0] == 1) - 0.5) < 0.03
    for value, starts in ((1, 9), (3, 3)):  # 12 - 4 + 1 and 12 - 10 + 1 starts
        counts = np.bincount(clips[stride[:, 0] == value, 0], minlength=starts)
        assert len(counts) == starts
        expected = counts.sum() / starts
        # chi square stays within five standard deviations of its mean
        assert np.sum((counts - expected) ** 2 / expected) < starts - 1 + 5 * np.sqrt(2 * (starts - 1))


def test_jitter_moves_each_frame_within_its_stride():
    sampler = ClipSampler(num_frames=5, num_clips=4000, strides=(4,))
    moved = sampler.random(Steady(17), generator()) - 4 * np.arange(5)  # one start only: 17 = 4 * 4 + 1
    assert moved[:, :4].min() == 0 and moved[:, :4].max() == 3
    assert np.all(np.abs(moved[:, :4].mean(axis=0) - 1.5) < 0.1)
    assert abs(np.corrcoef(moved[:, 0], moved[:, 1])[0, 1]) < 0.06
    assert np.all(moved[:, 4] == 0)  # the last frame of the video: nothing to move to


def test_jitter_leaves_stride_one_alone():
    clips = ClipSampler(num_frames=8, num_clips=50, strides=(1,)).random(Steady(40), generator())
    assert np.all(np.diff(clips, axis=1) == 1)


def test_same_generator_state_same_clips():
    sampler = ClipSampler(num_clips=3)
    first = sampler.random(Steady(200), generator(5))
    assert np.array_equal(first, sampler.random(Steady(200), generator(5)))
    assert not np.array_equal(first, sampler.random(Steady(200), generator(6)))


@pytest.mark.parametrize("fps", [None, 16.0])
@pytest.mark.parametrize("num_frames", [1, 2, 15, 16, 17, 61, 300])
def test_frames_exist_and_never_go_back(num_frames, fps):
    sampler = ClipSampler(num_frames=16, num_clips=20, fps=fps)
    for clips in (sampler.random(Steady(num_frames), generator()), sampler.evenly_spaced(Steady(num_frames))):
        assert clips.shape == (20, 16) and clips.dtype == np.int64
        assert clips.min() >= 0 and clips.max() < num_frames
        assert np.all(np.diff(clips, axis=1) >= 0)


def test_video_shorter_than_the_clip_starts_at_zero_and_repeats_the_last_frame():
    sampler = ClipSampler(num_frames=6, strides=(2,), temporal_jitter=False)
    assert sampler.random(Steady(5), generator()).tolist() == [[0, 2, 4, 4, 4, 4]]
    assert sampler.evenly_spaced(Steady(5)).tolist() == [[0, 2, 4, 4, 4, 4]]


def test_test_clips_are_even_from_first_to_last():
    sampler = ClipSampler(num_frames=4, num_clips=3, strides=(2, 5))
    assert sampler.evenly_spaced(Steady(27)).tolist() == [[0, 2, 4, 6], [10, 12, 14, 16], [20, 22, 24, 26]]
    assert ClipSampler(num_frames=4, strides=(2,)).evenly_spaced(Steady(27)).tolist() == [[10, 12, 14, 16]]


def test_by_time_takes_the_rate_whatever_the_video():
    sampler = ClipSampler(num_frames=32, fps=16.0)
    for fps in (8.0, 25.0, 60.0):
        video = Steady(round(10 * fps), fps)
        times = sampler.random(video, generator())[0] / fps
        assert times[-1] - times[0] == pytest.approx(31 / 16, abs=1.1 / fps)
    starts = ClipSampler(num_frames=2, num_clips=4000, fps=10.0).random(Steady(100, 100.0), generator())[:, 0]
    assert starts.min() <= 1 and starts.max() >= 87 and abs(starts.mean() - 44) < 2


def test_by_time_on_a_variable_frame_rate(tmp_path):
    # 10 frames of 100 ms, then 10 of 20 ms: 1.18 s to the last.
    times = [100 * i for i in range(10)] + [1000 + 20 * i for i in range(10)]
    with VideoReader(write_video(tmp_path / "vfr.mp4", 20, times=times)) as video:
        clip = ClipSampler(num_frames=12, num_clips=2, fps=10.0).evenly_spaced(video)[0]  # starts at 0
        expected = np.searchsorted(times, 100 * np.arange(12), side="right") - 1
        assert clip.tolist() == expected.tolist()


@pytest.mark.parametrize(
    "arguments",
    [{"num_frames": 0}, {"num_clips": 0}, {"strides": ()}, {"strides": (0, 1)}, {"fps": 0.0}, {"fps": float("nan")}],
)
def test_bad_numbers(arguments):
    with pytest.raises(ValueError, match="must be"):
        ClipSampler(**arguments)


def test_by_time_needs_a_frame_rate():
    with pytest.raises(ValueError, match="sample by strides"):
        ClipSampler(fps=16.0).random(Steady(20, 0.0), generator())


@pytest.mark.parametrize(("fps", "starts"), [(None, [0, 4, 8, 12, 16, 17]), (5.0, [0, 4, 8, 10])])
def test_sliding_clips_cover_the_video(fps, starts):
    found = ClipSampler(num_frames=8, strides=(1, 2), fps=fps).sliding(Steady(25, fps=10), hop=0.4)
    assert found.frames[:, 0].tolist() == starts and found.frames[-1, -1] == 24
    np.testing.assert_allclose(found.times[:, 0], np.array(starts) / 10)
    np.testing.assert_allclose(found.times[:-1, 1] - found.times[:-1, 0], 0.8 if fps is None else 1.6)
    assert found.times[-1, 1] == pytest.approx(2.5)


def test_sliding_over_a_short_video():
    found = ClipSampler(num_frames=8, strides=(2,)).sliding(Steady(3, fps=10))
    assert found.frames.tolist() == [[0, 2, 2, 2, 2, 2, 2, 2]]
    np.testing.assert_allclose(found.times, [[0, 0.3]])


def test_sliding_needs_a_frame_rate():
    with pytest.raises(ValueError, match="frame rate is unknown"):
        ClipSampler().sliding(Steady(30, fps=0))
