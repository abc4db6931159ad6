"""Arrow of time: each video in both directions, frames spread over it, and the embedded set."""

import numpy as np
import pytest
import torch
from fakes import moving_texture, write_video
from listed_fakes import report

from datamodules import ArrowOfTimeDataModule, SyntheticArrowOfTimeDataModule
from datamodules.readers.video import VideoReader
from datamodules.sampling.resumable_sampler import Draw
from datamodules.sampling.whole_video import WholeVideoSampler
from datamodules.synthetic_arrow_of_time import CLASSES, draw_pose


class Timeline:
    fps = 25.0

    def __init__(self, num_frames):
        self.num_frames = num_frames


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ucf101")
    lists = folder / "ucfTrainTestlist"
    lists.mkdir()
    (lists / "classInd.txt").write_text("1 Walk\r\n2 Run\r\n")
    (lists / "trainlist01.txt").write_text("Walk/v_Walk_g08_c01.avi 1\r\nRun/v_Run_g08_c01.avi 2\r\n")
    (lists / "testlist01.txt").write_text("Run/v_Run_g01_c01.avi\r\n")
    for name in ("Walk/v_Walk_g08_c01", "Run/v_Run_g08_c01", "Run/v_Run_g01_c01"):
        write_video(folder / "UCF-101" / f"{name}.avi", moving_texture(30, 24, 32), codec="mpeg4")
    return folder


def data(root, **changes):
    arguments = {"crop_size": 16, "short_side": 20, "global_batch_size": 4, "num_workers": 0}
    return ArrowOfTimeDataModule(root, **{**arguments, **changes})


def test_each_video_comes_both_ways(root, tmp_path, caplog):
    module = data(root)
    line = report(module, tmp_path, caplog)
    assert "4 training videos, 2 for evaluation, 2 classes; each video both ways" in line
    assert "listed are 2 and 1, official are 9,537 and 3,783" in line
    assert module.class_names == ["forwards", "backwards"]
    assert module.train_samples.labels.tolist() == [0, 1, 0, 1]
    assert [module.train_samples.path(row).rpartition("/")[2] for row in range(4)] == (
        ["v_Walk_g08_c01.avi"] * 2 + ["v_Run_g08_c01.avi"] * 2
    )
    (batch,) = module.test_dataloader()
    assert batch["clip"].shape == (2, 1, 8, 16, 16, 3)
    assert batch["video"].tolist() == [0, 1]
    torch.testing.assert_close(batch["clip"][1], batch["clip"][0].flip(1))
    with VideoReader(module.val_samples.path(0)) as video:
        # 30 frames have 8 parts of 3.75, whose middles are these.
        images = video.read(np.array([1, 5, 9, 13, 16, 20, 24, 28]), 20)
    np.testing.assert_array_equal(batch["clip"][0, 0], images[:, 2:18, 5:21])


def test_training_draws_the_offset_alone(root):
    module = data(root)
    module.setup("fit")
    dataset = module.dataset(module.train_samples, training=True)
    with VideoReader(module.train_samples.path(0)) as video:
        for seed in range(4):
            generator = torch.Generator().manual_seed(seed)
            torch.randint(1, (), generator=generator)  # the short side
            offset = torch.rand(1, dtype=torch.float64, generator=generator).item()
            frames = ((np.arange(8) + offset) * 30 / 8).astype(int)
            expected = video.read(frames, 20)[:, 2:18, 5:21]
            np.testing.assert_array_equal(dataset[Draw(0, seed)]["clip"][0], expected)
            np.testing.assert_array_equal(dataset[Draw(1, seed)]["clip"][0], expected[::-1])


@pytest.mark.parametrize("num_frames", [3, 8, 29, 200])
def test_frames_are_spread_over_the_whole_video(num_frames):
    sampler = WholeVideoSampler(8, 40)
    clips = sampler.random(Timeline(num_frames), torch.Generator().manual_seed(0))
    assert clips.shape == (40, 8)
    starts = np.arange(9) * num_frames / 8
    assert (clips >= np.floor(starts[:-1])).all() and (clips < np.ceil(starts[1:])).all()
    assert len(np.unique(clips[:, 3])) > num_frames / 16
    steps = np.diff(clips)
    assert steps.min() >= num_frames // 8 and steps.max() <= -(-num_frames // 8)
    first = WholeVideoSampler(8, 2).evenly_spaced(Timeline(num_frames))[:, 0]
    assert first.tolist() == [int(0.25 * num_frames / 8), int(0.75 * num_frames / 8)]


def test_a_resume_draws_the_same(root):
    batches = []
    for _ in range(2):
        module = data(root, global_batch_size=2, seed=3)
        module.setup("fit")
        batches.append(list(module.train_dataloader()))
    assert len(batches[0]) == 2
    for one, other in zip(*batches, strict=True):
        torch.testing.assert_close(one["clip"], other["clip"])
        assert one["label"].tolist() == other["label"].tolist()


def test_the_embedded_set_is_written_and_read(tmp_path):
    small = {"groups": 8, "clips": 1, "video_frames": 8, "height": 36, "width": 36}
    module = SyntheticArrowOfTimeDataModule(tmp_path, **small, num_workers=0)
    module.prepare_data()
    module.setup("fit")
    assert (len(module.train_samples), len(module.val_samples)) == (10, 70)
    assert module.num_classes == 2
    assert (module.root / "UCF-101" / "Rolling" / "v_Rolling_g08_c01.avi").is_file()
    batch = next(iter(module.val_dataloader()))
    assert batch["clip"].shape == (64, 1, 8, 32, 32, 3)
    with pytest.raises(ValueError, match="groups=7 must be more than 7"):
        SyntheticArrowOfTimeDataModule(tmp_path, groups=7)


def test_embedded_motions_lose_momentum():
    for label, name in enumerate(CLASSES):
        for seed in range(10):
            pose = draw_pose(label, 60, 40, 48, np.random.default_rng([label, seed]))
            moves = np.abs(np.diff(np.stack(pose), axis=1)).max(0)
            assert moves[:20].max() > 1.2 * moves[40:].max(), name
