"""AVA: its lists and what is odd in them, clips around keyframes, crops that take boxes along."""

import logging
import re

import cv2
import numpy as np
import pytest
import torch
from pytorch_lightning import Trainer

from datamodules import AVADataModule
from datamodules.ava_lists import read_boxes, read_exclusions, read_label_map
from datamodules.keyframe_dataset import KeyframeDataset, KeyframeList, collate, crop_boxes
from datamodules.readers.numbered_pictures import PictureFrames
from datamodules.readers.video import VideoError
from datamodules.sampling.resumable_sampler import Draw
from tests.fakes import moving_texture, write_video

LABEL_MAP = 'item {\n  name: "dance"\n  id: 1\n}\nitem {\n  name: "swim"\n  id: 3\n}\n'
TRAIN = ["film_a,0901,0.1,0.2,0.5,0.9,1,0", "film_a,0901,0.1,0.2,0.5,0.9,2,0", "film_a,0902,0.6,0.1,0.9,0.8,3,1"]
VAL = ["film_b,0901,0.1,0.2,0.5,0.9,1,0", "film_b,0901,0.1,0.2,0.5,0.9,3,0", "film_b,0902,0.6,0.1,0.9,0.8,3,1"]
GIVEN = [
    "film_b,0901,0.1,0.2,0.5,0.8,,0.95",
    'film_b,0901,0.5,0.5,0.9,0.9,"",0.91',
    "film_b,0901,0.5,0.5,0.8,0.9,,0.2",
    "film_b,0903,0.5,0.5,0.8,0.9,,0.99",
]
FILES = {
    "ava_train_v2.2.csv": TRAIN,
    "ava_val_v2.2.csv": VAL,
    "ava_val_predicted_boxes.csv": GIVEN,
    "ava_val_excluded_timestamps_v2.2.csv": ["film_b,0902"],
    "ava_action_list_v2.2_for_activitynet_2019.pbtxt": LABEL_MAP.splitlines(),
}


def write_lists(folder, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in FILES.items():
        (folder / name).write_text("".join(f"{line}\n" for line in changes.get(name[:9], lines)))


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Two films of four seconds, 64 x 48."""
    folder = tmp_path_factory.mktemp("films")
    for number, name in enumerate(("film_a", "film_b")):
        write_video(folder / f"{name}.mp4", moving_texture(120, seed=number), fps=30)
    return folder


def ava(root, films, **changes):
    arguments = {"num_frames": 4, "crop_size": 32, "short_side": (36, 40), "eval_short_side": 24, "num_workers": 0}
    return AVADataModule(root, videos=films, **{**arguments, **changes})


def refused(words, call, *arguments):
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)


def test_lists_become_keyframes_and_boxes(tmp_path, films, caplog):
    write_lists(tmp_path / "annotations")
    data = ava(tmp_path, films, global_batch_size=2)
    data.trainer = Trainer(accelerator="cpu", default_root_dir=tmp_path / "run", logger=False)
    with caplog.at_level(logging.INFO):
        data.setup("fit")
    (line,) = [record.message for record in caplog.records if "AVADataModule" in record.message]
    assert (
        "2 training keyframes with 2 boxes, 2 for evaluation with 3 given boxes and 2 annotated actions, 2 of 80"
        in line
    )
    assert data.evaluated_classes == (0, 2)
    assert data.class_names[:4] == ["dance", "action 2", "swim", "action 4"]
    assert (len(data.class_names), data.num_classes) == (80, 80)
    assert data.class_frequencies[:4].tolist() == [0.5, 0.5, 0.5, 0]
    batch = next(iter(data.train_dataloader()))
    assert batch["clip"].shape == (2, 4, 32, 32, 3)
    assert batch["clip"].dtype == torch.uint8
    assert sorted(batch["name"]) == ["film_a,0901", "film_a,0902"]
    assert batch["target"].sum() == 3
    first = batch["name"].index("film_a,0901")
    assert batch["target"][batch["box_row"] == first][0, :3].tolist() == [1, 1, 0]
    assert not len(batch["true_box"])
    # The excluded keyframe is not there, one that has no annotated box is; a low score is left out.
    batch = next(iter(data.test_dataloader()))
    assert batch["name"] == ["film_b,0901", "film_b,0903"]
    assert batch["clip"].shape == (2, 8, 24, 32, 3)
    torch.testing.assert_close(
        batch["box"], torch.tensor([[0.1, 0.2, 0.5, 0.8], [0.5, 0.5, 0.9, 0.9], [0.5, 0.5, 0.8, 0.9]])
    )
    assert batch["box_row"].tolist() == [0, 0, 1]
    assert batch["true_label"].tolist() == [0, 2]
    assert batch["true_row"].tolist() == [0, 0]
    torch.testing.assert_close(batch["true_box"], torch.tensor([[0.1, 0.2, 0.5, 0.9]] * 2))


def numbers(clip):
    """Which frames of film_b a clip shows."""
    frames = torch.from_numpy(moving_texture(120, seed=1)).float()
    return [int((frames - frame.float()).abs().mean((1, 2, 3)).argmin()) for frame in clip]


def test_a_clip_is_around_its_keyframe(tmp_path, films):
    write_lists(tmp_path)
    data = ava(tmp_path, films, eval_num_frames=8, eval_stride=8, eval_short_side=48)
    data.setup("test")
    sample = data.dataset(data.val_samples, training=False)[Draw(0, 0)]
    # At second 901 is frame 30; 32 frames before it is the start.
    assert numbers(sample["clip"]) == [0, 6, 14, 22, 30, 38, 46, 54]


def test_whole_films_and_cut_ones(tmp_path):
    """A film of half an hour starts at second 0, one of a quarter at second 900; ten seconds a frame."""
    frames = moving_texture(190, seed=1)
    write_lists(tmp_path)
    for count in (190, 91):
        times = [10_000 * number for number in range(count)]
        for film in ("film_a", "film_b"):
            write_video(tmp_path / f"{film}.mkv", frames[:count], times=times)
        data = ava(tmp_path, None, eval_short_side=48)
        data.setup("test")
        sample = data.dataset(data.val_samples, training=False)[Draw(0, 0)]
        assert sample["name"] == "film_b,0901"
        assert set(numbers(sample["clip"])) == ({89, 90} if count == 190 else {0})


def test_folders_of_frames_are_read_alike(tmp_path):
    frames = moving_texture(120, seed=1)
    for film in ("film_a", "film_b"):
        (tmp_path / "frames" / film).mkdir(parents=True)
        for number, frame in enumerate(frames, 1):
            file = str(tmp_path / "frames" / film / f"{film}_{number:06d}.jpg")
            cv2.imwrite(file, frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100])
    write_lists(tmp_path / "annotations")
    data = ava(tmp_path, None, eval_short_side=48)
    data.setup("test")
    sample = data.dataset(data.val_samples, training=False)[Draw(0, 0)]
    assert numbers(sample["clip"]) == [0, 6, 14, 22, 30, 38, 46, 54]
    with PictureFrames(tmp_path / "frames/film_b") as video:
        assert (video.num_frames, video.height, video.width, video.fps) == (120, 48, 64, 30)
        assert video.frame_at(np.array([-1.0, 0, 1, 3.97, 9])).tolist() == [0, 0, 30, 119, 119]
    with pytest.raises(VideoError, match=r"nowhere_000001\.jpg: no such picture"):
        PictureFrames(tmp_path / "nowhere")
    (tmp_path / "frames/film_b/film_b_000001.jpg").write_bytes(b"x")
    with pytest.raises(VideoError, match="is no picture, or damaged"):
        PictureFrames(tmp_path / "frames/film_b")


def test_boxes_follow_the_crop(tmp_path):
    """A picture that is dark but for the box: after any crop the box is still what is bright."""
    frames = np.zeros((60, 48, 64, 3), np.uint8)
    frames[:, 12:36, 16:40] = 255
    write_video(tmp_path / "film.mp4", frames, fps=30)
    (tmp_path / "list.csv").write_text("film,0901,0.25,0.25,0.625,0.75,1,0\nfilm,0901,0,0,0.01,0.01,2,0\n")
    table = read_boxes(tmp_path / "list.csv")
    samples = KeyframeList({"film": str(tmp_path / "film.mp4")}, table.names, [table], 80)
    data = KeyframeDataset(samples, 4, 2, (48, 96), 40, 900.0)
    places = set()
    for seed in range(20):
        sample = data[Draw(0, seed)]
        assert sample["clip"].shape == (4, 40, 40, 3)
        assert ((sample["box"] >= 0) & (sample["box"] <= 1)).all()
        number = sample["target"][:, 0].nonzero()[:, 0]
        assert len(number) == 1  # a crop that shows no box is drawn anew
        x1, y1, x2, y2 = (sample["box"][number[0]] * 40).tolist()
        bright = sample["clip"][2, :, :, 0] > 127
        rows, columns = bright.any(1).nonzero()[:, 0], bright.any(0).nonzero()[:, 0]
        found = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        assert [x1, y1, x2, y2] == pytest.approx([float(value) for value in found], abs=1.6)
        places.add((round(x1), round(y1), round(x2), round(y2)))
    assert len(places) > 10


def test_crop_boxes():
    box = torch.tensor([[0.0, 0.0, 0.5, 1.0], [0.5, 0.5, 1.0, 1.0], [0.0, 0.0, 0.2, 0.2]])
    cut, seen = crop_boxes(box, (40, 80), (10, 20), 30)
    # In pixels the first is 0..40 x 0..40, the crop 20..50 x 10..40.
    torch.testing.assert_close(cut[:2], torch.tensor([[0, 0, 20, 30], [20, 10, 30, 30]]) / 30.0)
    assert seen.tolist() == [True, True, False]


def test_pictures_of_unlike_size_share_a_batch(tmp_path):
    samples = []
    for height, width, count in ((6, 8, 2), (4, 10, 0)):
        samples.append(
            {
                "clip": torch.full((3, height, width, 3), height, dtype=torch.uint8),
                "box": torch.rand(count, 4),
                "target": torch.zeros(count, 5),
                "true_box": torch.rand(count, 4),
                "true_label": torch.zeros(count, dtype=torch.long),
                "sample": height,
                "name": str(height),
                "broken": [],
            }
        )
    batch = collate(samples)
    assert batch["clip"].shape == (2, 3, 6, 10, 3)
    assert batch["size"].tolist() == [[6, 8], [4, 10]]
    assert (batch["clip"][1, :, :4] == 4).all()
    assert (batch["clip"][1, :, 4:] == 0).all()
    assert (batch["clip"][0, :, :, 8:] == 0).all()
    assert batch["box_row"].tolist() == batch["true_row"].tolist() == [0, 0]


def test_odd_rows_are_counted_and_named(tmp_path):
    file = tmp_path / "list.csv"
    rows = [
        "a,0902,0.1,0.1,0.5,0.5,1,0",
        "a,0902,0.5,0.1,0.1,0.5,1,0",  # x2 < x1
        "a,0902,0.1,0.5,0.5,0.5,1,0",  # y2 = y1
        "a,0902,-0.1,0.1,0.5,1.2,2,0",
        "a,0902,0.1,0.1,0.5,0.5,81,0",
        "a,0902,0.1,0.1,0.5,0.5,eat,0",
        "a,later,0.1,0.1,0.5,0.5,1,0",
        "a,0902,nan,0.1,0.5,0.5,1,0",
        "",
        "a,903,1.1,0.1,1.5,0.5,1,0",
    ]
    file.write_text("\r\n".join(rows))
    table = read_boxes(file)
    assert table.names == ["a,0902"]
    torch.testing.assert_close(table.box, torch.tensor([[0.1, 0.1, 0.5, 0.5], [0, 0.1, 0.5, 1]]))
    assert table.action.tolist() == [0, 1]
    assert str(table.odd) == f"{file}: " + "; ".join(
        (
            "4 with an empty box (x2 <= x1 or y2 <= y1), left out (line 2)",
            "1 with a box that reaches out of 0..1, cut to the picture (line 4)",
            "2 of an action that is not 1 to 80, left out (line 5)",
            "1 at a timestamp that is no number of seconds, left out (line 7)",
        )
    )


def test_what_cannot_be_used_is_one_line(tmp_path):
    file = tmp_path / "list.csv"
    for text, words in (
        ("a,0902,0.1,0.1,0.5,0.5,1,0\na,0902,0.1,0.1,0.5\n", "list.csv:2: has 5 columns, must be video,timestamp"),
        ("a,0902,0.1,x,0.5,0.5,1,0\n", "list.csv:1: `a,0902,0.1,x,0.5,0.5,1,0` has corners"),
        ("a,0902,0.5,0.1,0.5,0.5,1,0\n", "none of its 1 lines can be used: 1 with an empty box"),
        ("", "none of its 0 lines can be used: it is empty"),
    ):
        file.write_text(text)
        refused(words, read_boxes, file)
    file.write_text("a,0902,0.1,0.1,0.5,0.5,\n")
    refused("list.csv:1: has 7 columns, must be video,timestamp,x1,y1,x2,y2,action,score", read_boxes, file, 80, 0.5)
    file.write_text("a,0902,0.1,0.1,0.5,0.5,,high\n")
    refused("has corners or a score that are no numbers", read_boxes, file, 80, 0.5)
    file.write_text("a,0902,0.1,0.1,0.5,0.5,,0.9\n")
    refused("1 of a video that is not annotated, left out (line 1)", read_boxes, file, 80, 0.5, {"b"})
    refused("all scores are too low", read_boxes, file, 80, 0.95)
    refused("nothing.csv", read_boxes, tmp_path / "nothing.csv")
    file.write_text("a,0902\na\n")
    refused("list.csv:2: `a` is not `video,timestamp`", read_exclusions, file)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('item {\n  name: "a"\n  id: 81\n}\n', ":3: action 81 has no name, is there twice or is not 1 to 80"),
        ("item {\n  id: 3\n}\n", ":2: action 3 has no name"),
        ("1: a\n1: b\n", ":2: action 1"),
        ("dance\n", ":1: `dance` is no part of a label map"),
        ("\n", "names no action"),
    ],
)
def test_label_maps(tmp_path, text, words):
    (tmp_path / "map.pbtxt").write_text(LABEL_MAP)
    assert read_label_map(tmp_path / "map.pbtxt") == {0: "dance", 2: "swim"}
    (tmp_path / "map.pbtxt").write_text(text)
    refused(words, read_label_map, tmp_path / "map.pbtxt")


def test_odd_rows_missing_films_and_times_that_are_not_there(tmp_path, films, caplog):
    write_lists(
        tmp_path / "annotations",
        ava_train=[
            *TRAIN,
            "film_c,0901,0.1,0.2,0.5,0.9,1,0",
            "film_a,0999,0.1,0.2,0.5,0.9,1,0",
            "film_a,0901,1,1,0,0,1,0",
        ],
    )
    data = ava(tmp_path, films, global_batch_size=1)
    data.trainer = Trainer(accelerator="cpu", default_root_dir=tmp_path / "run", logger=False)
    with (
        caplog.at_level(logging.INFO),
        pytest.warns(UserWarning, match=r"ava_train_v2.2.csv: 1 with an empty .*line 6"),
    ):
        data.setup("fit")
    assert "1 listed videos are missing, such as film_c" in caplog.text
    assert (tmp_path / "run/data/missing.txt").read_text() == "film_c\n"
    assert len(data.train_samples) == 3
    sample = data.dataset(data.train_samples, training=True)[Draw(2, 0)]
    assert sample["name"] == "film_a,0901"  # the next one
    (line,) = sample["broken"]
    assert line.startswith(f"{films}/film_a.mp4,999: its keyframe at 999 s is not there, the file holds 900 to 904 s")
    batch = data.on_before_batch_transfer(collate([sample]), 0)
    assert batch["name"] == ["film_a,0901"]
    assert (tmp_path / "run/data/broken.txt").read_text() == f"{line}\n"


def test_a_film_that_cannot_be_read_is_passed_over_as_a_whole(tmp_path):
    write_video(tmp_path / "film_a.mp4", 120, fps=30)
    (tmp_path / "film_b.mp4").write_bytes(b"no video")
    write_lists(tmp_path, ava_train=[f"film_b,09{n:02d},0,0,1,1,1,0" for n in range(1, 4)] + TRAIN)
    data = ava(tmp_path, None)
    data.setup("fit")
    sample = data.dataset(data.train_samples, training=True)[Draw(0, 0)]
    assert sample["name"] == "film_a,0901"
    assert len(sample["broken"]) == 1


def test_bad_folders_and_arguments(tmp_path, films):
    refused("ava_action_list_v2.2_for_activitynet_*.pbtxt*", ava(tmp_path, films).setup, "fit")
    write_lists(tmp_path / "annotations")
    refused("holds none of the 1 listed videos, such as film_a", ava(tmp_path, tmp_path).setup, "fit")
    refused("nowhere: no such folder; set videos", ava(tmp_path, "nowhere").setup, "fit")
    refused("boxes.csv: no such list", ava(tmp_path, films, boxes="boxes.csv").setup, "fit")
    refused("ava_action_list_v2.1", ava(tmp_path, films, version="2.1").setup, "fit")
    write_lists(tmp_path / "annotations", ava_val_e=["film_b,0901", "film_b,0902", "film_b,0903"])
    refused("all 2 keyframes to evaluate are excluded", ava(tmp_path, films).setup, "fit")
    for change, words in (
        ({"short_side": (20, 40)}, "short_side=(20, 40) must be"),
        ({"score_threshold": 2.0}, "score_threshold=2.0 must lie in 0..1"),
        ({"version": "3"}, "version='3' must be 2.1 or 2.2"),
        ({"stride": 0}, "stride=0 must be at least 1"),
    ):
        refused(words, lambda change=change: ava(tmp_path, films, **change))


def test_boxes_of_a_detector_to_train_with(tmp_path, films):
    write_lists(tmp_path)
    rows = ["film_a,0902,0.2,0.2,0.4,0.4,,0.95", "film_a,0903,0.2,0.2,0.4,0.4,7,0.95", "film_a,0903,0,0,1,1,7,0.1"]
    (tmp_path / "more.csv").write_text("\n".join(rows))
    data = ava(tmp_path, films, train_boxes="more.csv")
    data.setup("fit")
    samples = data.train_samples
    assert [samples.path(row) for row in range(len(samples))] == ["film_a,0901", "film_a,0902", "film_a,0903"]
    box, target = samples.boxes_of(1)
    torch.testing.assert_close(box, torch.tensor([[0.6, 0.1, 0.9, 0.8], [0.2, 0.2, 0.4, 0.4]]))
    assert target.nonzero().tolist() == [[0, 2]]
    assert samples.boxes_of(2)[1].nonzero().tolist() == [[0, 6]]
    part = samples.select(torch.tensor([False, False, True]))
    assert (part.path(0), part.boxes_of(0)[1].nonzero().tolist()) == ("film_a,0903", [[0, 6]])


def test_the_real_lists(shared_data, tmp_path):
    folder = shared_data / "ava"
    head = read_boxes(folder / "ava_val_v2.1.AVA-II.head500.csv")
    lines = (folder / "ava_val_v2.1.AVA-II.head500.csv").read_text().splitlines()
    assert len(head.action) == len(lines) == 500
    assert {int(line.split(",")[6]) - 1 for line in lines} == set(head.action.tolist())
    assert head.names[0] == f"{lines[0].split(',')[0]},{int(lines[0].split(',')[1]):04d}"
    toy = read_boxes(folder / "mmaction2_ava_dataset/ava_sample.csv")
    assert toy.names == ["0f39OWEqJ24,0902", "0f39OWEqJ24,0903", "_-Z6wFjXtGQ,0902"]
    assert torch.bincount(toy.action_box).tolist() == [3, 2, 3]
    excluded = read_exclusions(folder / "mmaction2_ava_dataset/ava_excluded_timestamps_sample.csv")
    assert excluded == {"0f39OWEqJ24,0903", "_-Z6wFjXtGQ,0902"}
    names = read_label_map(folder / "ava_action_list_v2.1_for_activitynet_2018.pbtxt")
    assert len(names) == 60
    assert names == read_label_map(folder / "label_map.txt")
    assert (min(names), max(names), names[0]) == (0, 79, "bend/bow (at the waist)")
    scored = read_boxes(folder / "mmaction2_eval_detection/pred.csv", 3, 0.5)
    assert len(scored.box) == 13
