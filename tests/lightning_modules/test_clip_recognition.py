"""Recognition of clips: a step by hand, mean scores of a video's clips, what trains, resume, weights handed on."""

import copy
import dataclasses

import pytest
import torch
from pair_fakes import PairData, Pairs, collate, write_pairs
from pytorch_lightning.callbacks import ModelCheckpoint
from recognition_fakes import Crash, Record, gru, trainer
from torch.utils.data import DataLoader

from lightning_modules import FeatureTransfer, FineTuning, LinearProbe, load_pretrained
from lightning_modules.networks import ResNet3D
from lightning_modules.views.multimodal import DEFAULTS, ClipCrop, CropBoxes
from lightning_modules.views.skeleton import SequenceCrop
from lightning_modules.weights.export import export
from lightning_modules.weights.header import WeightsError
from lightning_modules.weights.importers import load_weights

CHANNELS = {"rgb": 3, "flow": 2, "depth": 3}
SMALL = {name: dataclasses.replace(facts, crop_size=12, short_side=16) for name, facts in DEFAULTS.items()}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    root = tmp_path_factory.mktemp("pairs")
    write_pairs(root)
    return root


def network(modality="depth", **changes):
    torch.manual_seed(4)
    return ResNet3D(
        **{"widths": (4, 6), "blocks": (1, 1), "max_pool": False, "in_channels": CHANNELS[modality], **changes}
    )


def crop(modality="depth"):
    return ClipCrop(modality, SMALL[modality])


def tuning(modality="depth", **changes):
    arguments = {"crop": crop(modality), "optimizer": "sgd", "learning_rate": 0.01, "num_classes": 3, **changes}
    return FineTuning([network(modality)], **arguments)


def batch(pairs):
    """Four videos of one to three clips."""
    data = PairData(pairs)
    return next(iter(DataLoader(Pairs(data, data.val_names, False), batch_size=4, collate_fn=collate)))


@pytest.mark.parametrize("modality", ["rgb", "flow", "depth"])
def test_a_step_by_hand(pairs, modality, tmp_path):
    record, model = Record(), tuning(modality, weight_decay=0.1)
    start = copy.deepcopy(model).train()
    trainer(tmp_path, record, max_steps=1, limit_val_batches=0).fit(model, PairData(pairs))
    (seen,) = record.batches
    clips = seen[modality][:, 0]
    boxes = start.crop.draw(4, *clips.shape[2:4], start.generator(0))
    logits = start.classifier(start.networks[0](start.crop.random(seen[modality], boxes)))
    loss = -logits.log_softmax(1)[torch.arange(4), seen["label"]].mean()
    assert record.losses == [pytest.approx(loss.item(), rel=1e-5)]
    loss.backward()
    for (name, new), old in zip(model.named_parameters(), start.parameters(), strict=True):
        torch.testing.assert_close(new, old - 0.01 * (old.grad + 0.1 * old), rtol=1e-3, atol=1e-6, msg=name)


def test_scores_are_the_mean_over_the_clips_of_a_video(pairs):
    model, seen = tuning().eval(), batch(pairs)
    assert (seen["clip"] < 0).any() and (seen["clip"] >= 0).sum(1).max() > 1
    expected, features = [], []
    for clips, numbers in zip(seen["depth"], seen["clip"], strict=True):
        each = model.networks[0](SMALL["depth"](clips[numbers >= 0]))
        expected.append(model.classifier(each).softmax(1).mean(0))
        features.append(each.mean(0))
    torch.testing.assert_close(model(seen).exp(), torch.stack(expected))
    torch.testing.assert_close(model.features(seen), torch.stack(features))
    torch.testing.assert_close(model.predict_step(seen, 0)["score"], torch.stack(expected))


def test_several_clips_of_a_sample_train_together(pairs):
    model, seen = tuning().eval(), batch(pairs)
    model.batches_done = lambda: 0
    # Two clips of each video, with the box of their video.
    twice = {**seen, "depth": seen["depth"][:, [0, 0]], "clip": seen["clip"][:, [0, 0]]}
    features = model.training_features(twice).view(len(seen["name"]), 2, -1)
    torch.testing.assert_close(features[:, 0], features[:, 1])
    assert len(features.unique(dim=0)) == len(features)


def test_last_block_and_classifier_alone_train(pairs, tmp_path):
    model = tuning(train_only=["networks.0.layer2.*", "classifier.*"])
    start = copy.deepcopy(model.state_dict())
    trainer(tmp_path, max_epochs=1, limit_val_batches=0).fit(model, PairData(pairs))
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, start[name])}
    assert changed and all(name.startswith(("networks.0.layer2.", "classifier.")) for name in changed)
    assert {"networks.0.layer2.0.bn1.running_mean", "classifier.weight"} <= changed


def test_stop_and_resume_equals_not_stopping(pairs, tmp_path):
    whole, record = tuning(), Record()
    trainer(tmp_path, record, limit_val_batches=0).fit(whole, PairData(pairs))
    checkpoint = ModelCheckpoint(dirpath=tmp_path, every_n_train_steps=1, save_last=True, save_top_k=0)
    again = Record()
    with pytest.raises(RuntimeError, match="killed"):
        trainer(tmp_path, again, checkpoint, Crash(3), limit_val_batches=0).fit(tuning(), PairData(pairs))
    resumed = tuning()
    torch.manual_seed(99)
    trainer(tmp_path, again, limit_val_batches=0).fit(resumed, PairData(pairs), ckpt_path=tmp_path / "last.ckpt")
    assert again.losses == record.losses
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, msg=name)


def test_a_linear_probe_leaves_the_network_alone(pairs, tmp_path):
    probe = LinearProbe([network()], crop=crop(), num_classes=3, cache_features=False, learning_rate=1e-6)
    start = copy.deepcopy(probe)
    record = Record()
    trainer(tmp_path, record, max_steps=1, limit_val_batches=0).fit(probe, PairData(pairs))
    (seen,) = record.batches
    boxes = [start.crop.draw(1, *seen["depth"].shape[3:5], start.generator(0, row)) for row in seen["sample"].tolist()]
    logits = start.classifier(start.networks[0](start.crop.random(seen["depth"], CropBoxes.join(boxes))))
    loss = -logits.log_softmax(1)[torch.arange(4), seen["label"]].mean()
    assert record.losses == [pytest.approx(loss.item(), rel=1e-5)]
    for name, value in probe.state_dict().items():
        assert torch.equal(value, start.state_dict()[name]) == (not name.startswith("classifier.")), name
    with pytest.raises(ValueError, match=r"set model\.cache_features=false"):
        kept = LinearProbe([network()], crop=crop(), num_classes=3)
        trainer(tmp_path, limit_val_batches=0).fit(kept, PairData(pairs))


def test_from_teacher_to_student_to_few_labels(pairs, tmp_path):
    teacher = tuning("flow")
    run = trainer(tmp_path, max_steps=2, limit_val_batches=0)
    run.fit(teacher, PairData(pairs, actions=["A061", "A062"]))
    run.save_checkpoint(tmp_path / "teacher.ckpt")
    transfer = FeatureTransfer(
        network("flow"),
        str(tmp_path / "teacher.ckpt"),
        network(),
        student_preprocessing=SMALL["depth"],
        cache=str(tmp_path / "cache"),
    )
    assert transfer.teacher_actions == ("A061", "A062")  # to warn of shared ones
    assert transfer._teacher.preprocessing == SMALL["flow"]  # as the teacher's checkpoint says
    for name, value in transfer.teacher.state_dict().items():
        assert torch.equal(value, teacher.networks[0].state_dict()[name])
    run = trainer(tmp_path, max_steps=2, limit_val_batches=0)
    run.fit(transfer, PairData(pairs))
    run.save_checkpoint(tmp_path / "student.ckpt")
    tuned = tuning(weights=str(tmp_path / "student.ckpt"))
    for name, value in tuned.networks[0].state_dict().items():
        assert torch.equal(value, transfer.student.state_dict()[name])
    run = trainer(tmp_path, max_steps=1, limit_val_batches=0)
    run.fit(tuned, PairData(pairs))
    run.save_checkpoint(tmp_path / "tuned.ckpt")
    export(tmp_path / "tuned.ckpt", tmp_path / "tuned.safetensors")
    exported, preprocessing = load_pretrained(tmp_path / "tuned.safetensors")
    assert preprocessing == SMALL["depth"]
    load_weights(exported, tmp_path / "tuned.ckpt")


def test_weights_of_flow_fit_depth_where_that_is_asked_for(pairs, tmp_path):
    teacher = tuning("flow")
    run = trainer(tmp_path, max_steps=1, limit_val_batches=0)
    run.fit(teacher, PairData(pairs))
    run.save_checkpoint(tmp_path / "flow.ckpt")
    with pytest.raises(WeightsError, match=r"conv1.weight .*set otherwise \(in_channels"):
        tuning(weights=str(tmp_path / "flow.ckpt"))
    kernel = tuning(weights=str(tmp_path / "flow.ckpt"), adapt_input=True).networks[0].conv1.weight
    flow = teacher.networks[0].conv1.weight
    torch.testing.assert_close(kernel.sum(1), flow.sum(1))
    torch.testing.assert_close(kernel[:, 0], kernel[:, 2])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: FineTuning([network()], crop=SequenceCrop()), "ResNet3D takes clips: set crop to a ClipCrop"),
        (lambda: FineTuning([gru()], crop=ClipCrop()), "BiGRU takes skeletons: set crop to a SequenceCrop"),
        (lambda: FineTuning([network("flow")]), r"takes 2 channels, depth has 3: set its in_channels"),
        (lambda: ClipCrop("rgb", SMALL["depth"]), "preprocessing is of depth, modality is rgb"),
    ],
)
def test_what_does_not_go_together_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_a_batch_without_the_modality_is_named(pairs, tmp_path):
    data = PairData(pairs, modalities=("rgb",))
    with pytest.raises(ValueError, match=r"the batch has no depth: add it to data\.modalities, or set crop\.modality"):
        trainer(tmp_path, limit_val_batches=0).fit(tuning(), data)
