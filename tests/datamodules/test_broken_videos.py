from pathlib import Path

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from torch import nn

from datamodules import KineticsDataModule, VideoFolderDataModule
from datamodules.batch import ClipBatch
from datamodules.sampling.resumable_sampler import Draw
from datamodules.video_dataset import UnreadableVideosError
from tests.fakes import write_video

SMALL = {"num_frames": 4, "crop_size": 16, "short_sides": (16, 24), "eval_clips": 1, "eval_batch_size": 4}


class Reader(LightningModule):
    """Takes every batch and remembers which videos it showed."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.shown: list[str] = []

    def training_step(self, batch: ClipBatch, batch_index: int) -> torch.Tensor:
        self.shown += batch["path"]
        return self.layer(batch["clip"].float().mean().view(1)).sum()

    def test_step(self, batch: ClipBatch, batch_index: int) -> None:
        self.shown += batch["path"]

    predict_step = test_step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1e-6)


def make_trainer(folder: Path, **arguments: object) -> Trainer:
    return Trainer(
        accelerator="cpu",
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **({"devices": 1, "max_epochs": 1} | arguments),
    )


def make_folder(root: Path, num_videos: int, *broken: int) -> Path:
    for number in range(num_videos):
        path = root / f"{number:02}.mp4"
        if number in broken:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"not a video")
        else:
            write_video(path, 6)
    return root


def test_a_broken_video_is_replaced_by_the_next_and_named(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "x: y", 4, 1, 3)
    data = VideoFolderDataModule(root, **SMALL)
    data.setup("fit")
    dataset = data.val_dataloader().dataset
    sample, last = dataset[Draw(1, 0)], dataset[Draw(3, 0)]
    assert (sample["path"], sample["video"]) == (str(root / "02.mp4"), 2)
    assert (last["path"], last["video"]) == (str(root / "00.mp4"), 0)
    assert torch.equal(sample["clip"], dataset[Draw(2, 0)]["clip"])
    (line,) = sample["broken"]
    path, _, reason = line.rpartition(": ")
    assert path == str(root / "01.mp4")
    assert reason


@pytest.mark.parametrize("num_workers", [0, 2])
def test_one_broken_video_is_listed_and_the_run_goes_on(tmp_path: Path, num_workers: int) -> None:
    root = make_folder(tmp_path / "videos", 8, 5)
    record = tmp_path / "run/data/broken.txt"
    record.parent.mkdir(parents=True)
    record.write_text("earlier.mp4: was here before\n")
    for _ in range(2):  # a second run adds nothing
        module = Reader()
        data = VideoFolderDataModule(root, global_batch_size=4, num_workers=num_workers, **SMALL)
        make_trainer(tmp_path / "run", max_epochs=2).fit(module, data)
        assert list(data.broken) == [str(root / "05.mp4")]
        first, second = record.read_text().splitlines()
        assert first == "earlier.mp4: was here before"
        assert second == f"{root / '05.mp4'}: {data.broken[str(root / '05.mp4')]}"
        assert len(module.shown) == 16
        assert module.shown.count(str(root / "06.mp4")) == 4


@pytest.mark.parametrize("num_workers", [0, 1])
def test_too_many_broken_videos_stop_the_run(tmp_path: Path, num_workers: int) -> None:
    root = make_folder(tmp_path / "videos", 20, 3, 9, 15)
    data = VideoFolderDataModule(root, global_batch_size=4, num_workers=num_workers, **SMALL)
    with pytest.raises(ValueError, match="of 20 videos are broken, more than the 1 that a run tolerates") as error:
        make_trainer(tmp_path / "run").fit(Reader(), data)
    assert str(root) in str(error.value)
    assert str(tmp_path / "run/data/broken.txt") in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_nothing_readable_is_one_clear_line(tmp_path: Path, num_workers: int) -> None:
    root = make_folder(tmp_path / "videos", 3, 0, 1, 2)
    data = VideoFolderDataModule(root, global_batch_size=2, num_workers=num_workers, **SMALL)
    with pytest.raises(UnreadableVideosError, match="the 2 videos after it") as error:
        make_trainer(tmp_path / "run").fit(Reader(), data)
    assert str(error.value).startswith(str(root))
    assert "\n" not in str(error.value)


def test_missing_files_count_as_broken(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "videos", 4)
    data = VideoFolderDataModule(root, num_workers=0, **SMALL)
    data.setup("fit")
    (root / "02.mp4").unlink()
    assert [str(root / "03.mp4")] * 2 == [data.val_dataloader().dataset[Draw(row, 0)]["path"] for row in (2, 3)]


@pytest.mark.parametrize("method", ["test", "predict"])
def test_evaluation_counts_broken_videos_too(tmp_path: Path, method: str) -> None:
    root = make_folder(tmp_path / "videos", 6, 2)
    data = VideoFolderDataModule(root, num_workers=0, **SMALL)
    module, trainer = Reader(), make_trainer(tmp_path / "run")
    getattr(trainer, method)(module, data)
    assert list(data.broken) == [str(root / "02.mp4")]
    assert [Path(path).stem for path in module.shown] == ["00", "01", "03", "03", "04", "05"]


@pytest.mark.parametrize(("global_batch_size", "nearest"), [(5, "4 and 6"), (1, "2")])
def test_a_global_batch_that_does_not_divide_is_an_error(tmp_path: Path, global_batch_size: int, nearest: str) -> None:
    root = make_folder(tmp_path / "videos", 2)
    data = VideoFolderDataModule(root, global_batch_size=global_batch_size, num_workers=0, **SMALL)
    message = f"global_batch_size={global_batch_size} .* 1 processes x 2 .* that do: {nearest}$"
    with pytest.raises(ValueError, match=message):
        make_trainer(tmp_path, accumulate_grad_batches=2).fit(Reader(), data)


def test_a_replaced_sampler_is_an_error(tmp_path: Path) -> None:
    data = VideoFolderDataModule(make_folder(tmp_path / "videos", 2), global_batch_size=2, num_workers=0, **SMALL)
    data.trainer = make_trainer(tmp_path, strategy="ddp")
    data.setup("fit")
    with pytest.raises(ValueError, match="use_distributed_sampler=false"):
        data.train_dataloader()
    data.trainer = make_trainer(tmp_path, strategy="ddp", use_distributed_sampler=False)
    assert len(next(iter(data.train_dataloader()))["path"]) == 2


def test_resuming_with_another_list_warns(tmp_path: Path) -> None:
    loaders = []
    for num_videos in (3, 4):
        data = VideoFolderDataModule(make_folder(tmp_path, num_videos), global_batch_size=2, num_workers=0, **SMALL)
        data.setup("fit")
        loaders.append(data.train_dataloader())
    with pytest.warns(UserWarning, match="videos was 3 and is 4"):
        loaders[1].load_state_dict(loaders[0].state_dict())


def test_the_real_folder_trains_past_its_one_broken_video(shared_data: Path, tmp_path: Path) -> None:
    data = VideoFolderDataModule(shared_data, global_batch_size=9, num_workers=0, **(SMALL | {"eval_clips": 2}))
    module, trainer = Reader(), make_trainer(tmp_path)
    trainer.fit(module, data)
    assert len(data.train_samples) == len(module.shown) == 27
    trainer.test(module, data)  # its second clip lies in the damaged part
    assert [Path(path).name for path in data.broken] == ["corrupted.mp4"]
    assert "corrupted.mp4: " in (tmp_path / "data/broken.txt").read_text()


def test_the_real_clips_train_by_the_official_list(shared_data: Path, tmp_path: Path) -> None:
    root = shared_data / "kinetics400"
    data = KineticsDataModule(root, train_list="kinetics-400_val.csv", global_batch_size=2, num_workers=0, **SMALL)
    module = Reader()
    make_trainer(tmp_path).fit(module, data)
    assert sorted(Path(path).name for path in module.shown) == ["R6llTwEh07w.mp4", "SOX5yA1l24A.mp4"]
    assert not data.broken
    assert len((tmp_path / "data/missing.txt").read_text().splitlines()) == 19_904
