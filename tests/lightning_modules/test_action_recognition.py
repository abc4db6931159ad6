"""Action recognition of videos: steps by hand, scores of videos, frozen networks, resume, two processes, weights."""

import contextlib
import copy
import shutil

import pytest
import torch
from fakes import moving_texture, write_video
from pytorch_lightning import Callback
from pytorch_lightning.callbacks import ModelCheckpoint
from recognition_fakes import Crash, Record, Save, gru, trainer
from torch.nn import functional

from datamodules import KineticsDataModule
from lightning_modules import ActionRecognition, TubeletContrast, load_pretrained
from lightning_modules.networks import R2Plus1D
from lightning_modules.views.clip import normalise
from lightning_modules.weights.export import export
from lightning_modules.weights.header import WeightsError
from lightning_modules.weights.importers import load_weights

CLASSES = ("bend", "jump", "spin")


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """12 training and 5 evaluation videos of three classes."""
    root = tmp_path_factory.mktemp("videos")
    for split, count in (("train", 12), ("val", 5)):
        for number in range(count):
            frames = moving_texture(14, 24, 32, seed=100 * len(split) + number)
            write_video(root / split / CLASSES[number % 3] / f"{split}{number:02d}.mp4", frames)
    return root


def data(root, **changes):
    arguments = {"num_frames": 4, "strides": (1, 2), "crop_size": 16, "short_sides": (18, 20), "eval_clips": 3}
    arguments |= {"global_batch_size": 4, "eval_batch_size": 2, "num_workers": 0}
    return KineticsDataModule(root, **{**arguments, **changes})


def network(norm="group"):
    torch.manual_seed(5)
    return R2Plus1D((4, 6), (1, 1), stem_width=3, norm=norm)


def model(norm="group", **changes):
    return ActionRecognition(network(norm), **{"learning_rate": 0.01, "milestones": (1,), **changes})


def linear(**changes):
    return model(**{"mode": "linear", "crops": 2, **changes})


class Batches(Callback):
    """Evaluation batches."""

    def __init__(self):
        self.seen = []

    def on_test_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        self.seen.append(batch)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_step_by_hand(optimizer, videos, tmp_path):
    record, tuned = Record(), model(optimizer=optimizer, weight_decay=0.1)
    start = copy.deepcopy(tuned)
    start.build(3)
    trainer(tmp_path, record, max_steps=1, limit_val_batches=0).fit(tuned, data(videos))
    (batch,) = record.batches
    changes = start.crop.draw(4, 1, start.generator(0))
    views = start.crop.random(batch["clip"], changes)
    assert (views - normalise(batch["clip"][:, 0])).abs().amax((1, 2, 3, 4)).min() > 0.1
    logits = start.networks[0](views) @ start.classifier.weight.T + start.classifier.bias
    loss = -logits.log_softmax(1)[torch.arange(4), batch["label"]].mean()
    assert record.losses == [pytest.approx(loss.item(), rel=1e-5)]
    loss.backward()
    for (name, new), old in zip(tuned.named_parameters(), start.parameters(), strict=True):
        gradient = old.grad + 0.1 * old
        step = gradient if optimizer == "sgd" else gradient / (gradient.abs() + 1e-8)
        known = gradient.abs() > 1e-6  # below it rounding decides the direction of Adam's first step
        torch.testing.assert_close(new[known], (old - 0.01 * step)[known], rtol=1e-3, atol=2e-5, msg=name)


@pytest.mark.parametrize("norm", ["group", "batch"])
def test_every_parameter_gets_a_gradient(norm, videos, tmp_path):
    gradients = {}

    class Keep(Callback):
        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            gradients.update({name: parameter.grad for name, parameter in pl_module.named_parameters()})

    tuned = model(norm)
    trainer(tmp_path, Keep(), max_steps=1, limit_val_batches=0).fit(tuned, data(videos))
    assert gradients.keys() == {name for name, _ in tuned.named_parameters()}
    for name, gradient in gradients.items():
        assert gradient is not None and gradient.abs().sum() > 0, name


@torch.no_grad()
def test_scores_are_means_over_clips_and_accuracies_those_of_videos(videos, tmp_path):
    batches, tuned = Batches(), model(num_classes=7)
    run = trainer(tmp_path, batches)
    (tested,) = run.test(tuned, data(videos), verbose=False)
    assert [tuple(batch["clip"].shape[:2]) for batch in batches.seen] == [(2, 3), (2, 3), (1, 3)]
    tuned.eval()
    scores, labels = [], []
    for batch in batches.seen:
        for clips, label in zip(batch["clip"], batch["label"], strict=True):
            scores.append(tuned.classifier(tuned.networks[0](normalise(clips))).softmax(1).mean(0))
            labels.append(int(label))
    scores, labels = torch.stack(scores), torch.tensor(labels)
    assert labels.tolist() == [0, 0, 1, 1, 2]
    right = scores.argmax(1) == labels
    classes = torch.stack([right[labels == number].float().mean() for number in range(3)])
    top5 = (scores.topk(5).indices == labels[:, None]).any(1).float().mean()
    loss = functional.nll_loss(scores.log(), labels)
    expected = {"top1": right.float().mean(), "top5": top5, "mean_class_accuracy": classes.mean(), "loss": loss}
    for name, value in expected.items():
        assert tested[f"test/{name}"] == pytest.approx(float(value), rel=1e-5), name
    predicted = run.predict(tuned, data(videos))
    torch.testing.assert_close(torch.cat([batch["score"] for batch in predicted]), scores)
    assert [name for batch in predicted for name in batch["name"]] == [
        path for batch in batches.seen for path in batch["path"]
    ]


@pytest.mark.parametrize("cache_features", [True, False])
def test_only_the_classifier_changes_in_linear_evaluation(cache_features, videos, tmp_path):
    class Modes(Callback):
        seen = ()

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            self.seen = [module.training for module in pl_module.networks.modules()]

    modes, probe = Modes(), linear(norm="batch", cache_features=cache_features)
    start = copy.deepcopy(probe.networks.state_dict())
    run = trainer(tmp_path, modes)
    run.fit(probe, data(videos))
    torch.testing.assert_close(probe.networks.state_dict(), start, rtol=0, atol=0)
    assert probe.classifier.bias.abs().min() > 0
    assert modes.seen and not any(modes.seen)
    (group,) = run.optimizers[0].param_groups
    assert [len(parameter) for parameter in group["params"]] == [3, 3]


def test_kept_features_train_as_computed_ones(videos, tmp_path):
    records, runs, probes = {}, {}, {}
    for kept in (True, False):
        records[kept] = Record()
        runs[kept] = trainer(tmp_path, records[kept], max_epochs=5)
        torch.manual_seed(kept)
        probes[kept] = linear(cache_features=kept)
        runs[kept].fit(probes[kept], data(videos))
        assert all(("clip" in batch) is not kept for batch in records[kept].batches)
    for one, other in zip(records[True].batches, records[False].batches, strict=True):
        assert one["path"] == other["path"] and one["label"].tolist() == other["label"].tolist()
    shown = [[], []]  # of the first video: the clips of even and of odd epochs
    for number, batch in enumerate(records[False].batches):
        shown[number // 3 % 2] += batch["clip"][batch["video"] == 0]
    assert [len(clips) for clips in shown] == [3, 2]
    for clips in shown:
        assert all(torch.equal(clip, clips[0]) for clip in clips)
    assert not torch.equal(shown[0][0], shown[1][0])
    assert records[True].losses == pytest.approx(records[False].losses, rel=1e-4)
    torch.testing.assert_close(probes[True].classifier.state_dict(), probes[False].classifier.state_dict())
    for name in ("val/loss", "val/top1", "val/mean_class_accuracy"):
        assert runs[True].callback_metrics[name] == pytest.approx(float(runs[False].callback_metrics[name]), rel=1e-4)


@pytest.mark.parametrize("split", ["train", "val"])
def test_kept_features_of_a_broken_video(split, videos, tmp_path):
    """The next of the list stands in for it, and counts once in evaluation."""
    root = tmp_path / "videos"
    shutil.copytree(videos, root)
    (root / split / "jump" / f"{split}01.mp4").write_bytes(b"nothing")
    runs, records = {}, {}
    for kept in (True, False):
        records[kept], module = Record(), data(root)
        runs[kept] = trainer(tmp_path / str(kept), records[kept])
        runs[kept].fit(linear(cache_features=kept), module)
        assert not module.rows_only and module.views is None and next(iter(module.broken)).endswith(f"{split}01.mp4")
    paths = [[batch["path"] for batch in records[kept].batches] for kept in (True, False)]
    assert paths[0] == paths[1]
    shown = [path for batch in paths[0] for path in batch]
    assert len(shown) == 24 and any(path.endswith("train01.mp4") for path in shown) == (split == "val")
    if split == "val":
        for name in ("val/loss", "val/top1", "val/mean_class_accuracy"):
            values = [float(runs[kept].callback_metrics[name]) for kept in (True, False)]
            assert values[0] == pytest.approx(values[1], rel=1e-4), name


@pytest.mark.parametrize("build", [model, linear, lambda: linear(cache_features=True), lambda: linear(crops=None)])
def test_stop_and_resume_equals_not_stopping(build, videos, tmp_path):
    whole, parts = Record(), Record()
    complete = build()
    trainer(tmp_path, whole).fit(complete, data(videos))
    checkpoint = ModelCheckpoint(dirpath=tmp_path, every_n_train_steps=1, save_last=True, save_top_k=0)
    with pytest.raises(RuntimeError, match="killed"):
        trainer(tmp_path, parts, checkpoint, Crash(4)).fit(build(), data(videos))
    resumed = build()
    torch.manual_seed(99)
    run = trainer(tmp_path, parts)
    run.fit(resumed, data(videos), ckpt_path=tmp_path / "last.ckpt")
    assert len(whole.losses) == 6
    assert parts.losses == whole.losses and parts.rates == whole.rates
    assert whole.rates == pytest.approx([0.01] * 2 + [0.001] * 4)
    torch.testing.assert_close(resumed.state_dict(), complete.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("build", [model, lambda: linear(cache_features=True)], ids=["finetune", "kept"])
def test_two_processes_equal_one(build, videos, tmp_path):
    """With 5 evaluation videos, so that the processes have unequal shares."""
    for devices in (1, 2):
        strategy = "ddp_fork" if devices > 1 else "auto"
        trainer(tmp_path, Save(tmp_path), devices=devices, strategy=strategy).fit(build(), data(videos))
    one, *two = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("1_0", "2_0", "2_1"))
    assert set(one["metrics"]) == {"val/loss", "val/top1", "val/mean_class_accuracy"}
    for other in two:
        assert other["metrics"] == pytest.approx(one["metrics"], rel=1e-3)
        torch.testing.assert_close(other["state"], one["state"], rtol=1e-3, atol=1e-3)


def test_no_flip_where_it_changes_labels(videos, tmp_path):
    for keeps, asked, expected in ((True, None, 0.5), (False, None, 0), (False, True, 0.5), (True, False, 0)):
        module, tuned = data(videos), model(flip=asked)
        module.flip_keeps_labels = keeps
        with pytest.warns(UserWarning, match="a flip changes labels") if asked else contextlib.nullcontext():
            trainer(tmp_path, max_steps=1, limit_val_batches=0).fit(tuned, module)
        assert tuned.crop.flip_probability == expected
    changes = tuned.draw({"clip": torch.zeros(4, 1, 2, 4, 4, 3)}, 50, tuned.generator(0))
    assert not changes.flipped.any()


def test_its_checkpoint_is_weights_for_others(videos, tmp_path):
    tuned = model("batch")
    checkpoint = ModelCheckpoint(dirpath=tmp_path, save_last=True, save_top_k=0)
    trainer(tmp_path, checkpoint, max_epochs=1).fit(tuned, data(videos))
    file = tmp_path / "last.ckpt"
    expected = tuned.networks[0].state_dict()
    fresh = network("batch")
    report = load_weights(fresh, file)
    assert report.format == "checkpoint" and report.fresh == ()
    for other in (fresh, model("batch", weights=str(file)).networks[0]):
        torch.testing.assert_close(other.state_dict(), expected, rtol=0, atol=0)
    header = export(file, tmp_path / "network.safetensors").header
    assert (header["method"], header["data"]) == ("ActionRecognition", "KineticsDataModule")
    exported, preprocessing = load_pretrained(tmp_path / "network.safetensors")
    torch.testing.assert_close(exported.state_dict(), expected, rtol=0, atol=0)
    assert (preprocessing.crop_size, preprocessing.short_side, preprocessing.num_frames) == (16, 18, 4)
    loaded = ActionRecognition.load_from_checkpoint(file, network=network("batch"))
    torch.testing.assert_close(loaded.state_dict(), tuned.state_dict(), rtol=0, atol=0)
    with pytest.raises(WeightsError, match=r"does not fit|not fit"):
        ActionRecognition(R2Plus1D((4, 8), (1, 1)), weights=str(file))


def test_it_starts_from_a_contrast_checkpoint(videos, tmp_path):
    contrast = TubeletContrast(network("batch"), projection_dim=4, queue_size=8)
    run = trainer(tmp_path, max_steps=1, limit_val_batches=0)
    run.fit(contrast, data(videos))
    run.save_checkpoint(tmp_path / "contrast.ckpt")
    tuned = model("batch", weights=str(tmp_path / "contrast.ckpt"))
    torch.testing.assert_close(tuned.networks[0].state_dict(), contrast.network.state_dict(), rtol=0, atol=0)


def test_bad_labels_and_classes(videos, tmp_path):
    run = trainer(tmp_path, limit_val_batches=0)
    with pytest.raises(ValueError, match=r"the data have 3 classes, the classifier 2: set model.num_classes=3"):
        run.fit(model(num_classes=2), data(videos))
    tuned = model(num_classes=3)
    batch = {"label": torch.tensor([1, 3]), "path": ["a.mp4", "b.mp4"], "video": torch.tensor([0, 1])}
    with pytest.raises(ValueError, match=r"b.mp4: has label 3, and the classes are 0 to 2"):
        tuned.labels(batch)
    with pytest.raises(ValueError, match=r"a.mp4: has no label"):
        tuned.labels({**batch, "label": torch.tensor([-1, 0])})
    with pytest.raises(ValueError, match=r"the batch has no clips of videos"):
        tuned.clip_features({"skeleton": torch.zeros(1)})


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: model(mode="probe"), r"mode='probe' must be finetune or linear"),
        (lambda: model(crops=3), r"crops and cache_features are of linear evaluation"),
        (lambda: linear(crops=None, cache_features=True), r"cache_features needs a number of crops"),
        (lambda: linear(crops=0), r"crops=0 must be at least 1"),
        (lambda: ActionRecognition(gru()), r"BiGRU takes skeletons: .*take a video network"),
    ],
)
def test_what_does_not_go_together_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_defaults_are_those_of_the_thesis():
    tuned = ActionRecognition(network(), num_classes=3)
    assert (tuned.optimizer, tuned.learning_rate, tuned.milestones, tuned.gamma) == ("adam", 1e-4, (60, 100, 140), 0.1)
    assert tuned.crop.colour_jitter == (0.4, 0.4, 0.4, 0.2)
    model(gamma=0.3, channels_last=True)
