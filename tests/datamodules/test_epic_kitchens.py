"""EPIC-Kitchens-100: lists, targets, layouts, and segments of long videos."""

import re

import numpy as np
import pytest
from fakes import moving_texture, write_video

from datamodules import EpicKitchensDataModule
from datamodules.epic_kitchens import Narrated, read_class_keys, read_narrated
from datamodules.readers.video import VideoReader

HEADER = "narration_id,participant_id,video_id,start_timestamp,stop_timestamp,narration,verb_class,noun_class,all_nouns"
VERBS, NOUNS = ("take", "put", "turn-on"), ("tap", "plate")
TRAIN = [
    "P01_01_0,P01,P01_01,00:00:00.00,00:00:01.00,take plate,0,1,\"['plate', 'tap']\"",
    "P01_01_1,P01,P01_01,00:00:01.00,00:00:02.5,turn on tap,2,0,['tap']",
    "P02_03_0,P02,P02_03,00:00:00.50,00:00:01.00,put plate,1,1,['plate']",
]
VAL = ["P02_03_1,P02,P02_03,00:00:00.75,00:00:01.75,take tap,0,0,['tap']"]


def write_lists(folder, train=TRAIN, val=VAL):
    folder.mkdir(parents=True, exist_ok=True)
    for part, rows in (("train", train), ("validation", val)):
        (folder / f"EPIC_100_{part}.csv").write_text("\r\n".join([HEADER, *rows]))
    for part, keys in (("verb", VERBS), ("noun", NOUNS)):
        lines = ["id,key,instances,category", *(f"{row},{key},['{key}'],x" for row, key in enumerate(keys))]
        (folder / f"EPIC_100_{part}_classes.csv").write_text("\n".join(lines))


def refused(words, call, *arguments):
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)


def dataset(root, official):
    write_lists(root / "annotations")
    for name in ("P01_01", "P02_03"):
        file = root / (f"{name[:3]}/videos/{name}.MP4" if official else f"{name}.mp4")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return root


@pytest.mark.parametrize("official", [True, False])
def test_targets_and_layouts(tmp_path, official, caplog):
    root = dataset(tmp_path, official)
    expected = {
        "verb": (["take", "put", "turn-on"], [0, 2, 1], [0]),
        "noun": (["tap", "plate"], [1, 0, 1], [0]),
        "action": (["take tap", "take plate", "put plate", "turn-on tap"], [1, 3, 2], [0]),
    }
    for target, (names, train, val) in expected.items():
        data = EpicKitchensDataModule(root, target)
        with caplog.at_level("INFO"):
            data.setup("fit")
        assert data.class_names == names
        assert data.num_classes == len(names)
        assert data.train_samples.labels.tolist() == train
        assert data.val_samples.labels.tolist() == val
        segments = [data.train_samples.segment(row) for row in range(3)]
        assert segments == [(0.0, 1.0), (1.0, 2.5), (0.5, 1.0)]
        assert [data.train_samples.path(row).rpartition("/")[2][:6] for row in range(3)] == ["P01_01"] * 2 + ["P02_03"]
    assert data.pairs == [(0, 0), (0, 1), (1, 1), (2, 0)]
    assert "the lists have 3 and 1, not the official 67,217 and 9,668" in caplog.text


def test_missing_videos_are_counted_once(tmp_path, caplog):
    root = dataset(tmp_path, official=True)
    (root / "P01" / "videos" / "P01_01.MP4").unlink()
    data = EpicKitchensDataModule(root)
    with caplog.at_level("INFO"):
        data.setup("fit")
    assert len(data.train_samples) == 1
    assert "1 listed videos are missing, such as P01_01.MP4" in caplog.text


def test_clips_are_of_their_segments(tmp_path):
    write_lists(tmp_path)
    frames = moving_texture(60)
    for name in ("P01_01", "P02_03"):
        write_video(tmp_path / name[:3] / "videos" / f"{name}.MP4", frames, fps=20)
    data = EpicKitchensDataModule(
        tmp_path, num_frames=4, fps=20, crop_size=48, short_sides=(48,), eval_clips=1, num_workers=0
    )
    data.setup("test")
    (batch,) = iter(data.test_dataloader())
    with VideoReader(data.val_samples.path(0)) as video:
        # 0.75 s to 1.75 s are frames 15 to 34, whose middle four start at 23.
        expected = video.read(np.arange(23, 27))[:, :, 8:56]
    np.testing.assert_array_equal(batch["clip"][0, 0], expected)


def test_rows_that_are_none(tmp_path):
    file = tmp_path / "EPIC_100_train.csv"

    def of(row, words):
        file.write_text("\n".join([HEADER, TRAIN[0], row]))
        refused(f"{file}:3: {words}", read_narrated, file, 3, 2)

    of("a,P01,P01,00:00:01,00:00:02,x,0,0,[]", "a: 'P01' is no video such as P01_01; correct")
    of("a,P01,P01_01,00:00:02,00:00:02,x,0,0,[]", "a: '00:00:02' to '00:00:02' is no time hh:mm:ss.ss and a later one")
    of("a,P01,P01_01,1.5,00:00:02,x,0,0,[]", "a: '1.5' to '00:00:02' is no time")
    of("a,P01,P01_01,00:00:01,00:61:00,x,0,0,[]", "a: '00:00:01' to '00:61:00' is no time")
    of("a,P01,P01_01,00:00:01,00:00:02,x,3,0,[]", "a: verb_class '3' is not 0 to 2; correct")
    of("a,P01,P01_01,00:00:01,00:00:02,x,0,-1,[]", "a: noun_class '-1' is not 0 to 1; correct")
    of("a,P01,P01_01,00:00:01,00:00:02", "has not as many values as the first line has names")
    file.write_text(HEADER)
    refused(f"{file}: lists no actions", read_narrated, file, 3, 2)
    file.write_text("narration_id,video_id\n")
    refused(f"{file}:1: columns start_timestamp, stop_timestamp, verb_class, noun_class", read_narrated, file, 3, 2)
    classes = tmp_path / "EPIC_100_verb_classes.csv"
    classes.write_text("id,key\n0,take\n2,put\n")
    refused(f"{classes}:3: class '2' comes where 1 should", read_class_keys, classes)
    classes.write_text("id,key\n")
    refused(f"{classes}: is empty", read_class_keys, classes)


def test_real_lists(shared_data):
    folder = shared_data / "epic_kitchens_100"
    verbs, nouns = (read_class_keys(folder / f"EPIC_100_{part}_classes.csv") for part in ("verb", "noun"))
    assert (len(verbs), len(nouns)) == (97, 300)
    rows = read_narrated(folder / "EPIC_100_validation.csv", 97, 300)
    assert len(rows) == 9_668
    assert len({row.verb for row in rows}) == 78
    assert len({row.noun for row in rows}) == 211
    assert len({(row.verb, row.noun) for row in rows}) == 1_352
    assert len({row.video for row in rows}) == 138
    assert rows[1] == Narrated("P01_11_1", "P01_11", 1.56, 2.45, 1, 2)
    assert len(read_narrated(folder / "EPIC_100_uda_source_train.head3000.csv", 97, 300)) == 3_000
