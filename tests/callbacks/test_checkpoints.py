"""Checkpoints: the one before the last stays, torn ones are passed over, no moment leaves none, random states go on."""

import logging
import os
import random
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import cli
from callbacks.checkpoints import LAST, NEEDED, PREVIOUS, StepCheckpoint, WholeFileCheckpointIO, newest, step_of
from callbacks.random_states import RandomStates
from datamodules import SyntheticKineticsDataModule


@pytest.fixture
def told(caplog):
    """Return the warnings so far; the command line keeps those of its packages from the root logger."""
    logger = logging.getLogger("callbacks.checkpoints")
    logger.addHandler(caplog.handler)
    yield lambda: list(
        {record: record.getMessage() for record in caplog.records if record.name == logger.name}.values()
    )
    logger.removeHandler(caplog.handler)


def write(folder, *steps, checkpoints=None):
    checkpoints = checkpoints or WholeFileCheckpointIO()
    for step in steps:
        weights = {"layer": torch.full((2**14,), float(step))}
        content = {name: {} for name in NEEDED} | {"global_step": step, "state_dict": weights}
        checkpoints.save_checkpoint(content, folder / LAST)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def zero(path):
    """Some tensor's bytes, which a load alone would take for its values."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 512] = bytes(512)
    path.write_bytes(data)


def strip(path):
    content = torch.load(path, weights_only=True)
    del content["optimizer_states"]
    torch.save(content, path)


def test_the_one_before_the_last_stays(tmp_path):
    write(tmp_path, 1)
    assert [path.name for path in tmp_path.iterdir()] == [LAST]
    write(tmp_path, 2, 3)
    assert {path.name for path in tmp_path.iterdir()} == {LAST, PREVIOUS}
    assert (step_of(tmp_path / LAST), step_of(tmp_path / PREVIOUS)) == (3, 2)
    assert newest(tmp_path) == tmp_path / LAST
    assert newest(tmp_path / "none") is None


def test_only_the_last_checkpoint_has_one_before_it(tmp_path):
    for step in (1, 2):
        WholeFileCheckpointIO().save_checkpoint({"global_step": step}, tmp_path / "best.ckpt")
    assert [path.name for path in tmp_path.iterdir()] == ["best.ckpt"]


@pytest.mark.parametrize(
    ("damage", "reason"), [(cut, "not a zip file"), (zero, "data/0 is damaged"), (strip, "it lacks optimizer_states")]
)
def test_a_torn_checkpoint_is_passed_over(damage, reason, tmp_path, told):
    write(tmp_path, 1, 2)
    damage(tmp_path / LAST)
    assert newest(tmp_path) == tmp_path / PREVIOUS
    (line,) = told()
    assert line.startswith(f"{tmp_path / LAST} is torn (") and reason in line and "\n" not in line
    # The next one takes the place of the torn one, and the good one is kept until then.
    write(tmp_path, 3)
    assert (step_of(tmp_path / LAST), step_of(tmp_path / PREVIOUS)) == (3, 1)
    assert newest(tmp_path) == tmp_path / LAST
    assert len(told()) == 1


def test_a_torn_checkpoint_without_another_is_an_error(tmp_path):
    write(tmp_path, 1)
    cut(tmp_path / LAST)
    assert newest(tmp_path) == tmp_path / LAST
    with pytest.raises(ValueError, match=r"last\.ckpt is no checkpoint of a run \(.*move it away"):
        step_of(tmp_path / LAST)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
def test_killed_between_any_two_system_calls(links, tmp_path, monkeypatch):
    """Wherever the writing of step 3 ends, step 2 or 3 is found whole; and the next writing is undisturbed."""
    write(tmp_path / "before", 1, 2)
    originals = {name: getattr(os, name) for name in ("fsync", "link", "replace", "unlink")}
    found = []
    for calls in range(20):
        folder = tmp_path / str(calls)
        shutil.copytree(tmp_path / "before", folder)
        left = [calls]

        def counted(name, left=left):
            def call(*arguments, **options):
                if not left[0]:
                    raise Killed
                left[0] -= 1
                if name == "link" and not links:
                    raise OSError("not here")
                return originals[name](*arguments, **options)

            return call

        with monkeypatch.context() as patched:
            for name in originals:
                patched.setattr(os, name, counted(name))
            try:
                write(folder, 3)
                done = True
            except Killed:
                done = False
        found.append(step_of(newest(folder)))
        write(folder, 4)
        assert step_of(folder / LAST) == 4
        assert step_of(folder / PREVIOUS) in (2, 3)
        assert {path.name for path in folder.iterdir()} == {LAST, PREVIOUS}
        if done:
            break
    assert done and calls >= 4
    assert found == sorted(found) and set(found) == {2, 3}


CONFIG = """seed_everything: 3
model: {class_path: toy_method.ToyMethod}
data: {class_path: toy_method.ToyData, init_args: {root: here}}
trainer: {max_epochs: 3, accelerator: cpu, log_every_n_steps: 1, enable_model_summary: false}
"""


@pytest.mark.parametrize("damage", [cut, zero, Path.unlink])
def test_the_same_command_goes_on_from_the_one_before(damage, tmp_path, monkeypatch, caplog, told):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("toy.yaml").write_text(CONFIG)
    command = ["fit", "--config", "toy.yaml", "--run_dir"]
    assert cli.main([*command, "whole"]) == 0
    assert cli.main([*command, "a", "--trainer.max_epochs=2"]) == 0
    checkpoints = Path("a/checkpoints")
    damage(checkpoints / LAST)
    assert cli.main([*command, "a"]) == 0
    (line,) = told()
    assert line.startswith("a/checkpoints/last.ckpt is torn (") and "a/checkpoints/last-1.ckpt" in line
    assert "going on from a/checkpoints/last-1.ckpt, step 6" in caplog.text
    one, other = (torch.load(Path(run) / "checkpoints" / LAST, weights_only=True) for run in ("whole", "a"))
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "loops"):
        torch.testing.assert_close(one[part], other[part], rtol=0, atol=0)
    for generator in ("torch", "python", "numpy"):
        assert str(one["random_states"][0][generator]) == str(other["random_states"][0][generator])
    assert Path("a/logs/metrics.csv").read_text() == Path("whole/logs/metrics.csv").read_text()


class Drawing(LightningModule):
    """Draws noise from all global generators, in training and in validation."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.drawn, self.validated = [], []

    def training_step(self, batch, batch_index):
        noise = torch.rand(1).item() + random.random() + np.random.rand()
        self.drawn.append(noise)
        return (self.layer(batch[0]) - noise).square().mean()

    def validation_step(self, batch, batch_index):
        self.validated.append((self.trainer.global_step, torch.rand(1).item()))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def run(folder, callbacks, checkpoint=None, every=1):
    generator = torch.Generator().manual_seed(0)  # of the loaders, as in `SampleDataModule`
    data = TensorDataset(torch.arange(8.0)[:, None])
    train, held_out = (DataLoader(data, batch_size=1, generator=generator) for _ in range(2))
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=True,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=[*callbacks, StepCheckpoint(folder, every), RandomStates()],
        plugins=[WholeFileCheckpointIO()],
        max_epochs=2,
        accumulate_grad_batches=2,
        val_check_interval=4,
        num_sanity_val_steps=0,
    )
    module = Drawing()
    trainer.fit(module, train, held_out, ckpt_path=checkpoint)
    return module


class Record(Callback):
    def __init__(self):
        self.steps = []

    def on_save_checkpoint(self, trainer, pl_module, checkpoint):
        self.steps.append((trainer.global_step, trainer.fit_loop.epoch_loop.batch_progress.current.ready))


@pytest.mark.parametrize(("every", "steps"), [(1, [1, 3, 5, 7]), (2, [3, 5, 7]), (3, [3, 7])])
def test_steps_before_validation_are_not_saved(every, steps, tmp_path):
    """8 batches are 4 steps an epoch, with validation after the 2nd and 4th; never between two accumulated batches."""
    record = Record()
    run(tmp_path, [record], every=every)
    assert record.steps == [(step, step % 4 * 2) for step in steps]


class Crash(Callback):
    def __init__(self, step):
        self.step = step

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        if trainer.global_step == self.step and batch_idx == 3:
            raise RuntimeError("killed")

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step and trainer.fit_loop.epoch_loop.batch_progress.current.ready % 2 == 0:
            raise RuntimeError("killed")


@pytest.mark.parametrize("step", [1, 2, 3, 4, 6])
def test_random_states_and_validations_go_on(step, tmp_path):
    """Ended within a step or a validation, mid-epoch or at its end, a run draws and validates as if it had not been."""
    torch.manual_seed(1), random.seed(1), np.random.seed(1)
    whole = run(tmp_path / "whole", [])
    torch.manual_seed(1), random.seed(1), np.random.seed(1)
    with pytest.raises(RuntimeError, match="killed"):
        run(tmp_path / "part", [Crash(step)])
    torch.manual_seed(2), random.seed(2), np.random.seed(2)
    resumed = run(tmp_path / "part", [], newest(tmp_path / "part"))
    assert len(resumed.drawn) < len(whole.drawn)
    assert resumed.drawn == whole.drawn[-len(resumed.drawn) :]
    assert resumed.validated == whole.validated[-len(resumed.validated) :]
    assert len(resumed.validated) >= len([seen for seen in whole.validated if seen[0] >= max(step, 2)])


def test_loading_draws_nothing_from_the_global_generator(tmp_path):
    data = SyntheticKineticsDataModule(cache=tmp_path, train_videos=12, val_videos=12, num_frames=4, num_workers=2)
    data.prepare_data()
    data.setup("fit")
    state = torch.get_rng_state()
    for loader in (data.train_dataloader(), data.val_dataloader()):
        next(iter(loader))
    assert torch.equal(torch.get_rng_state(), state)


def test_the_last_checkpoint_knows_of_the_best(tmp_path, monkeypatch):
    """Else a run that goes on from an epoch's end takes the next epoch for the best so far."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("toy.yaml").write_text(CONFIG)
    command = ["fit", "--config", "toy.yaml", "--run_dir", "a", "--checkpoint.monitor=train/rate"]
    assert cli.main([*command, "--trainer.max_epochs=1"]) == 0
    assert cli.main(command) == 0
    assert step_of("a/checkpoints/best.ckpt") == 6  # rates fall
