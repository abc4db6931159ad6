"""Something-Something v2: lists, templates, the subset, and videos in several formats."""

import json
import re

import pytest

from datamodules import SomethingSomethingDataModule
from datamodules.something_something import read_labels, read_videos

LABELS = {"Pushing something from left to right": "1", "Dropping something": "0", "Holding something": "2"}
TEMPLATES = ["Dropping [something]", "Pushing [something] from left to right", "Holding [something]"]


def entries(*ids):
    return [{"id": str(number), "label": "pushing a", "template": TEMPLATES[number % 3]} for number in ids]


def write_lists(folder, train, val, prefix="something-something-v2-"):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (("labels", LABELS), ("train", entries(*train)), ("validation", entries(*val))):
        (folder / f"{prefix}{name}.json").write_text(json.dumps(content))


def touch(root, suffix, *ids):
    root.mkdir(parents=True, exist_ok=True)
    for number in ids:
        (root / f"{number}{suffix}").touch()


def paths(samples):
    return [samples.path(row).rpartition("/")[2] for row in range(len(samples))]


def refused(words, call, *arguments):
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("folder", "prefix"), [("labels", ""), ("annotations", "something-something-v2-"), (".", "")])
def test_layouts(tmp_path, folder, prefix):
    write_lists(tmp_path / folder, [1, 5, 30], [2, 4], prefix)
    touch(tmp_path / "20bn-something-something-v2", ".webm", 1, 2, 4, 5, 30)
    data = SomethingSomethingDataModule(tmp_path)
    data.setup("fit")
    assert data.class_names == ["Dropping something", "Pushing something from left to right", "Holding something"]
    assert data.num_classes == 3
    assert paths(data.train_samples) == ["1.webm", "5.webm", "30.webm"]
    assert data.train_samples.labels.tolist() == [1, 2, 0]
    assert data.val_samples.labels.tolist() == [2, 1]
    assert not data.flip_keeps_labels


def test_formats_and_missing_videos(tmp_path, caplog):
    write_lists(tmp_path / "annotations", [1, 2, 3], [4])
    touch(tmp_path / "videos", ".webm", 1, 4)
    touch(tmp_path / "small", ".mp4", 1, 2)
    data = SomethingSomethingDataModule(tmp_path)
    with caplog.at_level("INFO"):
        data.setup("fit")
    assert paths(data.train_samples) == ["1.webm", "2.mp4"]
    assert "1 listed videos are missing, such as 3.webm" in caplog.text
    assert "listed are 3 and 1, official are 168,913 and 24,777" in caplog.text
    data = SomethingSomethingDataModule(tmp_path, suffix="mp4")
    data.setup("fit")
    assert paths(data.train_samples) == ["1.mp4", "2.mp4"]
    elsewhere = SomethingSomethingDataModule(tmp_path / "videos", lists=tmp_path / "annotations")
    elsewhere.setup("fit")
    assert paths(elsewhere.train_samples) == ["1.webm"]


def test_the_subset_is_drawn_from_the_list(tmp_path):
    write_lists(tmp_path, range(100, 160), [1, 2])
    touch(tmp_path, ".webm", *range(100, 160), 1, 2)

    def chosen(**arguments):
        data = SomethingSomethingDataModule(tmp_path, **arguments)
        data.setup("fit")
        assert len(data.val_samples) == 2
        return paths(data.train_samples)

    quarter = chosen(subset=0.25)
    assert len(quarter) == 15
    assert quarter == sorted(quarter) == chosen(subset=0.25)
    assert set(quarter) <= set(chosen(subset=0.5))
    assert quarter != chosen(subset=0.25, subset_seed=1)
    lost = next(int(name[:3]) for name in chosen() if name not in quarter)
    (tmp_path / f"{lost}.webm").unlink()  # another choice would tell of the disk
    assert chosen(subset=0.25) == quarter
    for share in (0, 1.5):
        refused(f"subset={share} is not a share", SomethingSomethingDataModule, tmp_path, None, ".webm", share)
    assert SomethingSomethingDataModule(tmp_path, subset=0.25).official_counts == (42_228, 24_777)


def test_entries_that_are_none(tmp_path):
    file, labels = tmp_path / "train.json", {"Dropping something": 0}

    def of(content, words):
        file.write_text(json.dumps(content))
        refused(f"{file}: {words}", read_videos, file, labels)

    good = {"id": "7", "template": "Dropping [something]"}
    of({}, "is not an array of videos")
    of([], "is not an array of videos")
    of([good, 3], "entry 2 has no id")
    of([good, {"id": "../8", "template": "Dropping [something]"}], "entry 2 has no id")
    of([good, {"id": "8"}], "entry 2 (id 8) has no template; take the training or the validation list")
    of(
        [{"id": "8", "template": "Eating [something]"}],
        "entry 1 (id 8): 'Eating [something]' is no class of the labels",
    )
    for wrong in ({"a": "0", "b": "2"}, {"a": "0", "b": "0"}, {"a": "x"}, {}, ["a"]):
        file.write_text(json.dumps(wrong))
        refused(f"{file}: holds no names numbered from 0 up", read_labels, file)
    refused(f"something-something-v2-labels.json or labels.json: no such list in {tmp_path}, ", made, tmp_path)


def made(root):
    touch(root, ".webm", 1)
    SomethingSomethingDataModule(root).setup("fit")


def test_real_lists(shared_data):
    folder = shared_data / "something_something_v2"
    labels = read_labels(folder / "something-something-v2-labels.json")
    assert len(labels) == 174
    assert list(labels.values()) == list(range(174))
    videos = read_videos(folder / "something-something-v2-validation.head500.json", labels)
    assert len(videos) == 500
    assert (videos[0].name, videos[0].label) == ("74225.webm", labels["Spinning something that quickly stops spinning"])
    test = folder / "something-something-v2-test.head200.json"
    refused("entry 1 (id 1420) has no template; take the training or the validation list", read_videos, test, labels)
