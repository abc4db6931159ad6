"""The embedded Something-Something: its files and lists, and pairs of classes that single frames do not tell apart."""

import json

import numpy as np
import pytest

from datamodules import SyntheticSomethingSomethingDataModule
from datamodules.readers.video import VideoReader
from datamodules.synthetic_something_something import PAIRS, TEMPLATES, draw_approach, render


def tiny(cache, **changes):
    arguments = {"train_videos": 20, "val_videos": 10, "video_frames": 12, "num_frames": 4, "num_workers": 0}
    return SyntheticSomethingSomethingDataModule(cache=cache, **{**arguments, **changes})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    module = tiny(tmp_path_factory.mktemp("something"), global_batch_size=5)
    module.prepare_data()
    module.setup("fit")
    return module


def row_of(template):
    return TEMPLATES.index(template)


def frames_of(template, seed=0, num_frames=8):
    return render(row_of(template), num_frames, 40, 48, np.random.default_rng(seed)).astype(np.float32)


def test_it_is_written_in_the_official_layout_and_read(data):
    labels = json.loads((data.root / "something-something-v2-labels.json").read_text())
    entries = json.loads((data.root / "something-something-v2-train.json").read_text())
    assert labels["Pulling something from left to right"] == str(row_of(PAIRS[0][0]))
    assert set(entries[0]) == {"id", "label", "template", "placeholders"}
    assert entries[0]["label"] == "moving object 1 and object 2 away from each other"
    assert entries[0]["placeholders"] == ["object 1", "object 2"]
    assert (data.root / "20bn-something-something-v2" / "0.webm").is_file()
    assert np.bincount(data.train_samples.labels.tolist()).tolist() == [2] * 10
    assert np.bincount(data.val_samples.labels.tolist()).tolist() == [1] * 10
    assert data.num_classes == 10
    assert data.class_names[row_of(PAIRS[0][0])] == "Pulling something from left to right"
    assert not data.flip_keeps_labels
    assert next(iter(data.train_dataloader()))["clip"].shape == (5, 1, 4, 32, 32, 3)


def test_videos_are_those_of_their_label(data):
    for row in (0, 7):
        with VideoReader(data.train_samples.path(row)) as video:
            assert video.fps == pytest.approx(16, rel=0.01)  # WebM counts milliseconds
            written = video.read(np.arange(12)).astype(float)
        label = int(data.train_samples.labels[row])
        drawn = render(label, 12, 40, 48, np.random.default_rng([0, row]))
        assert np.abs(written - drawn).mean() < 10
        assert np.abs(written[::-1] - drawn).mean() > np.abs(written - drawn).mean()


def test_content_depends_on_its_seed_alone(data, tmp_path):
    again = tiny(tmp_path)
    again.prepare_data()
    files = [path.relative_to(data.root) for path in data.root.rglob("*") if path.is_file()]
    assert len(files) == 33
    for file in files:
        assert (again.root / file).read_bytes() == (data.root / file).read_bytes()
    assert tiny(tmp_path, content_seed=1).root != again.root
    assert again.root.name == data.root.name


@pytest.mark.parametrize("pair", PAIRS)
def test_the_second_of_a_pair_is_the_first_played_backwards(pair):
    first, second = (frames_of(template) for template in pair)
    assert (first == second[::-1]).all()
    assert (first != second).any()


def shift(frames, axis):
    """Mean displacement of the picture between frames in pixels along an axis, found by trying."""
    tries = {step: np.abs(np.roll(frames[:-1], step, axis) - frames[1:]).mean() for step in range(-4, 5)}
    return min(tries, key=tries.get)


def test_left_and_right_are_what_the_labels_say():
    for seed in range(5):
        # When the camera turns to the right, all that it sees moves to the left.
        assert shift(frames_of("Turning the camera right while filming [something]", seed), axis=2) < 0
        assert shift(frames_of("Turning the camera left while filming [something]", seed), axis=2) > 0
    moved = []
    for seed in range(40):
        frames = frames_of("Pulling [something] from left to right", seed, 3)
        weight = np.abs(np.diff(frames, axis=0)).sum((1, 3))  # (T - 1, W): where it changes
        moved.append(np.sign((weight[1] - weight[0]) @ (np.arange(48) - 23.5)))
    assert np.mean(moved) > 0.2


def test_objects_come_closer():
    for seed in range(5):
        one, other = draw_approach(8, 40, 48, np.random.default_rng(seed))
        steps = np.diff(np.hypot(one.x - other.x, one.y - other.y))
        assert (steps < 0).sum() >= 6  # one jump back at most


def test_arguments_out_of_range(tmp_path):
    with pytest.raises(ValueError, match="height=41"):
        tiny(tmp_path, height=41)
    with pytest.raises(ValueError, match="val_videos"):
        tiny(tmp_path, val_videos=0)
