"""The embedded recordings in several modalities: real files of real names, written once, in step."""

import os

import numpy as np
import pytest
import torch

from datamodules import NTUMultimodalDataModule, SyntheticNTUMultimodalDataModule
from datamodules.kinematic_body import Performer
from datamodules.other_actions import CLASSES, perform
from datamodules.readers.depth import DepthReader
from datamodules.readers.skeleton import read_ntu
from datamodules.readers.video import VideoReader
from datamodules.room_renderer import Lens
from datamodules.synthetic_ntu_multimodal import Content, write_performances

EVERY = ("rgb", "flow", "depth", "skeleton")
SMALL = {"performers": 1, "repetitions": 1, "height": 24, "width": 32, "fps": 10, "num_workers": 0, "clip_length": 4}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def module(cache, **options):
    data = SyntheticNTUMultimodalDataModule(cache, **{**SMALL, **options})
    data.prepare_data()
    data.setup("fit")
    return data


def test_it_is_written_once_in_the_real_layout(cache, tmp_path):
    data = module(cache, modalities=EVERY)
    assert sorted(os.listdir(data.root)) == ["nturgb+d_depth_masked", "nturgb+d_rgb", "nturgb+d_skeletons"]
    written = {path: path.stat().st_mtime_ns for path in data.root.parent.rglob("*") if path.is_file()}
    module(cache, modalities=EVERY)
    assert {path: path.stat().st_mtime_ns for path in data.root.parent.rglob("*") if path.is_file()} == written
    assert (len(data.train_samples), len(data.val_samples), data.num_classes) == (28, 14, 14)
    real = NTUMultimodalDataModule(data.root, ("rgb", "depth", "skeleton"), cache=tmp_path, num_workers=0)
    real.prepare_data()
    real.setup("fit")
    assert len(real.train_samples) == 28


def test_batches_of_all_modalities(cache):
    data = module(cache, modalities=EVERY, global_batch_size=28)
    batch = next(iter(data.train_dataloader()))
    assert batch["broken"] == []
    assert batch["rgb"].shape == (28, 1, 4, 24, 32, 3)
    assert batch["flow"].shape == (28, 1, 4, 24, 32, 2)
    assert batch["depth"].shape == (28, 1, 4, 24, 32)
    assert batch["skeleton"].shape == (28, 3, 300, 25, 2)
    assert sorted(batch["label"].tolist()) == sorted([*range(14)] * 2)
    # Flow is where the body is: it moves, the room does not.
    speed = batch["flow"].float().norm(dim=-1)
    assert speed[batch["depth"] > 0].mean() > 3 * speed[batch["depth"] == 0].mean()


def test_the_source_set_has_other_actions_and_people(cache):
    target, source = module(cache), module(cache, benchmark="ntu120_minus_60")
    name = source.train_samples.path(0)
    assert name.startswith("S0") and int(name[1:4]) >= 18
    assert name[8:12] == "P041"
    assert sorted(set(source.train_samples.labels.tolist())) == [*range(14)]
    assert source.num_classes == 14
    assert target.root != source.root


def test_modalities_of_a_file_show_one_performance(tmp_path):
    content = Content("ntu60", "full", 1, 1, 0, 0.0, 48, 64, 15)
    name = list(content.performances())[11]  # two people
    write_performances(content, [name], tmp_path)
    view = name._replace(camera=2)
    recording = read_ntu(tmp_path / "nturgb+d_skeletons" / f"{view}.skeleton")
    with VideoReader(tmp_path / "nturgb+d_rgb" / f"{view}_rgb.avi") as video:
        assert video.num_frames == recording.num_frames
        assert video.fps == pytest.approx(15)
        rgb = video.read(np.arange(video.num_frames)).astype(float)
    maps = DepthReader(tmp_path / "nturgb+d_depth" / str(view), "full")
    assert maps.num_frames == recording.num_frames
    depth = maps.read(np.arange(maps.num_frames))
    # Joints of the file, seen through the lens, are just behind what the depth map shows there.
    column, row = np.rint(Lens(48, 64).project(recording.joints[:, [0, 1, 20, 3]])).astype(int).transpose(2, 0, 1)
    shown = depth[recording.frame[:, None], row, column] / 1000
    behind = recording.joints[:, [0, 1, 20, 3], 2] - shown
    assert (behind > 0).mean() > 0.95
    assert 0.05 < np.median(behind) < 0.25
    # Colour changes where depth does, in the same frames.
    moved = np.abs(np.diff(depth.astype(float), axis=0)) > 100
    change = np.abs(np.diff(rgb, axis=0)).sum(-1)
    assert change[moved].mean() > 5 * change[~moved].mean()
    assert np.corrcoef(moved.sum((1, 2)), change.sum((1, 2)))[0, 1] > 0.5


def test_content_depends_on_its_seed_alone(tmp_path):
    content = Content("ntu60", "masked", 1, 1, 0, 1.0, 16, 24, 5)
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / folder).mkdir()
        some = content._replace(content_seed=seed)
        write_performances(some, list(some.performances())[:1], tmp_path / folder)
    files = {
        folder: {
            str(path.relative_to(tmp_path / folder)): path.read_bytes()
            for path in sorted((tmp_path / folder).rglob("*"))
            if path.is_file()
        }
        for folder in "abc"
    }
    assert files["a"] == files["b"]
    assert files["a"] != files["c"]


@pytest.mark.parametrize("options", [{"performers": 41}, {"noise": -1}, {"height": 25}, {"fps": 7}])
def test_arguments_out_of_range(options, tmp_path):
    with pytest.raises(ValueError, match="must be at most 40"):
        SyntheticNTUMultimodalDataModule(tmp_path, **options)


def test_it_is_for_a_teacher_s_validation_too(cache):
    data = module(cache, benchmark="ntu120_minus_60", labels_per_class=1, modalities=("rgb",))
    assert torch.bincount(data.train_samples.labels).tolist() == [1] * 14
    assert len(data.val_samples) == 14


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def signals(bodies):
    """How limbs and trunk are held over time, whatever the heading: (T, 16)."""
    body = bodies[0]
    up, across = unit(body[:, 20] - body[:, 1]), unit(body[:, 12] - body[:, 16])
    ahead = np.cross(across, [0, 1, 0])
    joints = [(4, 5, 6, 12, 13, 14), (8, 9, 10, 16, 17, 18)]
    columns = [body[:, 20, 1] - body[:, 0, 1], body[:, 0, 1] - body[:, [14, 18], 1].min(1)]
    columns.append((np.gradient(body[:, 0], axis=0) * ahead).sum(-1).cumsum())
    for sign, (shoulder, elbow, wrist, hip, knee, ankle) in zip((1, -1), joints, strict=True):
        arm, forearm = unit(body[:, elbow] - body[:, shoulder]), unit(body[:, wrist] - body[:, elbow])
        thigh = unit(body[:, knee] - body[:, hip])
        columns += [(arm * up).sum(-1), sign * (arm * across).sum(-1), (arm * forearm).sum(-1)]
        columns += [(thigh * ahead).sum(-1), (thigh * unit(body[:, ankle] - body[:, knee])).sum(-1)]
    other = bodies[-1][:, 0] - body[:, 0]
    angle = np.unwrap(np.arctan2(other[:, 0], other[:, 2])) if len(bodies) == 2 else np.zeros(len(body))
    return np.stack([*columns, angle], 1)


def features(bodies, still):
    held = signals(bodies)
    if still:
        middle = held[len(held) // 2].copy()
        middle[-1] = len(bodies)
        return middle
    left, right = held[:, 3:8], held[:, 8:13]
    if np.ptp(left, 0).sum() < np.ptp(right, 0).sum():
        held = np.concatenate([held[:, :3], right, left, held[:, 13:]], 1)
    turns = np.abs(np.diff(held, axis=0)).sum(0)
    return np.concatenate([held[-1] - held[0], np.ptp(held, 0), turns, [3.0 * len(bodies)]])


def accuracy(still):
    known, asked = [], []
    for label in range(len(CLASSES)):
        for seed in range(18):
            rng = np.random.default_rng([label, seed])
            bodies = perform(label, (Performer.draw(rng), Performer.draw(rng)), rng)
            (known if seed < 12 else asked).append((label, features(bodies, still)))
    bank = np.array([values for _, values in known])
    spread = bank.std(0) + 1e-9
    right = [known[int(np.square((bank - values) / spread).sum(1).argmin())][0] == label for label, values in asked]
    return np.mean(right)


def test_motion_tells_the_other_actions_and_a_frame_does_not():
    assert accuracy(still=False) > 0.8
    assert accuracy(still=True) < 0.6
