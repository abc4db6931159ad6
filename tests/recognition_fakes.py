"""What the tests of the recognition protocols share: small networks, prepared sequences, a short trainer."""

import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from skeleton_fakes import write_prepared

from datamodules import NTUSkeletonDataModule
from lightning_modules.networks import AGCN, HCN, BiGRU
from lightning_modules.views.skeleton import SequenceCrop

CLASSES = 60


def crop():
    return SequenceCrop(num_frames=16)


def gru():
    torch.manual_seed(1)
    return BiGRU(6, 2)


def hcn(dropout=0.0):
    torch.manual_seed(2)
    return HCN(4, 16, num_frames=16, dropout=dropout)


def gcn():
    torch.manual_seed(3)
    return AGCN(8, (1, 1, 1))


def data(folder, **changes):
    root = folder / "prepared"
    if not root.is_dir():
        write_prepared(root)
    return NTUSkeletonDataModule(root, **{"global_batch_size": 8, "eval_batch_size": 5, "num_workers": 0, **changes})


def whole(folder, split):
    """All samples of a list in one batch."""
    module = data(folder, eval_batch_size=100)
    module.setup("fit")
    return next(iter(module.whole_dataloaders()[split == "val"]))


class Record(Callback):
    def __init__(self):
        self.losses, self.rates, self.batches = [], [], []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.losses.append(float(outputs["loss"]))
        self.rates.append(pl_module.current_rate())
        self.batches.append(batch)


class Crash(Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step:
            raise RuntimeError("killed")


class Save(Callback):
    """What each process holds after training."""

    def __init__(self, folder):
        self.folder = folder

    def on_train_end(self, trainer, pl_module):
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        name = f"{trainer.world_size}_{trainer.global_rank}.pt"
        torch.save({"state": pl_module.state_dict(), "metrics": metrics}, self.folder / name)


def trainer(folder, *callbacks, **changes):
    arguments = {
        "max_epochs": 2,
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": any(isinstance(callback, ModelCheckpoint) for callback in callbacks),
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "use_distributed_sampler": False,
        "num_sanity_val_steps": 0,
    }
    return Trainer(default_root_dir=folder, callbacks=list(callbacks), **{**arguments, **changes})


def stopped_and_resumed(folder, build, callback):
    """Train a model, be killed before step 4 of 6, go on with a fresh one; returns the last."""
    checkpoint = ModelCheckpoint(dirpath=folder, every_n_train_steps=1, save_last=True, save_top_k=0)
    try:
        trainer(folder, callback, checkpoint, Crash(4)).fit(build(), data(folder))
    except RuntimeError as error:
        assert str(error) == "killed"
    resumed = build()
    torch.manual_seed(99)
    trainer(folder, callback).fit(resumed, data(folder), ckpt_path=folder / "last.ckpt")
    return resumed
