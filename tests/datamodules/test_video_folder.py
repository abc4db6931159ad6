import os
import pickle
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules import VideoFolderDataModule
from datamodules.readers.video import VideoReader
from datamodules.sample_list import SampleList, find_videos
from datamodules.sampling.clips import ClipSampler
from datamodules.sampling.resumable_sampler import Draw
from datamodules.video_dataset import VideoDataset, collate
from tests.fakes import write_video


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_finds_videos_in_order_and_leaves_out_the_rest(tmp_path: Path) -> None:
    touch(tmp_path, "b.MP4", "a/z.avi", "a/deep/er/x.3gp", "ä ö/1.webm", "c.txt", ".hidden.mp4", ".git/a.mp4", "d.Mov")
    (tmp_path / "folder.mp4").mkdir()
    assert list(find_videos(tmp_path)) == ["a/deep/er/x.3gp", "a/z.avi", "b.MP4", "d.Mov", "ä ö/1.webm"]


def test_links_are_followed_without_loops(tmp_path: Path) -> None:
    root, other = tmp_path / "root", tmp_path / "other"
    touch(root, "a.mp4")
    touch(other, "b.mp4")
    (root / "link").symlink_to(other)
    (root / "again").symlink_to(other)
    (other / "back").symlink_to(root)
    (root / "lost.mp4").symlink_to(tmp_path / "nowhere.mp4")
    assert list(find_videos(root)) == ["a.mp4", "again/b.mp4", "lost.mp4"]


def test_odd_names_survive(tmp_path: Path) -> None:
    names = ["a b.mp4", 'it\'s "this".mp4', "!();&#[]@=+.avi", "Ünï.mkv", "x: y.mp4", os.fsdecode(b"latin\xe9.mp4")]
    touch(tmp_path, *names)
    data = VideoFolderDataModule(tmp_path)
    data.setup("fit")
    assert {data.train_samples.path(row) for row in range(6)} == {str(tmp_path / name) for name in names}
    assert all(os.path.exists(data.train_samples.path(row)) for row in range(6))
    assert [data.train_samples.label(row) for row in range(6)] == [-1] * 6
    assert data.val_samples is data.train_samples
    assert data.probe_dataloaders() is None


@pytest.mark.parametrize(
    ("name", "message"), [("none", "no such folder"), ("file.mp4", "is a file"), ("empty", "holds no videos")]
)
def test_bad_roots_say_what_is_wrong(tmp_path: Path, name: str, message: str) -> None:
    touch(tmp_path, "file.mp4", "empty/readme.txt")
    with pytest.raises(ValueError, match=message) as error:
        VideoFolderDataModule(tmp_path / name).setup("fit")
    assert str(tmp_path / name) in str(error.value)
    assert "\n" not in str(error.value)


def test_bad_numbers_say_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"short_sides=\(112, 128\) must not be smaller than crop_size=120"):
        VideoFolderDataModule(tmp_path, short_sides=(112, 128), crop_size=120)
    with pytest.raises(ValueError, match="global_batch_size=0"):
        VideoFolderDataModule(tmp_path, global_batch_size=0)


def test_sample_list_subsets() -> None:
    rows = [(f"vidéo {row}.mp4", row % 7) for row in range(100)]
    samples = SampleList(iter(rows))

    def draw(seed: int) -> list[tuple[str, int]]:
        part = samples.subset(0.25, seed)
        return [(part.path(row), part.label(row)) for row in range(len(part))]

    kept = draw(3)
    assert len(kept) == 25
    assert kept == sorted(kept, key=rows.index)
    assert kept == draw(3)
    assert kept != draw(4)
    assert len(samples.subset(1.0, 0)) == 100
    assert len(samples.subset(1e-9, 0)) == 1
    with pytest.raises(ValueError, match="subset=25"):
        samples.subset(25, 0)
    assert len(SampleList(())) == 0


def test_sample_list_holds_no_object_per_row() -> None:
    samples = SampleList((f"root/class/{row:06d}.mp4", row) for row in range(10_000))
    attributes = [value for name, value in vars(samples).items() if name != "bounds"]
    assert samples.bounds is None
    assert all(isinstance(value, torch.Tensor) for value in attributes)
    assert sum(value.nbytes for value in attributes) == 10_000 * (21 + 8 + 8) + 8
    again = pickle.loads(pickle.dumps(samples))
    assert (again.path(9_999), again.label(9_999)) == ("root/class/009999.mp4", 9_999)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for number in range(5):
        write_video(folder / f"{number}.mp4", 12)  # 48 x 64
    return folder


def make_dataset(folder: Path, training: bool, **arguments: object) -> VideoDataset:
    samples = SampleList((str(folder / name), 7) for name in find_videos(folder))
    return VideoDataset(samples, ClipSampler(4, 2, **arguments), (24, 32), 20, training)


def test_evaluation_is_the_centre_of_evenly_spaced_clips(folder: Path) -> None:
    dataset = make_dataset(folder, training=False)
    sample = dataset[Draw(2, 0)]
    with VideoReader(folder / "2.mp4") as video:
        indices = dataset.clips.evenly_spaced(video)
        frames = video.read(indices.reshape(-1), 24)  # 24 x 32
    assert np.array_equal(sample["clip"].numpy(), frames.reshape(2, 4, 24, 32, 3)[:, :, 2:22, 6:26])
    assert sample["clip"].is_contiguous()
    assert (sample["label"], sample["video"], sample["path"]) == (7, 2, str(folder / "2.mp4"))
    assert torch.equal(sample["clip"], dataset[Draw(2, 99)]["clip"])


def test_training_clips_are_crops_of_the_video_at_both_sizes(folder: Path) -> None:
    dataset = make_dataset(folder, training=True)
    with VideoReader(folder / "0.mp4") as video:
        every = {side: video.read(np.arange(12), side) for side in (24, 32)}
    seen = set()
    for seed in range(12):
        for view in dataset[Draw(0, seed)]["clip"].numpy():
            places = {
                (side, top, left)
                for side, frames in every.items()
                for top in range(side - 19)
                for left in range(frames.shape[2] - 19)
                if (frames[:, top : top + 20, left : left + 20] == view[0]).all(axis=(1, 2, 3)).any()
            }
            assert len(places) == 1
            seen |= places
    assert {side for side, _, _ in seen} == {24, 32}
    assert len(seen) > 12


def test_pixels_depend_on_the_draw_alone(folder: Path) -> None:
    dataset = make_dataset(folder, training=True)
    assert torch.equal(dataset[Draw(1, 5)]["clip"], dataset[Draw(1, 5)]["clip"])
    assert not torch.equal(dataset[Draw(1, 5)]["clip"], dataset[Draw(1, 6)]["clip"])


def test_collate_gives_the_batch_that_methods_take(folder: Path) -> None:
    dataset = make_dataset(folder, training=True)
    batch = collate([dataset[Draw(row, 0)] for row in (3, 1)])
    assert batch["clip"].shape == (2, 2, 4, 20, 20, 3)
    assert batch["clip"].dtype == torch.uint8
    assert batch["label"].dtype == batch["video"].dtype == torch.int64
    assert (batch["label"].tolist(), batch["video"].tolist(), batch["broken"]) == ([7, 7], [3, 1], [])
    assert batch["path"] == [str(folder / "3.mp4"), str(folder / "1.mp4")]


def make_data(folder: Path, num_workers: int) -> VideoFolderDataModule:
    data = VideoFolderDataModule(
        folder,
        num_frames=4,
        crop_size=16,
        short_sides=(16, 24),
        eval_clips=2,
        global_batch_size=2,
        eval_batch_size=2,
        num_workers=num_workers,
    )
    data.setup("fit")
    return data


def test_loaders_work_without_a_trainer_and_workers_change_nothing(folder: Path) -> None:
    alone, helped = make_data(folder, 0), make_data(folder, 2)
    for first, second in zip(alone.train_dataloader(), helped.train_dataloader(), strict=True):
        assert torch.equal(first["clip"], second["clip"])
        assert first["path"] == second["path"]
    for loader in (alone.val_dataloader(), alone.test_dataloader(), alone.predict_dataloader()):
        batches = list(loader)
        assert [batch["video"].tolist() for batch in batches] == [[0, 1], [2, 3], [4]]
        assert batches[0]["clip"].shape == (2, 2, 4, 16, 16, 3)


def test_workers_survive_an_interrupt(folder: Path) -> None:
    loader = make_data(folder, 1).train_dataloader()
    batches = iter(loader)
    next(batches)
    workers = loader._iterator._workers
    for worker in workers:
        os.kill(worker.pid, signal.SIGINT)
    assert len(next(batches)["path"]) == 2
    assert workers and all(worker.is_alive() for worker in workers)


def test_preprocessing_is_plain(tmp_path: Path) -> None:
    assert VideoFolderDataModule(tmp_path, strides=[2, 4], short_sides=[128, 144]).preprocessing == {
        "num_frames": 16,
        "stride": 2,
        "fps": None,
        "short_side": 128,
        "crop_size": 112,
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    }
