"""Clips out of a cache: the reader's pixels, the batches of the videos, and clear words on what does not fit."""

import csv
import dataclasses
import itertools
import json
import mmap
import multiprocessing
import os
import pickle
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import moving_texture, write_video

import cli
from datamodules import KineticsDataModule, VideoFolderDataModule, clip_cache
from datamodules.cached_videos import CachedVideoDataset
from datamodules.clip_cache import ClipCache
from datamodules.prepare_clips import prepare_clips
from datamodules.readers.video import VideoReader
from datamodules.sample_list import SampleList
from datamodules.sampling.clips import ClipSampler
from datamodules.sampling.resumable_sampler import Draw
from datamodules.video_dataset import VideoDataset

NAMES = ("jump/turned.mp4", "jump/wide.mp4", "run/long.mp4", "run/short.avi")
ALL = {"clips": 1, "frames": 60, "stride": 1, "height": 48, "width": 64}  # whole videos, as they are
SMALL = {"num_frames": 4, "crop_size": 16, "short_sides": (24,), "global_batch_size": 4, "num_workers": 0}


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Videos of several sizes and lengths, 48x64 pixels where nothing else is said."""
    root = tmp_path_factory.mktemp("videos")
    write_video(root / NAMES[0], moving_texture(30, 48, 96), rotation=90)
    write_video(root / NAMES[1], moving_texture(40, 32, 64))
    write_video(root / NAMES[2], 60)
    write_video(root / NAMES[3], 9, codec="mpeg4", options={"qscale": "2"})
    return root


@pytest.fixture(scope="module")
def whole(videos, tmp_path_factory):
    """A cache of whole videos, at their size where it is 48x64."""
    out = tmp_path_factory.mktemp("caches") / "whole"
    prepare_clips(videos, out, **ALL, workers=1, progress=False)
    return out


@pytest.fixture(scope="module")
def spaced(videos, tmp_path_factory):
    """A cache of three clips of six frames of each video, 24x32 pixels, two videos a shard."""
    out = tmp_path_factory.mktemp("caches") / "spaced"
    per_video = 3 * 6 * 24 * 32 * 3
    prepare_clips(videos, out, 3, 6, 2, None, 24, 32, shard_bytes=2 * per_video, workers=2, progress=False)
    return out


class Listener:
    """Takes down what is asked for, as ``mmap.mmap`` does not."""

    def __init__(self):
        self.asked = []

    def madvise(self, option, start, length):
        assert option == mmap.MADV_WILLNEED and start % mmap.PAGESIZE == 0
        self.asked.append(range(start, start + length))


def listed(root, *names):
    return SampleList((str(root / name), label) for label, name in enumerate(names))


@pytest.mark.parametrize(("frames", "requests"), [([0, 3, 4, 4], 4), ([1, 2, 3, 4], 1), ([4, 3, 2], 1), ([2], 1)])
def test_windows_are_those_of_the_file_and_all_of_their_bytes_are_asked_for(spaced, frames, requests):
    cache = ClipCache(spaced)
    for row, clip in itertools.product(range(len(NAMES)), range(3)):
        path, part, listener = spaced / f"clips-0000{row // 2}.npy", cache.part(row, clip), Listener()
        window = part.cut(np.array(frames), 5, 7, 11, 13)
        np.testing.assert_array_equal(window, np.load(path, mmap_mode="r")[row % 2, clip][frames, 5:16, 7:20])
        dataclasses.replace(part, memory=listener).cut(np.array(frames), 5, 7, 11, 13)
        assert len(listener.asked) == requests
        most = 11 * 32 * 3 if requests == len(frames) else len(frames) * 24 * 32 * 3
        assert all(len(asked) < most + mmap.PAGESIZE for asked in listener.asked)
        file = path.read_bytes()
        brought = [file[asked.start : asked.stop] for asked in listener.asked]
        assert all(any(bytes(line) in content for content in brought) for line in window.reshape(-1, 13 * 3))
        assert all(asked.stop <= len(file) for asked in listener.asked)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs Linux' list of open files")
def test_few_files_are_open_at_once(spaced, monkeypatch):
    monkeypatch.setattr(clip_cache, "MOST_MAPS", 1)
    cache = ClipCache(spaced)
    for _ in range(3):
        parts = [cache.part(row, 0) for row in (0, 3)]  # of two shards
        first = [part.cut(np.arange(3), 0, 0, 24, 32) for part in parts]
        del parts
        assert sum(spaced in file.resolve().parents for file in Path("/proc/self/fd").iterdir()) == 1
    for row, number, place in ((0, 0, 0), (3, 1, 1)):
        shard = np.load(spaced / f"clips-0000{number}.npy", mmap_mode="r")
        np.testing.assert_array_equal(first[row > 0], shard[place, 0, :3])


def test_pixels_are_those_of_the_reader(videos, spaced):
    shards = [np.load(spaced / f"clips-0000{number}.npy", mmap_mode="r") for number in range(2)]
    assert [shard.shape for shard in shards] == [(2, 3, 6, 24, 32, 3)] * 2
    sizes = [(32, 64), (24, 48), (24, 32), (24, 32)]  # that cover 24x32; the first is turned upright after it
    lengths = json.loads((spaced / "clips-00000.json").read_text())["lengths"]
    lengths += json.loads((spaced / "clips-00001.json").read_text())["lengths"]
    for number, (name, size) in enumerate(zip(NAMES, sizes, strict=True)):
        with VideoReader(videos / name) as video:
            frames = ClipSampler(6, 3, (2,), False).evenly_spaced(video)
            pictures = video.read(frames.reshape(-1), size=size)
        _, height, width, _ = pictures.shape
        top, left = (height - 24) // 2, (width - 32) // 2
        expected = pictures[:, top : top + 24, left : left + 32].reshape(3, 6, 24, 32, 3)
        np.testing.assert_array_equal(shards[number // 2][number % 2], expected, name)
        assert lengths[number] == ([5, 5, 5] if name == "run/short.avi" else [6, 6, 6])


def test_squeezed_pictures_are_whole(videos, tmp_path):
    prepare_clips(videos, tmp_path / "cache", 1, 2, 1, None, 20, 20, squeeze=True, workers=1, progress=False)
    pictures = np.load(tmp_path / "cache" / "clips-00000.npy")[1, 0]
    with VideoReader(videos / NAMES[1]) as video:
        np.testing.assert_array_equal(pictures, video.read(np.array([19, 20]), size=(20, 20)))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "clips",
    [ClipSampler(4, 2, (1, 2, 3, 4), True), ClipSampler(8, 2, (2,), False), ClipSampler(12, 2, fps=12.5)],
    ids=["jitter", "stride", "fps"],
)
def test_a_cache_of_whole_videos_draws_what_the_videos_do(clips, training, videos, whole, tmp_path):
    if clips.fps is not None:
        whole = tmp_path / "by_time"
        prepare_clips(videos, whole, **ALL, fps=25, workers=1, progress=False)
    clips = clips if training else ClipSampler(clips.num_frames, 1, clips.strides, False, clips.fps)
    samples = listed(videos, NAMES[2], NAMES[3])
    from_videos = VideoDataset(samples, clips, (48,), 32, training)
    from_cache = CachedVideoDataset(samples, videos, ClipCache(whole), clips, (48,), 32, training)
    for draw in (Draw(row, seed) for row in range(2) for seed in range(10)):
        expected, found = from_videos[draw], from_cache[draw]
        assert torch.equal(found.pop("clip"), expected.pop("clip"))
        assert found == expected


def test_evaluation_takes_the_cached_clips(videos, spaced):
    samples, cache = listed(videos, *NAMES), ClipCache(spaced)
    clips = ClipSampler(6, 3, (2, 4), False)  # of which it takes the smallest
    found = CachedVideoDataset(samples, videos, cache, clips, (24,), 16, training=False)
    expected = VideoDataset(samples, clips, (24,), 16, training=False)
    for row in (1, 2, 3):  # the first loses what is above and below its middle
        assert torch.equal(found[Draw(row, row)]["clip"], expected[Draw(row, row)]["clip"])
    for count, numbers in ((1, [1]), (2, [0, 2])):
        few = CachedVideoDataset(samples, videos, cache, ClipSampler(6, count, (2,)), (24,), 16, training=False)
        assert torch.equal(few[Draw(2, 0)]["clip"], found[Draw(2, 0)]["clip"][numbers])


def test_training_draws_every_clip_and_part_of_it(videos, spaced):
    dataset = CachedVideoDataset(
        listed(videos, NAMES[2]), videos, ClipCache(spaced), ClipSampler(4, 2, (2,), True), (24,), 24, training=True
    )
    shard = torch.from_numpy(np.load(spaced / "clips-00001.npy")[0])
    seen = set()
    for seed in range(60):
        for clip in dataset[Draw(0, seed)]["clip"]:
            seen |= {
                (number, first, left)
                for number in range(3)
                for first in range(3)
                for left in range(9)
                if torch.equal(shard[number, first : first + 4, :, left : left + 24], clip)
            }
    assert {place[:2] for place in seen} == {(number, first) for number in range(3) for first in range(3)}
    assert {place[2] for place in seen} == set(range(9))


@pytest.mark.parametrize("random_resized_crop", [True, False])
def test_other_sizes_are_scaled(random_resized_crop, videos, whole):
    sides, clips = (48,) if random_resized_crop else (32, 36, 64), ClipSampler(4, 2, (1, 2), True)
    arguments = (clips, sides, 32, True, random_resized_crop)
    samples = listed(videos, NAMES[2])
    from_videos = VideoDataset(samples, *arguments)
    from_cache = CachedVideoDataset(samples, videos, ClipCache(whole), *arguments)
    errors, others = [], []
    for seed in range(12):
        expected, found = (dataset[Draw(0, seed)]["clip"].float() for dataset in (from_videos, from_cache))
        assert found.shape == expected.shape == (2, 4, 32, 32, 3)
        errors.append((found.mean((1, 2, 3)) - expected.mean((1, 2, 3))).abs().mean())
        others.append((found.mean((1, 2, 3)).flip(0) - expected.mean((1, 2, 3))).abs().mean())
    assert torch.stack(errors).mean() < torch.stack(others).mean()


def test_sizes_of_evaluation_are_scaled(videos, whole):
    samples, clips = listed(videos, NAMES[2]), ClipSampler(4, 1, (1,))
    expected = VideoDataset(samples, clips, (24,), 20, training=False)[Draw(0, 0)]["clip"]
    found = CachedVideoDataset(samples, videos, ClipCache(whole), clips, (24,), 20, training=False)[Draw(0, 0)]["clip"]
    assert found.shape == expected.shape
    error, moved = ((found.float() - other).abs().mean() for other in (expected.float(), expected.float().roll(1, 3)))
    assert error < moved / 2


def batches_of(data):
    data.setup("fit")
    return [list(loader) for loader in (data.train_dataloader(), data.val_dataloader())]


def test_batches_are_alike_with_and_without_workers(videos, spaced):
    arguments = {**SMALL, "strides": (2,), "eval_clips": 3, "num_clips": 2}
    from_videos = batches_of(VideoFolderDataModule(videos, **arguments))
    from_cache = [
        batches_of(VideoFolderDataModule(videos, clip_cache=spaced, **{**arguments, "num_workers": workers}))
        for workers in (0, 2)
    ]
    for loaders in zip(from_videos, *from_cache, strict=True):
        for expected, *found in zip(*loaders, strict=True):
            for batch in found:
                assert batch.keys() == expected.keys()
                assert (batch["clip"].shape, batch["clip"].dtype) == (expected["clip"].shape, torch.uint8)
                assert batch["path"] == expected["path"] and torch.equal(batch["video"], expected["video"])
                assert batch["clip"].is_contiguous() and torch.equal(batch["clip"], found[0]["clip"])


def test_a_worker_that_is_not_forked_gets_no_pictures(videos, spaced):
    dataset = CachedVideoDataset(
        listed(videos, *NAMES), videos, ClipCache(spaced), ClipSampler(4, 1, (2,)), (24,), 16, training=True
    )
    clip = dataset[Draw(2, 7)]["clip"]
    sent = pickle.dumps(dataset)
    assert len(sent) < 10_000 < clip.nbytes * 10
    assert torch.equal(pickle.loads(sent)[Draw(2, 7)]["clip"], clip)


def test_a_killed_run_goes_on(tmp_path):
    root, out = tmp_path / "videos", tmp_path / "cache"
    for number in range(40):
        write_video(root / f"{number:02d}.mp4", moving_texture(6, 16, 16, seed=number))
    settings = {"clips": 2, "frames": 4, "stride": 1, "height": 16, "width": 16, "shard_bytes": 1, "progress": False}
    prepare_clips(root, tmp_path / "other", **settings, workers=1)
    run = multiprocessing.get_context("fork").Process(
        target=prepare_clips, args=(root, out), kwargs={**settings, "workers": 2}
    )
    run.start()
    while not list(out.glob("clips-*.npy")):
        time.sleep(0.001)
    os.kill(run.pid, signal.SIGKILL)
    run.join()
    kept = {file.name: file.stat().st_mtime_ns for file in out.glob("clips-*.npy")}
    assert 0 < len(kept) < 40
    with pytest.raises(ValueError, match="is no finished clip cache"):
        ClipCache(out)
    done = prepare_clips(root, out, **settings, workers=2)
    assert done.videos == 40 and done.written == 40 - len(kept)
    assert not list(out.glob("*.part"))
    assert all((out / name).stat().st_mtime_ns == stamp for name, stamp in kept.items())
    for file in (tmp_path / "other").glob("clips-*"):
        assert (out / file.name).read_bytes() == file.read_bytes()


@pytest.fixture
def copy(videos, spaced, tmp_path):
    """A copy of the spaced cache, to be damaged."""
    for file in spaced.iterdir():
        (tmp_path / "copy").mkdir(exist_ok=True)
        (tmp_path / "copy" / file.name).write_bytes(file.read_bytes())
    return tmp_path / "copy"


def cut(file):
    file.write_bytes(file.read_bytes()[:-100])


def turn_over(file):
    content = bytearray(file.read_bytes())
    content[-1000] ^= 1
    file.write_bytes(content)


def replace(file):
    file.write_bytes(file.read_bytes().replace(b"|u1", b"|i1"))


@pytest.mark.parametrize(
    ("damage", "name", "message"),
    [
        (
            cut,
            "clips-00001.npy",
            r"clips-00001.npy: has 82,\d+ bytes, not 83,\d+; make it again with",
        ),
        (os.unlink, "clips-00001.npy", "clips-00001.npy: cannot be read .No such file"),
        (replace, "clips-00001.npy", "clips-00001.npy: is no shard of these clips"),
        (cut, "clips-00001.json", "clips-00001.json: is damaged"),
        (os.unlink, "clips-00001.json", "clips-00001.json: cannot be read .No such file"),
        (cut, "manifest.json", "manifest.json: is damaged"),
        (turn_over, "clips-00001.npy", None),  # only the check sum tells
    ],
)
def test_damage_is_told_and_mended(damage, name, message, videos, spaced, copy):
    kept = (copy / "clips-00000.npy").stat().st_mtime_ns
    damage(copy / name)
    if message is not None:
        data = VideoFolderDataModule(videos, clip_cache=copy, strides=(2,), **SMALL)
        data.setup("fit")
        with pytest.raises(ValueError, match=message) as error:
            data.train_dataloader()
        assert "\n" not in str(error.value) and str(copy / name) in str(error.value)
    done = prepare_clips(
        videos, copy, 3, 6, 2, None, 24, 32, shard_bytes=2 * 3 * 6 * 24 * 32 * 3, workers=1, progress=False
    )
    assert done.written == (0 if name == "manifest.json" else 2)
    assert (copy / "clips-00000.npy").stat().st_mtime_ns == kept
    for file in spaced.iterdir():
        assert (copy / file.name).read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strides": (1, 2)}, "has 6 frames of a clip, stride 2, asked for is stride 1; change data.strides"),
        ({"strides": (2,), "num_frames": 7}, "num_frames=7 as far apart as asked for needs 7; lower data.num_frames"),
        ({"strides": (4,)}, "num_frames=4 as far apart as asked for needs 7"),
        ({"fps": 12}, "stride 2, asked for are 12 frames a second; set data.fps"),
        ({"strides": (2,), "eval_clips": 4}, "has 3 clips of a video, evaluation asks for 4; set data.eval_clips to 3"),
    ],
)
def test_what_the_cache_does_not_hold_is_told(arguments, message, videos, spaced):
    data = VideoFolderDataModule(videos, clip_cache=spaced, **{**SMALL, **arguments})
    data.setup("fit")
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        data.train_dataloader()
    assert str(error.value).startswith(f"{spaced}: ") and "\n" not in str(error.value)


def test_frames_by_time(videos, tmp_path):
    prepare_clips(videos, tmp_path / "cache", 2, 8, fps=10, height=24, width=32, workers=1, progress=False)
    for arguments, message in (
        ({"strides": (1,)}, "10 frames a second, asked for are frames by number"),
        ({"fps": 12}, "10 frames a second, asked for are 12 a second"),
        ({"fps": 4}, "num_frames=4 as far apart as asked for needs 9"),
    ):
        data = VideoFolderDataModule(videos, clip_cache=tmp_path / "cache", **SMALL, **arguments)
        data.setup("fit")
        with pytest.raises(ValueError, match=message):
            data.train_dataloader()
    data = VideoFolderDataModule(videos, clip_cache=tmp_path / "cache", fps=5, eval_clips=2, **SMALL)
    train, val = batches_of(data)
    assert train[0]["clip"].shape == (4, 1, 4, 16, 16, 3) and val[0]["clip"].shape == (4, 2, 4, 16, 16, 3)


def test_another_list_is_told(videos, spaced, tmp_path):
    for root, message in (
        (videos.parent, "lacks 4 of the 4 listed videos, such as .*jump/turned.mp4; it has names such as jump/turned"),
        (tmp_path / "more", "lacks 1 of the 2 listed videos, such as run/new.mp4"),
    ):
        if root == tmp_path / "more":
            write_video(root / "run" / "long.mp4", 4)
            write_video(root / "run" / "new.mp4", 4)
        data = VideoFolderDataModule(root, clip_cache=spaced, strides=(2,), **SMALL)
        data.setup("fit")
        samples = data.train_samples if root != videos.parent else listed(videos, *NAMES)
        with pytest.raises(ValueError, match=message) as error:
            data.dataset(samples, training=True)
        assert "\n" not in str(error.value)
    parts = SampleList([(str(videos / NAMES[0]), 0)], [(0.0, 1.0)])
    with pytest.raises(ValueError, match="has clips of whole videos, the list has parts of them"):
        data.dataset(parts, training=True)
    data = VideoFolderDataModule(videos, clip_cache=tmp_path / "none", **SMALL)
    data.setup("fit")
    with pytest.raises(ValueError, match="none: no such folder; make it with `lightning prepare clips`"):
        data.train_dataloader()


def test_labels_are_those_of_the_list(videos, spaced):
    data = KineticsDataModule(videos, clip_cache=spaced, **{**SMALL, "strides": (2,), "eval_clips": 3})
    train, val = batches_of(data)
    assert data.class_names == ["jump", "run"]
    assert sorted(train[0]["label"].tolist()) == [0, 0, 1, 1] and val[0]["label"].tolist() == [0, 0, 1, 1]


def test_broken_videos_are_listed_and_replaced(tmp_path):
    root, out = tmp_path / "videos", tmp_path / "cache"
    for name in ("a", "c"):
        write_video(root / f"{name}.mp4", 8)
    whole = write_video(root / "b.mp4", 8).read_bytes()
    (root / "b.mp4").write_bytes(whole[:300])
    settings = {"clips": 1, "frames": 4, "stride": 1, "height": 24, "width": 32, "progress": False}
    for workers, written in ((2, 3), (1, 0)):
        done = prepare_clips(root, out, **settings, workers=workers)
        assert (done.videos, done.written) == (2, written)
    (line,) = done.broken
    assert line.startswith(f"{root / 'b.mp4'}: ") and (out / "broken.txt").read_text() == f"{line}\n"
    assert "1 broken videos, such as" in str(done) and json.loads((out / "manifest.json").read_text())["videos"] == 2
    arguments = {**SMALL, "strides": (1,), "eval_clips": 1, "global_batch_size": 3}
    from_videos = batches_of(VideoFolderDataModule(root, **arguments))
    from_cache = batches_of(VideoFolderDataModule(root, clip_cache=out, **arguments))
    for (expected,), (found,) in zip(from_videos, from_cache, strict=True):
        assert found["path"] == expected["path"] and str(root / "b.mp4") not in found["path"]
        assert found["broken"] == expected["broken"]
    (root / "b.mp4").write_bytes(whole)
    done = prepare_clips(root, out, **settings, workers=1)
    assert (done.videos, done.broken, done.written) == (3, [], 3) and not (out / "broken.txt").exists()


def test_what_is_refused(videos, spaced, tmp_path):
    with pytest.raises(ValueError, match="lies within"):
        prepare_clips(videos, videos / "cache")
    for name in ("clips", "frames", "stride", "height", "width", "workers", "shard_bytes"):
        with pytest.raises(ValueError, match=f"{name}=0 must be at least 1"):
            prepare_clips(videos, tmp_path / "a", **{name: 0})
    with pytest.raises(ValueError, match="fps=-1 must be above 0"):
        prepare_clips(videos, tmp_path / "a", fps=-1)
    with pytest.raises(ValueError, match="was made in another way"):
        prepare_clips(videos, spaced, 2, progress=False)
    with pytest.raises(ValueError, match=r"4 videos need \d.* TiB \(\d.* each\), .* are free; ask for fewer clips"):
        prepare_clips(videos, tmp_path / "large", 10**9, progress=False)
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="holds no videos"):
        prepare_clips(tmp_path / "none", tmp_path / "a")
    (tmp_path / "none" / "a.mp4").write_bytes(b"no video")
    with pytest.raises(ValueError, match="all 1 videos are broken"):
        prepare_clips(tmp_path / "none", tmp_path / "a", height=16, width=16, workers=1, progress=False)


SYNTHETIC = "--data.cache {} --data.train_videos 12 --data.val_videos 12 --data.num_workers 0 --data.probe_samples 12"


def test_through_the_command_line(tmp_path, capsys):
    data = SYNTHETIC.format(tmp_path / "videos").split()
    cache = str(tmp_path / "cache")
    assert cli.main(["prepare", "clips", "--config", "tubelet.yaml", "--out", cache, *data]) == 0
    assert "clips of 24 videos" in capsys.readouterr().out
    manifest = json.loads((tmp_path / "cache" / "manifest.json").read_text())
    assert (manifest["frames"], manifest["stride"], manifest["fps"]) == (15, 1, None)  # 8, two apart at most
    assert (manifest["height"], manifest["width"]) == (40, 53)
    short = "--trainer.max_epochs 1 --trainer.limit_train_batches 2 --data.global_batch_size 4".split()
    fit = ["fit", "--config", "tubelet.yaml", "--run_dir", str(tmp_path / "run"), "--data.clip_cache", cache]
    assert cli.main([*fit, *short, *data, "--trainer.log_every_n_steps", "1"]) == 0
    with (tmp_path / "run" / "logs" / "metrics.csv").open(newline="") as stream:
        assert any(row["data/wait"] for row in csv.DictReader(stream))
    (tmp_path / "cache" / "clips-00000.npy").unlink()
    fit[4] = str(tmp_path / "other")
    assert cli.main([*fit, *short, *data]) == 1
    assert "clips-00000.npy: cannot be read" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--root a", "prepare clips needs --root FOLDER or --config NAME, and --out FOLDER"),
        ("--root a --out b --data.root c", "prepare clips: --data.root needs a --config"),
        ("--root a --out b --stride 2 --fps 16", "--stride and --fps are two ways"),
        ("--root a --out b --fast", "unknown argument --fast"),
        ("--config none.yaml --out b", "no config 'none.yaml'"),
        ("--config skeleton.yaml --out b", "skeleton.yaml reads no clips of videos"),
    ],
)
def test_wrong_arguments(words, message, capsys):
    assert cli.main(["prepare", "clips", *words.split()]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in error
