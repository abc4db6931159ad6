from pathlib import Path

import pytest

from datamodules.listed_videos import ListedVideo, ListedVideoDataModule, PathIndex, VideoFiles
from datamodules.sample_list import Texts
from tests.fakes import write_video
from tests.listed_fakes import fails, report, rows, touch


class Listed(ListedVideoDataModule):
    """Lists that are given."""

    official_counts = None
    train: list[ListedVideo]
    test: list[ListedVideo]

    def read_lists(self) -> tuple[list[ListedVideo], list[ListedVideo]]:
        self.class_names = ["a", "b"]
        return self.train, self.test


def listed(root: Path, train: list[ListedVideo], test: list[ListedVideo], samples: int | None = None) -> Listed:
    data = Listed(root, samples=samples, num_workers=0)
    data.train, data.test = train, test
    return data


def test_the_file_name_decides_then_folders_then_the_extension(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "x/one.mp4",
        "a b/two.avi",
        "c/two.avi",
        "c/two.mp4",
        "deep/d_e/f/three.avi",
        "deep/d_g/f/three.avi",
        "Case.avi",
        "twice.avi",
        "TWICE.avi",
        "dots.in.name.mkv",
    )
    files = VideoFiles(tmp_path)
    assert files.count == 10
    assert files.find("elsewhere/one.webm") == "x/one.mp4"
    assert files.find("one") == "x/one.mp4"
    assert files.find("a_b/two.mp4") == "a b/two.avi"
    assert files.find("c/two.mp4") == "c/two.mp4"
    assert files.find("/data/c/two.MP4") in ("c/two.avi", "c/two.mp4")
    assert files.find("d g/f/three") == "deep/d_g/f/three.avi"
    assert files.find("cASE.mp4") == "Case.avi"
    assert files.find("TWICE.mp4") == "TWICE.avi"
    assert files.find("Twice.mp4") is None
    assert files.find("dots.in.name") == "dots.in.name.mkv"
    assert files.find("dots.in") is None


def test_texts_and_their_index_hold_any_name() -> None:
    class Colliding(str):
        """A key whose hash is that of others."""

        def __hash__(self) -> int:
            return len(self)

    names = ["a/bc.mp4", "", "ä/\udcff.avi", "b/bd.mp4", "c/bc.mkv"]
    texts = Texts(names)
    assert list(texts) == names
    assert len(texts) == 5
    index = PathIndex(texts, lambda path: Colliding(path.rpartition("/")[2][:2]) if path else None)
    assert index.find(Colliding("bc")) == ["a/bc.mp4", "c/bc.mkv"]
    assert index.find(Colliding("bd")) == ["b/bd.mp4"]
    assert index.find(Colliding("be")) == index.find(Colliding("none")) == []


def test_segments_of_found_videos_stay_with_them(tmp_path: Path) -> None:
    write_video(tmp_path / "long.mp4", 50)
    train = [ListedVideo("gone.mp4", 0, (0.0, 1.0)), ListedVideo("long.mp4", 1, (0.4, 0.8)), ListedVideo("long", 0)]
    data = listed(tmp_path, train, [ListedVideo("long", 0, (1.0, 2.0))])
    data.setup("fit")
    assert rows(data.train_samples, tmp_path) == [("long.mp4", 1), ("long.mp4", 0)]
    assert [data.train_samples.segment(row) for row in range(2)] == [(0.4, 0.8), (0.0, float("inf"))]
    assert data.val_samples.segment(0) == (1.0, 2.0)
    assert next(iter(data.test_dataloader()))["clip"].shape == (1, 10, 32, 112, 112, 3)


def test_few_samples_are_of_those_on_the_disk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, *(f"{label}{number}.mp4" for label in "ab" for number in range(10)))
    train = [ListedVideo(f"{label}{number}", "ab".index(label)) for label in "ab" for number in range(12)]
    data = listed(tmp_path, train, [ListedVideo("a0", 0)], samples=6)
    line = report(data, tmp_path / "run", caplog)
    assert sorted(data.train_samples.labels.tolist()) == [0, 0, 0, 1, 1, 1]
    assert len(data.val_samples) == 1
    assert "6 training videos, 1 for evaluation, 2 classes; these are chosen from 20, seed 0; 4 listed" in line
    fails("samples=21 must be at least 1 and at most the 20 labelled", listed(tmp_path, train, train, samples=21))
    with pytest.raises(ValueError, match="samples=0 must be at least 1"):
        listed(tmp_path, train, train, samples=0)
