"""The embedded UCFRep: its layout, cycles that are there, and counts that its lengths do not tell."""

import numpy as np
import pytest

from datamodules import SyntheticUCFRepDataModule
from datamodules.readers.video import VideoReader
from datamodules.synthetic_ucfrep import CLASSES, draw_bounds, draw_pose


def tiny(cache, **changes):
    arguments = {"groups": 21, "clips": 1, "height": 8, "width": 8, "crop_size": 8, "num_workers": 0}
    return SyntheticUCFRepDataModule(cache=cache, **{**arguments, **changes})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    module = tiny(tmp_path_factory.mktemp("ucfrep"))
    module.prepare_data()
    module.setup("fit")
    return module


def test_it_is_written_in_the_real_layout_and_read(data):
    assert (data.root / "UCF-101/Bouncing/v_Bouncing_g01_c01.avi").is_file()
    assert (data.root / "annotations/train/v_Bouncing_g20_c01.mat").is_file()
    assert (data.root / "annotations/val/v_Swinging_g21_c01.mat").is_file()
    assert (len(data.train_samples), len(data.val_samples)) == (100, 5)
    batch = next(iter(data.train_dataloader()))
    assert batch["frames"].shape[0] == 16 and batch["frames"].shape[2:] == (8, 8, 3)
    with VideoReader(data.val_samples.path(0)) as video:
        assert video.num_frames >= data.val_samples.cycles(0)[-1]


def test_content_depends_on_its_seed_alone(data, tmp_path):
    again = tiny(tmp_path)
    again.prepare_data()
    files = [path.relative_to(data.root) for path in data.root.rglob("*") if path.is_file()]
    assert len(files) == 210
    for file in files:
        assert (again.root / file).read_bytes() == (data.root / file).read_bytes()
    assert tiny(tmp_path, content_seed=1).root != again.root


def test_how_long_the_cycles_last_does_not_tell_their_number():
    rng = np.random.default_rng(0)
    bounds = [draw_bounds(rng) for _ in range(2000)]
    count = np.array([len(bound) - 1 for bound in bounds])
    frames = np.array([bound[-1] - bound[0] for bound in bounds])
    assert count.min() == 2 and np.quantile(count, 0.1) <= 3 and np.quantile(count, 0.9) >= 10
    assert frames.max() < 160
    by_length = min(np.mean(np.abs(frames / cycle - count) / count) for cycle in range(6, 50))
    assert by_length > 0.4


@pytest.mark.parametrize("name", CLASSES)
def test_a_motion_comes_back_with_each_cycle_and_not_before(name):
    bounds = np.array([3, 13, 21, 33])
    pose = np.stack(draw_pose(name, bounds, 40, 32, 48, np.random.default_rng(1)))
    pose[3] = np.sin(pose[3])
    at_bounds = pose[:, bounds - 1]
    assert np.allclose(at_bounds, at_bounds[:, :1], atol=1e-4)
    assert np.allclose(pose[:, :3], pose[:, :1], atol=1e-4) and np.allclose(pose[:, 33:], pose[:, 32:33], atol=1e-4)
    assert np.abs(pose[:, 7] - pose[:, 2]).max() > 0.1


def test_arguments_out_of_range_are_one_line(tmp_path):
    with pytest.raises(ValueError, match="groups=20 must be more than 20"):
        tiny(tmp_path, groups=20)
    with pytest.raises(ValueError, match="clips=0"):
        tiny(tmp_path, clips=0)
    with pytest.raises(ValueError, match="height=9 and width=8 must be even"):
        tiny(tmp_path, height=9)
