"""FineGym: names, lists, categories, subsets, and times."""

import json
import re
import shutil

import pytest
from fakes import write_video

from datamodules import FineGymDataModule
from datamodules.fine_gym import OFFICIAL_COUNTS
from datamodules.fine_gym_lists import SETS, Span, read_categories, read_elements, read_spans, video_of

VIDEO = "a-_45678901"
SETS_OF_GYM99 = {1: 6, 21: 11, 22: 7, 24: 7, 25: 10, 31: 12, 32: 4, 33: 8, 34: 4, 35: 5, 41: 15, 42: 5, 43: 2, 44: 3}


def name(number):
    return f"{VIDEO}_E_000010_000090_A_{number:04d}_{number + 1:04d}"


def write_categories(file):
    sets = [number for number, count in SETS_OF_GYM99.items() for _ in range(count)]
    file.write_text(
        "\n".join(f"Clabel: {row:3d}; set: {of:2d}; Glabel: {5 * row}; (XX) e{row}" for row, of in enumerate(sets))
    )


def dataset(root, train, val):
    (root / "annotations").mkdir(parents=True)
    write_categories(root / "annotations" / "gym99_categories.txt")
    for file, labels in (("gym99_train_org.txt", train), ("gym99_val_element.txt", val)):
        (root / "annotations" / file).write_text("\n".join(f"{name(label)} {label}" for label in labels))
    for label in {*train, *val}:
        (root / f"{name(label)}.mp4").touch()
    return root


def refused(words, call, *arguments):
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)


def test_elements(tmp_path):
    file = tmp_path / "list.txt"
    file.write_text(f"{name(3)} 2\r\n\n{name(4)}.avi 0 \n{name(5)}.MP4 98")  # the last line has no end
    assert read_elements(file, 99) == [(name(3), 2), (name(4), 0), (name(5), 98)]
    assert video_of(name(3)) == VIDEO
    refused(f"{file}:4: label 98 is not 0 to 97; correct the line", read_elements, file, 98)


@pytest.mark.parametrize(
    "line", [name(3), f"{name(3)} x", f"{name(3)} -1", f"{name(3)} 1 2", f"{name(3)}.txt 1", "a 1"]
)
def test_lines_that_are_no_elements(tmp_path, line):
    file = tmp_path / "list.txt"
    file.write_text(f"{name(1)} 1\n\n{line}\n")
    refused(f"{file}:3: {line!r} is not `VIDEO_E_START_END_A_START_END label`; correct", read_elements, file)


def test_categories(tmp_path):
    file = tmp_path / "gym99_categories.txt"
    write_categories(file)
    categories = read_categories(file)
    assert len(categories) == 99
    seventh = categories[6]
    assert (seventh.set, seventh.element, seventh.name) == (21, 30, "(XX) e6")
    assert (seventh.event, seventh.set_name) == ("floor exercise", SETS[21])
    assert [categories[label].event for label in (0, 41, 98)] == ["vault", "balance beam", "uneven bars"]
    lines = file.read_text().splitlines()
    for line, words in (
        ("Clabel: 1; set: 1; (VT) x", "is not `Clabel: N;"),
        ("Clabel: 1; set: 7; Glabel: 1; (VT) x", "of a known set"),
        ("Clabel: 2; set: 1; Glabel: 1; (VT) x", "class 2 comes where 1 should"),
    ):
        file.write_text("\n".join([lines[0], line]))
        refused(f"{file}:2: ", read_categories, file)
        refused(words, read_categories, file)
    file.write_text("\n")
    refused("is empty", read_categories, file)


STAGES = {"A_0003_0004": {"stages": 1, "timestamps": [[3.25, 4.5]]}, "A_0005_0009": {"timestamps": [[5, 6], [6, 9]]}}


def test_times_of_both_forms(tmp_path):
    file = tmp_path / "times.json"
    event = {"event": 1, "timestamps": [[10.75, 90.5]], "segments": STAGES}
    file.write_text(json.dumps({VIDEO: {"E_000010_000090": event, "E_000100_000190": {"segments": None}}}))
    first, second = f"{VIDEO}_E_000010_000090_A_0003_0004", f"{VIDEO}_E_000010_000090_A_0005_0009"
    assert read_spans(file) == {first: Span(14.0, 15.25), second: Span(15.75, 19.75)}
    file.write_text(json.dumps({f"{VIDEO}_E_000010_000090": STAGES}))
    assert read_spans(file) == {first: Span(13.25, 14.5), second: Span(15.0, 19.0)}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "the file holds no names"),
        ({}, "holds no elements"),
        ({VIDEO: {"E_000010_000090": {"segments": STAGES}}}, f"{VIDEO}_E_000010_000090: timestamps None are no"),
        ({f"{VIDEO}_E_000010_000090": {"A_0003_0004": {"timestamps": [[4.5, 3]]}}}, "timestamps [[4.5, 3]] are no"),
        ({f"{VIDEO}_E_000010_000090": {"A_0003_0004": {"timestamps": [["a", 3]]}}}, "timestamps [['a', 3]] are no"),
        ({f"{VIDEO}_E_000010_000090": {"A_0003_0004": 3}}, "timestamps None are no"),
        ({f"{VIDEO}_E_000010_000090": {"B": STAGES["A_0003_0004"]}}, "_B' is no element"),
        ({f"{VIDEO}_E_000010_000090": 3}, f"{VIDEO}_E_000010_000090 holds no names"),
        ({"short": STAGES}, "'short_A_0003_0004' is no element"),
    ],
)
def test_times_that_are_none(tmp_path, content, words):
    file = tmp_path / "times.json"
    file.write_text(json.dumps(content))
    refused(f"{file}: ", read_spans, file)
    refused(words, read_spans, file)


def test_subsets_count_their_labels_from_0(tmp_path, caplog):
    root = dataset(tmp_path, train=[0, 5, 6, 16, 17, 40, 41, 74, 88, 98], val=[0, 6, 40, 74])
    expected = {
        "gym99": (99, [0, 5, 6, 16, 17, 40, 41, 74, 88, 98], [0, 6, 40, 74]),
        "vault": (6, [0, 5], [0]),
        "floor": (35, [0, 10, 11, 34], [0, 34]),
        "fx_s1": (11, [0, 10], [0]),
        "ub_s1": (15, [0, 14], [0]),
    }
    for subset, (num_classes, train, val) in expected.items():
        data = FineGymDataModule(root, subset)
        with caplog.at_level("INFO"):
            data.setup("fit")
        assert data.num_classes == len(data.class_names) == len(data.categories) == num_classes
        assert data.train_samples.labels.tolist() == train
        assert data.val_samples.labels.tolist() == val
    assert data.class_names[0] == data.categories[0].name == "(XX) e74"
    assert {category.set for category in data.categories} == {41}
    assert data.flip_keeps_labels
    assert "listed are 2 and 1, official are 3,511 and 1,471" in caplog.text


def test_elements_that_are_not_trimmed_are_reported(tmp_path, caplog):
    root = dataset(tmp_path, train=[0, 1, 2], val=[0])
    (root / f"{name(1)}.mp4").unlink()
    data = FineGymDataModule(root, "vault")
    with caplog.at_level("INFO"):
        data.setup("fit")
    assert data.train_samples.labels.tolist() == [0, 2]
    assert f"1 listed videos are missing, such as {name(1)}" in caplog.text


def test_what_is_missing_or_another(tmp_path):
    root = dataset(tmp_path / "gym", train=[0], val=[0])
    refused("gym288_categories.txt: no such list in ", FineGymDataModule(root, "gym288").setup, "fit")
    shutil.copy(root / "annotations" / "gym99_categories.txt", root / "gym288_categories.txt")
    refused("has 99 classes, not 288; take the official file", FineGymDataModule(root, "gym288").setup, "fit")
    (root / "annotations" / "gym99_val_element.txt").unlink()
    refused(
        "gym99_val_element.txt or gym99_val_org.txt or gym99_val.txt: no such list in ",
        FineGymDataModule(root).setup,
        "fit",
    )


def test_clips(tmp_path):
    root = dataset(tmp_path, train=[6, 7], val=[6])
    for label in (6, 7):
        write_video(root / f"{name(label)}.mp4", 12, fps=12)
    data = FineGymDataModule(
        root,
        "fx_s1",
        num_frames=4,
        crop_size=16,
        short_sides=(18,),
        eval_clips=3,
        global_batch_size=2,
        num_workers=0,
    )
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert batch["clip"].shape == (2, 1, 4, 16, 16, 3)
    assert sorted(batch["label"].tolist()) == [0, 1]
    held_out = next(iter(data.test_dataloader()))
    assert held_out["clip"].shape == (1, 3, 4, 16, 16, 3)


@pytest.mark.parametrize("subset", ["gym99", "vault", "floor", "fx_s1", "ub_s1"])
def test_counts_of_the_real_lists(shared_data, subset):
    data = FineGymDataModule(shared_data / "finegym", subset)
    train, val = data.read_lists()
    assert (len(train), len(val)) == data.official_counts == OFFICIAL_COUNTS[subset]
    for rows in (train, val):
        assert {row.label for row in rows} <= set(range(len(data.class_names)))
    assert {row.label for row in train} == set(range(len(data.class_names)))
    assert len({category.event for category in data.categories}) == (4 if subset == "gym99" else 1)


def test_real_categories_excerpts_and_times(shared_data):
    folder = shared_data / "finegym"
    assert len(read_categories(folder / "gym288_categories.txt")) == 288
    names = [category.name for category in read_categories(folder / "gym99_categories.txt")]
    assert names == (folder / "mmaction2_label_map_gym99.txt").read_text().splitlines()
    plain = read_elements(folder / "gym99_train_org.txt", 99)
    assert read_elements(folder / "gym99_train.head300.txt", 99) == plain[:300]  # the names end in .avi
    assert len(read_elements(folder / "gym288_train_org.head300.txt", 288)) == 300
    spans = read_spans(folder / "event_annotation.json")
    assert len(spans) == 32_697
    assert {element.name for element in plain} <= spans.keys()
    start, end = spans["0LtLS9wROrk_E_002407_002435_A_0003_0005"]
    assert (start, end) == pytest.approx((2407 + 3.45, 2407 + 5.64))
