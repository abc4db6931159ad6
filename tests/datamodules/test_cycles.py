"""Cycles in .mat files: the real 526, lengths worked out by hand, and files that cannot be used."""

import zipfile

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from datamodules.readers.cycles import neighbour_lengths, read_cycles
from datamodules.writers.cycles import write_cycles

JUGGLING = [13, 32, 54, 73, 97, 111, 133, 151, 165, 185, 205, 223, 238]


def test_the_real_files_and_their_stored_lengths(shared_data, tmp_path):
    with zipfile.ZipFile(shared_data / "ucfrep/ucf526_annotations.zip") as archive:
        archive.extractall(tmp_path)
    counts = {}
    for split in ("train", "val"):
        files = sorted((tmp_path / "annotations" / split).glob("*.mat"))
        counts[split] = [len(read_cycles(file)) - 1 for file in files]
        for file in files:
            label = loadmat(file)["label"][0, 0]
            previous, following = neighbour_lengths(read_cycles(file))
            assert np.where(previous > 0, previous, -1).tolist() == label["offset_pre_estimate"][0].tolist()
            assert np.where(following > 0, following, -1).tolist() == label["offset_next_estimate"][0].tolist()
    assert [len(part) for part in counts.values()] == [421, 105]
    assert [sum(part) for part in counts.values()] == [2776, 730]
    assert (min(counts["train"]), max(counts["train"])) == (2, 53)
    assert read_cycles(tmp_path / "annotations/val/v_SoccerJuggling_g23_c01.mat").tolist() == JUGGLING


def test_lengths_go_over_into_each_other_unless_they_differ_much():
    previous, following = neighbour_lengths(np.array([3, 7, 12, 22]))  # cycles of 4, 5 and 10 frames
    assert previous.tolist() == [0] * 4 + [4, 4, 4, 5, 5] + [0] * 11
    assert following.tolist() == [4, 4, 5, 5] + [0] * 16
    assert previous.dtype == following.dtype == np.float32


def test_what_is_written_is_read_and_the_same_bytes_each_time(tmp_path):
    bounds = np.array([*JUGGLING, 300])
    for name in ("a.mat", "b.mat"):
        write_cycles(tmp_path / name, bounds)
    assert (tmp_path / "a.mat").read_bytes() == (tmp_path / "b.mat").read_bytes()
    assert read_cycles(tmp_path / "a.mat").tolist() == bounds.tolist()
    label = loadmat(tmp_path / "a.mat")["label"][0, 0]
    assert label["temporal_bound"].shape == (14, 1) and label["temporal_bound"].dtype == np.uint16
    assert label["duration"].tolist() == [[288]] and label["start_frame"].dtype == np.uint8
    assert label["offset_next_estimate"].shape == label["offset_pre_estimate"].shape == (1, 288)
    assert label["offset_next_estimate"][0, 0] == 19 and label["offset_pre_estimate"][0, 0] == -1


def label(**changes):
    values = {"duration": 21, "start_frame": 5, "end_frame": 25, "temporal_bound_num": 3, "temporal_bound": [5, 15, 25]}
    return {"label": {**values, **changes}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"labels": 1}, "has no label"),
        ({"label": 1}, "has no label.duration"),
        ({"label": {"duration": 21}}, "has no label.start_frame"),
        (label(temporal_bound=[5, 15.5, 25]), "label.temporal_bound is no row of whole numbers"),
        (label(temporal_bound=[5, np.nan, 25]), "label.temporal_bound is no row of whole numbers"),
        (label(duration="long"), "label.duration is no row of whole numbers"),
        (label(start_frame=[]), "label.start_frame is no row of whole numbers"),
        (label(temporal_bound=[5]), "temporal_bound is 5, no cycle from frame 1 on"),
        (label(temporal_bound=[0, 15, 25]), "temporal_bound is 0 15 25, no cycle from frame 1 on"),
        (label(temporal_bound=[5, 25, 15]), "temporal_bound is 5 25 15, which does not rise"),
        (label(temporal_bound=[5, 5, 25]), "temporal_bound is 5 5 25, which does not rise"),
        (label(temporal_bound_num=4), "temporal_bound_num=4, start_frame=5, end_frame=25"),
        (label(end_frame=24), "end_frame=24"),
        (label(duration=20), "duration=20 are not those of temporal_bound"),
    ],
)
def test_what_does_not_agree_is_one_line(content, message, tmp_path):
    file = tmp_path / "v_Odd_g01_c01.mat"
    savemat(file, content)
    with pytest.raises(ValueError, match=message) as error:
        read_cycles(file)
    assert str(error.value).startswith(f"{file}: ") and "\n" not in str(error.value)


@pytest.mark.parametrize("damage", ["empty", "text", "short"])
def test_no_mat_file_is_one_line(damage, tmp_path):
    file = tmp_path / "v_Odd_g01_c01.mat"
    write_cycles(file, np.array([1, 9, 20]))
    whole = file.read_bytes()
    file.write_bytes({"empty": b"", "text": b"1 9 20\n" * 40, "short": whole[:-60]}[damage])
    with pytest.raises(ValueError, match=r"cannot be read as a \.mat file") as error:
        read_cycles(file)
    assert str(error.value).startswith(f"{file}: ") and "\n" not in str(error.value)


def test_no_file_is_one_line(tmp_path):
    with pytest.raises(ValueError, match=r"none.mat: cannot be read as a .mat file"):
        read_cycles(tmp_path / "none.mat")
