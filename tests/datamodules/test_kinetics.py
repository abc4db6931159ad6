import logging
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest
import torch
from pytorch_lightning import Trainer

from datamodules import KineticsDataModule
from datamodules.kinetics import VideoIndex, read_csv, read_list
from datamodules.sample_list import SampleList
from tests.fakes import write_video

HEADER = "label,youtube_id,time_start,time_end,split,is_cc\n"


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def listed(samples: SampleList, root: Path) -> list[tuple[str, int]]:
    rows = ((samples.path(row), samples.label(row)) for row in range(len(samples)))
    return [(str(Path(path).relative_to(root)), label) for path, label in rows]


def made(root: Path, **arguments: object) -> KineticsDataModule:
    data = KineticsDataModule(root, **arguments)
    data.setup("fit")
    return data


def fails(message: str, root: Path, **arguments: object) -> str:
    with pytest.raises(ValueError, match=message) as error:
        made(root, **arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_tree_with_splits(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "train/zumba/b.mp4",
        "train/air_drumming/c.mkv",
        "train/air_drumming/a.webm",
        "validate/air drumming/d.avi",
        "validate/zumba/d.avi",
        "notes/x.mp4",
    )
    data = made(tmp_path)
    assert listed(data.train_samples, tmp_path) == [
        ("train/air_drumming/a.webm", 0),
        ("train/air_drumming/c.mkv", 0),
        ("train/zumba/b.mp4", 1),
    ]
    assert listed(data.val_samples, tmp_path) == [("validate/air drumming/d.avi", 0), ("validate/zumba/d.avi", 1)]


def test_tree_of_classes_and_flat_tree(tmp_path: Path) -> None:
    touch(tmp_path / "classes", "b/1.mp4", "a/1.mp4", "a/1.avi")
    data = made(tmp_path / "classes")
    assert listed(data.train_samples, tmp_path / "classes") == [("a/1.avi", 0), ("a/1.mp4", 0), ("b/1.mp4", 1)]
    assert data.val_samples is data.train_samples
    assert data.num_classes == 2
    touch(tmp_path / "flat", "2.mp4", "1.mp4")
    data = made(tmp_path / "flat")
    assert listed(data.train_samples, tmp_path / "flat") == [("1.mp4", -1), ("2.mp4", -1)]
    assert data.num_classes == 0
    assert data.probe_dataloaders() is None


def test_official_csvs_in_root_are_found_and_classes_sorted(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(
        HEADER
        + '"zumba",bbbbbbbbbbb,0,10,train,0\n"air drumming",aaaaaaaaaa-,417,427,train,1\nzumba,_cccccccccc,1,2,train,0'
    )
    (tmp_path / "kinetics_validate.csv").write_bytes(
        b"\xef\xbb\xbf" + (HEADER + "zumba,ddddddddddd,3,13,val,0\n").replace("\n", "\r\n").encode()
    )
    touch(
        tmp_path,
        "train/air_drumming/aaaaaaaaaa-_000417_000427.mkv",
        "train/zumba/bbbbbbbbbbb_000000_000010.mp4",
        "val/ddddddddddd_000003_000013.MP4",
    )
    data = made(tmp_path)
    assert listed(data.train_samples, tmp_path) == [
        ("train/zumba/bbbbbbbbbbb_000000_000010.mp4", 1),
        ("train/air_drumming/aaaaaaaaaa-_000417_000427.mkv", 0),
    ]
    assert listed(data.val_samples, tmp_path) == [("val/ddddddddddd_000003_000013.MP4", 1)]
    assert data.num_classes == 2


def test_a_csv_of_several_splits_gives_each_its_rows(tmp_path: Path) -> None:
    file = tmp_path / "all.csv"
    file.write_text(HEADER + "a,aaaaaaaaaaa,0,1,train,0\na,bbbbbbbbbbb,0,1,validate,0\na,ccccccccccc,0,1,test,0\n")
    assert [row.name[2:13] for row in read_csv(file, "train")] == ["aaaaaaaaaaa"]
    assert [row.name[2:13] for row in read_csv(file, "val")] == ["bbbbbbbbbbb"]


def test_lists_of_every_shape(tmp_path: Path) -> None:
    names = ["a b/c d.mp4", '!()&;#[]@/it\'s "x".mp4', "ä/ü 7.mp4"]
    touch(tmp_path, *names)
    for number, line in enumerate(("{} {}", "{} 300 {}", '"{}"  {} ', "{}\t{}")):
        file = tmp_path / f"{number}.txt"
        file.write_bytes("\r\n\r\n".join(line.format(name, label) for label, name in enumerate(names)).encode())
        data = made(tmp_path, train_list=file)
        assert listed(data.train_samples, tmp_path) == [(name, label) for label, name in enumerate(names)]
        assert data.num_classes == 3
        assert data.val_samples is data.train_samples
    (tmp_path / "plain.txt").write_text("\n".join(names))
    data = made(tmp_path, train_list="plain.txt")  # in root; classes are the folders
    assert listed(data.train_samples, tmp_path) == [(names[0], 1), (names[1], 0), (names[2], 2)]


def test_names_are_matched_by_folder_unless_they_are_unique(tmp_path: Path) -> None:
    clip = "abcdefghij-_000001_000011"
    touch(tmp_path, "train/a_b/1.mp4", "val/a_b/1.mp4", "train/c/1.avi", f"other/{clip}.mkv", "other/klmnopqrst_.mp4")
    videos = VideoIndex(tmp_path)
    assert videos.find_in("a b/1", "train") == "train/a_b/1.mp4"
    assert videos.find_in("a b/1.webm", "val") == "val/a_b/1.mp4"
    assert videos.find_in("/data/kinetics/train/c/1.mp4", "val") == "train/c/1.avi"
    assert videos.find_in("d/1.mp4", "train") is None
    assert videos.find_in(f"renamed class/{clip}", "train") == f"other/{clip}.mkv"
    assert videos.find_in(clip[:11], "train") == f"other/{clip}.mkv"
    assert videos.find_in("x/klmnopqrst__000005_000015.mp4", "val") == "other/klmnopqrst_.mp4"
    assert videos.find_in("2.mp4", "train") is None


def test_missing_videos_are_counted_listed_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path / "videos", "a/1.mp4", "a/3.mp4")
    (tmp_path / "list.txt").write_text("a/1.mp4 0\na/2.mp4 0\na/3.mp4 0\nb/é.mp4 1\n")
    data = KineticsDataModule(tmp_path / "videos", train_list=tmp_path / "list.txt")
    data.trainer = Trainer(accelerator="cpu", default_root_dir=tmp_path / "run", logger=False)
    with caplog.at_level(logging.INFO):
        data.setup("fit")
    assert listed(data.train_samples, tmp_path / "videos") == [("a/1.mp4", 0), ("a/3.mp4", 0)]
    assert (tmp_path / "run/data/missing.txt").read_text(encoding="utf-8") == "a/2.mp4\nb/é.mp4\n"
    (line,) = [record.message for record in caplog.records if "KineticsDataModule" in record.message]
    assert "2 training videos, the same for evaluation, 2 classes; 2 listed videos are missing, such as a/2" in line


def test_subset_takes_a_part_of_training_alone(tmp_path: Path) -> None:
    touch(tmp_path, *(f"train/a/{number:02}.mp4" for number in range(40)), *(f"val/a/{n}.mp4" for n in range(8)))
    whole, part, other = made(tmp_path), made(tmp_path, subset=0.25), made(tmp_path, subset=0.25, subset_seed=1)
    assert (len(whole.train_samples), len(part.train_samples), len(part.val_samples)) == (40, 10, 8)
    assert set(listed(part.train_samples, tmp_path)) < set(listed(whole.train_samples, tmp_path))
    assert listed(part.train_samples, tmp_path) != listed(other.train_samples, tmp_path)
    assert listed(part.train_samples, tmp_path) == listed(made(tmp_path, subset=0.25).train_samples, tmp_path)
    fails("subset=0", tmp_path, subset=0)


@pytest.mark.parametrize(
    ("text", "message", "arguments"),
    [
        ("", "is empty", {}),
        ("a/1.mp4 0\na/2.mp4\n", "list.txt:2: `a/2.mp4` has no label", {}),
        ("a/1.mp4 0\n", "list.txt:1: label 0 is out of range 1 to the last", {"label_base": 1}),
        ("a/1.mp4 -1\n", "list.txt:1: label -1 is out of range", {}),
        ("a/1.mp4 0\na/1.mp4 5\n", "list.txt:2: label 5 is out of range 0 to 4", {"num_classes": 5}),
        pytest.param(
            "\n".join(f"a/1.mp4 {n}" for n in range(1, 201)),
            "labels run from 1 to 200; set label_base=1",
            {},
            id="from 1",
        ),
        ("b/9.mp4 0\n", "none of the 1 videos of .*list.txt is in .*looked for names such as b/9.mp4", {}),
    ],
)
def test_bad_lists_say_what_is_wrong(tmp_path: Path, text: str, message: str, arguments: dict[str, int]) -> None:
    touch(tmp_path, "a/1.mp4")
    (tmp_path / "list.txt").write_text(text)
    error = fails(message, tmp_path, train_list=tmp_path / "list.txt", **arguments)
    assert str(tmp_path / "list.txt") in error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "columns label, youtube_id, time_start, time_end are missing"),
        ("label,youtube_id\na,b\n", "columns time_start, time_end are missing"),
        (HEADER + "a,aaaaaaaaaaa,0,10\nb,bbbbbbbbbbb,zero,10\n", r"train.csv:3: .* no whole seconds"),
        (HEADER + "a,aaaaaaaaaaa\n", "train.csv:2: "),
        (HEADER, "lists no videos of split train"),
    ],
)
def test_bad_csvs_say_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    touch(tmp_path, "a/1.mp4")
    (tmp_path / "train.csv").write_text(text)
    assert str(tmp_path / "train.csv") in fails(message, tmp_path, train_list=tmp_path / "train.csv")


def test_bad_folders_and_classes_say_what_is_wrong(tmp_path: Path) -> None:
    fails("no such folder", tmp_path / "none")
    (tmp_path / "empty").mkdir()
    fails("holds no videos", tmp_path / "empty")
    touch(tmp_path, "a/1.mp4", "b/1.mp4")
    fails("none.txt: no such list", tmp_path, train_list="none.txt")
    fails("num_classes=3, but the lists name 2 classes", tmp_path, num_classes=3)
    rows = [f"class {n},{n:011},0,10,train,0\n" for n in range(400)]
    (tmp_path / "train.csv").write_text(HEADER + "".join(rows))
    (tmp_path / "val.csv").write_text(
        HEADER + "".join(rows[:399]).replace("train", "val") + "new,99999999999,0,10,val,0\n"
    )
    fails("each lacks some of the other's, such as 'new'", tmp_path)


def test_mini_kinetics_lists(shared_data: Path, tmp_path: Path) -> None:
    lists = shared_data / "mini_kinetics200"
    rows = list(read_list(lists / "train_split_1.txt", 1, 200))
    assert (len(rows), len(read_list(lists / "val_split_1.txt", 1, 200))) == (77_266, 4_907)
    assert {row.label for row in rows} == set(range(200))
    names = [row.name for row in rows]
    touch(tmp_path, *(f"train/some_class/{name}.mp4" for name in names[:50]), "val/zkyy5cC7SL4_000000_000010.webm")
    arguments = {"train_list": lists / "train_split_1.txt", "val_list": lists / "val_split_1.txt"}
    fails("labels run from 1 to 200; set label_base=1", tmp_path, **arguments)
    data = made(tmp_path, label_base=1, **arguments)
    assert len(data.train_samples) == 50
    assert data.train_samples.labels.tolist() == [row.label for row in rows[:50]]
    assert listed(data.val_samples, tmp_path) == [("val/zkyy5cC7SL4_000000_000010.webm", 8)]
    assert data.num_classes == 200

    ids = made(tmp_path, train_list=lists / "train_ytid_list.txt", val_list=lists / "val_ytid_list.txt")
    assert sorted(listed(ids.train_samples, tmp_path)) == sorted((f"train/some_class/{n}.mp4", 0) for n in names[:50])
    assert listed(ids.val_samples, tmp_path) == [("val/zkyy5cC7SL4_000000_000010.webm", -1)]


def test_kinetics_400_lists(shared_data: Path, tmp_path: Path) -> None:
    lists = shared_data / "kinetics400"
    rows = read_csv(lists / "kinetics-400_val.csv", "val")
    assert len(rows) == 19_906
    classes = (lists / "label_map_k400.txt").read_text().splitlines()
    data = made(lists, train_list="kinetics-400_val.csv", num_classes=400)
    assert data.num_classes == 400
    label = classes.index("using segway")
    assert sorted(listed(data.train_samples, lists)) == [
        ("videos/R6llTwEh07w.mp4", label),
        ("videos/SOX5yA1l24A.mp4", label),
    ]
    small = read_list(lists / "val_small_videos.list", 0, 400)
    assert (len(small), Counter(row.label for row in small)) == (128, {0: 64, 1: 64})
    head = read_list(lists / "val_videofolder.head400.txt", 0, 400)
    assert (len(head), head[0].name) == (400, "abseiling/0wR5jVB-WPk_000417_000427")
    official = {row.name: classes.index(str(row.label)) for row in rows}
    assert all(official[row.name.replace("_", " ", row.name.partition("/")[0].count("_"))] == row.label for row in head)


def test_probe_loaders_read_both_lists_as_in_evaluation(tmp_path: Path) -> None:
    for name in ("train/a/1", "train/a/2", "train/b/3", "val/a/4", "val/b/5"):
        write_video(tmp_path / f"{name}.mp4", 6)
    arguments = {"num_frames": 4, "crop_size": 16, "short_sides": (16, 24), "eval_clips": 2, "num_workers": 0}
    loaders = made(tmp_path, **arguments).probe_dataloaders()
    assert loaders is not None
    (known,), (held_out,) = loaders
    assert (known["label"].tolist(), held_out["label"].tolist()) == ([0, 0, 1], [0, 1])
    assert known["clip"].shape == (3, 2, 4, 16, 16, 3)
    (again,) = loaders[0]
    assert torch.equal(known["clip"], again["clip"])
    capped = made(tmp_path, probe_samples=2, **arguments).probe_dataloaders()
    assert capped is not None
    assert [len(next(iter(loader))["path"]) for loader in capped] == [2, 2]


def test_linear_evaluation_has_names_few_samples_and_resized_crops(tmp_path: Path) -> None:
    rows = [(name, f"{name[0]}{number:010}") for name in ("zumba", "air drumming") for number in range(6)]
    text = HEADER + "".join(f"{name},{clip},0,10,train,0\n" for name, clip in rows)
    (tmp_path / "train.csv").write_text(text)
    (tmp_path / "val.csv").write_text(text.replace("train", "val"))
    for name, clip in rows:
        write_video(tmp_path / name / f"{clip}_000000_000010.mp4", 12)
    data = made(tmp_path, samples=4, random_resized_crop=True, crop_size=32, short_sides=(36,), num_workers=0)
    assert data.class_names == ["air drumming", "zumba"]
    assert sorted(data.train_samples.labels.tolist()) == [0, 0, 1, 1]
    assert len(data.val_samples) == 12
    dataset = data.train_dataloader().dataset
    assert dataset.random_resized_crop
    batch = next(iter(data.train_dataloader()))
    assert batch["clip"].shape[1:] == (1, 16, 32, 32, 3)
    assert made(tmp_path, samples=4).train_samples.labels.equal(data.train_samples.labels)
    fails("samples=13 must be at least 1 and at most the 12 labelled", tmp_path, samples=13)


@pytest.mark.parametrize("line", ["zumba,bbbbbbbbbbb,0", "zumba,bbbbbbbbbbb,0,ten,val,0", ",bbbbbbbbbbb,0,10,val,0"])
def test_a_bad_row_of_a_csv_is_named(line: str, tmp_path: Path) -> None:
    (tmp_path / "val.csv").write_text(f"{HEADER}zumba,aaaaaaaaaaa,0,10,val,0\n\n{line}\n")
    with pytest.raises(ValueError, match=r"val.csv:4: `.*` has no label or no whole seconds; mend or remove the line"):
        read_csv(tmp_path / "val.csv", "val")


def test_a_row_of_a_list_takes_few_bytes(tmp_path: Path) -> None:
    names = [f"class {row % 7}/{row:011d}_000001_000011" for row in range(2000)]
    touch(tmp_path, *(f"train/{name}.mp4" for name in names))
    rows = (f"{name.partition('/')[0]},{name[8:19]},1,11,train,0\n" for name in names)
    (tmp_path / "train.csv").write_text(HEADER + "".join(rows))
    (tmp_path / "train.txt").write_text("".join(f"{name} {row % 7}\n" for row, name in enumerate(names)))
    VideoIndex(tmp_path), read_csv(tmp_path / "train.csv", "train")  # what is loaded once
    kept = []
    for make in (
        lambda: VideoIndex(tmp_path),
        lambda: read_csv(tmp_path / "train.csv", "train"),
        lambda: read_list(tmp_path / "train.txt", 0, 7),
    ):
        tracemalloc.start()
        kept.append(make())
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert held / len(names) < 120  # Python's strings, tuples and lists would take 200 to 500
    assert [row.name for row in kept[1]] == [row.name for row in kept[2]] == names


def test_long_numbers_are_names(tmp_path: Path) -> None:
    touch(tmp_path, "a/1 12345678901234567890.mp4", "a/2 12345678901234567890.mp4")
    (tmp_path / "list.txt").write_text("1 12345678901234567890\n2 12345678901234567890\n")
    data = made(tmp_path, train_list="list.txt")
    assert [data.train_samples.label(row) for row in range(2)] == [0, 0]  # the folder's class
