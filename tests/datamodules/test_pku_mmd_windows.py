"""Windows of long videos of depth and RGB: grids, actions, fractions, kinds of depth files, and what goes wrong."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from datamodules import PKUMMDWindowDataModule, SyntheticPKUMMDWindowDataModule
from datamodules.pku_mmd_windows import overlapping
from datamodules.pku_protocol import Segment
from datamodules.sampling.resumable_sampler import Draw
from datamodules.window_dataset import window_starts
from datamodules.writers.depth import write_depth
from datamodules.writers.video import write_video

FRAMES = {"0002-L": 50, "0002-M": 40, "0003-L": 20, "0004-L": 45}
SIZE = (8, 10)


def depth_of(name):
    """Millimetres that tell the video and the frame."""
    number = list(FRAMES).index(name)
    return (
        np.full((FRAMES[name], *SIZE), 1000 * (number + 1), np.uint16)
        + np.arange(FRAMES[name]).astype(np.uint16)[:, None, None]
    )


@pytest.fixture
def root(tmp_path):
    """Three videos to train with and one to test with."""
    (tmp_path / "label").mkdir()
    for name, frames in FRAMES.items():
        write_depth(tmp_path / "DEPTH_VIDEO" / name, depth_of(name), "full")
        lines = ["1,2,9,2", "3,12,18,1", f"2,{frames - 2},{frames - 1},2"]
        (tmp_path / "label" / f"{name}.txt").write_text("\n".join(lines) + "\n")
    train, val = list(FRAMES)[:3], list(FRAMES)[3:]
    text = f"Training videos: \n{', '.join(train)}\nValidataion videos: \n{', '.join(val)}\n"
    (tmp_path / "cross-subject.txt").write_text(text)
    return tmp_path


def data(root, **changes):
    arguments = {"window": 16, "size": SIZE, "num_workers": 0, "global_batch_size": 2, **changes}
    module = PKUMMDWindowDataModule(root, **arguments)
    module.setup("fit")
    return module


def test_a_grid_of_windows_sees_each_frame():
    assert window_starts(16, 16, 8) == window_starts(5, 16, 8) == [0]
    assert window_starts(50, 16, 8) == [0, 8, 16, 24, 32, 34]
    assert window_starts(48, 16, 8) == [0, 8, 16, 24, 32]


def test_evaluation_gives_back_all_actions_of_a_video(root):
    module = data(root, eval_batch_size=3)
    seen, actions = set(), set()
    for batch in module.val_dataloader():
        assert batch["depth"].dtype == torch.int16 and batch["depth"].shape[1:] == (16, *SIZE)
        for row, (start, segments, classes) in enumerate(
            zip(batch["start"].tolist(), batch["segments"], batch["classes"], strict=True)
        ):
            frames = batch["depth"][row, :, 0, 0] - 4000
            assert frames.tolist() == list(range(start, start + 16))
            seen |= set(frames.tolist())
            assert segments.dtype == torch.float32
            for (first, last), label in zip(segments.tolist(), classes.tolist(), strict=True):
                actions.add((label, start + first, start + last))
    assert seen == set(range(45))
    assert actions == {(0, 2, 9), (2, 12, 18), (1, 43, 44)}
    assert set(batch["name"]) == {"0004-L"} and set(batch["sample"].tolist()) == {0}


def test_segments_are_not_cut_to_the_window_and_steps_are_counted_in_its_frames(root):
    module = data(root, window=4, step=2, eval_hop=5)
    dataset = module.dataset(module.val_samples, training=False)
    item = dataset[Draw(1, 0)]
    assert (item["start"], item["step"], item["num_frames"]) == (5, 2, 4)
    assert item["segments"].tolist() == [[-1.5, 2.0], [3.5, 6.5]] and item["classes"].tolist() == [0, 2]
    assert (item["depth"][:, 0, 0] - 4000).tolist() == [5, 7, 9, 11]


def test_a_short_video_repeats_its_last_frame(root):
    module = data(root, window=32)
    row = [module.train_samples.path(row) for row in range(len(module.train_samples))].index("0003-L")
    item = module.dataset(module.train_samples, training=True)[Draw(row, 1)]
    assert item["num_frames"] == 20 and item["start"] == 0
    assert (item["depth"][:, 0, 0] - 3000).tolist() == [*range(20), *[19] * 12]


def test_training_moves_windows_on_at_random(root):
    module = data(root, train_hop=8)
    dataset = module.dataset(module.train_samples, training=True)
    starts = {dataset[Draw(1, seed)]["start"] for seed in range(40)}
    assert starts == set(range(8, 16))
    last = [row for row in range(len(dataset)) if module.train_samples.path(row) == "0002-L"][-1]
    assert {dataset[Draw(last, seed)]["start"] for seed in range(10)} == {34}
    (batch, again) = (next(iter(module.train_dataloader())) for _ in range(2))
    assert torch.equal(batch["depth"], again["depth"]) and batch["start"].tolist() == again["start"].tolist()


def test_fractions_are_whole_videos_and_lie_within_each_other(root):
    def videos(fraction, seed=0):
        module = data(root, train_fraction=fraction, fraction_seed=seed)
        return {module.train_samples.path(row) for row in range(len(module.train_samples))}

    parts = [videos(share) for share in (1 / 4, 2 / 3, 1)]
    assert [len(part) for part in parts] == [1, 2, 3]
    assert parts[0] < parts[1] < parts[2]
    assert len({frozenset(videos(1 / 3, seed)) for seed in range(8)}) > 1


def test_video_files_of_both_modalities(root):
    for folder in ("DEPTH_VIDEO", "RGB_VIDEO"):
        for number, (name, frames) in enumerate(FRAMES.items()):
            grey = np.full((frames, 32, 40, 3), 40 * (number + 1), np.uint8)
            (root / folder).mkdir(exist_ok=True)
            write_video(root / folder / f"{name}-depth.avi", grey)
    for name in FRAMES:
        for file in (root / "DEPTH_VIDEO" / name).iterdir():
            file.unlink()
        (root / "DEPTH_VIDEO" / name).rmdir()
    item = data(root, millimetres_per_level=10.0).dataset(data(root).val_samples, False)[Draw(0, 0)]
    assert item["depth"].dtype == torch.int16 and (item["depth"] - 1600).abs().max() <= 20
    module = data(root, modality="rgb")
    item = module.dataset(module.val_samples, False)[Draw(0, 0)]
    assert item["rgb"].shape == (16, *SIZE, 3) and item["rgb"].dtype == torch.uint8
    assert (item["rgb"].int() - 160).abs().max() <= 2


def test_odd_annotations_are_told_in_one_line(root):
    (root / "label" / "0002-L.txt").write_text("1,9,2,2\n2,5,20,2\n3,30,70,2\n")
    with pytest.warns(UserWarning) as told:
        module = data(root)
    (line,) = [str(warning.message) for warning in told if "a rule was applied" in str(warning.message)]
    assert "\n" not in line
    for rule, number in (("inverted", 1), ("past the end", 3), ("overlapping (both are kept)", 2)):
        assert f"1 {rule} (first: {root / 'label' / '0002-L.txt'}:{number})" in line
    assert module.train_samples.segments_of(0).tolist() == [[0, 2, 9], [1, 5, 20], [2, 30, 50]]


def test_overlaps_are_found_in_any_order():
    segments = [Segment(1, 10, 20, 1), Segment(1, 0, 15, 2), Segment(2, 20, 22, 3), Segment(2, 12, 14, 4)]
    assert [segment.line for segment in overlapping(segments)] == [1, 4]


def test_videos_that_cannot_be_used_are_left_out_and_told(root):
    (root / "label" / "0002-M.txt").unlink()
    (root / "DEPTH_VIDEO" / "0003-L" / "Depth-00000007.png").unlink()
    with pytest.warns(UserWarning, match=r"2 videos are left out, such as .*0002-M\.txt:1: is missing, so that 0002-M"):
        module = data(root)
    assert {module.train_samples.path(row) for row in range(len(module.train_samples))} == {"0002-L"}


def test_a_window_that_cannot_be_read_is_named_and_replaced(root):
    module = data(root, global_batch_size=1)
    damaged = root / "DEPTH_VIDEO" / "0002-L" / "Depth-00000003.png"
    damaged.write_bytes(damaged.read_bytes()[:60])
    item = module.dataset(module.train_samples, training=False)[Draw(0, 0)]
    assert item["name"] == "0002-M" and item["sample"] == 1
    assert len(item["broken"]) == 1 and "Depth-00000003.png" in item["broken"][0]
    batch = next(iter(DataLoader([item], collate_fn=module.collate)))
    assert module.on_before_batch_transfer(batch, 0) is batch and len(module.broken) == 1


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda root: (root / "cross-subject.txt").unlink(), "holds no split list"),
        (lambda root: (root / "label").rename(root / "other"), "holds 0 folders whose name holds 'label'"),
        (lambda root: (root / "DEPTH_VIDEO").rename(root / "RGB"), "holds 0 folders whose name holds 'depth'"),
        (lambda root: (root / "DEPTH_VIDEO" / "0002-L-b").mkdir(), "0002-L-b: is also at"),
        (
            lambda root: [(root / "label" / f"{name}.txt").unlink() for name in FRAMES],
            "0 videos to train and 0 to test",
        ),
    ],
)
def test_folders_that_are_not_the_dataset(root, break_it, message):
    break_it(root)
    with pytest.raises(ValueError, match=message):
        data(root)


@pytest.mark.parametrize(
    "changes", [{"train_fraction": 0}, {"window": 0}, {"size": (0, 4)}, {"millimetres_per_level": 0}, {"eval_hop": 0}]
)
def test_wrong_numbers(root, changes):
    with pytest.raises(ValueError):
        data(root, **changes)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    module = SyntheticPKUMMDWindowDataModule(
        tmp_path_factory.mktemp("pku"), performers=2, height=16, width=20, fps=5, window=32, num_workers=0
    )
    module.prepare_data()
    return module


def test_the_embedded_set_is_written_once_and_read(embedded):
    stamp = embedded.root.stat().st_mtime_ns
    embedded.prepare_data()
    assert embedded.root.stat().st_mtime_ns == stamp
    embedded.setup("fit")
    assert embedded.num_classes == 14
    assert len(embedded.train_samples.videos) == len(embedded.val_samples.videos) == 6
    batch = next(iter(embedded.train_dataloader()))
    assert batch["depth"].shape == (4, 32, 16, 20)
    body = batch["depth"][batch["depth"] > 0]
    assert 1000 < body.float().median() < 5000
    kinds = {int(label) for label in embedded.train_samples.segments[:, 0]}
    assert kinds == set(range(14))
    lengths = embedded.train_samples.segments[:, 2] - embedded.train_samples.segments[:, 1]
    assert 4 <= lengths.min() and lengths.max() <= 14  # 1 to 2.5 seconds
    colours = SyntheticPKUMMDWindowDataModule(
        embedded.root.parent, performers=2, height=16, width=20, fps=5, window=32, num_workers=0, modality="rgb"
    )
    assert colours.root == embedded.root
    colours.setup("fit")
    assert next(iter(colours.val_dataloader()))["rgb"].shape == (4, 32, 16, 20, 3)
