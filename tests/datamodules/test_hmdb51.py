from pathlib import Path

import pytest

from datamodules import HMDB51DataModule
from datamodules.hmdb51 import FOLDER, OFFICIAL_COUNTS, read_class
from datamodules.listed_videos import VideoFiles
from datamodules.sampling.resumable_sampler import Draw
from tests.listed_fakes import ODD_NAMES, fails, report, rows, touch


def write_list(root: Path, name: str, text: str, split: int = 1, folder: str = FOLDER) -> Path:
    file = root / folder / f"{name}_test_split{split}.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode())
    return file


def test_a_list_for_each_class(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    odd = "!()&;#[]@=+ x_kick_f.avi"
    touch(tmp_path, f"kick/{odd}", "kick_ball/k.avi", "kick_ball/l.avi", "kick/unused.avi", "wave/w.avi")
    write_list(tmp_path, "kick_ball", "k.avi 1 \nl.avi 2 \n")
    write_list(tmp_path, "kick", f"{odd} 1 \r\nunused.avi 0 \r\ngone.avi 2 ")
    write_list(tmp_path, "wave", "w.avi 2 \n", split=2)
    line = report(HMDB51DataModule(tmp_path), tmp_path / "run", caplog)
    data = HMDB51DataModule(tmp_path)
    data.setup("fit")
    assert rows(data.train_samples, tmp_path) == [(f"kick/{odd}", 0), ("kick_ball/k.avi", 1)]
    assert rows(data.val_samples, tmp_path) == [("kick_ball/l.avi", 1)]
    assert data.class_names == ["kick", "kick_ball"]
    assert "2 training videos, 1 for evaluation, 2 classes" in line
    assert "listed are 2 and 2, official are 3,570 and 1,530" in line
    assert "1 listed videos are missing, such as kick/gone.avi" in line


def test_bad_input_gets_one_line(tmp_path: Path) -> None:
    touch(tmp_path, "wave/w.avi")
    fails(r"_test_split1.txt: no such list in .*testTrainMulti", HMDB51DataModule(tmp_path))
    write_list(tmp_path, "wave", "w.avi 1 \nv.avi 0 \n")
    fails("split 1 lack videos to train or to test with", HMDB51DataModule(tmp_path))
    with pytest.raises(ValueError, match="split=0 must be 1, 2 or 3"):
        HMDB51DataModule(tmp_path, split=0)


@pytest.mark.parametrize("line", ["v.avi", "v.avi 3 ", "v.avi one", "2", "v.avi -1"])
def test_malformed_lines_are_named(line: str, tmp_path: Path) -> None:
    file = write_list(tmp_path, "wave", f"w.avi 1 \n\n{line}\n")
    with pytest.raises(ValueError, match=f"split1.txt:3: `{line.strip()}` is not `<file> <0, 1 or 2>`"):
        read_class(file)


def test_any_name_and_line_end_is_read(tmp_path: Path) -> None:
    for end in (" \n", "\n", " \r\n\r\n", "\r\n"):
        file = write_list(tmp_path, "a", end.join(f"{name} {i % 3}" for i, name in enumerate(ODD_NAMES)))
        assert read_class(file) == [(name, i % 3) for i, name in enumerate(ODD_NAMES)]


def test_the_real_lists_and_clips(shared_data: Path) -> None:
    folder = shared_data / "hmdb51"
    data = HMDB51DataModule(folder / "videos", lists=folder / FOLDER)
    train, test = data.read_lists()
    assert (len(train), len(test)) == OFFICIAL_COUNTS
    assert data.class_names == sorted(line.strip() for line in (folder / "class_list.txt").open())
    assert {row.label for row in train} == {row.label for row in test} == set(range(51))
    clips = {row.name: row.label for row in train}
    videos = [path for path in sorted((folder / "videos").rglob("*.avi")) if f"{path.parent.name}/{path.name}" in clips]
    assert len(videos) == 2
    fails("none of the 1,530 listed videos", data)  # all are to train with, or unused
    samples = data._found(VideoFiles(folder / "videos"), train, [])
    dataset = data.dataset(samples, training=True)
    for row in range(2):
        sample = dataset[Draw(row, 0)]
        assert sample["clip"].shape == (1, 32, 112, 112, 3)
        assert not sample["broken"]
        assert data.class_names[sample["label"]] in sample["path"]
