import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules.readers.video import VideoReader
from datamodules.sample_list import SampleList
from datamodules.sampling.clips import ClipSampler, Segment
from datamodules.sampling.resumable_sampler import Draw
from datamodules.video_dataset import MAX_TRIES, UnreadableVideosError, VideoDataset
from tests.fakes import write_video

FPS = 25
NUM_FRAMES = 50


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos whose grey tells the frame's number."""
    folder = tmp_path_factory.mktemp("segments")
    greys = np.arange(NUM_FRAMES, dtype=np.uint8)[:, None, None, None] * 4 + 20
    frames = np.broadcast_to(greys, (NUM_FRAMES, 32, 32, 3))
    for name in ("a.mp4", "a.mkv"):
        write_video(folder / name, frames, FPS)
    write_video(folder / "a.avi", frames, FPS, codec="mpeg4", options={"qmin": "1", "qmax": "1"})
    return folder


def numbers(clip: torch.Tensor) -> np.ndarray:
    """Frame numbers of a clip, by its greys."""
    return np.rint((clip.float().mean((-3, -2, -1)).numpy() - 20) / 4).astype(int)


def dataset(samples: SampleList, training: bool, fps: float | None = None, num_frames: int = 4) -> VideoDataset:
    return VideoDataset(samples, ClipSampler(num_frames, 5, (1, 2), False, fps), (32,), 32, training)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
@pytest.mark.parametrize("fps", [None, 12.5])
def test_clips_are_drawn_inside_the_segment(name: str, fps: float | None, folder: Path) -> None:
    samples = SampleList([(str(folder / name), 0)], [(0.4, 0.8)])  # frames 10 to 19
    seen = {int(n) for seed in range(30) for n in numbers(dataset(samples, True, fps)[Draw(0, seed)]["clip"]).flat}
    assert seen == set(range(10, 20))
    clips = numbers(dataset(samples, False, fps)[Draw(0, 0)]["clip"])
    assert clips[0, 0] == 10
    assert clips[-1, -1] == 19
    assert np.diff(clips, axis=1).min() == (1 if fps is None else 2)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
def test_a_segment_holds_the_frames_on_screen_in_it(name: str, folder: Path) -> None:
    with VideoReader(folder / name) as video:
        for first in range(0, NUM_FRAMES, 7):
            for length in (1, 2, 9):
                part = Segment(video, first / FPS, (first + length) / FPS)
                assert (part.first_frame, part.num_frames) == (first, min(length, NUM_FRAMES - first))
                times = np.array([-1, 0, 0.5, length - 0.5, length + 3]) / FPS
                assert part.frame_at(times).tolist() == [0, 0, 0, part.num_frames - 1, part.num_frames - 1]
        between = Segment(video, 0.41, 0.43)
        assert (between.first_frame, between.num_frames) == (10, 1)
        assert Segment(video, 1.0, float("inf")).num_frames == 25
        assert Segment(video, 1.9, 7.0).num_frames == 3  # 47.5 to the end
        with pytest.raises(ValueError, match=r"segment 2.1 to 3 s starts after its end \(2 s\)"):
            Segment(video, 2.1, 3.0)


def test_a_segment_shorter_than_a_clip_repeats_its_last_frame(folder: Path) -> None:
    samples = SampleList([(str(folder / "a.mp4"), 0)], [(0.4, 0.48)])
    for fps in (None, 25):
        assert numbers(dataset(samples, False, fps)[Draw(0, 0)]["clip"])[0].tolist() == [10, 11, 11, 11]


def test_a_segment_after_the_end_is_broken_and_replaced(folder: Path) -> None:
    paths = [str(folder / name) for name in ("a.mp4", "a.mkv")]
    samples = SampleList([(paths[0], 0), (paths[1], 1)], [(3.0, 4.0), (0.0, 1.0)])
    sample = dataset(samples, True)[Draw(0, 0)]
    assert (sample["label"], sample["path"]) == (1, paths[1])
    assert sample["broken"] == [f"{paths[0]}: its segment 3 to 4 s starts after its end (2 s); check the list"]


def test_a_broken_video_of_many_segments_is_tried_once(folder: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"nothing")
    many = 3 * MAX_TRIES
    bounds = [(float(number), number + 1.0) for number in range(many)] + [(0.0, 1.0)]
    samples = SampleList([*((str(bad), 0) for _ in range(many)), (str(folder / "a.mp4"), 1)], bounds)
    sample = dataset(samples, True)[Draw(3, 0)]
    assert (sample["label"], sample["video"], len(sample["broken"])) == (1, many, 1)
    with pytest.raises(UnreadableVideosError, match="nor can the 0 videos after it"):
        dataset(samples.select(samples.labels == 0), True)[Draw(3, 0)]


def test_segments_are_held_in_a_tensor_and_stay_with_their_samples() -> None:
    bounds = [(number / 4, number / 4 + 1) for number in range(1000)]
    samples = SampleList(((f"{number}.mp4", number % 7) for number in range(1000)), bounds)
    assert all(isinstance(value, torch.Tensor) for value in vars(samples).values())
    part = pickle.loads(pickle.dumps(samples.subset(0.1, 3)))
    for row in range(len(part)):
        assert part.segment(row) == bounds[int(part.path(row).removesuffix(".mp4"))]
    assert SampleList([("a", 0)]).segment(0) is None


def test_bad_segments_get_one_line() -> None:
    for start, end in ((2.0, 2.0), (3.0, 1.0), (-0.5, 1.0), (float("nan"), 1.0)):
        with pytest.raises(ValueError, match=r"b.mp4: .* s is no segment; correct the list"):
            SampleList([("a.mp4", 0), ("b.mp4", 0)], [(0.0, float("inf")), (start, end)])
    with pytest.raises(ValueError, match="1 segments for 2 samples"):
        SampleList([("a.mp4", 0), ("b.mp4", 0)], [(0.0, 1.0)])
