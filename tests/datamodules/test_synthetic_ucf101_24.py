"""The embedded UCF101-24: its files and boxes, and what the classes look like."""

import numpy as np
import pytest

from datamodules import SyntheticUCF10124DataModule
from datamodules.moving_shapes import Look, Pose, Thing
from datamodules.readers.tubes import read_tubes
from datamodules.synthetic_ucf101_24 import CLASSES, draw_scene, place


def tiny(cache, **changes):
    arguments = {"train_videos": 2, "test_videos": 1, "video_frames": 10, "num_frames": 4, "num_workers": 0}
    return SyntheticUCF10124DataModule(cache=cache, **{**arguments, **changes})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    module = tiny(tmp_path_factory.mktemp("ucf101_24"), global_batch_size=5)
    module.prepare_data()
    module.setup("fit")
    return module


def test_it_is_written_in_the_real_format_and_read(data):
    videos = read_tubes(data.root / "finalAnnots.mat")
    assert len(videos) == 18
    assert data.class_names == list(CLASSES) == sorted(CLASSES)
    assert (data.root / "testlist01.txt").read_text().startswith("Bouncing/v_Bouncing_g01_c01\nCircling/")
    for video in videos:
        assert video.num_frames == 10
        assert (data.root / "UCF-101" / f"{video.name}.avi").is_file()
        for tube in video.tubes:
            assert video.name.startswith(f"{data.class_names[tube.label]}/v_")
            assert (tube.boxes[:, :2] < tube.boxes[:, 2:]).all()
            assert (tube.boxes >= 0).all() and (tube.boxes <= (64, 48, 64, 48)).all()
    assert (len(data.train_samples), len(data.val_samples)) == (120, 6)
    batch = next(iter(data.train_dataloader()))
    assert batch["clip"].shape == (5, 4, 48, 48, 3)
    assert data.box_sizes.shape[1] == 2 and (data.box_sizes > 0).all()


def test_content_depends_on_its_seed_alone(data, tmp_path):
    again = tiny(tmp_path)
    again.prepare_data()
    for name in ("UCF-101/Growing/v_Growing_g02_c01.avi", "testlist01.txt"):
        assert (again.root / name).read_bytes() == (data.root / name).read_bytes()
    assert tiny(tmp_path, content_seed=1).root != again.root


def test_boxes_are_tight():
    look = Look("square", np.zeros((2, 3), np.float32), 2.0)
    # A square's half side is 0.8 of its radius; the second frame is turned by 45 degrees.
    pose = Pose(*(np.array(column, np.float32) for column in ([20, 30], [24, 24], [1, 1], [0, np.pi / 4])))
    thing, boxes = place(Thing(pose, 10.0, look), (0.0, 1.0), 48, 64)
    assert thing.pose.x.tolist() == [20, 30]
    np.testing.assert_allclose(boxes[0], [12, 16, 28, 32], atol=1)
    half = 8 * np.sqrt(2)
    np.testing.assert_allclose(boxes[1], [30 - half, 24 - half, 30 + half, 24 + half], atol=1)


def test_objects_stay_in_their_part_of_the_picture():
    look = Look("disc", np.zeros((2, 3), np.float32), 2.0)
    pose = Pose(*(np.array(column, np.float32) for column in ([-5, 10], [40, 60], [1, 1], [0, 0])))
    thing, boxes = place(Thing(pose, 6.0, look), (0.5, 1.0), 48, 64)
    assert thing.pose.x.tolist() == [38, 53]
    # From 34 to 66 high, it is moved up to the picture's edge at 48.
    assert thing.pose.y.tolist() == [22, 42]
    assert boxes[:, 0].min() >= 32 and boxes[:, 3].max() <= 48


def test_actions_take_place_in_parts_and_by_two():
    scenes = [draw_scene(0, 30, 48, 64, np.random.default_rng(seed)) for seed in range(24)]
    parts = [scene for scene in scenes if scene.end - scene.start < 30]
    assert 3 < len(parts) < 18
    assert 1 < sum(len(scene.boxes) == 2 for scene in scenes) < 13
    for scene in parts:
        assert 10 <= scene.end - scene.start <= 20
        for outside in (scene.boxes[:, : scene.start + 1], scene.boxes[:, scene.end - 1 :]):
            assert (outside == outside[:, :1]).all()
        assert np.ptp(scene.boxes[:, scene.start : scene.end], axis=1).max() > 2


def test_impossible_numbers_are_refused(tmp_path):
    with pytest.raises(ValueError, match="test_videos=0 must be at least 1"):
        tiny(tmp_path, test_videos=0)
    with pytest.raises(ValueError, match="height=47 and width=64 must be even"):
        tiny(tmp_path, height=47)
