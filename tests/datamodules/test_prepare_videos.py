"""Small copies of videos: the same frames at the same times under the same names, resumable, broken ones listed."""

import json
from fractions import Fraction

import av
import numpy as np
import pytest
from fakes import moving_texture, write_video

import cli
from datamodules import VideoFolderDataModule
from datamodules.prepare_videos import prepare_videos
from datamodules.readers.video import VideoReader
from datamodules.writers.video import write_video as write_frames

VARIABLE = [0, 40, 90, 100, 200, 240, 300, 480, 500, 540, 560, 640, 700, 720, 760, 800, 900, 910, 1000, 1040]


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """Videos of several kinds, two folders deep, and lists beside them."""
    root = tmp_path_factory.mktemp("raw")
    write_video(root / "run" / "a.mp4", 40, key_frame_interval=250)
    write_video(root / "run" / "b.avi", 30, codec="mpeg4", options={"qscale": "2"})
    write_video(root / "jump" / "high" / "variable.mkv", 20, times=VARIABLE)
    write_video(root / "jump" / "turned.mp4", 20, rotation=90)
    write_video(root / "jump" / "tiny.mp4", moving_texture(5, 16, 20))
    (root / "lists").mkdir()
    (root / "lists" / "train.csv").write_text("run/a.mp4,0\n")
    (root / "run" / "sound.wav").write_bytes(b"no list")
    return root


def frames_of(path):
    with VideoReader(path) as video:
        return video.read(np.arange(video.num_frames))


def test_the_same_frames_at_the_same_times(material, tmp_path):
    done = prepare_videos(material, tmp_path / "small", 32, key_frame_interval=8, workers=2, progress=False)
    assert (done.videos, done.written, done.frames, done.broken, done.lists) == (5, 5, 115, [], 1)
    seconds = np.linspace(-0.1, 1.8, 500)
    for path in sorted(path for path in material.rglob("*.*") if path.suffix in (".mp4", ".avi", ".mkv")):
        small = tmp_path / "small" / path.relative_to(material)
        with VideoReader(path) as one, VideoReader(small) as other:
            assert one.num_frames == other.num_frames
            assert one.fps == pytest.approx(other.fps, rel=1e-3)
            np.testing.assert_array_equal(one.frame_at(seconds), other.frame_at(seconds), str(path))
            indices = np.arange(one.num_frames)
            shown = other.read(indices)
            expected = one.read(indices, size=(32, 42) if one.height == 48 else (16, 20))
            errors = np.abs(shown.astype(int) - expected).mean((1, 2, 3))
            others = np.abs(np.roll(shown, 1, axis=0).astype(int) - expected).mean((1, 2, 3))
        assert errors.max() < 16 and (2 * errors < others).all(), path  # half as many colours either way
        with av.open(str(small)) as container:
            assert container.format.name.startswith("mov")
            is_key = [packet.is_keyframe for packet in container.demux(video=0) if packet.size]
        assert np.diff([*np.flatnonzero(is_key), len(is_key)]).max() <= 8
    assert frames_of(tmp_path / "small" / "jump" / "turned.mp4").shape[1:3] == (42, 32)
    assert frames_of(tmp_path / "small" / "jump" / "tiny.mp4").shape[1:3] == (16, 20)
    assert (tmp_path / "small" / "lists" / "train.csv").read_text() == "run/a.mp4,0\n"
    assert not (tmp_path / "small" / "run" / "sound.wav").exists()


def test_a_data_module_reads_the_same(material, tmp_path):
    prepare_videos(material, tmp_path / "small", 48, progress=False, workers=1)
    batches = []
    for root in (material, tmp_path / "small"):
        settings = {"num_frames": 4, "crop_size": 16, "short_sides": (16,), "global_batch_size": 4, "num_workers": 0}
        data = VideoFolderDataModule(root, **settings)
        data.setup("fit")
        batches.append(next(iter(data.train_dataloader())))
    assert [name.split("/")[-1] for name in batches[0]["path"]] == [name.split("/")[-1] for name in batches[1]["path"]]
    errors = (batches[0]["clip"].int() - batches[1]["clip"].int()).abs().float()
    assert errors.mean() < 8


def test_it_goes_on_where_it_was(material, tmp_path):
    small = tmp_path / "small"
    prepare_videos(material, small, 32, progress=False, workers=1)
    kept = small / "jump" / "turned.mp4"
    stamp = kept.stat().st_mtime_ns
    (small / "run" / "a.mp4").unlink()
    cut = small / "run" / "b.avi"
    cut.write_bytes(cut.read_bytes()[:500])
    write_video(small / "jump" / "tiny.mp4", moving_texture(4, 16, 20))  # of another source
    done = prepare_videos(material, small, 32, progress=False, workers=1)
    assert (done.videos, done.written) == (5, 3)
    assert kept.stat().st_mtime_ns == stamp
    assert not list(small.rglob("*.part"))
    manifest = json.loads((small / "manifest.json").read_text())
    assert manifest["source"] == str(material) and manifest["short_side"] == 32 and manifest["frames"] == 115
    sizes = sum(path.stat().st_size for path in small.rglob("*.*") if path.suffix in (".mp4", ".avi", ".mkv"))
    assert manifest["bytes_after"] == sizes


def test_broken_sources_are_listed_until_they_are_whole(tmp_path):
    raw, small = tmp_path / "raw", tmp_path / "small"
    write_video(raw / "good.mp4", 20)
    whole = write_video(raw / "half.mp4", 40).read_bytes()
    (raw / "half.mp4").write_bytes(whole[: len(whole) // 2])
    (raw / "empty.mp4").touch()
    for workers in (1, 2):
        done = prepare_videos(raw, small, 32, progress=False, workers=workers)
        assert done.videos == 1
        assert [line.partition(": ")[0] for line in done.broken] == [str(raw / "empty.mp4"), str(raw / "half.mp4")]
    assert (small / "broken.txt").read_text().splitlines() == done.broken
    assert json.loads((small / "manifest.json").read_text())["broken"] == done.broken
    assert "broken videos, such as" in str(done)
    assert (small / "good.mp4").exists() and not (small / "empty.mp4").exists()
    write_video(raw / "empty.mp4", 10)
    (raw / "half.mp4").write_bytes(whole)
    done = prepare_videos(raw, small, 32, progress=False, workers=1)
    assert done.broken == [] and done.videos == 3 and not (small / "broken.txt").exists()


def test_damage_within_a_video_is_found(tmp_path):
    raw = tmp_path / "raw"
    write_video(raw / "good.mp4", 20)
    data = bytearray(write_video(raw / "bad.mp4", 60).read_bytes())
    data[len(data) // 3 : len(data) // 2] = bytes(len(data) // 2 - len(data) // 3)
    (raw / "bad.mp4").write_bytes(data)
    done = prepare_videos(raw, tmp_path / "small", 32, progress=False, workers=1)
    (line,) = done.broken
    assert str(raw / "bad.mp4") in line and "damaged" in line
    assert [path.name for path in (tmp_path / "small").rglob("*.mp4")] == ["good.mp4"]


def test_what_is_refused(material, tmp_path):
    with pytest.raises(ValueError, match="lies within"):
        prepare_videos(material, material / "small")
    with pytest.raises(ValueError, match="short_side=1 must be at least 2"):
        prepare_videos(material, tmp_path / "a", 1)
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="holds no videos"):
        prepare_videos(tmp_path / "none", tmp_path / "a")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.mp4").write_bytes(b"no video")
    with pytest.raises(ValueError, match="all 1 videos are broken"):
        prepare_videos(tmp_path / "broken", tmp_path / "a", progress=False)
    with pytest.raises(ValueError, match="was made in another way"):
        prepare_videos(material, tmp_path / "a", 64, progress=False)


def test_the_command(material, tmp_path, capsys):
    command = ["prepare", "videos", "--root", str(material), "--out", str(tmp_path / "small"), "--workers", "1"]
    assert cli.main([*command, "--short_side", "32"]) == 0
    line = capsys.readouterr().out
    assert line.startswith(f"5 small videos in {tmp_path / 'small'}, 5 written now, and 1 lists; ")
    assert cli.main(command) == 1
    assert "was made in another way" in capsys.readouterr().err


def test_times_have_to_be_as_many_as_frames(tmp_path):
    frames = np.zeros((3, 16, 16, 3), np.uint8)
    for times in ([0, 1], [0, 1, 2, 3]):
        with pytest.raises(ValueError, match="zip"):
            write_frames(tmp_path / "a.mp4", frames, 10, times=times, time_base=Fraction(1, 10))
