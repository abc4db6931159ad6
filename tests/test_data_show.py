"""``lightning data show``: counts, what is twice there, geometry and a contact sheet, from the command line."""

import matplotlib.image
import numpy as np
import pytest
import torch
from fakes import write_video

import cli
from configs.data_show import class_counts, doubles, sizes, table_of
from datamodules import VideoFolderDataModule
from datamodules.repetition_dataset import RepeatedMotion, RepetitionList
from datamodules.sample_list import SampleList
from datamodules.tube_dataset import AnnotatedVideo, KeyFrameList, TubeTable

PICTURES = ["--data.height=16", "--data.width=20", "--data.fps=5"]
PEOPLE = ["--data.performers=2", "--data.repetitions=1"]
# Of each kind of batch a config with embedded data, in small; and a line that is printed of it.
EMBEDDED = {
    "tubelet.yaml": (
        ["--data.train_videos=24", "--data.val_videos=12"],
        "a training sample: clip, uint8 1 x 8 x 32 x 32 x 3 (N T H W 3)",
    ),
    "severe_embedded/ava.yaml": (
        ["--data.train_videos=6", "--data.val_videos=4"],
        "a training sample: clip, uint8 8 x 40 x 40 x 3 (T H W 3)",
    ),
    "severe_embedded/charades.yaml": (["--data.train_videos=6", "--data.test_videos=4"], "training actions"),
    "severe_embedded/ucf101_24.yaml": (
        ["--data.train_videos=2", "--data.test_videos=1", "--data.video_frames=20", "--data.eval_frames=16"],
        "12 runs of 16 key frames for evaluation",
    ),
    "severe_embedded/ucfrep.yaml": (
        ["--data.groups=21", "--data.clips=1"],
        "in evaluation: short_side 32, crop_size 32",
    ),
    "skeleton.yaml": (PEOPLE, "a training sample: skeleton, float32 3 x 300 x 25 x 2 (3 T V M)"),
    "transfer.yaml": ([*PEOPLE, *PICTURES], "a training sample: flow, float16 1 x 16 x 16 x 20 x 2 (N T H W 2)"),
    "detection.yaml": ([*PEOPLE, *PICTURES], "a training sample: depth, int16 128 x 16 x 20 (T H W)"),
}
SLOW = ("transfer.yaml", "detection.yaml", "skeleton.yaml")


def show(capsys, *arguments):
    code = cli.main(["data", "show", *map(str, arguments)])
    output = capsys.readouterr()
    return code, output.out, output.err


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in EMBEDDED]
)
def test_embedded_data(name, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments, line = EMBEDDED[name]
    out = tmp_path / "sheet.png"
    code, text, _ = show(capsys, name, "--out", out, "--samples", 3, f"--data.cache={tmp_path / 'cache'}", *arguments)
    assert code == 0
    assert line in text and f"wrote {out}" in text
    assert matplotlib.image.imread(out).std() > 0.05
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("cache", "sheet.png")] == []  # no run folder


def test_a_folder_of_videos(tmp_path, capsys):
    for number in range(4):
        write_video(tmp_path / "videos" / f"{number}.mp4", 24)
    (tmp_path / "videos" / "bad.mp4").write_bytes(b"no video")
    arguments = ["--data", "VideoFolderDataModule", "--data.root", tmp_path / "videos"]
    code, text, _ = show(capsys, "tubelet.yaml", *arguments)
    assert code == 0
    assert text.startswith("5 videos for training; nothing is held out\n")
    assert f"broken: {tmp_path / 'videos' / 'bad.mp4'}: " in text
    assert "no label" in text


def test_data_that_are_not_there_are_one_line(tmp_path, capsys):
    for code, arguments, line in (
        (1, ["severe/ucf101.yaml", f"--data.root={tmp_path / 'gone'}"], f"{tmp_path / 'gone'}: no such folder"),
        (2, ["tubelet.yaml", "--data.rot=a"], "no argument 'rot'"),
        (2, ["nothing.yaml"], "no config 'nothing.yaml'"),
        (2, [], "data needs show and a config"),
        (2, ["tubelet.yaml", "--out=a.pdf"], "the sheet is a PNG file"),
        (2, ["tubelet.yaml", "--samples=0"], "--samples 0 must be at least 1"),
        (2, ["tubelet.yaml", "--size=3"], "unknown argument --size"),
    ):
        found = show(capsys, *arguments)
        lines = [text for text in found[2].splitlines() if text.startswith("lightning: error: ")]
        assert found[:2] == (code, "") and len(lines) == 1 and line in lines[0]


@pytest.fixture
def data(tmp_path):
    """Set up by hand: 30 classes, the first one the most frequent."""
    data = VideoFolderDataModule(tmp_path)
    rows = [(f"{label}-{number}.mp4", label) for label in range(30) for number in range(31 - label)]
    data.train_samples = SampleList(rows)
    data.val_samples = SampleList([("new.mp4", 3), ("none.mp4", -1)])
    data.class_names, data.num_classes = [f"class of {label}" for label in range(32)], 32
    return data


def cells(table):
    return list(zip(*(list(map(str, column.cells)) for column in table.columns), strict=True))


def test_long_tails_are_shortened(data):
    assert sizes(data) == "495 videos for training, 2 videos for evaluation"
    table = table_of(data, 10)
    assert cells(table) == [
        *((f"class of {label}", str(31 - label), "1" if label == 3 else "0") for label in range(7)),
        ("… 22 more", "3 to 24 each", "0 each"),
        ("class of 29", "2", "0"),
        ("no label", "0", "1"),
        ("all", "495", "2"),
    ]
    assert table.caption == "classes that do not occur: 2 of 32"
    assert len(cells(table_of(data, 31))) == 32


def test_what_is_twice_there(data):
    assert doubles(data) == []
    data.train_samples = SampleList([("a", 0), ("b", 0), ("a", 1), ("b", 1), ("c", 0)])
    data.val_samples = SampleList([("c", 0), ("d", 0)])
    assert doubles(data) == ["2 are more than once in the training list, such as a", "1 are in both lists, such as c"]
    # Parts of one video are different samples.
    data.train_samples = SampleList([("a", 0), ("a", 1)], [(0, 1), (1, 2)])
    data.val_samples = data.train_samples
    assert doubles(data) == []


def test_boxes_are_counted_in_key_frames():
    """Two videos of 5 frames; the second one's last run ends with the video."""
    rows = (np.array([[0, 1, 0], [3, 0, 0], [3, 1, 1]]), np.array([[0, 2, 0], [4, 0, 0]]))
    boxes = np.array([[0, 0, 1, 1]] * 3, np.float32)
    table = TubeTable([AnnotatedVideo(str(n), f"{n}.avi", 5, part, boxes[: len(part)]) for n, part in enumerate(rows)])
    every = KeyFrameList(table, torch.tensor([0, 0, 0, 1]), torch.tensor([0, 1, 3, 4]))
    assert class_counts(every) == ("boxes", {0: 2, 1: 2})
    runs = KeyFrameList(table, torch.tensor([0, 0, 1, 1]), torch.tensor([0, 3, 0, 3]), run=3)
    assert class_counts(runs).by_class == {0: 2, 1: 2, 2: 1}
    assert class_counts(runs.select(torch.tensor([False, True, False, True]))).by_class == {0: 2, 1: 1}


def test_videos_are_counted_by_their_cycles():
    videos = [RepeatedMotion(str(number), np.arange(number + 3)) for number in (0, 0, 5)]
    assert class_counts(RepetitionList(videos)).by_class == {2: 2, 7: 1}
