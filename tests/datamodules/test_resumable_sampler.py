from pathlib import Path

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import nn

from datamodules import VideoFolderDataModule
from datamodules.batch import ClipBatch
from datamodules.sampling.resumable_sampler import Draw, EvaluationSampler, ResumableSampler
from tests.fakes import write_video


def stream(passes: int, start: int = 0, **arguments: int) -> list[list[Draw]]:
    """Every batch of some passes of one rank, the position moving on with each."""
    position = start
    sampler = ResumableSampler(position=lambda: position, **arguments)
    batches = []
    for _ in range(passes):
        batches += list(sampler)
        position += len(sampler)
    return batches


def test_an_epoch_shows_each_sample_once_and_the_next_in_another_order() -> None:
    batches = stream(2, num_samples=12, batch_size=3)
    first, second = [[draw.row for batch in part for draw in batch] for part in (batches[:4], batches[4:])]
    assert sorted(first) == sorted(second) == list(range(12))
    assert first != second
    assert first == [draw.row for batch in stream(1, num_samples=12, batch_size=3) for draw in batch]
    assert first != [draw.row for batch in stream(1, num_samples=12, batch_size=3, seed=1) for draw in batch]


@pytest.mark.parametrize("start", [1, 3, 5, 11])
def test_starting_late_gives_the_rest_of_the_stream(start: int) -> None:
    whole = stream(6, num_samples=13, batch_size=4)
    late = stream(2, start=start, num_samples=13, batch_size=4)
    assert late == whole[start : start + 6]


def test_ranks_and_accumulation_share_the_same_stream() -> None:
    whole = stream(3, num_samples=29, batch_size=8)
    ranks = [stream(3, num_samples=29, batch_size=4, rank=rank, world_size=2) for rank in (0, 1)]
    assert [a + b for a, b in zip(*ranks, strict=True)] == whole
    parts = stream(3, num_samples=29, batch_size=4, accumulate=2)
    assert [a + b for a, b in zip(parts[::2], parts[1::2], strict=True)] == whole


@pytest.mark.parametrize("num_samples", [2, 3, 5, 7, 8, 31])
@pytest.mark.parametrize("batch_size", [2, 4, 6, 10])
@pytest.mark.parametrize("world_size", [1, 2])
def test_neighbours_are_two_samples(num_samples: int, batch_size: int, world_size: int) -> None:
    for rank in range(world_size):
        batches = stream(5, num_samples=num_samples, batch_size=batch_size, rank=rank, world_size=world_size)
        for batch in batches:
            assert len(batch) == batch_size
            assert all(a.row != b.row for a, b in zip(batch[::2], batch[1::2], strict=True))


def test_seeds_differ_for_every_draw() -> None:
    seeds = [draw.seed for batch in stream(200, num_samples=5, batch_size=7) for draw in batch]
    assert len(set(seeds)) == len(seeds) == 1400
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert max(seeds) > 2**62


def test_empty_dataset_is_an_error() -> None:
    with pytest.raises(ValueError, match="num_samples=0"):
        ResumableSampler(0, 4)


@pytest.mark.parametrize(("num_samples", "world_size"), [(10, 3), (2, 4), (8, 2), (1, 1)])
def test_evaluation_shows_every_sample_once(num_samples: int, world_size: int) -> None:
    shares = [[draw.row for draw in EvaluationSampler(num_samples, rank, world_size)] for rank in range(world_size)]
    assert sorted(row for share in shares for row in share) == list(range(num_samples))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert all(share == sorted(share) for share in shares)


class OneWeight(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def training_step(self, batch: ClipBatch, batch_index: int) -> torch.Tensor:
        return self.layer(batch["clip"].float().mean().view(1)).sum()

    def validation_step(self, batch: ClipBatch, batch_index: int) -> None:
        return

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1e-6)


class Recorder(Callback):
    """Writes down what each training step got, and can die in the middle of a step or ask for a stop after one."""

    def __init__(self, die_in: int | None = None, stop_after: int | None = None) -> None:
        self.seen: list[tuple[list[int], float]] = []
        self.die_in = die_in
        self.stop_after = stop_after

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, batch: ClipBatch, index: int) -> None:
        if len(self.seen) == self.die_in:
            raise RuntimeError("killed")
        self.seen.append((batch["video"].tolist(), batch["clip"].double().mean().item()))

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: object) -> None:
        trainer.should_stop = trainer.should_stop or len(self.seen) == self.stop_after


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for number in range(9):
        write_video(folder / f"{number}.mp4", 8)
    return folder


def run(
    videos: Path,
    folder: Path,
    recorder: Recorder,
    num_workers: int = 0,
    checkpoint: Path | None = None,
    every: int = 1,
    **trainer_arguments: object,
) -> None:
    data = VideoFolderDataModule(
        videos,
        num_frames=4,
        strides=(1,),
        crop_size=16,
        short_sides=(16, 20),
        eval_clips=1,
        global_batch_size=4,
        num_workers=num_workers,
    )
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        default_root_dir=folder,
        use_distributed_sampler=False,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=1,
        callbacks=[recorder, ModelCheckpoint(folder, save_last=True, every_n_train_steps=every, save_top_k=-1)],
        **trainer_arguments,
    )
    trainer.fit(OneWeight(), data, ckpt_path=checkpoint)


@pytest.mark.parametrize(
    ("num_workers", "accumulate", "stop"),
    [(0, 1, 3), (0, 1, 4), (0, 2, 3), (2, 1, 3)],  # an epoch is 2 batches of 4, or 4 batches of 2
)
def test_a_killed_run_resumes_with_the_next_batch(
    videos: Path, tmp_path: Path, num_workers: int, accumulate: int, stop: int
) -> None:
    arguments = {"accumulate_grad_batches": accumulate, "max_epochs": 4}
    whole = Recorder()
    run(videos, tmp_path / "whole", whole, 0, **arguments)

    killed = Recorder(die_in=stop * accumulate + accumulate // 2)
    with pytest.raises(RuntimeError, match="killed"):
        run(videos, tmp_path / "part", killed, num_workers, **arguments)
    resumed = Recorder()
    run(videos, tmp_path / "part", resumed, num_workers, tmp_path / "part" / "last.ckpt", **arguments)
    assert len(whole.seen) == 8 * accumulate
    assert killed.seen[: stop * accumulate] + resumed.seen == whole.seen


def test_a_checkpoint_from_inside_a_step_repeats_that_step(videos: Path, tmp_path: Path) -> None:
    class SaveOnException(Callback):
        def on_exception(self, trainer: Trainer, module: LightningModule, error: BaseException) -> None:
            trainer.save_checkpoint(tmp_path / "error.ckpt")

    whole, killed, resumed = Recorder(), Recorder(die_in=3), Recorder()
    run(videos, tmp_path / "whole", whole, max_epochs=4)
    killed.on_exception = SaveOnException().on_exception
    with pytest.raises(RuntimeError, match="killed"):
        run(videos, tmp_path / "part", killed, max_epochs=4)
    run(videos, tmp_path / "part", resumed, checkpoint=tmp_path / "error.ckpt", max_epochs=4)
    assert killed.seen + resumed.seen == whole.seen


def test_short_epochs_and_stops_lose_no_batch(videos: Path, tmp_path: Path) -> None:
    whole = Recorder()
    run(videos, tmp_path / "whole", whole, max_epochs=6)
    limited = Recorder()
    run(videos, tmp_path / "limited", limited, max_epochs=5, limit_train_batches=1)
    assert limited.seen == whole.seen[:5]

    stopped, resumed = Recorder(stop_after=3), Recorder()
    run(videos, tmp_path / "stopped", stopped, max_steps=8)
    run(videos, tmp_path / "stopped", resumed, checkpoint=tmp_path / "stopped" / "last.ckpt", max_steps=8)
    assert stopped.seen + resumed.seen == whole.seen[:8]
