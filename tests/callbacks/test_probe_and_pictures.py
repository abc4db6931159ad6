"""The probe and the contact sheet, on a run of the embedded data."""

import matplotlib.image
import numpy as np
import pytest
import torch
from pytorch_lightning import LightningModule, Trainer

from callbacks import KNNProbe, TubeletPictures
from callbacks.tubelet_pictures import draw_sheet
from datamodules import SyntheticKineticsDataModule, VideoFolderDataModule
from lightning_modules import TubeletContrast
from lightning_modules.networks import R2Plus1D


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return tmp_path_factory.mktemp("synthetic")


def data(videos):
    return SyntheticKineticsDataModule(
        cache=videos, train_videos=24, val_videos=12, video_frames=16, num_frames=4, global_batch_size=8, num_workers=0
    )


def model():
    return TubeletContrast(R2Plus1D(widths=(4, 8), blocks=(1, 1), stem_width=4), queue_size=16)


def trainer(folder, *callbacks, **changes):
    return Trainer(
        default_root_dir=folder,
        callbacks=list(callbacks),
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        limit_val_batches=0,
        **changes,
    )


def test_probe_sees_the_untrained_and_the_last_network(videos, tmp_path, capsys):
    probe = KNNProbe(every_n_epochs=2, k=5)
    trainer(tmp_path, probe, max_epochs=3).fit(model(), data(videos))
    assert list(probe.history) == [0, 2, 3]
    assert all(0 <= accuracy <= 1 for accuracy in probe.history.values())
    printed = capsys.readouterr().out
    assert "untrained" in printed
    assert "after epoch 3" in printed
    other = KNNProbe()
    other.load_state_dict(probe.state_dict())
    assert other.history == probe.history


def test_probe_in_a_test(videos, tmp_path):
    """Beside the contrast on held-out videos; the same number at every call."""
    run = trainer(tmp_path, KNNProbe(k=5))
    network = model()
    (first,) = run.test(network, data(videos))
    assert set(first) == {"test/loss", "test/pair_accuracy", "test/knn_top1"}
    assert run.test(network, data(videos)) == [first]


def test_probe_tells_good_features(videos, tmp_path):
    """A module whose feature is the label in disguise scores 100 %, one with noise does not."""

    class Oracle(LightningModule):
        def __init__(self, known):
            super().__init__()
            self.known = known
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def features(self, batch):
            count = len(batch["clip"])
            labels, self.labels = self.labels[:count], self.labels[count:]
            return torch.nn.functional.one_hot(labels, 12).float() if self.known else torch.rand(count, 12)

    module = data(videos)
    module.prepare_data()
    module.setup("fit")
    accuracy = {}
    for known in (True, False):
        torch.manual_seed(0)
        oracle = Oracle(known)
        oracle.labels = torch.from_numpy(np.concatenate([module.train_samples.labels, module.val_samples.labels]))
        run = trainer(tmp_path)
        run.datamodule = module
        probe = KNNProbe(k=1)
        probe._probe(run, oracle, 0)
        accuracy[known] = probe.history[0]
    assert accuracy[True] == 1
    assert accuracy[False] < 0.6


def test_probe_is_silent_without_labels(videos, tmp_path):
    module = data(videos)
    module.prepare_data()
    folder = VideoFolderDataModule(
        root=module.root,
        num_frames=4,
        strides=(1,),
        crop_size=32,
        short_sides=(32,),
        global_batch_size=8,
        num_workers=0,
    )
    probe = KNNProbe(every_n_epochs=1)
    trainer(tmp_path, probe, max_steps=1).fit(model(), folder)
    assert probe.history == {}


def test_pictures_show_the_first_batch(videos, tmp_path):
    trainer(tmp_path, TubeletPictures(num_pairs=2), max_steps=1).fit(model(), data(videos))
    sheet = matplotlib.image.imread(tmp_path / "pictures" / "tubelets.png")
    assert sheet.std() > 0.1
    assert min(sheet.shape[:2]) > 200


def test_sheet_draws_the_path():
    grey = [np.full((2, 20, 20, 3), 128, np.uint8)] * 2
    path = np.array([[[[2.0, 10.0], [18.0, 10.0]]]], np.float32)
    drawn = draw_sheet(grey, path, np.array([0, 1]))
    still = draw_sheet(grey, path[:, :, :1].repeat(2, 2), np.array([0, 1]))
    assert drawn.dtype == np.uint8
    assert (drawn != still).any()
