"""Sequences kept on the device: the same batches to the bit, without a loader's processes."""

import numpy as np
import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from skeleton_fakes import names, write_cache

from datamodules import NTUSkeletonDataModule
from datamodules.resident_sequences import ResidentSequences


@pytest.fixture
def folder(tmp_path):
    folder = write_cache(tmp_path / "c", names(), 8)
    array = np.random.default_rng(0).standard_normal((24, 3, 8, 25, 2))
    np.save(folder / "skeletons.npy", np.float32(array))
    return folder


def module(folder, on_device, **arguments):
    arguments = {"global_batch_size": 4, "eval_batch_size": 2, "num_workers": 0, **arguments}
    data = NTUSkeletonDataModule(folder, on_device=on_device, **arguments)
    data.setup("fit")
    return data


def assert_equal(batch, other):
    assert list(batch) == list(other)
    for key, value in batch.items():
        if key == "name":
            assert value == other[key]
        else:
            assert value.dtype == other[key].dtype
            assert torch.equal(value, other[key]), key


@pytest.mark.parametrize("arguments", [{}, {"protocol": "xview"}, {"probe_samples": 3, "seed": 5}])
def test_batches_are_those_of_the_loader(folder, arguments):
    plain, resident = (module(folder, on_device, **arguments) for on_device in (False, True))
    for loaders in ("train_dataloader", "val_dataloader", "test_dataloader", "predict_dataloader"):
        pairs = list(zip(getattr(plain, loaders)(), getattr(resident, loaders)(), strict=True))
        assert pairs
        for pair in pairs:
            assert_equal(*pair)
    for loader, other in zip(plain.probe_dataloaders(), resident.probe_dataloaders(), strict=True):
        for pair in zip(loader, other, strict=True):
            assert_equal(*pair)


def test_a_changed_batch_changes_no_other(folder):
    data = module(folder, True)
    before = [batch["skeleton"].clone() for batch in data.val_dataloader()]
    for batch in data.val_dataloader():
        batch["skeleton"].zero_()
    for batch, skeleton in zip(data.val_dataloader(), before, strict=True):
        assert torch.equal(batch["skeleton"], skeleton)


def test_only_what_is_listed_is_kept_and_once(folder):
    data = module(folder, True, num_workers=3)
    data.train_samples = data.train_samples.subset(0.4, seed=1)
    loaders = [data.train_dataloader(), data.val_dataloader(), *data.probe_dataloaders()]
    assert len(data._resident.sequences) == len(data.train_samples) + len(data.val_samples) == 15
    assert all(loader.dataset._sequences is data._resident.sequences for loader in loaders)
    assert all(loader.num_workers == 0 for loader in loaders)


class Witness(LightningModule):
    """Keeps what it is shown."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.shown, self.validated = [], []

    def training_step(self, batch, batch_index):
        self.shown.append(batch)
        return self.weight.sum() * batch["skeleton"].mean()

    def validation_step(self, batch, batch_index):
        self.validated.append(batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def run(folder, on_device, steps, checkpoint=None, **arguments):
    witness = Witness()
    trainer = Trainer(
        max_steps=steps,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        **arguments,
    )
    trainer.fit(witness, module(folder, on_device), ckpt_path=checkpoint, weights_only=False)
    trainer.save_checkpoint(folder / "last.ckpt")
    return witness


def test_a_run_and_its_continuation_see_the_same(folder):
    plain = run(folder, False, 8)
    first = run(folder, True, 5)
    second = run(folder, True, 8, folder / "last.ckpt")
    for pair in zip(plain.shown, first.shown + second.shown, strict=True):
        assert_equal(*pair)
    assert plain.validated
    for pair in zip(plain.validated[-4:], second.validated[-4:], strict=True):
        assert_equal(*pair)


def test_too_little_memory_is_refused(folder, monkeypatch):
    monkeypatch.setattr("datamodules.resident_sequences._free_memory", lambda: 100_000)
    data = module(folder, True)
    line = r"on_device: the sequences take 0\.0 GiB, and cpu has 0\.0 GiB free; set data\.on_device=false"
    with pytest.raises(ValueError, match=line):
        data.train_dataloader()
    monkeypatch.setattr("datamodules.resident_sequences._free_memory", lambda: 24 * 3 * 8 * 25 * 2 * 4)
    assert len(ResidentSequences(folder, torch.arange(24), torch.device("cpu")).sequences) == 24
    with pytest.raises(ValueError, match=r"0\.0 GiB \(2 processes, a copy each\), and cpu"):
        ResidentSequences(folder, torch.arange(24), torch.device("cpu"), 2)


def test_memory_of_the_card_is_asked_for(folder, monkeypatch):
    asked = []
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (asked.append(device), (2**20, 2**30))[1])
    with pytest.raises(ValueError, match=r"and cuda:1 has 0\.0 GiB free"):
        ResidentSequences(write_cache(folder.parent / "large", names(), 300), torch.arange(24), torch.device("cuda:1"))
    assert asked == [torch.device("cuda:1")]
