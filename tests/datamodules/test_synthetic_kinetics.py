"""The embedded data: real files, written once, in which only motion tells the class."""

import csv
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from datamodules import SyntheticKineticsDataModule
from datamodules.moving_shapes import CLASSES, motion, render


def tiny(cache, **changes):
    arguments = {"train_videos": 24, "val_videos": 12, "video_frames": 16, "num_frames": 4, "num_workers": 0}
    return SyntheticKineticsDataModule(cache=cache, **{**arguments, **changes})


def test_writes_a_kinetics_and_reads_it(tmp_path):
    data = tiny(tmp_path, global_batch_size=8)
    data.prepare_data()
    with (data.root / "train.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["label", "youtube_id", "time_start", "time_end", "split", "is_cc"]
    assert len(rows) == 24
    assert len(rows[0]["youtube_id"]) == 11
    assert (data.root / "train" / "moving left" / "syn00000001_000000_000001.mp4").is_file()
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert batch["clip"].shape == (8, 1, 4, 32, 32, 3)
    assert data.num_classes == len(CLASSES)
    assert {path.split("/")[-2] for path in batch["path"]} <= set(CLASSES)


def test_written_once_and_the_same_again(tmp_path):
    first, second = tiny(tmp_path / "a"), tiny(tmp_path / "b")
    first.prepare_data()
    times = {path: path.stat().st_mtime_ns for path in first.root.rglob("*.mp4")}
    first.prepare_data()
    assert {path: path.stat().st_mtime_ns for path in first.root.rglob("*.mp4")} == times
    second.prepare_data()
    for path in times:
        assert path.read_bytes() == (second.root / path.relative_to(first.root)).read_bytes()
    assert tiny(tmp_path / "a", video_seed=1).root != first.root


def test_processes_that_start_together_share_one_folder(tmp_path):
    modules = [tiny(tmp_path) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda module: module.prepare_data(), modules))
    assert [path.name for path in tmp_path.iterdir()] == [modules[0].root.name]
    assert len(list(modules[0].root.rglob("*.mp4"))) == 36


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("datamodules.synthetic_kinetics.write_video", full_disk)
    with pytest.raises(OSError, match="No space left"):
        tiny(tmp_path).prepare_data()
    assert not list(tmp_path.iterdir())


def test_appearance_is_independent_of_the_class():
    """The middle frames of two classes have the same statistics; the motion between frames has not."""
    videos = {
        label: [render(label, 16, 40, 48, np.random.default_rng([label, i])) for i in range(60)] for label in (0, 8)
    }
    means = {label: np.array([video[8].mean((0, 1)) for video in clips]) for label, clips in videos.items()}
    error = np.sqrt(sum(values.var(0) for values in means.values()) / 60)
    assert (np.abs(means[0].mean(0) - means[8].mean(0)) < 3.5 * error).all()


@pytest.mark.parametrize("label", range(len(CLASSES)))
def test_motion_is_that_of_its_class(label):
    pose = motion(label, 12, 40, 48, np.random.default_rng(label))
    x, y, scale, angle = (np.diff(values) for values in pose)
    name = CLASSES[label]
    if name == "moving right":
        assert (x > 0).all()
    elif name == "moving left":
        assert (x < 0).all()
    elif name == "moving up":
        assert (y < 0).all()
    elif name == "moving down":
        assert (y > 0).all()
    elif name.startswith("circling"):
        turning = np.cross(np.stack([x, y], 1)[:-1], np.stack([x, y], 1)[1:])
        assert ((turning > 0) == (name == "circling clockwise")).all()
    elif name.startswith("swinging"):
        moving, still = (x, y) if name.endswith("sideways") else (y, x)
        assert np.ptp(moving) > 0.1
        assert (still == 0).all()
    elif name.startswith("spinning"):
        assert ((angle > 0) == (name == "spinning clockwise")).all()
    else:
        assert (np.sign(scale) == (1 if name == "growing" else -1)).sum() >= 10  # one jump back at most


def test_odd_sizes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="height=41"):
        tiny(tmp_path, height=41)
