import json
from pathlib import Path

import pytest

from datamodules import Diving48DataModule
from datamodules.diving48 import read_split, read_vocabulary
from tests.listed_fakes import ODD_NAMES, fails, report, rows, touch

VOCABULARY = [["Back", "15som", "05Twis", "FREE"], ["Forward", "25som", "NoTwis", "PIKE"]]


def entry(name: str, label: object) -> dict[str, object]:
    return {"vid_name": name, "label": label, "start_frame": 0, "end_frame": 48}


def write_lists(folder: Path, train: list[object], test: list[object]) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "Diving48_V2_train.json").write_text(json.dumps(train))
    (folder / "Diving48_V2_test.json").write_text(json.dumps(test))
    (folder / "Diving48_vocab.json").write_text(json.dumps(VOCABULARY))


def test_whole_files_by_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path / "rgb", "-mmq0PT-u8k_00155.mp4", "8qRmKunCjtY_00016.mp4")
    write_lists(
        tmp_path / "annotations",
        [entry("-mmq0PT-u8k_00155", 1), entry("eN8umEok9U8_00209", 0)],
        [entry("8qRmKunCjtY_00016", 0)],
    )
    data = Diving48DataModule(tmp_path / "rgb")
    line = report(data, tmp_path / "run", caplog)
    assert rows(data.train_samples, tmp_path / "rgb") == [("-mmq0PT-u8k_00155.mp4", 1)]
    assert rows(data.val_samples, tmp_path / "rgb") == [("8qRmKunCjtY_00016.mp4", 0)]
    assert data.train_samples.bounds is None
    assert data.class_names == ["Back 15som 05Twis FREE", "Forward 25som NoTwis PIKE"]
    assert "1 of the classes have no training video, such as Back 15som" in line
    assert "1 listed videos are missing, such as eN8umEok9U8_00209" in line


def test_bad_input_gets_one_line(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    fails("Diving48_vocab.json: no such list in ", Diving48DataModule(tmp_path))
    write_lists(tmp_path, [entry("b", 0)], [entry("a", 0)])
    fails("none of the 1 listed videos .*such as b", Diving48DataModule(tmp_path))
    (tmp_path / "Diving48_V2_train.json").write_text('[\n{"vid_name": "a",\n "label" 0}]')
    fails(r"Diving48_V2_train.json:3: is no JSON", Diving48DataModule(tmp_path))
    (tmp_path / "Diving48_V2_train.json").write_text("[]")
    fails("holds no list of entries", Diving48DataModule(tmp_path))
    (tmp_path / "Diving48_V2_train.json").unlink()
    fails("Diving48_V2_train.json: cannot be read", Diving48DataModule(tmp_path))
    (tmp_path / "Diving48_vocab.json").write_text('[["a", 1]]')
    fails(r"vocab.json: entry 1, \[\"a\", 1\], is not a list of words", Diving48DataModule(tmp_path))


@pytest.mark.parametrize(
    "bad", [{}, [], "a", entry("", 0), entry("a", 2), entry("a", -1), entry("a", "0"), {"label": 0}]
)
def test_malformed_entries_are_named(bad: object, tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text(json.dumps([entry("a", 0), bad]))
    with pytest.raises(ValueError, match=r"list.json: entry 2, .* has no vid_name or no label of 0..1; correct it"):
        read_split(tmp_path / "list.json", 2)


def test_any_name_is_read(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_bytes(b"\xef\xbb\xbf" + json.dumps([entry(name, 1) for name in ODD_NAMES]).encode())
    assert [(row.name, row.label) for row in read_split(tmp_path / "list.json", 2)] == [(name, 1) for name in ODD_NAMES]


def test_the_real_lists(shared_data: Path) -> None:
    folder = shared_data / "diving48"
    names = read_vocabulary(folder / "Diving48_vocab.json")
    assert (len(names), names[0]) == (48, "Back 15som 05Twis FREE")
    train, test = (read_split(folder / f"Diving48_V2_{name}.json", 48) for name in ("train.sample120", "test.sample60"))
    assert (len(train), len(test)) == (120, 60)
    assert 30 not in {row.label for row in train + test}
