"""Maps of features: which samples, where they are put, and that the same seed gives the same."""

import csv

import matplotlib.image
import numpy as np
import pytest
import torch
from pytorch_lightning import Trainer

from callbacks import FeatureMap
from callbacks.feature_map import choose_samples, draw_maps, embed
from datamodules import NTUSkeletonDataModule
from lightning_modules import Retrieval, SkeletonContrast
from lightning_modules.networks import BiGRU
from lightning_modules.views.skeleton import SequenceCrop, SkeletonAugmentation
from tests.skeleton_fakes import write_actions


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_actions(tmp_path_factory.mktemp("ntu"), classes=4)


def data(root):
    return NTUSkeletonDataModule(root, eval_batch_size=8, num_workers=0)


def run(folder, module, module_data, **changes):
    trainer = Trainer(
        default_root_dir=folder,
        callbacks=[FeatureMap(**{"num_classes": 3, "num_panels": 2, **changes})],
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.test(module, module_data, verbose=False)
    with (folder / "pictures" / "features.csv").open(newline="") as file:
        return list(csv.DictReader(file)), matplotlib.image.imread(folder / "pictures" / "features.png")


def network():
    torch.manual_seed(0)
    return BiGRU(6, 1)


@pytest.mark.parametrize("method", [Retrieval, SkeletonContrast])
def test_map_of_a_test(method, root, tmp_path):
    """The same of retrieval and of contrast: both show the features of the centre."""
    if method is Retrieval:
        module = Retrieval([network()], crop=SequenceCrop(num_frames=8))
    else:
        module = SkeletonContrast([network()], queue_size=8, augmentation=SkeletonAugmentation(num_frames=8))
    rows, picture = run(tmp_path, module, data(root))
    assert [row["panel"] for row in rows] == ["1"] * 18 + ["2"] * 18
    panels = [{row["class"] for row in rows if row["panel"] == panel} for panel in "12"]
    assert len(panels[0]) == len(panels[1]) == 3
    assert panels[0] != panels[1]
    assert all(int(row["name"][-3:]) - 1 == int(row["label"]) for row in rows)
    assert {row["class"] for row in rows} <= {"drink water", "eat meal/snack", "brushing teeth", "brushing hair"}
    assert picture.std() > 0.05
    again, _ = run(tmp_path / "again", module, data(root))
    assert again == rows


def test_samples_are_drawn_by_the_seed():
    label = np.repeat([0, 1, 2, 3, 4, -1], 20)
    first = choose_samples(label, 3, 2, 11, 0)
    assert [np.bincount(label[sample]).max() for sample in first] == [5, 5, 5]
    classes = [frozenset(label[sample].tolist()) for sample in first]
    assert len(set(classes)) == 3
    assert {len(part) for part in classes} == {2}
    assert not any(-1 in part for part in classes)
    for sample, again in zip(first, choose_samples(label, 3, 2, 11, 0), strict=True):
        np.testing.assert_array_equal(sample, again)
    assert [frozenset(label[sample].tolist()) for sample in choose_samples(label, 3, 2, 11, 1)] != classes


def test_one_panel_where_there_is_one_set_of_classes():
    (sample,) = choose_samples(np.array([0, 1, 0, 1]), 3, 10, 2000, 0)
    assert sample.tolist() == [0, 1, 2, 3]


def test_clusters_stay_apart():
    random = np.random.default_rng(0)
    label = np.repeat(np.arange(3), 15)
    feature = 10 * np.eye(8)[label] * random.uniform(1, 9, (45, 1)) + 0.05 * random.normal(size=(45, 8))
    panel = embed(feature.astype(np.float32), label, np.arange(45), 10, 0)
    gaps = np.linalg.norm(panel.place[:, None] - panel.place, axis=-1) + 1e9 * np.eye(45)
    assert (label[gaps.argmin(1)] == label).all()
    few = embed(feature[:4].astype(np.float32), label[:4], np.arange(4), 30, 0)
    assert np.isfinite(few.place).all()


def test_picture_shows_the_points():
    panel = embed(np.eye(8, dtype=np.float32), np.arange(8) % 2, np.arange(8), 2, 0)
    picture = draw_maps([panel], None)
    assert (picture != draw_maps([panel._replace(place=panel.place[::-1] * 1.5)], None)).any()
    assert (picture != draw_maps([panel._replace(label=1 - panel.label)], None)).any()
    assert (picture != draw_maps([panel], ["a", "b"])).any()


def test_without_labels_there_is_no_map(root, tmp_path):
    module_data = data(root)
    module_data.setup("test")
    module_data.val_samples = module_data.train_samples
    module = SkeletonContrast([network()], queue_size=8, augmentation=SkeletonAugmentation(num_frames=8))
    with pytest.warns(UserWarning, match="FeatureMap: too few labelled samples"), pytest.raises(FileNotFoundError):
        run(tmp_path, module, module_data)


@pytest.mark.parametrize("wrong", [{"num_panels": 0}, {"num_classes": 0}, {"max_points": 3}, {"perplexity": 0}])
def test_wrong_numbers_are_refused(wrong):
    with pytest.raises(ValueError, match="{}={}".format(*next(iter(wrong.items())))):
        FeatureMap(**wrong)
