"""The embedded AVA: its files and lists, boxes around what moves, and several actions at once."""

import numpy as np
import pytest

from datamodules import SyntheticAVADataModule
from datamodules.readers.video import VideoReader
from datamodules.synthetic_ava import ACTIONS, PLACES, draw_actors, draw_findings


def tiny(cache, **changes):
    arguments = {"train_videos": 4, "val_videos": 8, "seconds": 3, "num_workers": 0, "global_batch_size": 3}
    return SyntheticAVADataModule(cache, **{**arguments, **changes})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    module = tiny(tmp_path_factory.mktemp("ava"))
    module.prepare_data()
    module.setup("fit")
    return module


def test_it_is_written_in_the_official_formats_and_read(data):
    lists = data.root / "annotations"
    first = (lists / "ava_train_v2.2.csv").read_text().splitlines()[0].split(",")
    assert (first[:2], len(first)) == (["synth000000", "0901"], 8)
    given = [line.split(",") for line in (lists / "ava_val_predicted_boxes.csv").read_text().splitlines()]
    assert {(len(row), row[6]) for row in given} == {(8, "")}
    assert any(float(row[7]) < 0.9 for row in given) and all(float(row[7]) <= 1 for row in given)
    excluded = (lists / "ava_val_excluded_timestamps_v2.2.csv").read_text().splitlines()
    assert excluded
    assert len(data.train_samples) == 4 * 2
    assert len(data.val_samples) == 8 * 2 - len(excluded)
    assert data.evaluated_classes == tuple(range(6))
    assert (data.num_classes, data.class_names[:6]) == (8, [*ACTIONS[:6]])
    assert data.class_frequencies[6:].tolist() == [1, 0]
    batch = next(iter(data.train_dataloader()))
    assert batch["clip"].shape == (3, 8, 40, 40, 3)
    batch = next(iter(data.test_dataloader()))
    assert batch["clip"].shape[1:] == (8, 48, 72, 3)
    with VideoReader(data.root / "videos/synth000000.mp4") as video:
        assert (video.num_frames, video.fps) == (30, pytest.approx(10))


def test_content_depends_on_its_seed_alone(data, tmp_path):
    again = tiny(tmp_path)
    again.prepare_data()
    files = [path.relative_to(data.root) for path in data.root.rglob("*") if path.is_file()]
    assert len(files) == 12 + 5
    for file in files:
        assert (again.root / file).read_bytes() == (data.root / file).read_bytes()
    assert tiny(tmp_path, content_seed=1).root != again.root


def test_objects_do_what_their_actions_say():
    counts, seen = set(), set()
    for seed in range(40):
        actors = draw_actors(30, 48, 72, np.random.default_rng(seed))
        counts.add(len(actors))
        for actor in actors:
            names = {ACTIONS[action - 1] for action in actor.actions}
            seen |= names
            x, y, scale, angle = (np.ptp(values) > 0 for values in actor.thing.pose)
            assert (x, y) == {
                "stand": (False, False),
                "swing sideways": (True, False),
                "swing up and down": (False, True),
                "circle": (True, True),
            }[(names & set(PLACES)).pop()]
            assert ("pulse" in names, "spin" in names) == (scale, angle)
            for frame in range(30):
                x1, y1, x2, y2 = actor.box(frame, 48, 72)
                assert 0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1
    assert counts == {1, 2, 3}
    assert seen == set(ACTIONS) - {"leaves"}


def test_a_detector_is_mostly_right():
    boxes = [(0.1, 0.1, 0.3, 0.4), (0.6, 0.5, 0.9, 0.9)]
    rng = np.random.default_rng(0)
    found = [draw_findings(boxes, rng) for _ in range(300)]
    sure = [[box for box, score in rows if score >= 0.9] for rows in found]
    assert 1.9 < np.mean([len(rows) for rows in sure]) < 2.1
    assert 2.3 < np.mean([len(rows) for rows in found]) < 2.5
    for rows in found:
        for x1, y1, x2, y2 in (box for box, _ in rows):
            assert 0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1


def test_arguments_out_of_range(tmp_path):
    with pytest.raises(ValueError, match="seconds=1 must be at least 2"):
        tiny(tmp_path, seconds=1)
    with pytest.raises(ValueError, match="height=47"):
        tiny(tmp_path, height=47)
