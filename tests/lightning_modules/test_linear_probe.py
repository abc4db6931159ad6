"""Linear evaluation: the networks stay as they are, and kept features train as computed ones do."""

import copy

import pytest
import torch
from pytorch_lightning import Callback
from recognition_fakes import Record, Save, crop, data, gcn, gru, hcn, stopped_and_resumed, trainer, whole
from torch.utils.data import DataLoader

from callbacks import KNNProbe
from lightning_modules import LinearProbe


def probe(*networks, **changes):
    return LinearProbe([network() for network in networks], **{"crop": crop(), "crops": 3, **changes})


@pytest.mark.parametrize("cache_features", [True, False])
def test_a_step_by_hand(cache_features, tmp_path):
    """In epoch 4 of 3 crops, the second crop of each sample."""
    record = Record()
    model = probe(gru, gcn, cache_features=cache_features)
    start = copy.deepcopy(model)
    start.build(60)
    trainer(tmp_path, record, max_epochs=5, limit_train_batches=1, limit_val_batches=0).fit(model, data(tmp_path))
    weight, bias = start.classifier.weight.data, start.classifier.bias.data
    moved = [torch.zeros_like(weight), torch.zeros_like(bias)]
    everything = whole(tmp_path, "train")
    for epoch in range(5):
        samples = record.batches[epoch]["sample"].tolist()
        drawn = [start.crop.draw(1, start.generator(epoch % 3, sample)) for sample in samples]
        views = torch.cat(
            [
                start.crop.random(everything["skeleton"][[sample]], everything["num_frames"][[sample]], one)
                for sample, one in zip(samples, drawn, strict=True)
            ]
        )
        with torch.no_grad():
            features = torch.cat([network.eval()(views) for network in start.networks], 1)
        logits = features @ weight.T + bias
        error = logits.softmax(1)
        loss = -error.log()[torch.arange(8), record.batches[epoch]["label"]].mean()
        assert record.losses[epoch] == pytest.approx(loss.item(), rel=1e-4)
        error[torch.arange(8), record.batches[epoch]["label"]] -= 1
        moved = [0.9 * moved[0] + error.T @ features / 8, 0.9 * moved[1] + error.mean(0)]
        weight, bias = weight - 0.1 * moved[0], bias - 0.1 * moved[1]
    torch.testing.assert_close(model.classifier.weight.data, weight, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(model.classifier.bias.data, bias, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("cache_features", [True, False])
def test_only_the_classifier_changes(cache_features, tmp_path):
    class Modes(Callback):
        seen = ()

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            self.seen = [module.training for module in pl_module.networks.modules()]

    modes = Modes()
    model = probe(gcn, lambda: hcn(dropout=0.5), cache_features=cache_features)
    start = copy.deepcopy(model.networks.state_dict())
    trainer(tmp_path, modes).fit(model, data(tmp_path))
    torch.testing.assert_close(model.networks.state_dict(), start, rtol=0, atol=0)
    assert modes.seen and not any(modes.seen)
    assert [name for name, parameter in model.named_parameters() if parameter.requires_grad] == [
        "classifier.weight",
        "classifier.bias",
    ]


def test_kept_features_train_as_computed_ones(tmp_path):
    record, runs = {}, {}
    for kept in (True, False):
        record[kept], runs[kept] = Record(), trainer(tmp_path, max_epochs=5)
        runs[kept].callbacks.append(record[kept])
        torch.manual_seed(kept)
        model = probe(gru, gcn, cache_features=kept)
        runs[kept].fit(model, data(tmp_path, global_batch_size=5))
        record[kept].weights = model.classifier.state_dict()
        assert all(("skeleton" in batch) is not kept for batch in record[kept].batches)
    for one, other in zip(record[True].batches, record[False].batches, strict=True):
        assert one["name"] == other["name"] and one["label"].tolist() == other["label"].tolist()
    assert record[True].losses == pytest.approx(record[False].losses, rel=1e-4)
    torch.testing.assert_close(record[True].weights, record[False].weights, rtol=1e-3, atol=1e-5)
    for name in ("val/loss", "val/top1", "val/top5", "val/mean_class_accuracy"):
        assert runs[True].callback_metrics[name] == pytest.approx(float(runs[False].callback_metrics[name]), rel=1e-4)


def test_kept_features_need_each_sequence_once(tmp_path, monkeypatch):
    from datamodules.skeleton_dataset import SkeletonDataset

    read, get = [], SkeletonDataset.__getitem__

    def counted(dataset, draw):
        read.append((len(dataset), draw.row))
        return get(dataset, draw)

    monkeypatch.setattr(SkeletonDataset, "__getitem__", counted)
    model, module = probe(gru), data(tmp_path)
    trainer(tmp_path, max_epochs=4).fit(model, module)
    assert sorted(read) == [(12, row) for row in range(12)] + [(24, row) for row in range(24)]
    assert not module.rows_only
    trainer(tmp_path).test(model, module, verbose=False)  # reads again: the features are gone
    assert len(read) == 48


def test_stop_and_resume_equals_not_stopping(tmp_path):
    whole_run, parts = Record(), Record()
    complete = probe(gru, milestones=(1,))
    trainer(tmp_path, whole_run).fit(complete, data(tmp_path))
    resumed = stopped_and_resumed(tmp_path, lambda: probe(gru, milestones=(1,)), parts)
    assert len(whole_run.losses) == 6
    assert parts.losses == whole_run.losses
    assert [batch["name"] for batch in parts.batches] == [batch["name"] for batch in whole_run.batches]
    torch.testing.assert_close(resumed.state_dict(), complete.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("cache_features", [True, False])
def test_two_processes_equal_one(cache_features, tmp_path):
    """With 11 evaluation samples, so that the processes have unequal shares."""
    from skeleton_fakes import write_prepared

    write_prepared(tmp_path / "prepared", train=25, val=11)
    for devices in (1, 2):
        strategy = "ddp_fork" if devices > 1 else "auto"
        model = probe(gru, gcn, cache_features=cache_features)
        trainer(tmp_path, Save(tmp_path), devices=devices, strategy=strategy).fit(model, data(tmp_path))
    one, *two = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("1_0", "2_0", "2_1"))
    for other in two:
        assert other["metrics"] == pytest.approx(one["metrics"], rel=1e-4)
        torch.testing.assert_close(other["state"], one["state"], rtol=1e-4, atol=1e-5)


def test_it_learns_beside_a_probe(tmp_path, caplog):
    knn = KNNProbe(every_n_epochs=10, k=1)
    run = trainer(tmp_path, knn, max_epochs=10)
    model = probe(gru, hcn)
    with caplog.at_level("INFO"):
        run.fit(model, data(tmp_path))
    assert run.callback_metrics["val/top1"] == 1
    assert knn.history == {0: 1.0, 10: 1.0}  # of sequences, while training has rows alone
    assert "keeps the features of 24 training samples, 3 crops each" in caplog.text
    (group,) = run.optimizers[0].param_groups
    assert (type(run.optimizers[0]), group["momentum"], group["weight_decay"]) == (torch.optim.SGD, 0.9, 0)


def test_defaults_are_those_of_the_thesis():
    model = LinearProbe([gru()], num_classes=3)
    assert (model.learning_rate, model.milestones, model.weight_decay) == (0.1, (50, 70), 0)
    assert (model.crop.num_frames, model.crop.ratio) == (64, (0.5, 1.0))


def test_what_is_refused(tmp_path):
    with pytest.raises(ValueError, match="crops=0 must be at least 1"):
        probe(gru, crops=0)
    module = data(tmp_path)
    module.setup("fit")
    loader = module.train_dataloader()
    assert isinstance(loader, DataLoader)
    with pytest.raises(ValueError, match=r"set model.cache_features=false"):
        trainer(tmp_path, limit_val_batches=0).fit(probe(gru, num_classes=3), loader)
