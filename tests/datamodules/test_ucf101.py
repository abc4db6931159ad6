from pathlib import Path

import pytest
from pytorch_lightning import Trainer

from datamodules import UCF101DataModule
from datamodules.ucf101 import OFFICIAL_COUNTS, read_classes, read_split
from tests.fakes import write_video
from tests.listed_fakes import ODD_NAMES, fails, report, rows, touch

CLASSES = "1 ApplyEyeMakeup\r\n2 HandstandPushups\r\n3 YoYo\r\n"


def write_lists(folder: Path, train: str, test: str, split: int = 1) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "classInd.txt").write_bytes(CLASSES.encode())
    (folder / f"trainlist0{split}.txt").write_bytes(train.encode())
    (folder / f"testlist0{split}.txt").write_bytes(test.encode())


@pytest.mark.parametrize("lists", ["ucfTrainTestlist", ".", "../ucfTrainTestlist"])
def test_official_lists_wherever_they_are(lists: str, tmp_path: Path) -> None:
    root = tmp_path / "UCF-101"
    touch(
        root,
        "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi",
        "HandStandPushups/v_HandstandPushups_g01_c01.avi",
        "YoYo/v_YoYo_g01_c01.mp4",
    )
    write_lists(
        root / lists,
        "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1\r\n\r\nYoYo/v_YoYo_g01_c01.avi 3",
        "HandstandPushups/v_HandStandPushups_g01_c01.avi\r\n",
        split=2,
    )
    data = UCF101DataModule(root, split=2)
    data.setup("fit")
    assert rows(data.train_samples, root) == [
        ("ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi", 0),
        ("YoYo/v_YoYo_g01_c01.mp4", 2),
    ]
    assert rows(data.val_samples, root) == [("HandStandPushups/v_HandstandPushups_g01_c01.avi", 1)]
    assert (data.num_classes, data.class_names) == (3, ["ApplyEyeMakeup", "HandstandPushups", "YoYo"])
    assert data.flip_keeps_labels


def test_what_is_missing_is_counted_and_listed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, "ApplyEyeMakeup/a.avi", "ApplyEyeMakeup/c.avi", "YoYo/y.avi")
    write_lists(
        tmp_path,
        "ApplyEyeMakeup/a.avi 1\nApplyEyeMakeup/b.avi 1\nHandstandPushups/h.avi 2\nYoYo/y.avi 3\n",
        "ApplyEyeMakeup/c.avi\n",
    )
    line = report(UCF101DataModule(tmp_path), tmp_path / "run", caplog)
    assert "2 training videos, 1 for evaluation, 3 classes" in line
    assert "listed are 4 and 1, official are 9,537 and 3,783" in line
    assert "1 of the classes have no training video, such as HandstandPushups" in line
    assert "2 listed videos are missing, such as ApplyEyeMakeup/b.avi" in line
    missing = (tmp_path / "run/data/missing.txt").read_text()
    assert missing == "ApplyEyeMakeup/b.avi\nHandstandPushups/h.avi\n"


def test_bad_input_gets_one_line(tmp_path: Path) -> None:
    touch(tmp_path, "YoYo/other.avi")
    fails("classInd.txt: no such list in .*set lists to its folder", UCF101DataModule(tmp_path))
    fails("classInd.txt: no such list in .*elsewhere", UCF101DataModule(tmp_path, lists="elsewhere"))
    write_lists(tmp_path, "YoYo/v_YoYo_g01_c01.avi 3\n", "YoYo/v_YoYo_g02_c01.avi\n")
    fails("none of the 1 listed videos .*looked for names such as YoYo/v_YoYo_g01_c01.avi", UCF101DataModule(tmp_path))
    fails("trainlist03.txt: no such list", UCF101DataModule(tmp_path, split=3))
    fails("no such folder", UCF101DataModule(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="split=4 must be 1, 2 or 3"):
        UCF101DataModule(tmp_path, split=4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("YoYo/a.avi 3\n\nYoga/b.avi 2\n", "list.txt:3: `Yoga/b.avi 2` is not in the folder of a class"),
        ("YoYo/a.avi 3\r\nYoYo/b.avi 2\r\n", "list.txt:2: .* has label 2, but the class of its folder is 3"),
        ("a.avi 1", "list.txt:1: `a.avi 1` is not in the folder"),
        ("\n \r\n", "is empty"),
    ],
)
def test_malformed_lines_are_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(text.encode())
    with pytest.raises(ValueError, match=message):
        read_split(tmp_path / "list.txt", ["ApplyEyeMakeup", "HandstandPushups", "YoYo"])


@pytest.mark.parametrize("text", ["1 A\n3 B\n", "1 A\nB\n", "1 A\n2 \n", "0 A\n"])
def test_classes_are_numbered_from_one(text: str, tmp_path: Path) -> None:
    (tmp_path / "classInd.txt").write_text(text)
    with pytest.raises(ValueError, match=r"classInd.txt:\d: .* correct the line"):
        read_classes(tmp_path / "classInd.txt")


def test_any_name_and_line_end_is_read(tmp_path: Path) -> None:
    for end in ("\n", "\r\n", " \n\n", "\t\r\n"):
        for label in ("", " 1"):
            text = end.join(f"A/{name}{label}" for name in ODD_NAMES)
            (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbf" + text.encode())
            found = read_split(tmp_path / "list.txt", ["A"])
            assert [row.name for row in found] == [f"A/{name}" for name in ODD_NAMES]
            assert {row.label for row in found} == {0}


def test_a_batch_is_as_chapter_4_wants_it(tmp_path: Path) -> None:
    write_video(tmp_path / "YoYo/a.avi", 60, codec="mpeg4")
    write_video(tmp_path / "ApplyEyeMakeup/b.avi", 20, codec="mpeg4")
    write_lists(tmp_path, "YoYo/a.avi 3\n", "ApplyEyeMakeup/b.avi\n")
    data = UCF101DataModule(tmp_path, global_batch_size=2, num_workers=0)
    data.trainer = Trainer(accelerator="cpu", default_root_dir=tmp_path / "run", logger=False)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert batch["clip"].shape == (2, 1, 32, 112, 112, 3)
    assert batch["label"].tolist() == [2, 2]
    assert not batch["clip"][0].equal(batch["clip"][1])  # the same video, cropped at another place
    batch = next(iter(data.test_dataloader()))
    assert batch["clip"].shape == (1, 10, 32, 112, 112, 3)
    assert (batch["label"].tolist(), batch["broken"]) == ([0], [])


def test_the_real_lists_and_clip(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "ucf101"
    names = read_classes(folder / "ucfTrainTestlist/classInd.txt")
    lists = [read_split(folder / f"ucfTrainTestlist/{name}list01.txt", names) for name in ("train", "test")]
    assert tuple(map(len, lists)) == OFFICIAL_COUNTS[1]
    assert len(names) == len({row.label for row in lists[0]}) == len({row.label for row in lists[1]}) == 101
    data = UCF101DataModule(folder / "videos", lists=folder / "ucfTrainTestlist", num_workers=0)
    fails("none of the 3,783 listed videos", data)  # the clip is one to train with
    (tmp_path / "SoccerJuggling").symlink_to(folder / "videos/SoccerJuggling")
    touch(tmp_path, lists[1][0].name)
    data = UCF101DataModule(tmp_path, lists=folder / "ucfTrainTestlist", num_workers=0, global_batch_size=1)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert batch["clip"].shape == (1, 1, 32, 112, 112, 3)
    assert batch["label"].tolist() == [83] == [names.index("SoccerJuggling")]
