"""Drawn skeletons: what is seen from where, and that each picture shows its data."""

import matplotlib.image
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from pytorch_lightning import Trainer
from pytorch_lightning.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from callbacks import RetrievalSheet, SkeletonPictures
from callbacks.pictures import render
from callbacks.retrieval_sheet import QUERY, RIGHT, WRONG, choose_queries, panels
from callbacks.skeleton_drawing import COLOURS, draw_strip, project, thin
from callbacks.skeleton_pictures import class_name, draw_sheet
from datamodules import NTUSkeletonDataModule
from lightning_modules import Retrieval, SkeletonContrast
from lightning_modules.networks import BiGRU
from lightning_modules.views.skeleton import SequenceCrop, SkeletonAugmentation
from tests.skeleton_fakes import write_actions


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_actions(tmp_path_factory.mktemp("ntu"), noise=2.5)


def data(root):
    return NTUSkeletonDataModule(root, global_batch_size=6, eval_batch_size=8, num_workers=0)


def contrast():
    return SkeletonContrast([BiGRU(6, 1)], queue_size=8, augmentation=SkeletonAugmentation(num_frames=8))


def trainer(folder, *callbacks, **changes):
    return Trainer(
        default_root_dir=folder,
        callbacks=list(callbacks),
        accelerator="cpu",
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        limit_val_batches=0,
        **{"logger": False, **changes},
    )


def standing(frames=6, actors=1):
    """Upright along z, shoulders along x; the second actor a metre before the first."""
    skeleton = np.zeros((3, frames, 25, 2), np.float32)
    skeleton[2] = np.linspace(-0.8, 0.8, 25)[:, None]
    skeleton[0, :, [4, 5, 6, 7]] = -0.4
    skeleton[0, :, [8, 9, 10, 11]] = 0.4
    skeleton[1, ..., 1] = 1
    skeleton[..., actors:] = 0
    return skeleton


def strip(skeleton, columns=4, size=(4, 1), **changes):
    figure = Figure(figsize=size, dpi=100)
    axis = figure.add_axes((0, 0, 1, 1), frame_on=False)
    draw_strip(axis, skeleton, columns, **changes)
    return render(figure)


def painted(picture, colour):
    """Columns of a picture that hold a colour."""
    return np.flatnonzero((np.abs(picture / 255 - to_rgb(colour)) < 0.02).all(-1).any(0))


def test_seen_from_in_front():
    """Up is up, the left shoulder is on the right, and a lower place is nearer."""
    points = project(standing())
    assert points.shape == (6, 2, 25, 2)
    assert np.isnan(points[:, 1]).all()
    assert points[0, 0, 24, 1] > points[0, 0, 0, 1]
    assert points[0, 0, 4, 0] > 0 > points[0, 0, 8, 0]
    near = standing()
    near[1] = 0.5
    assert (project(near)[0, 0, :, 1] < points[0, 0, :, 1]).all()
    pair = project(standing(actors=2))
    assert np.abs(pair[0, 0, 0] - pair[0, 1, 0]).max() > 0.8


def test_thinned_frames():
    assert thin(9, 3).tolist() == [0, 4, 8]
    assert thin(2, 5).tolist() == [0, 1]


@pytest.mark.parametrize("actors", [1, 2])
def test_each_frame_and_each_actor_is_drawn(actors):
    picture = strip(standing(actors=actors))
    for actor in range(2):
        for colour in COLOURS[actor]:
            quarters = set(painted(picture, colour) // 100)
            assert quarters == ({0, 1, 2, 3} if actor < actors else set())


def test_strip_follows_the_motion():
    still = standing()
    moving = still.copy()
    moving[0, 3:, 7] = 0.9
    assert (strip(still) != strip(moving)).any()
    np.testing.assert_array_equal(strip(still), strip(still.copy()))
    np.testing.assert_array_equal(strip(still), strip(3 * still))  # to one scale


def test_lost_frames_and_broken_numbers_are_left_out():
    moving = standing(7)
    moving[0, :, 7] += np.linspace(0, 0.6, 7)[:, None]
    lost = moving.copy()
    lost[:, [0, 4]] = 0
    np.testing.assert_array_equal(strip(lost), strip(np.delete(moving, [0, 4], axis=1)))
    pair = standing(actors=2)
    pair[:, 5, :, 1] = 0
    assert set(painted(strip(pair), COLOURS[0][0]) // 100) == {0, 1, 2, 3}
    assert set(painted(strip(pair), COLOURS[1][0]) // 100) == {0, 1, 2}
    broken = standing()
    broken[:, :, 7, 0] = np.nan
    broken[:, :, 21, 0] = np.inf
    assert set(painted(strip(broken), COLOURS[0][0]) // 100) == {0, 1, 2, 3}
    assert (strip(np.zeros_like(lost)) == 255).all()


def test_actors_far_apart_get_room():
    pair = standing(actors=2)
    pair[0, ..., 1] += 3
    crowded, roomy = (strip(pair, fewest=fewest) for fewest in (None, 2))
    height = [np.ptp(np.flatnonzero((picture < 128).any((1, 2)))) for picture in (crowded, roomy)]
    assert height[1] > 1.25 * height[0]


def test_class_names():
    assert class_name(1, ["a", "b"]) == "b"
    assert class_name(1, None) == class_name(1, ["a"]) == "class 2"
    assert class_name(-1, ["a"]) == "no label"


def test_views_of_the_first_batch(root, tmp_path):
    """Once, at the first step: in the run folder and in TensorBoard."""
    logger = TensorBoardLogger(tmp_path / "logs", name="", version="")
    run = trainer(tmp_path, SkeletonPictures(num_sequences=3, max_frames=4), max_steps=2, logger=logger)
    run.fit(contrast(), data(root))
    sheet = matplotlib.image.imread(tmp_path / "pictures" / "skeletons.png")[..., :3]
    events = EventAccumulator(str(tmp_path / "logs")).Reload()
    assert [(image.width, image.height) for image in events.Images("skeletons")] == [(sheet.shape[1], sheet.shape[0])]
    panels = np.array_split(sheet[60:, 263:], 3, axis=1)
    assert all((np.abs(panel - to_rgb(COLOURS[0][0])) < 0.02).all(-1).any() for panel in panels)


def test_sheet_shows_each_view():
    rows = [[standing(), standing(9), standing(9)]]
    sheet = draw_sheet(rows, ["name"], 3)
    for place in range(3):
        rows[0][place] = rows[0][place].copy()
        rows[0][place][0, :, 7] = 1.5
        other = draw_sheet(rows, ["name"], 3)
        changed = np.flatnonzero((sheet != other).any((0, 2)))
        assert place == min(int(3 * (changed.mean() - 263) / (sheet.shape[1] - 263)), 2)
        sheet = other
    assert (draw_sheet(rows, ["other"], 3) != sheet).any()


def test_pictures_of_other_methods_and_later_steps_are_left_alone(root, tmp_path):
    callback = SkeletonPictures()
    run = trainer(tmp_path, max_steps=1)
    run.fit(contrast(), data(root))
    callback.on_train_batch_start(run, run.lightning_module, {}, 0)
    callback.on_train_batch_start(trainer(tmp_path), Retrieval([BiGRU(6, 1)]), {}, 0)
    assert not (tmp_path / "pictures").exists()


def retrieved(root, folder, *callbacks):
    torch.manual_seed(0)
    module = Retrieval([BiGRU(6, 1)], crop=SequenceCrop(num_frames=8))
    run = trainer(folder, *callbacks)
    run.test(module, data(root), verbose=False)
    return run, module


def test_queries_are_of_different_classes():
    labels = [0, 0, 0, 0, 1, -1, 2, 2]
    chosen = choose_queries(labels, 3, 0)
    assert [labels[place] for place in chosen] == [0, 1, 2]
    assert sorted(labels[place] for place in choose_queries(labels, 5, 0)) == [0, 0, 1, 2, 2]
    assert choose_queries(labels, 99, 0) == choose_queries(labels, 99, 0)
    assert len(choose_queries(labels, 99, 0)) == 7
    assert len({tuple(choose_queries(labels, 3, seed)) for seed in range(9)}) > 1


def test_retrieval_sheet(root, tmp_path):
    run, module = retrieved(root, tmp_path, RetrievalSheet(num_queries=3, max_frames=4))
    sheet = matplotlib.image.imread(tmp_path / "pictures" / "retrieval.png")[..., :3]
    found = module.neighbours
    names = run.datamodule.class_names
    bank, queries = run.datamodule.probe_dataloaders()[0].dataset, run.test_dataloaders.dataset
    rows = [panels(found, query, queries, bank, names) for query in choose_queries(found.queries.label.tolist(), 3, 0)]
    colours = [[panel.colour for panel in row] for row in rows]
    assert {row[0] for row in colours} == {QUERY}
    for row, chosen in zip(rows, (0, 1, 2), strict=True):
        assert len(row) == 5
        assert row[0].title == names[chosen] == ("drink water", "eat meal/snack", "brushing teeth")[chosen]
        for panel in row[1:]:
            assert panel.colour == (RIGHT if panel.title.startswith(row[0].title) else WRONG)
    assert {RIGHT, WRONG} <= {colour for row in colours for colour in row}
    for colour in (QUERY, RIGHT, WRONG, COLOURS[0][0], COLOURS[1][0]):
        assert len(painted(255 * sheet, colour)) > 3
    index = [line.split(",")[0] for line in (root / "index.csv").read_text().splitlines()[1:]]
    row = index.index(found.bank.name[found.nearest[7, 2]])
    expected = np.load(root / "skeletons.npy")[row, :, : np.load(root / "num_frames.npy")[row]]
    np.testing.assert_array_equal(panels(found, 7, queries, bank, names)[3].strip, expected)


def test_retrieval_sheet_of_another_method_is_refused(root, tmp_path):
    with pytest.raises(ValueError, match="not of SkeletonContrast: leave it out"):
        trainer(tmp_path, RetrievalSheet()).test(contrast(), data(root))
