import time

from pytorch_lightning import Trainer
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler
from toy_method import Numbers, ToyMethod

from callbacks import DataWait
from datamodules.sample_datamodule import TrainLoader


class SlowNumbers(Numbers):
    def __init__(self, seconds):
        self.seconds = seconds

    def __getitem__(self, index):
        time.sleep(self.seconds)
        return super().__getitem__(index)


class SlowMethod(ToyMethod):
    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def training_step(self, batch, batch_index):
        time.sleep(self.seconds)
        return super().training_step(batch, batch_index)


class Loader(TrainLoader):
    state_dict = None  # its order is not that of a resumable sampler


def wait(tmp_path, sample_seconds, step_seconds, loader=Loader):
    data = SlowNumbers(sample_seconds)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=2,
        logger=False,
        log_every_n_steps=2,
        default_root_dir=tmp_path,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[DataWait()],
    )
    trainer.fit(SlowMethod(step_seconds), loader(data, batch_sampler=BatchSampler(SequentialSampler(data), 4, True)))
    return trainer.callback_metrics


def test_a_throttled_loader_is_seen(tmp_path):
    slow = float(wait(tmp_path, 0.02, 0)["data/wait"])
    assert 0.5 < slow <= 1
    assert float(wait(tmp_path, 0, 0.08)["data/wait"]) < 0.5 * slow


def test_batches_are_those_of_the_loader():
    data = Numbers()
    sampler = BatchSampler(SequentialSampler(data), 4, True)
    loader = Loader(data, batch_sampler=sampler)
    for _ in range(2):
        ours, plain = list(loader), list(DataLoader(data, batch_sampler=sampler))
        assert [batch["clip"].tolist() for batch in ours] == [batch["clip"].tolist() for batch in plain]
    assert loader.seconds_waited > 0


def test_other_loaders_log_nothing(tmp_path):
    assert "data/wait" not in wait(tmp_path, 0, 0, DataLoader)
