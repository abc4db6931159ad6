"""Skeleton contrast: steps worked out by hand, gradients, resume, two processes, probe and predictions."""

import copy
import json

import numpy as np
import pytest
import torch
from pytorch_lightning import Callback, LightningDataModule, Trainer, seed_everything
from pytorch_lightning.callbacks import ModelCheckpoint
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, default_collate

from callbacks import KNNProbe
from callbacks.prediction_writer import PredictionWriter
from callbacks.progress import ProgressBar
from lightning_modules import SkeletonContrast
from lightning_modules.networks import AGCN, HCN, STGCN, BiGRU
from lightning_modules.views.skeleton import SkeletonAugmentation

FRAMES = 20


class Sequences(Dataset):
    """Noise around a direction for each of three classes; the second actor is there for every other sample."""

    def __init__(self, count):
        random = np.random.default_rng(0)
        directions = random.normal(size=(3, 3, 1, 25, 2))
        self.labels = np.arange(count) % 3
        noise = random.normal(size=(count, 3, FRAMES, 25, 2))
        self.skeleton = (directions[self.labels] + 0.3 * noise).astype(np.float32)
        self.skeleton[::2, ..., 1] = 0

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return {
            "skeleton": torch.from_numpy(self.skeleton[index]),
            "num_frames": torch.tensor(FRAMES - index % 4),
            "label": torch.tensor(int(self.labels[index])),
            "sample": torch.tensor(index),
            "name": f"S001C001P001R001A{index:03d}",
        }


class Order:
    """Batches of this rank, in an order that depends on the number of batches done."""

    def __init__(self, data):
        self.data = data

    def __len__(self):
        return len(self.data.sequences) // self.data.batch_size

    def __iter__(self):
        trainer = self.data.trainer
        done = trainer.fit_loop.epoch_loop.batch_progress.total.processed
        share = self.data.batch_size // trainer.world_size
        for batch in range(done, done - done % len(self) + len(self)):
            epoch, place = divmod(batch, len(self))
            order = torch.randperm(len(self.data.sequences), generator=torch.Generator().manual_seed(epoch))[
                place * self.data.batch_size :
            ]
            yield order[trainer.global_rank * share :][:share].tolist()


class Data(LightningDataModule):
    def __init__(self, count=24, batch_size=8):
        super().__init__()
        self.sequences, self.batch_size = Sequences(count), batch_size

    def train_dataloader(self):
        return DataLoader(self.sequences, batch_sampler=Order(self))

    def val_dataloader(self):
        return DataLoader(self.sequences, batch_size=self.batch_size)

    def test_dataloader(self):
        return self.val_dataloader()

    def predict_dataloader(self):
        return self.val_dataloader()

    def probe_dataloaders(self):
        return self.val_dataloader(), self.val_dataloader()


def gru():
    return BiGRU(6, 2)


def hcn(dropout=0.0):
    return HCN(4, 16, num_frames=16, dropout=dropout)


def gcn():
    return AGCN(8, (1, 1, 1))


def contrast(*networks, **changes):
    seed_everything(0)
    arguments = {"queue_size": 20, "projection_dim": 16, "augmentation": SkeletonAugmentation(num_frames=16)}
    return SkeletonContrast([network() for network in networks], **{**arguments, **changes})


class Record(Callback):
    def __init__(self):
        self.losses, self.rates = [], []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.losses.append(float(outputs["loss"]))
        self.rates.append(pl_module.current_rate())


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
        "limit_val_batches": 0,
    }
    return Trainer(default_root_dir=folder, callbacks=list(callbacks), **{**arguments, **changes})


@pytest.mark.parametrize(
    ("networks", "pairs"),
    [
        ((gru,), [(0, 0)]),
        ((gru, gcn), [(0, 1), (1, 0)]),
        ((gru, hcn, gcn), [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]),
    ],
    ids=["intra", "inter", "three"],
)
def test_a_step_by_hand(networks, pairs, tmp_path):
    """Loss, queues and key encoders after one step, recomputed from the views with plain operations."""
    model = contrast(*networks, key_momentum=0.9)
    for key_encoder in model.key_encoders:  # keys that are not the queries' encoders
        for parameter in key_encoder.parameters():
            parameter.data.add_(0.05 * torch.randn_like(parameter))
    start = copy.deepcopy(model)
    seen = {}

    class Keep(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            seen.update(batch, loss=outputs["loss"].detach())

    trainer(tmp_path, Keep(), max_steps=1).fit(model, Data())
    start.train()
    views = start.views(seen["skeleton"], seen["num_frames"], start.generator(0))
    queries = [functional.normalize(network(views[0]), dim=1) for network in start.query_encoders]
    keys = [functional.normalize(network(views[1]), dim=1) for network in start.key_encoders]
    losses = []
    for query, key in pairs:
        positive = (queries[query] * keys[key]).sum(1, keepdim=True)
        logits = torch.cat([positive, queries[query] @ start.queues[key].keys.T], 1) / 0.07
        losses.append(-logits.log_softmax(1)[:, 0].mean())
    torch.testing.assert_close(seen["loss"], sum(losses))
    for number, key in enumerate(keys):
        torch.testing.assert_close(model.queues[number].keys[:8], key)
        torch.testing.assert_close(model.queues[number].keys[8:], start.queues[number].keys[8:])
        assert model.queues[number].count == 8
        for old, new, source in zip(
            start.key_encoders[number].parameters(),
            model.key_encoders[number].parameters(),
            model.query_encoders[number].parameters(),
            strict=True,
        ):
            torch.testing.assert_close(new, 0.9 * old + 0.1 * source)


def test_both_views_of_a_step_are_different_and_the_same_for_all_representations():
    model = contrast(gru, gcn)
    batch = default_collate([Sequences(8)[index] for index in range(8)])
    query, key = model.views(batch["skeleton"], batch["num_frames"], model.generator(0))
    assert query.shape == key.shape == (8, 3, 16, 25, 2)
    assert (query - key).abs().amax((1, 2, 3, 4)).min() > 0.1
    again = model.views(batch["skeleton"], batch["num_frames"], model.generator(0))
    torch.testing.assert_close((query, key), again, rtol=0, atol=0)


@pytest.mark.parametrize("networks", [(gru,), (gcn,), (gru, hcn, gcn), (lambda: STGCN(4, (1, 1, 1), 0.0), hcn)])
def test_every_trainable_parameter_gets_a_gradient(networks, tmp_path):
    model = contrast(*networks, head_batch_norm=True, in_batch_negatives=True)
    gradients = {}

    class Keep(Callback):
        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            gradients.update({name: parameter.grad for name, parameter in pl_module.named_parameters()})

    trainer(tmp_path, Keep(), max_steps=1).fit(model, Data())
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert gradients[name] is not None and gradients[name].abs().sum() > 0, name
        else:
            assert name.startswith("key_encoders.")


def test_in_batch_negatives_join_the_queue(tmp_path):
    record = Record()
    model = contrast(gru, gcn, in_batch_negatives=True, queue_size=0)
    start = copy.deepcopy(model)
    trainer(tmp_path, record, max_steps=1).fit(model, Data())
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))[:8]
    batch = default_collate([Sequences(24)[index] for index in order.tolist()])
    start.train()
    views = start.views(batch["skeleton"], batch["num_frames"], start.generator(0))
    queries = [functional.normalize(network(views[0]), dim=1) for network in start.query_encoders]
    keys = [functional.normalize(network(views[1]), dim=1) for network in start.key_encoders]
    target = torch.arange(8)
    expected = sum(functional.cross_entropy(queries[a] @ keys[b].T / 0.07, target) for a, b in ((0, 1), (1, 0)))
    assert record.losses[0] == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("networks", [(gru, gcn), (lambda: hcn(dropout=0.5),)], ids=["inter", "dropout"])
def test_stop_and_resume_equals_not_stopping(networks, tmp_path):
    """In mid-epoch: weights, queues, momentum, optimizer, schedule, order, views and dropout all go on."""
    whole, settings = Record(), {"milestones": (1,), "shuffle_keys": True}
    complete = contrast(*networks, **settings)
    trainer(tmp_path / "whole", whole).fit(complete, Data())

    class Crash(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if trainer.global_step == 4:
                raise RuntimeError("killed")

    parts = Record()
    checkpoint = ModelCheckpoint(dirpath=tmp_path, every_n_train_steps=1, save_last=True, save_top_k=0)
    with pytest.raises(RuntimeError, match="killed"):
        trainer(tmp_path, parts, checkpoint, Crash()).fit(contrast(*networks, **settings), Data())
    resumed = contrast(*networks, **settings)
    torch.manual_seed(99)
    trainer(tmp_path, parts).fit(resumed, Data(), ckpt_path=tmp_path / "last.ckpt")
    assert len(whole.losses) == 6
    assert parts.losses == whole.losses
    assert parts.rates == whole.rates
    for name, value in complete.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, rtol=0, atol=0, msg=name)


class Save(Callback):
    """What each process holds after training."""

    def __init__(self, folder):
        self.folder, self.losses = folder, []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        loss = outputs["loss"].detach().clone()
        if trainer.world_size > 1:
            torch.distributed.all_reduce(loss)
        self.losses.append(float(loss) / trainer.world_size)

    def on_train_end(self, trainer, pl_module):
        name = f"{trainer.world_size}_{trainer.global_rank}"
        torch.save(pl_module.queues.state_dict(), self.folder / f"queues_{name}.pt")
        (self.folder / f"losses_{name}.json").write_text(json.dumps(self.losses))


@pytest.mark.parametrize("second", [hcn, gcn], ids=["same-as-one", "batch-norm"])
def test_two_processes(second, tmp_path):
    """Equal queues on both; without batch norm, the same losses and queues as one process with the global batch."""
    settings = {"in_batch_negatives": True, "shuffle_keys": True}
    two = {"devices": 2, "strategy": "ddp_fork", "max_epochs": 1}
    trainer(tmp_path, Save(tmp_path), **two).fit(contrast(gru, second, **settings), Data())
    queues = [torch.load(tmp_path / f"queues_2_{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert queues[0]["1.count"] == 24
    torch.testing.assert_close(queues[0], queues[1], rtol=0, atol=0)
    if second is hcn:
        trainer(tmp_path, Save(tmp_path), max_epochs=1).fit(contrast(gru, second, **settings), Data())
        losses = [json.loads((tmp_path / f"losses_{name}.json").read_text()) for name in ("1_0", "2_0", "2_1")]
        assert len(losses[0]) == 3
        assert losses[1] == losses[2] == pytest.approx(losses[0], rel=1e-4)
        one = torch.load(tmp_path / "queues_1_0.pt", weights_only=True)
        torch.testing.assert_close(queues[0], one, rtol=1e-3, atol=1e-4)


def test_learning_rate_falls_at_its_milestones(tmp_path):
    record = Record()
    model = contrast(gru, milestones=(2, 3), warmup_steps=2)
    run = trainer(tmp_path, record, max_epochs=4)
    run.fit(model, Data())
    # the rate of the step behind each batch: two of warm-up, then full until 6 steps are done
    expected = [2 / 3, 1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.01]
    assert record.rates == pytest.approx([0.01 * share for share in expected])
    (group,) = run.optimizers[0].param_groups
    assert (group["momentum"], group["weight_decay"], group["initial_lr"]) == (0.9, 1e-4, 0.01)


def test_adamw(tmp_path):
    run = trainer(tmp_path, max_steps=1)
    run.fit(contrast(gru, optimizer="adamw", learning_rate=0.002), Data())
    assert isinstance(run.optimizers[0], torch.optim.AdamW)
    assert run.optimizers[0].param_groups[0]["lr"] == 0.002


def test_probe_validation_and_test(tmp_path):
    probe = KNNProbe(every_n_epochs=1, k=3)
    model = contrast(gru, gcn, evaluated=1)
    run = trainer(tmp_path, probe, max_epochs=1, limit_val_batches=1.0)
    run.fit(model, Data())
    assert probe.history[0] == 1  # a sample is its own neighbour, and classes are far apart
    assert list(probe.history) == [0, 1]
    assert {"val/loss", "val/pair_accuracy", "probe/knn_top1", "train/pair_accuracy_01"} <= set(run.callback_metrics)
    (first,) = run.test(model, Data())
    assert set(first) == {"test/loss", "test/pair_accuracy", "test/knn_top1"}
    assert run.test(model, Data()) == [first]


def test_held_out_contrast_by_hand(tmp_path):
    model = contrast(gru, gcn).eval()
    (logged,) = trainer(tmp_path).test(model, Data(count=8))
    batch = default_collate([Sequences(8)[index] for index in range(8)])
    views = model.views(batch["skeleton"], batch["num_frames"], model.generator(-1, 0))
    queries = [functional.normalize(network(views[0]), dim=1) for network in model.query_encoders]
    keys = [functional.normalize(network(views[1]), dim=1) for network in model.key_encoders]
    expected = sum(
        functional.cross_entropy(queries[a] @ keys[b].T / 0.07, torch.arange(8)) for a, b in ((0, 1), (1, 0))
    )
    assert logged["test/loss"] == pytest.approx(expected.item(), rel=1e-5)


def test_predictions_are_features_of_the_centre(tmp_path):
    model = contrast(gru, gcn, evaluated=1)
    run = trainer(tmp_path, PredictionWriter(tmp_path))
    run.predict(model, Data(count=10), return_predictions=False)
    written = np.load(tmp_path / "predictions.npz")
    assert written["sample"].tolist() == list(range(10))
    assert written["name"][3] == "S001C001P001R001A003"
    batch = default_collate([Sequences(10)[index] for index in range(10)])
    model.eval()
    expected = model.networks[1](model.crop.centre(batch["skeleton"], batch["num_frames"]))
    np.testing.assert_allclose(written["feature"], expected.detach().numpy(), atol=1e-5)


def test_progress_says_sequences(tmp_path, capsys):
    bar = ProgressBar(terminal=False)
    trainer(tmp_path, bar, max_epochs=1, enable_progress_bar=True).fit(contrast(gru), Data())
    assert "sequences/s" in capsys.readouterr().out


def test_non_finite_loss_stops_before_it_reaches_the_weights(tmp_path):
    model = contrast(gru, gcn)
    with torch.no_grad():
        next(model.query_encoders[1].parameters())[0] = float("nan")
    with pytest.raises(
        ValueError, match=r"loss is nan at step 0, learning rate 0.01, batch of S001C001.*learning_rate"
    ):
        trainer(tmp_path).fit(model, Data())


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="no negatives"):
        contrast(gru, queue_size=0)
    with pytest.raises(ValueError, match="evaluated=2 is none of 2"):
        contrast(gru, gcn, evaluated=2)
    with pytest.raises(ValueError, match="evaluated=0 is none of 0"):
        SkeletonContrast([])
