"""The table of class accuracies that a test leaves behind, counted by hand."""

import torch
from pytorch_lightning import LightningDataModule, LightningModule, Trainer
from torch.utils.data import DataLoader

from callbacks import ClassAccuracyWriter
from lightning_modules.metrics.class_accuracy import ClassAccuracy


class Guesses(LightningModule):
    """Says class 0 of each sample; logs as the methods of recognition do."""

    def __init__(self, mean_over_classes=True):
        super().__init__()
        self.held_out = torch.nn.ModuleDict({"accuracy": ClassAccuracy(3, mean_over_classes=mean_over_classes)})

    def test_step(self, label, batch_index):
        scores = torch.tensor([[1.0, 0, 0]]).repeat(len(label), 1)
        scores[0] = torch.eye(3)[label[0]]  # and the right one of each batch's first
        self.held_out["accuracy"].update(scores, label)

    def on_test_epoch_end(self):
        self.log("test/accuracy", self.held_out["accuracy"])


class Labels(LightningDataModule):
    class_names = ("left, then right", "up")

    def test_dataloader(self):
        return DataLoader(torch.tensor([1, 1, 0, 1, 1, 0]), batch_size=3)


def run(method, folder):
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, callbacks=[ClassAccuracyWriter(folder)]
    )
    trainer.test(method, datamodule=Labels(), verbose=False)
    return folder / "class_accuracy.csv"


def test_each_class_has_a_row(tmp_path):
    lines = run(Guesses(), tmp_path).read_text().splitlines()
    assert lines == ["class,name,accuracy", '0,"left, then right",1.0', "1,up,0.5", "2,,"]


def test_nothing_is_written_where_classes_are_not_measured(tmp_path):
    assert not run(Guesses(mean_over_classes=False), tmp_path).exists()
