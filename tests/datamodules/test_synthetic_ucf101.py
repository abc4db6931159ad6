"""The embedded UCF101: its files and lists, groups that share a scene, and appearance that helps."""

import numpy as np
import pytest

from datamodules import SyntheticUCF101DataModule
from datamodules.readers.video import VideoReader
from datamodules.synthetic_ucf101 import CLASSES, OWN_APPEARANCE, draw_pose, draw_scene

NAMES = list(CLASSES)


def tiny(cache, **changes):
    arguments = {"groups": 9, "clips": 1, "video_frames": 6, "num_frames": 4, "num_workers": 0}
    return SyntheticUCF101DataModule(cache=cache, **{**arguments, **changes})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    module = tiny(tmp_path_factory.mktemp("ucf101"), global_batch_size=5)
    module.prepare_data()
    module.setup("fit")
    return module


def test_it_is_written_in_the_official_layout_and_read(data):
    lists = data.root / "ucfTrainTestlist"
    assert (lists / "classInd.txt").read_bytes().startswith(b"1 Bouncing\r\n2 Circling\r\n")
    assert (lists / "trainlist01.txt").read_bytes().startswith(b"Bouncing/v_Bouncing_g08_c01.avi 1\r\n")
    assert (lists / "testlist01.txt").read_bytes().startswith(b"Bouncing/v_Bouncing_g01_c01.avi\r\n")
    assert np.bincount(data.train_samples.labels.tolist()).tolist() == [2] * 10
    assert np.bincount(data.val_samples.labels.tolist()).tolist() == [7] * 10
    assert data.class_names == NAMES == sorted(NAMES)
    assert data.num_classes == 10
    assert data.flip_keeps_labels
    for row in range(len(data.train_samples)):
        folder, file = data.train_samples.path(row).split("/")[-2:]
        assert file.startswith(f"v_{folder}_g0")
        assert folder == NAMES[data.train_samples.labels[row]]
    batch = next(iter(data.train_dataloader()))
    assert batch["clip"].shape == (5, 1, 4, 32, 32, 3)
    with VideoReader(data.train_samples.path(0)) as video:
        assert video.fps == pytest.approx(16)
        assert video.num_frames == 6


def test_content_depends_on_its_seed_alone(data, tmp_path):
    again = tiny(tmp_path)
    again.prepare_data()
    files = [path.relative_to(data.root) for path in data.root.rglob("*") if path.is_file()]
    assert len(files) == 93
    for file in files:
        assert (again.root / file).read_bytes() == (data.root / file).read_bytes()
    assert tiny(tmp_path, content_seed=1).root != again.root


def test_few_samples_are_of_all_classes(data):
    few = tiny(data.root.parent, samples=10)
    few.prepare_data()
    few.setup("fit")
    assert sorted(few.train_samples.labels.tolist()) == [*range(10)]
    assert len(few.val_samples) == 70


def test_half_of_the_groups_look_like_their_class():
    shapes = [draw_scene(1, 40, 48, np.random.default_rng(seed)).look.shape for seed in range(400)]
    own = np.mean([shape == "square" for shape in shapes])
    # The others have any appearance, and every shape is that of two classes.
    expected = OWN_APPEARANCE + (1 - OWN_APPEARANCE) / 5
    assert abs(own - expected) < 3 * np.sqrt(expected * (1 - expected) / 400)
    tints = [draw_scene(label, 8, 8, np.random.default_rng(3)).background.mean((0, 1)) for label in (0, 5)]
    assert np.abs(tints[0] - tints[1]).max() > 50


def test_classes_are_told_by_motion_and_kept_by_a_mirror():
    for label, name in enumerate(NAMES):
        sides = set()
        for seed in range(20):
            pose = draw_pose(label, 30, 40, 48, np.random.default_rng([label, seed]))
            x, y, scale, angle = (np.diff(values) for values in pose)
            moves = [bool(np.any(values)) for values in (x, y, scale, angle)]
            if name == "Travelling":
                sides.add(np.sign(x[0]))
            elif name == "Spinning":
                sides.add(np.sign(angle[0]))
            assert (
                moves
                == {
                    "Bouncing": [False, True, False, False],
                    "Circling": [True, True, False, False],
                    "Falling": [False, True, False, False],
                    "Growing": [False, False, True, False],
                    "Rising": [False, True, False, False],
                    "Shrinking": [False, False, True, False],
                    "Spinning": [False, False, False, True],
                    "Standing": [False, False, False, False],
                    "Swinging": [True, False, False, False],
                    "Travelling": [True, False, False, False],
                }[name]
            )
        if name in ("Travelling", "Spinning"):
            assert sides == {-1, 1}


def test_arguments_out_of_range(tmp_path):
    with pytest.raises(ValueError, match="groups=7 must be more than 7"):
        tiny(tmp_path, groups=7)
    with pytest.raises(ValueError, match="video_frames=1"):
        tiny(tmp_path, video_frames=1)
