"""Action detection on given boxes: a step by hand, flips, sizes, resume, two processes, and that it learns."""

import numpy as np
import pytest
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch.nn import functional

from callbacks import PredictionWriter
from datamodules import SyntheticAVADataModule
from lightning_modules import ActionDetection
from lightning_modules.action_detection import cell_size, flip_boxes
from lightning_modules.networks import I3D, R2Plus1D
from tests.recognition_fakes import Crash, Record, Save, trainer

CLASSES = 8  # of the embedded AVA


def network(**changes):
    torch.manual_seed(0)
    arguments = {"widths": (4, 8), "blocks": (1, 1), "norm": "group"}
    return R2Plus1D(**{**arguments, **changes})


def model(backbone=None, **changes):
    arguments = {"num_classes": CLASSES, "dropout": 0.0, "pooled_size": 3, "learning_rate": 0.05, "warmup_epochs": 0}
    return ActionDetection(backbone or network(), **{**arguments, **changes})


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("ava")


def data(cache, **changes):
    arguments = {"train_videos": 6, "val_videos": 5, "seconds": 3, "num_frames": 4, "eval_num_frames": 4}
    sizes = {"global_batch_size": 4, "eval_batch_size": 3, "num_workers": 0}
    module = SyntheticAVADataModule(cache, **{**arguments, **sizes, **changes})
    module.prepare_data()
    return module


def batch(sizes=((32, 32), (32, 32)), boxes=(2, 1)):
    """Clips of noise with boxes."""
    generator = torch.Generator().manual_seed(1)
    height, width = (max(size[axis] for size in sizes) for axis in range(2))
    clip = torch.randint(256, (len(sizes), 4, height, width, 3), generator=generator, dtype=torch.uint8)
    low = 0.5 * torch.rand(sum(boxes), 2, generator=generator)
    none = torch.empty(0).long()
    return {
        "clip": clip,
        "size": torch.tensor(sizes),
        "box": torch.cat((low, low + 0.4), 1),
        "box_row": torch.arange(len(boxes)).repeat_interleave(torch.tensor(boxes)),
        "target": torch.randint(2, (sum(boxes), CLASSES), generator=generator).float(),
        "true_box": torch.empty(0, 4),
        "true_label": none,
        "true_row": none,
        "sample": torch.arange(len(sizes)),
        "name": [f"film,{row:04d}" for row in range(len(sizes))],
        "broken": [],
    }


def step(detector, content):
    """Loss of one training step, without a trainer."""
    detector.batches_done = lambda: 0
    detector.log = lambda *args, **kwargs: None
    return detector.training_step(content, 0)


def test_a_step_by_hand():
    """A box of whole cells: with one bin of one sample a cell, RoIAlign reads the maps themselves."""
    detector = model(pooled_size=2, flip_probability=0.0)
    content = batch(boxes=(1, 1))
    assert detector.cell == 4
    content["box"] = torch.tensor([[0.25, 0.5, 0.5, 0.75], [0.5, 0.0, 0.75, 0.25]])  # 2 x 2 of 8 x 8 cells
    maps = detector.networks[0].forward_maps(detector.crop.centre(content["clip"])).mean(2)
    features = torch.stack((maps[0, :, 4:6, 2:4].amax((1, 2)), maps[1, :, 0:2, 4:6].amax((1, 2))))
    logits = features @ detector.classifier.weight.T + detector.classifier.bias
    expected = functional.binary_cross_entropy(logits.sigmoid(), content["target"])
    torch.testing.assert_close(step(detector, content), expected)


def test_every_parameter_gets_a_gradient():
    detector = model()
    step(detector, batch()).backward()
    assert not [name for name, value in detector.named_parameters() if value.grad is None or not value.grad.any()]


def test_a_batch_without_boxes_changes_nothing():
    detector = model()
    loss = step(detector, batch(boxes=(0, 0)))
    assert loss == 0
    loss.backward()
    assert all(value.grad is None or not value.grad.any() for value in detector.parameters())


def test_boxes_flip_with_their_clips():
    box = torch.tensor([[0.1, 0.2, 0.4, 0.9], [0.1, 0.2, 0.4, 0.9]])
    expected = torch.tensor([[0.6, 0.2, 0.9, 0.9], [0.1, 0.2, 0.4, 0.9]])
    torch.testing.assert_close(flip_boxes(box, torch.tensor([True, False])), expected)
    mirrored = batch()
    mirrored["clip"] = mirrored["clip"].flip(3)
    mirrored["box"] = flip_boxes(mirrored["box"], torch.ones(3, dtype=torch.bool))
    always, never = model(flip_probability=1.0), model(flip_probability=0.0)
    torch.testing.assert_close(step(always, batch()), step(never, mirrored))
    assert not torch.isclose(step(never, batch()), step(never, mirrored), rtol=1e-4)


def test_scores_do_not_depend_on_the_other_clips():
    """Smaller pictures are filled up in a batch; what they are filled with is not seen."""
    detector = model().eval()
    content = batch(((32, 48), (24, 32), (32, 48)), (2, 2, 1))
    together = detector(content)
    for row, (height, width) in enumerate(content["size"].tolist()):
        mine = content["box_row"] == row
        clip = content["clip"][row : row + 1, :, :height, :width]
        alone = detector.box_logits(clip, content["box"][mine], torch.zeros(int(mine.sum()), dtype=torch.long))
        torch.testing.assert_close(together[mine], alone)
    assert detector(batch(boxes=(0, 0))).shape == (0, CLASSES)


def test_cells():
    assert cell_size(R2Plus1D((4, 4, 4, 4), (1, 1, 1, 1))) == 16  # as the full one
    assert model().cell == 4
    fine = model(fine_maps=True)
    assert fine.cell == 2
    assert fine.networks[0].arguments["spatial_strides"] == [1, 1]
    assert {name: value.shape for name, value in fine.state_dict().items()} == {
        name: value.shape for name, value in model().state_dict().items()
    }
    with pytest.raises(ValueError, match="fine_maps is of residual networks: leave it out with I3D"):
        model(I3D(), fine_maps=True)
    with pytest.raises(ValueError, match="dropout=1"):
        model(dropout=1)


def test_it_measures_and_resumes(cache, tmp_path):
    """Stopped before step 2 of 3 and continued: the same losses and weights as in one go, dropout included."""
    whole, runs = Record(), tmp_path / "runs"
    detector = model(dropout=0.5)
    run = trainer(runs, whole, max_epochs=1)
    run.fit(detector, data(cache))
    assert set(run.callback_metrics) == {"train/loss", "val/map", "val/map_of_class_frequencies"}
    validated = float(run.callback_metrics["val/map"])
    assert len(whole.losses) == 3
    save = ModelCheckpoint(dirpath=tmp_path, every_n_train_steps=1, save_last=True, save_top_k=0)
    with pytest.raises(RuntimeError, match="killed"):
        trainer(runs, save, Crash(2), max_epochs=1).fit(model(dropout=0.5), data(cache))
    rest, resumed = Record(), model(dropout=0.5)
    torch.manual_seed(99)
    trainer(runs, rest, max_epochs=1).fit(resumed, data(cache), ckpt_path=tmp_path / "last.ckpt")
    assert rest.losses == whole.losses[2:]
    torch.testing.assert_close(resumed.state_dict(), detector.state_dict())
    (scores,) = run.test(detector, data(cache), verbose=False)
    assert scores["test/map"] == pytest.approx(validated)
    # All boxes alike, scored by 0.4 and the like: what is left is the share of the classes, and less for wrong boxes.
    assert 0.1 < scores["test/map_of_class_frequencies"] < 0.6
    module = data(cache)
    trainer(runs, PredictionWriter(tmp_path)).predict(detector, module)
    rows = np.load(tmp_path / "predictions.npz")
    count = len(module.val_samples.box)
    assert {name: rows[name].shape for name in rows} == {
        "score": (count, CLASSES),
        "box": (count, 4),
        "keyframe": (count,),
        "name": (count,),
    }


def test_two_processes_equal_one(cache, tmp_path):
    """Clips hold unlike numbers of boxes, and 10 less the excluded keyframes do not divide by two."""
    for devices in (1, 2):
        strategy = "ddp_fork" if devices > 1 else "auto"
        trainer(tmp_path, Save(tmp_path), max_epochs=1, devices=devices, strategy=strategy).fit(model(), data(cache))
    one, *two = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("1_0", "2_0", "2_1"))
    assert set(one["metrics"]) == {"val/map", "val/map_of_class_frequencies"}
    for other in two:
        assert other["metrics"] == pytest.approx(one["metrics"], rel=1e-3)
        torch.testing.assert_close(other["state"], one["state"], rtol=1e-3, atol=1e-4)
