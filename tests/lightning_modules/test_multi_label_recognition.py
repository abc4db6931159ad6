"""Recognition of several actions: the official mean average precision, steps by hand, pooling, resume, processes."""

import contextlib
import copy
import random

import pytest
import torch
from fakes import moving_texture, write_video
from pytorch_lightning import Callback
from pytorch_lightning.callbacks import ModelCheckpoint
from recognition_fakes import Crash, Record, Save, trainer
from torch.nn import functional
from torchmetrics.functional.classification import multilabel_average_precision

from datamodules import CharadesDataModule
from lightning_modules import MultiLabelRecognition, TubeletContrast
from lightning_modules.metrics.multi_label import average_precision, charades_map, frequency_map
from lightning_modules.metrics.video_scores import VideoScores
from lightning_modules.networks import R2Plus1D
from lightning_modules.views.clip import normalise
from lightning_modules.weights.importers import load_weights

NAMES = [f"ID{number:03d}" for number in range(17)]


def slow_average_precisions(score, present):
    """Of each class with samples, sample by sample, as the official script goes through them."""
    rows = [row for row in range(len(score)) if any(present[row])]
    found = []
    for label in range(len(score[0])):
        ranked = sorted(rows, key=lambda row: -score[row][label])
        hits, precisions = 0, []
        for rank, row in enumerate(ranked, 1):
            if present[row][label]:
                hits += 1
                precisions.append(hits / rank)
        found.append(sum(precisions) / len(precisions) if precisions else None)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_the_official_measure(seed):
    generator = torch.Generator().manual_seed(seed)
    score = torch.randn(60, 11, generator=generator)
    present = torch.rand(60, 11, generator=generator) < 0.15
    present[:, 4] = False
    present[7] = False
    slow = slow_average_precisions(score.tolist(), present.tolist())
    kept = present.any(1)
    assert 0 < kept.sum() < 60
    fast = average_precision(score[kept], present[kept])
    assert slow[4] is None and fast[4].isnan()
    assert [value for value in fast.tolist() if value == value] == pytest.approx([value for value in slow if value])
    mean = sum(value for value in slow if value) / 10
    assert float(charades_map(score, present)) == pytest.approx(mean)
    some = present.any(0)
    other = multilabel_average_precision(score[kept].sigmoid(), present[kept].long(), 11, average="none")
    torch.testing.assert_close(other[some].double(), fast[some], rtol=1e-5, atol=1e-6)
    assert float(charades_map(score[kept], present[kept])) == float(charades_map(score, present))


def test_samples_of_one_score_share_a_rank():
    present = torch.tensor([[1, 0], [0, 1], [0, 1], [1, 1], [0, 0]]).bool()
    for rows in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 4, 0, 3, 1]):
        assert float(frequency_map(present[rows])) == pytest.approx((2 / 4 + 3 / 4) / 2)
    score = torch.tensor([[3.0], [1.0], [1.0], [1.0], [0.0]])
    hit = torch.tensor([[0], [1], [0], [1], [1]]).bool()
    for rows in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0]):
        value = float(average_precision(score[rows], hit[rows]))
        assert value == pytest.approx((2 / 4 + 2 / 4 + 3 / 5) / 3)
    assert charades_map(torch.zeros(3, 2), torch.zeros(3, 2).bool()).isnan()


def test_maxima_of_videos_whose_clips_are_spread():
    scores = VideoScores(3, "max", (3,))
    score = torch.tensor([[0.0, -1, -2], [-3, -3, -3], [1, -4, -2], [-3, -3, -3]])
    label = torch.tensor([[1, 0, 1], [0, 0, 0], [1, 0, 1], [0, 0, 0]])
    for rows in ([0, 1], [2], [3]):
        scores.update(score[rows], torch.ones(len(rows)).long(), torch.tensor([8, 5, 8, 5])[rows], label[rows])
    pooled, labels = scores.compute(torch.device("cpu"))
    assert pooled.tolist() == [[-3, -3, -3], [1, -1, -2]]
    assert labels.tolist() == [[0, 0, 0], [1, 0, 1]]
    pooled, labels = scores.compute(torch.device("cpu"))
    assert pooled.shape == labels.shape == (0, 3)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """12 training and 5 evaluation videos of 30 frames, 25 a second, with actions of three classes or none."""
    folder = tmp_path_factory.mktemp("charades")
    draw = random.Random(1)
    lines = {}
    for number, name in enumerate(NAMES):
        write_video(folder / f"{name}.mp4", moving_texture(30, 24, 32, seed=number))
        actions = [f"c{label:03d} {0.3 * label} {0.3 * label + 0.4}" for label in range(3) if draw.random() < 0.6]
        lines[name] = f"{name},{';'.join(actions if number != 13 else [])}\n"
    for split, names in (("train", NAMES[:12]), ("test", NAMES[12:])):
        (folder / f"Charades_v1_{split}.csv").write_text("id,actions\n" + "".join(lines[name] for name in names))
    (folder / "Charades_v1_classes.txt").write_text("c000 Bend\nc001 Jump\nc002 Spin\n")
    return folder


def data(root, **changes):
    arguments = {"num_frames": 4, "strides": (2,), "crop_size": 16, "short_sides": (18, 20), "eval_short_side": 16}
    arguments |= {"eval_clips": 2, "eval_crops": 3, "global_batch_size": 4, "eval_batch_size": 2, "num_workers": 0}
    return CharadesDataModule(root, **{**arguments, **changes})


def network(norm="group"):
    torch.manual_seed(5)
    return R2Plus1D((4, 6), (1, 1), stem_width=3, norm=norm)


def model(norm="group", **changes):
    arguments = {"dropout": 0.0, "learning_rate": 0.01, "milestones": (1,), "warmup_epochs": 0}
    return MultiLabelRecognition(network(norm), **{**arguments, **changes})


class Batches(Callback):
    """Evaluation batches."""

    def __init__(self):
        self.seen = []

    def on_test_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        self.seen.append(batch)


@pytest.mark.parametrize("num_clips", [1, 2])
def test_a_step_by_hand(num_clips, root, tmp_path):
    record, tuned = Record(), model(weight_decay=0.1)
    start = copy.deepcopy(tuned)
    start.build(3)
    trainer(tmp_path, record, max_steps=1, limit_val_batches=0).fit(tuned, data(root, num_clips=num_clips))
    (batch,) = record.batches
    assert batch["present"].shape == (4, num_clips, 3)
    views = start.crop.random(batch["clip"], start.crop.draw(4, num_clips, start.generator(0)))
    probability = (start.networks[0](views) @ start.classifier.weight.T + start.classifier.bias).sigmoid()
    present = batch["present"].flatten(0, 1)
    loss = -torch.where(present, probability, 1 - probability).log().mean()
    assert record.losses == [pytest.approx(loss.item(), rel=1e-5)]
    loss.backward()
    for (name, new), old in zip(tuned.named_parameters(), start.parameters(), strict=True):
        torch.testing.assert_close(new, old - 0.01 * (old.grad + 0.1 * old), rtol=1e-3, atol=1e-6, msg=name)


@pytest.mark.parametrize("norm", ["group", "batch"])
def test_every_parameter_gets_a_gradient(norm, root, tmp_path):
    gradients = {}

    class Keep(Callback):
        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            gradients.update({name: parameter.grad for name, parameter in pl_module.named_parameters()})

    tuned = model(norm)
    trainer(tmp_path, Keep(), max_steps=1, limit_val_batches=0).fit(tuned, data(root))
    assert gradients.keys() == {name for name, _ in tuned.named_parameters()}
    for name, gradient in gradients.items():
        assert gradient is not None and gradient.abs().sum() > 0, name


@torch.no_grad()
def test_scores_are_maxima_over_clips_and_crops(root, tmp_path):
    batches, tuned = Batches(), model(dropout=0.5)
    run = trainer(tmp_path, batches)
    (tested,) = run.test(tuned, data(root), verbose=False)
    assert [tuple(batch["clip"].shape[:2]) for batch in batches.seen] == [(2, 6), (2, 6), (1, 6)]
    tuned.eval()
    logits, present = [], []
    for batch in batches.seen:
        for clips, classes in zip(batch["clip"], batch["present"], strict=True):
            views = normalise(clips, (0.45,) * 3, (0.225,) * 3)
            logits.append(torch.stack([tuned.classifier(tuned.networks[0](view[None]))[0] for view in views]).amax(0))
            present.append(classes[0])
    logits, present = torch.stack(logits), torch.stack(present)
    assert not present[1].any()
    kept = present.any(1)
    slow = [value for value in slow_average_precisions(logits.tolist(), present.tolist()) if value is not None]
    frequency = [float(share) for share in present[kept].float().mean(0) if share]
    expected = {
        "map": sum(slow) / len(slow),
        "map_of_class_frequencies": sum(frequency) / len(frequency),
        "loss": float(functional.binary_cross_entropy(logits.sigmoid(), present.float())),
    }
    assert tested == {f"test/{name}": pytest.approx(value, rel=1e-5) for name, value in expected.items()}
    predicted = run.predict(tuned, data(root))
    torch.testing.assert_close(torch.cat([batch["score"] for batch in predicted]), logits.sigmoid())
    assert torch.equal(torch.cat([batch["present"] for batch in predicted]), present)
    assert [name.rpartition("/")[2] for batch in predicted for name in batch["name"]] == [
        f"{name}.mp4" for name in NAMES[12:]
    ]


def test_stop_and_resume_equals_not_stopping(root, tmp_path):
    whole, parts = Record(), Record()
    complete = model(dropout=0.5)
    trainer(tmp_path, whole).fit(complete, data(root))
    checkpoint = ModelCheckpoint(dirpath=tmp_path, every_n_train_steps=1, save_last=True, save_top_k=0)
    with pytest.raises(RuntimeError, match="killed"):
        trainer(tmp_path, parts, checkpoint, Crash(4)).fit(model(dropout=0.5), data(root))
    resumed = model(dropout=0.5)
    torch.manual_seed(99)
    trainer(tmp_path, parts).fit(resumed, data(root), ckpt_path=tmp_path / "last.ckpt")
    assert len(whole.losses) == 6
    assert parts.losses == whole.losses
    torch.testing.assert_close(resumed.state_dict(), complete.state_dict(), rtol=0, atol=0)


def test_two_processes_equal_one(root, tmp_path):
    """With 5 evaluation videos, so that the processes have unequal shares."""
    for devices in (1, 2):
        strategy = "ddp_fork" if devices > 1 else "auto"
        trainer(tmp_path, Save(tmp_path), devices=devices, strategy=strategy).fit(model(), data(root))
    one, *two = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("1_0", "2_0", "2_1"))
    assert set(one["metrics"]) == {"val/loss", "val/map", "val/map_of_class_frequencies"}
    for other in two:
        assert other["metrics"] == pytest.approx(one["metrics"], rel=1e-3)
        torch.testing.assert_close(other["state"], one["state"], rtol=1e-3, atol=1e-3)


def test_it_starts_from_a_contrast_checkpoint_and_hands_its_own_on(root, tmp_path):
    contrast = TubeletContrast(network("batch"), projection_dim=4, queue_size=8)
    run = trainer(tmp_path, max_steps=1, limit_val_batches=0)
    run.fit(contrast, data(root, num_clips=1))
    run.save_checkpoint(tmp_path / "contrast.ckpt")
    tuned = model("batch", weights=str(tmp_path / "contrast.ckpt"))
    torch.testing.assert_close(tuned.networks[0].state_dict(), contrast.network.state_dict(), rtol=0, atol=0)
    checkpoint = ModelCheckpoint(dirpath=tmp_path, save_last=True, save_top_k=0)
    trainer(tmp_path, checkpoint, max_epochs=1).fit(tuned, data(root))
    fresh = network("batch")
    assert load_weights(fresh, tmp_path / "last.ckpt").fresh == ()
    torch.testing.assert_close(fresh.state_dict(), tuned.networks[0].state_dict(), rtol=0, atol=0)


def test_no_flip_where_it_changes_labels(root, tmp_path):
    for keeps, asked, expected in ((True, None, 0.5), (False, None, 0), (False, True, 0.5), (True, False, 0)):
        module, tuned = data(root), model(flip=asked)
        module.flip_keeps_labels = keeps
        with pytest.warns(UserWarning, match="a flip changes labels") if asked else contextlib.nullcontext():
            trainer(tmp_path, max_steps=1, limit_val_batches=0).fit(tuned, module)
        assert tuned.crop.flip_probability == expected


def test_what_does_not_go_together_is_refused(root, tmp_path):
    with pytest.raises(ValueError, match=r"dropout=1.0 must lie from 0 to below 1"):
        model(dropout=1.0)
    run = trainer(tmp_path, limit_val_batches=0)
    with pytest.raises(ValueError, match=r"the data have 3 classes, the classifier 2: set model.num_classes=3"):
        run.fit(model(num_classes=2), data(root))
    with pytest.raises(ValueError, match=r"the data have 3 classes, the classifier 4: set model.num_classes=3"):
        run.fit(model(num_classes=4), data(root))
    with pytest.raises(ValueError, match=r"one class for each video: take data of several, such as CharadesDataModule"):
        model(num_classes=3).present({"clip": torch.zeros(1), "label": torch.zeros(1)})


def test_defaults_are_those_of_the_thesis():
    tuned = MultiLabelRecognition(network(), num_classes=3, channels_last=True)
    assert (tuned.optimizer, tuned.learning_rate, tuned.milestones, tuned.gamma) == ("sgd", 0.0375, (41, 49), 0.1)
    assert not any(tuned.crop.colour_jitter)
