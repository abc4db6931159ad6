"""PKU-MMD: label rules, split lists, and actions cut from videos."""

import numpy as np
import pytest
from pku_fakes import dataset, write_split, write_video

from datamodules import PKUMMDSkeletonDataModule
from datamodules.pku_mmd import prepare_pku
from datamodules.pku_protocol import Segment, is_video, read_labels, read_split
from datamodules.readers.skeleton import read_pku
from datamodules.skeleton_datamodule import read_class_names
from datamodules.skeleton_dataset import read_index
from datamodules.transforms.skeleton import preprocess


def test_actions_are_cut_and_counted(tmp_path, caplog):
    root = dataset(tmp_path / "pku")
    data = PKUMMDSkeletonDataModule(root, cache=tmp_path / "cache", num_workers=0, global_batch_size=3)
    with (
        caplog.at_level("INFO"),
        pytest.warns(
            UserWarning,
            match=r"1 confidence 0 \(first: .*/labels/0003-M\.txt:1\), 2 empty \(first: .*/labels/0004-R\.txt:2\),"
            r" 1 inverted \(first: .*/0002-L\.txt:2\), 2 past the end \(first: .*/0004-R\.txt:1\)",
        ),
    ):
        data.prepare_data()
    data.prepare_data()
    with caplog.at_level("INFO"):
        data.setup("fit")
    assert (
        "phase 1 xsub, 3 training sequences, 1 to test, of the official 18,841 and 2,704;"
        " 2 listed videos are not there; 2 without a frame or broken are left out;"
        " 1 of videos in neither list are left out"
    ) in caplog.text
    assert data.num_classes == len(set(data.class_names)) == 51
    assert data.class_names[0] == "bow"
    assert list(data.class_names) == sorted(data.class_names)
    segments = {"0002-L:001": (2, 10), "0002-L:002": (12, 30), "0003-M:001": (0, 40), "0004-R:001": (5, 40)}
    batch = next(iter(data.train_dataloader()))
    assert sorted(batch["name"]) == ["0002-L:001", "0002-L:002", "0003-M:001"]
    (held_out,) = iter(data.val_dataloader())
    assert held_out["name"] == ["0004-R:001"]
    for some in (batch, held_out):
        for name, skeleton, frames in zip(some["name"], some["skeleton"], some["num_frames"], strict=True):
            start, end = segments[name]
            expected, length = preprocess(read_pku(root / "skeletons" / f"{name[:6]}.txt")[:, start:end])
            np.testing.assert_array_equal(skeleton, expected)
            assert frames == length
    assert dict(zip(batch["name"], batch["label"].tolist(), strict=True))["0002-L:002"] == 50
    index = {sample.name: sample for sample in read_index(tmp_path / "cache")}
    assert [index[name].camera for name in segments] == [1, 1, 2, 3]
    broken = (tmp_path / "cache" / "broken.txt").read_text().splitlines()
    assert broken[0] == f"{root}/labels/0005-L.txt:1: is missing, so that 0005-L is left out; copy it from the dataset"
    assert broken[1].startswith(f"{root}/labels/0006-L.txt:1: class 52 is not 1 to 51; correct")
    assert broken[2:] == [
        f"{root}/labels/0004-R.txt:{line}: no body is seen in any frame; leave the action out" for line in (2, 3)
    ]


def test_files_that_belong_to_no_video(tmp_path):
    root = tmp_path / "pku"
    for name in ("0002-L", "A01N01-L", "2-L"):
        write_video(root, name, "1,2,30,2\n")
    (root / "labels" / "0009-R.txt").write_text("1,2,30,2\n")
    done = prepare_pku(root, tmp_path / "cache", 1, progress=False)
    assert done.samples == 1
    assert done.broken == [
        f"{root}/skeletons/2-L.txt:1: '2-L' is no name such as 0002-L or A01N01-L; give the file its official name",
        f"{root}/skeletons/0009-R.txt:1: is missing, though its labels are there; copy it from the dataset",
    ]


LINES = ("1,2,3", "1,2,3,x", "-1,2,3,2", "1,2,3,2,5", "1 2 3 2", "1,2.5,3,2", "0,1,2,2", "52,1,2,2")


@pytest.mark.parametrize("line", LINES)
def test_label_lines_that_are_none(tmp_path, line):
    file = tmp_path / "0002-L.txt"
    file.write_text(f"1,2,3,2\n\n{line}\n")
    with pytest.raises(ValueError, match=r"0002-L\.txt:3: .*; correct the line, or take the official file"):
        read_labels(file, 100, {})


def test_a_missing_label_file(tmp_path):
    with pytest.raises(ValueError, match=r"none\.txt:1: cannot be read \(No such file"):
        read_labels(tmp_path / "none.txt", 100, {})


def test_real_labels(shared_data):
    odd = {}
    folder = shared_data / "pku_mmd" / "labels"
    segments = {file.stem: read_labels(file, 10**6, odd) for file in sorted(folder.glob("*.txt"))}
    assert len(segments) == 12
    assert odd["inverted"] == [f"{folder}/0043-L.txt:21"]
    assert len(odd["confidence 0"]) >= 2
    assert "empty" not in odd
    assert (1, 4036, 4925) in [segment[:3] for segment in segments["0043-L"]]
    assert all(segment.start < segment.end for video in segments.values() for segment in video)
    assert segments["0002-L"][0] == Segment(32, 182, 235, 1)


def test_names_of_classes_are_those_of_others(shared_data):
    lines = (shared_data / "pku_mmd" / "actions_51.txt").read_text().splitlines()
    assert [f"{number}\t{name}" for number, name in enumerate(read_class_names("pku_mmd"), 1)] == lines


def test_names():
    assert is_video("0002-L", 1)
    assert is_video("A10N08-R", 2)
    assert not any(is_video(name, phase) for name in ("0002-X", "2-L", "", "A10N08") for phase in (1, 2))
    assert not is_video("0002-L", 2)


def test_split_lists(tmp_path):
    file = write_split(tmp_path / "s.txt", ["0002-L", "A01N01-M"], ["0003-R"])
    assert read_split(file) == ({"0002-L", "A01N01-M"}, {"0003-R"})
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert read_split(file) == ({"0002-L", "A01N01-M"}, {"0003-R"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"s\.txt:1: is not a split list"),
        ("0002-L\n0003-L\n", r"s\.txt:1: is not a split list"),
        ("Training videos:\n0002-L, x\nValidation videos:\n0003-L\n", r"s\.txt:2: 'x' is no name such as 0002-L"),
        ("Training videos:\n0002-L\nValidation videos:\n0002-L\n", r"s\.txt:4: 0002-L is in the training list, too"),
    ],
)
def test_damaged_split_lists(tmp_path, text, message):
    (tmp_path / "s.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_split(tmp_path / "s.txt")


def test_real_split_lists(shared_data):
    folder = shared_data / "pku_mmd" / "split_reconstructed"
    assert [len(part) for part in read_split(folder / "cross-subject.txt")] == [942, 132]
    assert [len(part) for part in read_split(folder / "cross-view.txt")] == [718, 356]


def test_what_is_missing(tmp_path):
    root = tmp_path / "pku"
    with pytest.raises(ValueError, match="no such folder; give the folder that holds those of skeletons and labels"):
        PKUMMDSkeletonDataModule(root).prepare_data()
    root.mkdir()
    with pytest.raises(ValueError, match="holds 0 folders named after skeletons and 0 after labels"):
        PKUMMDSkeletonDataModule(root).prepare_data()
    write_video(root, "0002-L", "1,2,30,2\n")
    with pytest.raises(ValueError, match=r"holds no video of phase 2, such as A01N01-L\.txt; set phase"):
        PKUMMDSkeletonDataModule(root, phase=2).prepare_data()
    data = PKUMMDSkeletonDataModule(root, cache=tmp_path / "cache")
    data.prepare_data()
    with pytest.raises(ValueError, match=r"holds no split list cross-subject\.txt; put it there, or set split_list"):
        data.setup("fit")
    split = write_split(tmp_path / "other.txt", ["0009-L"], ["0008-L"])
    with pytest.raises(ValueError, match=r"none of the videos in .* is in this list; set split_list"):
        PKUMMDSkeletonDataModule(root, cache=tmp_path / "cache", split_list=split).setup("fit")
    write_video(root, "0003-L", "1,2,30,2\n")
    with pytest.raises(ValueError, match="was prepared from other files or in another way"):
        data.prepare_data()


def test_a_real_video(shared_data, tmp_path):
    """Phase II, with labels of our own: its official ones are not among the samples."""
    root = tmp_path / "pku"
    for folder in ("Skeleton_v2", "Label_v2"):
        (root / folder).mkdir(parents=True)
    (root / "Skeleton_v2" / "A10N08-L.txt").symlink_to(shared_data / "pku_mmd" / "skeletons" / "A10N08-L.txt")
    (root / "Label_v2" / "A10N08-L.txt").write_text("5,100,180,2\n12,300,1040,1\n")
    write_split(root / "cross_subject_v2.txt", ["A10N08-L"], ["A11N01-L"])
    data = PKUMMDSkeletonDataModule(root, phase=2, cache=tmp_path / "cache", num_workers=0, global_batch_size=2)
    data.prepare_data()
    data.setup("fit")
    assert data.train_samples.num_frames.tolist() == [80, 300]
    assert data.train_samples.labels.tolist() == [4, 11]
    assert data.val_samples is data.train_samples
