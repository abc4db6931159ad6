"""NTU RGB+D in several modalities: found, paired, in step, and what happens where they are no pairs."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import write_video
from pytorch_lightning import LightningModule, Trainer
from skeleton_fakes import write_skeleton
from torchvision.io import write_png

from datamodules import NTUMultimodalDataModule
from datamodules.optical_flow import encode
from datamodules.sampling.resumable_sampler import Draw
from datamodules.writers.depth import write_depth

FRAMES = 10
SIZE = (24, 32)
EVERY = ("rgb", "flow", "depth", "skeleton")


def write_sample(root, name, frames=FRAMES, **lengths):
    """Write all modalities; pictures of frame t are 20 * t (grey) and 100 * (t + 1) (millimetres), flow is t."""
    seed = int(name[-3:])
    grey = np.broadcast_to(
        20 * np.arange(lengths.get("rgb", frames), dtype=np.uint8)[:, None, None, None],
        (lengths.get("rgb", frames), *SIZE, 3),
    )
    write_video(root / "nturgb+d_rgb" / f"{name}_rgb.avi", np.ascontiguousarray(grey))
    depth = np.full((lengths.get("depth", frames), *SIZE), 1, np.uint16)
    depth *= 100 * np.arange(1, len(depth) + 1, dtype=np.uint16)[:, None, None]
    write_depth(root / "nturgb+d_depth_masked" / name, depth, "masked")
    write_skeleton(root / "nturgb+d_skeletons" / f"{name}.skeleton", lengths.get("skeleton", frames), seed=seed)
    flow = np.ones((lengths.get("flow", frames), *SIZE, 2), np.float32)
    flow *= np.arange(len(flow), dtype=np.float32)[:, None, None, None]
    (root / "flow").mkdir(exist_ok=True)
    np.save(root / "flow" / f"{name}_rgb.flow.npy", encode(flow))


# Two subjects to train with and one to test with in xsub, three cameras, two actions.
NAMES = [
    f"S001C{camera:03d}P{subject:03d}R003A{action:03d}"
    for subject in (1, 2, 3)
    for camera in (1, 2, 3)
    for action in (1, 2)
]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("ntu")
    for name in NAMES:
        write_sample(root, name)
    return root


@pytest.fixture
def root(written, tmp_path):
    return Path(shutil.copytree(written, tmp_path / "ntu", copy_function=os.link))


def module(root, modalities=("rgb", "depth"), **options):
    defaults = {
        "cache": root.parent / "prepared",
        "clip_length": 4,
        "rgb_size": SIZE,
        "flow_size": SIZE,
        "depth_size": SIZE,
        "global_batch_size": 4,
        "eval_batch_size": 3,
        "num_workers": 0,
    }
    data = NTUMultimodalDataModule(root, modalities, **{**defaults, **options})
    data.prepare_data()
    data.setup("fit")
    return data


def names(samples):
    return [samples.path(row) for row in range(len(samples))]


def replace(path, write):
    """Write to a file that other tests' folders share."""
    path.unlink()
    write(path)


@pytest.mark.parametrize(("protocol", "is_test"), [("xview", "C001"), ("xsub", "P003")])
def test_protocols(written, protocol, is_test, tmp_path):
    data = module(written, protocol=protocol)
    assert names(data.val_samples) == [name for name in sorted(NAMES) if is_test in name]
    assert names(data.train_samples) == [name for name in sorted(NAMES) if is_test not in name]
    assert data.num_classes == 60


def frames_of(batch):
    """Numbers of the frames that each modality shows, (B, N, T)."""
    return {
        "rgb": (batch["rgb"].float().mean((-3, -2, -1)) / 20).round(),
        "depth": batch["depth"][..., 0, 0] / 100 - 1,
        "flow": batch["flow"][..., 0, 0, 0].round(),
    }


def test_all_modalities_show_the_same_frames(written, tmp_path):
    data = module(written, EVERY, cache=tmp_path / "prepared", num_clips=3)
    batch = next(iter(data.train_dataloader()))
    expected = 4 * batch["clip"][..., None] + torch.arange(4)
    for shown in frames_of(batch).values():
        torch.testing.assert_close(shown, expected, check_dtype=False)
    assert batch["rgb"].shape == (4, 3, 4, *SIZE, 3)
    assert batch["rgb"].dtype == torch.uint8
    assert (batch["depth"].shape, batch["depth"].dtype) == ((4, 3, 4, *SIZE), torch.int16)
    assert (batch["flow"].shape, batch["flow"].dtype) == ((4, 3, 4, *SIZE, 2), torch.float16)
    assert (batch["skeleton"].shape, batch["skeleton"].dtype) == ((4, 3, 300, 25, 2), torch.float32)
    assert batch["num_frames"].tolist() == [FRAMES] * 4
    assert batch["label"].tolist() == [int(name[-3:]) - 1 for name in batch["name"]]
    assert batch["name"] == [data.train_samples.path(row) for row in batch["sample"].tolist()]
    assert batch["broken"] == []


def test_training_draws_clips_of_the_grid(written):
    data = module(written, num_clips=8)
    clips = torch.cat([batch["clip"] for batch in data.train_dataloader()])
    assert set(clips.flatten().tolist()) == {0, 1}
    again = torch.cat([batch["clip"] for batch in module(written, num_clips=8).train_dataloader()])
    assert torch.equal(clips, again)


def test_evaluation_takes_all_clips_and_pads_with_zeros(root):
    short, long = "S001C001P001R003A001", "S001C001P001R003A002"
    replace(root / "nturgb+d_rgb" / f"{long}_rgb.avi", lambda path: None)
    shutil.rmtree(root / "nturgb+d_depth_masked" / long)
    replace(root / "nturgb+d_skeletons" / f"{long}.skeleton", lambda path: None)
    replace(root / "flow" / f"{long}_rgb.flow.npy", lambda path: None)
    write_sample(root, long, frames=12)
    batch = next(iter(module(root).val_dataloader()))
    assert batch["name"][:2] == [short, long]
    assert batch["clip"].tolist() == [[0, 1, -1], [0, 1, 2], [0, 1, -1]]
    assert not batch["rgb"][0, 2].any()
    assert not batch["depth"][0, 2].any()
    assert (batch["depth"][1, 2, :, 0, 0] == torch.tensor([900, 1000, 1100, 1200])).all()


@pytest.mark.parametrize("modality", EVERY)
def test_a_modality_alone(written, modality, tmp_path):
    data = module(written, (modality,), cache=tmp_path / "prepared")
    batch = next(iter(data.val_dataloader()))
    assert {"rgb", "flow", "depth", "skeleton"} & set(batch) == {modality}
    assert batch["clip"].shape == ((3, 0) if modality == "skeleton" else (3, 2))


def test_full_depth_maps_are_others(root):
    for name in NAMES:
        write_depth(root / "nturgb+d_depth" / name, np.full((FRAMES, 6, 8), 4000, np.uint16), "full")
    batch = next(iter(module(root, depth="full", depth_size=(3, 4)).val_dataloader()))
    assert (batch["depth"] == 4000).all()
    assert batch["depth"].shape == (3, 2, 4, 3, 4)


def test_prepared_skeletons_serve_too(written, tmp_path):
    raw = module(written, ("depth", "skeleton"), cache=tmp_path / "prepared")
    prepared = module(written, ("depth", "skeleton"), skeletons=tmp_path / "prepared")
    first, second = (next(iter(data.val_dataloader()))["skeleton"] for data in (raw, prepared))
    assert torch.equal(first, second)


def test_labels_per_class(written):
    few, more = (module(written, labels_per_class=count) for count in (2, 4))
    assert torch.bincount(few.train_samples.labels).tolist() == [2, 2]
    assert set(names(few.train_samples)) < set(names(more.train_samples))
    assert len(few.val_samples) == 6
    other = module(written, ("flow",), labels_per_class=2)
    assert names(other.train_samples) == names(few.train_samples)
    assert names(module(written, labels_per_class=2, labels_seed=1).train_samples) != names(few.train_samples)
    with pytest.raises(ValueError, match="labels_per_class=7: class 0 has 6 training samples"):
        module(written, labels_per_class=7)


def test_the_source_dataset_has_the_other_actions(root):
    for action in (61, 120):
        for camera in (1, 2):
            write_sample(root, f"S018C{camera:03d}P041R001A{action:03d}")
    data = module(root, benchmark="ntu120_minus_60")
    assert names(data.train_samples) == ["S018C002P041R001A061", "S018C002P041R001A120"]
    assert data.train_samples.labels.tolist() == [0, 59]
    assert data.num_classes == 60
    assert len(module(root).train_samples) == 12
    assert len(module(root, benchmark="ntu120").train_samples) == 14


def test_incomplete_samples_are_left_out_counted_and_listed(root, caplog, tmp_path):
    (root / "nturgb+d_skeletons" / f"{NAMES[1]}.skeleton").unlink()
    shutil.rmtree(root / "nturgb+d_depth_masked" / NAMES[2])
    data = NTUMultimodalDataModule(root, ("rgb", "depth", "skeleton"), cache=tmp_path / "prepared", num_workers=0)
    data.prepare_data()
    data.trainer = Trainer(default_root_dir=tmp_path / "run", logger=False, enable_checkpointing=False)
    with caplog.at_level("INFO"):
        data.setup("fit")
    assert len(data.train_samples) + len(data.val_samples) == len(NAMES) - 2
    assert (
        "ntu60 xview, 18 with rgb, 17 with depth, 17 with skeleton; 11 training samples, 5 to test, of the official"
        in caplog.text
    )
    assert f"2 samples are incomplete and left out, such as {NAMES[1]}: no skeleton" in caplog.text
    listed = (tmp_path / "run" / "data" / "incomplete.txt").read_text()
    assert listed == f"{NAMES[1]}: no skeleton\n{NAMES[2]}: no depth\n"


def test_samples_without_usable_skeletons_count_where_none_is_asked_for(root, tmp_path):
    listed = "S001C002P005R002A008"  # of the official list
    write_sample(root, listed)
    assert listed in names(module(root).train_samples)
    assert listed not in names(module(root, ("rgb", "skeleton"), cache=tmp_path / "prepared").train_samples)


def test_no_complete_sample_is_one_clear_line(root, tmp_path):
    shutil.rmtree(root / "nturgb+d_depth_masked")
    words = r"no sample of ntu60 has all of rgb, depth \(18 with rgb, 0 with depth\); set modalities"
    with pytest.raises(ValueError, match=words):
        module(root)
    with pytest.raises(ValueError, match="no such folder"):
        module(tmp_path / "none", skeletons=root)


def test_a_sample_twice_is_refused(root):
    write_video(root / "more" / f"{NAMES[0]}_rgb.avi", 3)
    with pytest.raises(ValueError, match=r"is also at .*; keep one of the two"):
        module(root)


def test_a_frame_or_two_more_are_cut(root):
    name = "S001C001P001R003A001"
    write_depth(root / "nturgb+d_depth_masked" / name, np.full((12, *SIZE), 7, np.uint16), "masked")
    batch = next(iter(module(root).val_dataloader()))
    assert batch["broken"] == []
    assert batch["clip"][0].tolist() == [0, 1]


def missing_depth_frame(root, name):
    (root / "nturgb+d_depth_masked" / name / "MDepth-00000005.png").unlink()


def eight_bits(root, name):
    replace(
        root / "nturgb+d_depth_masked" / name / "MDepth-00000002.png",
        lambda path: write_png(torch.zeros(1, *SIZE, dtype=torch.uint8), str(path)),
    )


def longer_depth(root, name):
    write_depth(root / "nturgb+d_depth_masked" / name, np.ones((13, *SIZE), np.uint16), "masked")


def longer_video(root, name):
    replace(root / "nturgb+d_rgb" / f"{name}_rgb.avi", lambda path: write_video(path, 13))


def longer_skeleton(root, name):
    replace(root / "nturgb+d_skeletons" / f"{name}.skeleton", lambda path: write_skeleton(path, 13))


def no_video(root, name):
    replace(root / "nturgb+d_rgb" / f"{name}_rgb.avi", lambda path: path.write_text("no video"))


def cut_flow(root, name):
    path = root / "flow" / f"{name}_rgb.flow.npy"
    data = path.read_bytes()
    replace(path, lambda path: path.write_bytes(data[:-9]))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (missing_depth_frame, "is missing, and the numbers run to 10"),
        (eight_bits, "is a PNG of 8 bits (grey)"),
        (longer_depth, "has 13, more than 2 apart"),
        (longer_video, "has 13, more than 2 apart"),
        (longer_skeleton, "has 13, more than 2 apart"),
        (no_video, "not a video"),
        (cut_flow, "cannot be read as flow"),
    ],
)
def test_a_broken_sample_is_named_and_replaced(root, damage, words, tmp_path):
    first, second = sorted(NAMES)[:2]
    damage(root, first)
    data = module(root, EVERY, cache=tmp_path / "prepared")
    sample = data.dataset(data.val_samples, training=False)[Draw(0, 0)]
    assert sample["name"] == second
    (line,) = sample["broken"]
    assert words in line
    assert first in line.partition(": ")[0]
    data.on_before_batch_transfer(data.collate([sample]), 0)
    assert list(data.broken) == [line.rpartition(": ")[0]]


def test_a_prepared_skeleton_that_is_too_long(root, tmp_path):
    data = module(root, ("rgb", "skeleton"), cache=tmp_path / "prepared")
    longer = data.val_samples
    longer.skeletons[0, 1] = 13
    (line,) = data.dataset(longer, training=False)[Draw(0, 0)]["broken"]
    assert "has 10 frames, and its prepared skeleton 13" in line


def test_a_teacher_s_clips_of_all_samples(root):
    replace(root / "nturgb+d_rgb" / f"{NAMES[0]}_rgb.avi", lambda path: write_video(path, 12))  # two more than depth
    data = module(root)
    names_ = data.sample_names()
    assert sorted(names_) == sorted(NAMES)
    assert names_[:12] == names(data.train_samples)
    wanted = [names_[13], NAMES[0], names_[2]]
    (batch,) = data.modality_dataloader("rgb", wanted)
    assert batch["name"] == wanted
    assert "depth" not in batch
    assert batch["clip"].tolist() == [[0, 1]] * 3  # the grid of the pair
    assert data.actions == ["A001", "A002"]
    with pytest.raises(ValueError, match="flow is not among the modalities rgb, depth; add it"):
        data.modality_dataloader("flow", wanted)


def test_a_student_reads_its_modality_alone(root):
    data = module(root)
    longer_depth(root, data.train_samples.path(0))
    replace(root / "nturgb+d_rgb" / f"{data.train_samples.path(1)}_rgb.avi", lambda path: write_video(path, 8))
    data.read_only(["depth"])
    dataset = data.dataset(data.train_samples, training=False)
    first, second, third = (dataset[Draw(row, 0)] for row in range(3))
    assert "rgb" not in third
    # Both members of a pair decide on its grid, and on whether it is one.
    assert first["name"] == second["name"] == data.train_samples.path(1)
    assert len(first["broken"]) == 1
    assert second["depth"].shape == (2, 4, *SIZE)
    assert data.train_samples.num_frames[:3].tolist() == [0, 8, 10]
    for name in names(data.train_samples)[1:3]:
        (root / "nturgb+d_rgb" / f"{name}_rgb.avi").unlink()  # needed no more
    assert dataset[Draw(1, 0)]["broken"] == []
    with pytest.raises(ValueError, match="flow is not among the modalities"):
        data.read_only(["flow"])


def test_lengths_are_known_to_all_processes(written):
    data = module(written, num_workers=1, global_batch_size=12)
    next(iter(data.train_dataloader()))
    assert data.train_samples.num_frames.tolist() == [FRAMES] * 12


class Counting(LightningModule):
    def training_step(self, batch, batch_index):
        return self.weight.sum() * 0

    def configure_optimizers(self):
        self.weight = torch.nn.Parameter(torch.zeros(1))
        return torch.optim.SGD([self.weight], lr=0.1)


def test_many_broken_samples_stop_a_run(root, tmp_path):
    for name in sorted(NAMES)[-12:]:
        missing_depth_frame(root, name)
    data = module(root)
    trainer = Trainer(
        default_root_dir=tmp_path / "run",
        max_steps=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
    )
    with pytest.raises(ValueError, match=r"MDepth-00000005.png: is missing|samples are broken, more than the 1"):
        trainer.fit(Counting(), data)


def test_description_tells_content_apart(root):
    described = module(root).describe_modality("rgb")
    assert described == module(root).describe_modality("rgb")
    assert json.loads(described)["size"] == list(SIZE)
    others = [
        module(root).describe_modality("depth"),
        module(root, rgb_size=(12, 16)).describe_modality("rgb"),
        module(root, clip_length=5).describe_modality("rgb"),
        module(root, labels_per_class=2).describe_modality("rgb"),
    ]
    replace(root / "nturgb+d_rgb" / f"{NAMES[0]}_rgb.avi", lambda path: write_video(path, 11))
    others.append(module(root).describe_modality("rgb"))
    assert len({described, *others}) == 6
    with pytest.raises(ValueError, match="flow is not among the modalities rgb, depth; add it"):
        module(root).describe_modality("flow")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"modalities": ()}, "must be some of rgb, flow, depth, skeleton, each once"),
        ({"modalities": ("rgb", "rgb")}, "each once"),
        ({"modalities": ("infrared",)}, "each once"),
        ({"clip_length": 0}, "clip_length=0 must be at least 1"),
        ({"labels_per_class": 0}, "labels_per_class=0 must be at least 1"),
        ({"depth_size": (0, 4)}, "sizes at least 1"),
        ({"frame_tolerance": -1}, "frame_tolerance=-1 must be at least 0"),
    ],
)
def test_arguments_out_of_range(tmp_path, options, words):
    with pytest.raises(ValueError, match=words):
        NTUMultimodalDataModule(tmp_path, **options)


def test_the_real_pair_is_read_in_step(shared_data, tmp_path):
    data = NTUMultimodalDataModule(
        shared_data / "ntu_rgbd", ("rgb", "skeleton"), cache=tmp_path / "prepared", num_workers=0, frame_tolerance=0
    )
    data.prepare_data()
    data.setup("fit")
    batch = next(iter(data.val_dataloader()))
    assert batch["name"] == ["S001C001P001R001A001"]
    assert batch["broken"] == []
    assert batch["num_frames"].tolist() == [103]
    assert batch["clip"].tolist() == [[0, 1, 2, 3, 4, 5]]
    assert batch["rgb"].shape == (1, 6, 16, 128, 171, 3)
