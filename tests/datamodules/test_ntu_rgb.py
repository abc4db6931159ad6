from pathlib import Path

import pytest

from datamodules import NTURGBDataModule
from datamodules.ntu_protocol import ALL_COUNTS, is_training, parse_name
from datamodules.ntu_rgb import read_split
from datamodules.sampling.resumable_sampler import Draw
from tests.listed_fakes import fails, report, rows, touch

NAMES = (  # subjects 1 and 2 train, 3 tests; A061 is of NTU-120
    "S001C001P001R001A001",
    "S001C002P002R001A060",
    "S001C003P003R002A010",
    "S018C001P001R001A061",
)


def test_names_tell_class_and_split(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, *(f"nturgb+d_rgb/{name}_rgb.avi" for name in NAMES), "notes/talk.mp4")
    line = report(NTURGBDataModule(tmp_path), tmp_path / "run", caplog)
    data = NTURGBDataModule(tmp_path)
    data.setup("fit")
    folder = tmp_path / "nturgb+d_rgb"
    assert rows(data.train_samples, folder) == [(f"{NAMES[0]}_rgb.avi", 0), (f"{NAMES[1]}_rgb.avi", 59)]
    assert rows(data.val_samples, folder) == [(f"{NAMES[2]}_rgb.avi", 9)]
    assert (data.num_classes, data.class_names[9]) == (60, "clapping")
    assert "listed are 2 and 1, official are 40,320 and 16,560; 58 of the classes have no training video" in line
    other = NTURGBDataModule(tmp_path, "ntu120", "xview")
    other.setup("fit")
    assert rows(other.val_samples, folder) == [(f"{NAMES[0]}_rgb.avi", 0), (f"{NAMES[3]}_rgb.avi", 60)]
    assert other.num_classes == 120


def test_lists_of_the_published_code_part_the_videos(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{name}_rgb.mp4" for name in NAMES[:3]))
    folder = tmp_path / "lists"
    folder.mkdir()
    (folder / "trainlist01.txt").write_text(f"clapping/{NAMES[2]}_rgb.avi \nx/S001C001P001R001A002_rgb.avi \n")
    (folder / "testlist01.txt").write_text(f"drink_water/{NAMES[0]}_rgb.avi")
    data = NTURGBDataModule(tmp_path, lists="lists")
    data.setup("fit")
    assert rows(data.train_samples, tmp_path) == [(f"{NAMES[2]}_rgb.mp4", 9)]
    assert rows(data.val_samples, tmp_path) == [(f"{NAMES[0]}_rgb.mp4", 0)]


def test_bad_input_gets_one_line(tmp_path: Path) -> None:
    touch(tmp_path, f"{NAMES[0]}_rgb.avi", "holiday.mp4")
    fails("holds no videos of ntu60 to test with by xsub; give a folder of files such as", NTURGBDataModule(tmp_path))
    touch(tmp_path, f"again/{NAMES[0]}_rgb.avi")
    fails(f"is also at .*{NAMES[0]}_rgb.avi; keep one of the two", NTURGBDataModule(tmp_path))
    file = tmp_path / "trainlist01.txt"
    file.write_text(f"a/{NAMES[0]}_rgb.avi \r\n\r\na/v_Bowling_g01_c01.avi\r\n")
    with pytest.raises(ValueError, match=r"trainlist01.txt:3: 'v_Bowling_g01_c01' is not a name such as S001"):
        read_split(file, 60)
    file.write_text(f"{NAMES[3]}_rgb.avi")
    with pytest.raises(ValueError, match=r"trainlist01.txt:1: action 61 is none of the first 60"):
        read_split(file, 60)
    file.write_text("\n")
    with pytest.raises(ValueError, match="is empty"):
        read_split(file, 60)


def test_the_real_lists_are_the_cross_subject_protocol(shared_data: Path) -> None:
    folder = shared_data / "ntu_rgbd"
    data = NTURGBDataModule(folder / "videos", lists=folder / "ntu_60_cross_subject_TrainTestlist")
    parts = data.read_lists()
    assert tuple(map(len, parts)) == ALL_COUNTS["ntu60", "xsub"] == data.official_counts
    for part, training in zip(parts, (True, False), strict=True):
        assert {row.label for row in part} == set(range(60))
        for row in part[::50]:
            of = parse_name(Path(row.name).stem.removesuffix("_rgb"))
            assert is_training(of.subject, of.camera, of.setup, "ntu60", "xsub") == training


def test_a_real_clip(shared_data: Path, tmp_path: Path) -> None:
    touch(tmp_path, f"{NAMES[2]}_rgb.avi")
    (tmp_path / "videos").symlink_to(shared_data / "ntu_rgbd/videos")
    data = NTURGBDataModule(tmp_path, num_frames=4)
    data.setup("fit")
    sample = data.dataset(data.train_samples, training=True)[Draw(0, 0)]
    assert sample["clip"].shape == (1, 4, 112, 112, 3)
    assert (sample["label"], sample["broken"]) == (0, [])
