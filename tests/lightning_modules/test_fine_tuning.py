"""Recognition and fine-tuning: a step by hand, what trains, resume, two processes, classes, weights and predictions."""

import copy

import numpy as np
import pytest
import torch
from pytorch_lightning import Callback
from pytorch_lightning.callbacks import ModelCheckpoint
from recognition_fakes import CLASSES, Record, Save, crop, data, gcn, gru, hcn, stopped_and_resumed, trainer, whole
from torch.nn import functional

from callbacks import KNNProbe
from callbacks.prediction_writer import PredictionWriter
from lightning_modules import FineTuning, SkeletonContrast
from lightning_modules.networks import BiGRU
from lightning_modules.weights.export import export
from lightning_modules.weights.header import WeightsError
from lightning_modules.weights.importers import load_weights


def tuning(*networks, **changes):
    return FineTuning([network() for network in networks], **{"crop": crop(), "learning_rate": 0.01, **changes})


def contrast_checkpoint(folder, *networks):
    """A checkpoint of skeleton contrast after a step."""
    model = SkeletonContrast([network() for network in networks], queue_size=8, projection_dim=4, crop=crop())
    run = trainer(folder, max_steps=1, limit_val_batches=0)
    run.fit(model, data(folder))
    run.save_checkpoint(folder / "contrast.ckpt")
    return model


@pytest.mark.parametrize("networks", [(gru,), (gru, gcn)], ids=["one", "two"])
def test_a_step_by_hand(networks, tmp_path):
    record = Record()
    model = tuning(*networks, num_classes=CLASSES, optimizer="sgd", weight_decay=0.1)
    start = copy.deepcopy(model)
    trainer(tmp_path, record, max_steps=1).fit(model, data(tmp_path))
    (batch,) = record.batches
    start.train()
    crops = start.crop.draw(8, start.generator(0))
    views = start.crop.random(batch["skeleton"], batch["num_frames"], crops)
    assert (views - start.crop.centre(batch["skeleton"], batch["num_frames"])).abs().amax((1, 2, 3, 4)).min() > 0.01
    features = torch.cat([network(views) for network in start.networks], 1)
    logits = features @ start.classifier.weight.T + start.classifier.bias
    loss = -logits.log_softmax(1)[torch.arange(8), batch["label"]].mean()
    assert record.losses == [pytest.approx(loss.item(), rel=1e-5)]
    loss.backward()
    for (name, new), old in zip(model.named_parameters(), start.parameters(), strict=True):
        expected = old - 0.01 * (old.grad + 0.1 * old)
        torch.testing.assert_close(new, expected, rtol=1e-3, atol=1e-6, msg=name)


@pytest.mark.parametrize("networks", [(gru,), (gru, hcn, gcn)])
def test_every_parameter_gets_a_gradient(networks, tmp_path):
    gradients = {}

    class Keep(Callback):
        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            gradients.update({name: parameter.grad for name, parameter in pl_module.named_parameters()})

    model = tuning(*networks)
    trainer(tmp_path, Keep(), max_steps=1, limit_val_batches=0).fit(model, data(tmp_path))
    assert gradients.keys() == {name for name, _ in model.named_parameters()}
    for name, gradient in gradients.items():
        assert gradient is not None and gradient.abs().sum() > 0, name


def test_train_only(tmp_path):
    model = tuning(gru, gcn, train_only=["classifier.*", "networks.1.l3.*"])
    start = copy.deepcopy(model)
    run = trainer(tmp_path, max_steps=2)
    run.fit(model, data(tmp_path))
    moved = {name for name, value in start.state_dict().items() if not torch.equal(value, model.state_dict()[name])}
    assert all(name.startswith("networks.1.l3.") for name in moved)
    assert {"networks.1.l3.gcn1.PA", "networks.1.l3.gcn1.bn.running_mean"} <= moved
    assert "networks.1.l1.gcn1.bn.running_mean" in start.state_dict()
    trained = [parameter for group in run.optimizers[0].param_groups for parameter in group["params"]]
    assert {id(parameter) for parameter in trained} == {
        id(parameter)
        for name, parameter in model.named_parameters()
        if name.startswith(("classifier.", "networks.1.l3."))
    }


def test_a_pattern_that_matches_nothing(tmp_path):
    with pytest.raises(ValueError, match=r"no parameter is called networks.0.l10.\*; there are .*networks.0.encoder"):
        tuning(gru, train_only=["networks.0.l10.*"], num_classes=3)


@pytest.mark.parametrize(
    ("optimizer", "kind"),
    [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)],
)
def test_optimizer_and_milestones(optimizer, kind, tmp_path):
    record = Record()
    model = tuning(gru, optimizer=optimizer, milestones=(1, 2))
    run = trainer(tmp_path, record, max_epochs=3, limit_val_batches=0)
    run.fit(model, data(tmp_path))
    assert type(run.optimizers[0]) is kind
    # the rate of the step behind each batch, 3 batches an epoch
    assert record.rates == pytest.approx([0.01] * 2 + [0.001] * 3 + [0.0001] * 4)


def test_the_rate_rises_before_it_falls(tmp_path):
    record = Record()
    run = trainer(tmp_path, record, max_epochs=4, limit_val_batches=0)
    run.fit(tuning(gru, milestones=(3,), warmup_epochs=2), data(tmp_path))
    expected = [0.01 / 3] * 2 + [0.02 / 3] * 3 + [0.01] * 3 + [0.001] * 4
    assert record.rates == pytest.approx(expected)


def test_stop_and_resume_equals_not_stopping(tmp_path):
    whole, parts = Record(), Record()

    def build():
        return tuning(lambda: hcn(dropout=0.5), gcn, milestones=(1,))

    complete = build()
    trainer(tmp_path, whole).fit(complete, data(tmp_path))
    resumed = stopped_and_resumed(tmp_path, build, parts)
    assert len(whole.losses) == 6
    assert parts.losses == whole.losses
    assert parts.rates == whole.rates
    for name, value in complete.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, rtol=0, atol=0, msg=name)


def test_two_processes_equal_one(tmp_path):
    for devices in (1, 2):
        strategy = "ddp_fork" if devices > 1 else "auto"
        model = tuning(gru, hcn)
        trainer(tmp_path, Save(tmp_path), devices=devices, strategy=strategy).fit(model, data(tmp_path))
    one, *two = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("1_0", "2_0", "2_1"))
    for other in two:
        assert other["metrics"] == pytest.approx(one["metrics"], rel=1e-4)
        assert set(one["metrics"]) == {"val/loss", "val/top1", "val/top5", "val/mean_class_accuracy"}
        torch.testing.assert_close(other["state"], one["state"], rtol=1e-3, atol=1e-4)


def test_it_learns_and_says_so(tmp_path):
    module = data(tmp_path)
    model = tuning(gru, hcn)
    run = trainer(tmp_path, KNNProbe(every_n_epochs=10, k=1), max_epochs=10, check_val_every_n_epoch=10)
    run.fit(model, module)
    assert run.callback_metrics["val/top1"] == run.callback_metrics["val/mean_class_accuracy"] == 1
    assert run.callback_metrics["probe/knn_top1"] == 1
    assert {"train/loss", "train/top1"} <= set(run.callback_metrics)
    (tested,) = run.test(model, module, verbose=False)
    batch = whole(tmp_path, "val")
    logits = model(batch)
    assert tested["test/loss"] == pytest.approx(functional.cross_entropy(logits, batch["label"]).item(), rel=1e-5)
    assert set(tested) >= {"test/loss", "test/top1", "test/top5", "test/mean_class_accuracy"}


def test_predictions_are_probabilities(tmp_path):
    model = tuning(gru, gcn)
    run = trainer(tmp_path, PredictionWriter(tmp_path))
    run.predict(model, data(tmp_path), return_predictions=False)
    batch = whole(tmp_path, "val")
    model.eval()
    features = model.features(batch)
    assert features.shape == (12, model.feature_dim)
    written = dict(np.load(tmp_path / "predictions.npz"))
    assert written["score"].dtype == np.float32
    np.testing.assert_allclose(written["score"], model(batch).softmax(1).detach(), atol=1e-6)
    assert written["name"].tolist() == batch["name"] and written["label"].tolist() == batch["label"].tolist()


def test_top5_needs_more_than_five_classes():
    assert "top5" in tuning(gru, num_classes=6).held_out
    assert "top5" not in tuning(gru, num_classes=5).held_out


def test_weights_for_all_networks_and_for_each(tmp_path):
    source = contrast_checkpoint(tmp_path, gru, gcn)
    file = str(tmp_path / "contrast.ckpt")
    model = tuning(gcn, gru, weights=file)
    for network, origin in zip(model.networks, reversed(source.networks), strict=True):
        torch.testing.assert_close(network.state_dict(), origin.state_dict(), rtol=0, atol=0)
    model = tuning(gru, gcn, weights=[None, file])
    torch.testing.assert_close(model.networks[0].state_dict(), gru().state_dict(), rtol=0, atol=0)
    torch.testing.assert_close(model.networks[1].state_dict(), source.networks[1].state_dict(), rtol=0, atol=0)
    with pytest.raises(ValueError, match="1 files for 2 networks"):
        tuning(gru, gcn, weights=[file])
    with pytest.raises(WeightsError, match="does not fit HCN"):
        tuning(hcn, weights=file)


def test_its_checkpoints_give_classes_networks_and_exports(tmp_path):
    model = tuning(gru, gcn)
    checkpoint = ModelCheckpoint(dirpath=tmp_path, save_last=True, save_top_k=0)
    trainer(tmp_path, checkpoint, max_epochs=1).fit(model, data(tmp_path))
    loaded = FineTuning.load_from_checkpoint(tmp_path / "last.ckpt", networks=[gru(), gcn()], crop=crop())
    assert loaded.num_classes == CLASSES
    torch.testing.assert_close(loaded.state_dict(), model.state_dict(), rtol=0, atol=0)
    fresh = gcn()
    load_weights(fresh, tmp_path / "last.ckpt")
    torch.testing.assert_close(fresh.state_dict(), model.networks[1].state_dict(), rtol=0, atol=0)
    header = export(tmp_path / "last.ckpt", tmp_path / "network.safetensors").header
    assert (header["architecture"], header["method"], header["data"]) == (
        "BiGRU",
        "FineTuning",
        "NTUSkeletonDataModule",
    )
    exported = BiGRU(6, 2)
    load_weights(exported, tmp_path / "network.safetensors")
    torch.testing.assert_close(exported.state_dict(), model.networks[0].state_dict(), rtol=0, atol=0)
    with pytest.raises(ValueError, match="the checkpoint has 60 classes, this run 61"):
        trainer(tmp_path).test(tuning(gru, gcn, num_classes=61), data(tmp_path), ckpt_path=tmp_path / "last.ckpt")


def test_wrong_classes(tmp_path):
    with pytest.raises(ValueError, match=r"data have 60 classes, the classifier 3: set model.num_classes=60"):
        trainer(tmp_path).fit(tuning(gru, num_classes=3), data(tmp_path))
    model = tuning(gru, num_classes=2)
    loaders = data(tmp_path)
    loaders.setup("fit")
    with pytest.raises(ValueError, match=r"S\d+C001P001R003A003: has label 2, and the classes are 0 to 1"):
        trainer(tmp_path, limit_val_batches=0).fit(model, loaders.train_dataloader())
    with pytest.raises(ValueError, match=r"number of classes is unknown.*set model.num_classes"):
        trainer(tmp_path, limit_val_batches=0).fit(tuning(gru), loaders.train_dataloader())
    batch = {"label": torch.tensor([1, -1]), "name": ["a", "b"]}
    with pytest.raises(ValueError, match="b: has no label"):
        model.labels(batch)
    with pytest.raises(ValueError, match="networks is empty"):
        tuning()


def test_non_finite_loss_stops_before_it_reaches_the_weights(tmp_path):
    model = tuning(gru)
    with torch.no_grad():
        next(model.networks.parameters())[0] = float("nan")
    with pytest.raises(ValueError, match=r"loss is nan at step 0, learning rate 0.01, batch of S0"):
        trainer(tmp_path).fit(model, data(tmp_path))
