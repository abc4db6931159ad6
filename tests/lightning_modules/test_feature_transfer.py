"""Feature transfer: equations by hand, cached against recomputed features, resume, two processes, exported weights."""

import copy
import json
import logging

import numpy as np
import pytest
import torch
from network_fakes import draw_weights
from pair_fakes import PairData, collate, write_pairs
from pytorch_lightning import Callback, Trainer, seed_everything
from pytorch_lightning.callbacks import ModelCheckpoint

from lightning_modules import FeatureTransfer, load_pretrained
from lightning_modules.networks import STGCN, ResNet3D, ResNeXt3D
from lightning_modules.views.multimodal import CornerCrop, crop_clips
from lightning_modules.views.skeleton import SequenceCrop
from lightning_modules.weights import Preprocessing, WeightsError, describe, load_weights
from lightning_modules.weights.export import export

RGB = Preprocessing(4, 12, 12, mean=(0.4, 0.4, 0.4), std=(0.3, 0.3, 0.3))
DEPTH = Preprocessing(4, 12, 12, mean=(0.2, 0.2, 0.2), std=(0.3, 0.3, 0.3), depth_range=(1000, 3000))


def narrow(network_class=ResNet3D, **arguments):
    return network_class(**{"widths": (8, 16), "blocks": (1, 1), "max_pool": False, **arguments})


def write_teacher(path, seed=0, **arguments):
    """Weights of a teacher, and how its clips are prepared."""
    network = narrow(**arguments)
    draw_weights(network)
    if seed:
        network.layer1[0].conv1.weight.data.mul_(seed)
    header = describe(network, "FineTuning", "PairData", RGB if network.in_channels == 3 else {})
    state = {f"module.{key}": value for key, value in network.state_dict().items()}
    torch.save({"state_dict": state, "zoo": header}, path)
    return path


@pytest.fixture
def pairs(tmp_path):
    write_pairs(tmp_path / "pairs")
    write_teacher(tmp_path / "teacher.pth")
    return tmp_path


def transfer(folder, student=None, **changes):
    seed_everything(1)
    arguments = {
        "teacher": narrow(),
        "teacher_weights": str(folder / "teacher.pth"),
        "student": student or narrow(norm="group", widths=(8, 16)),
        "teacher_modality": "rgb",
        "student_preprocessing": DEPTH,
        "cache": str(folder / "cache"),
        "learning_rate": 0.05,
    }
    return FeatureTransfer(**{**arguments, **changes})


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
    }
    return Trainer(default_root_dir=folder, callbacks=list(callbacks), **{**arguments, **changes})


def fit(folder, model, *callbacks, data=None, **changes):
    run = trainer(folder, *callbacks, **changes)
    run.fit(model, data or PairData(folder / "pairs"))
    return run


def teacher_features(folder, name, preprocessing=RGB):
    """Of all clips of a video, one at a time: float32 (N, D)."""
    network = narrow()
    load_weights(network, folder / "teacher.pth")
    frames = np.load(folder / "pairs" / f"{name}_rgb.npy")
    count = max(len(frames) // 4, 1)
    clips = [torch.from_numpy(frames[4 * clip : 4 * clip + 4]) for clip in range(count)]
    with torch.no_grad():
        return torch.cat([network.eval()(preprocessing(clip)) for clip in clips]).numpy()


def cosine_distance(a, b):
    return 1 - (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def squared(a, b):
    return ((a - b) ** 2).mean(1)


# The equations


@pytest.mark.parametrize(("loss", "distance"), [("cosine", cosine_distance), ("mse", squared)])
@pytest.mark.parametrize("granularity", ["clip_to_clip", "video_to_clip", "combined"])
def test_a_step_by_hand(pairs, granularity, loss, distance) -> None:
    """Equations 2.1 to 2.4 on the first batch, with the crop that the step draws."""
    student = narrow(norm="group")
    before = copy.deepcopy(student)
    record = Record()
    model = transfer(pairs, student, granularity=granularity, loss=loss)
    data = PairData(pairs / "pairs")
    run = fit(pairs, model, record, data=data, max_steps=1, limit_val_batches=0)

    fresh = PairData(pairs / "pairs", modalities=("depth",))
    fresh.trainer = run
    run.fit_loop.epoch_loop.batch_progress.total.processed = 0
    batch = next(iter(fresh.train_dataloader()))
    boxes = model.augmentation.draw(4, 16, 22, model.generator(0))
    with torch.no_grad():
        own = before(crop_clips(batch["depth"][:, 0], boxes, DEPTH)).numpy()
    features = [teacher_features(pairs, name) for name in batch["name"]]
    clip = np.stack([of[number] for of, number in zip(features, batch["clip"][:, 0].tolist(), strict=True)])
    video = np.stack([of.mean(0) for of in features])
    terms = {"clip_to_clip": [clip], "video_to_clip": [video], "combined": [clip, video]}[granularity]
    expected = sum(distance(own, target) for target in terms).mean()
    assert record.losses == pytest.approx([expected], rel=1e-4)
    assert float(run.callback_metrics["train/cosine"]) == pytest.approx(
        np.mean([1 - cosine_distance(own, target) for target in terms]), rel=1e-4
    )
    assert expected > 0.1
    assert any(len(of) > 1 for of in features)


def test_earlier_stages_are_matched_as_well(pairs) -> None:
    """2.5.1.4: their losses are added, over means of their maps; a projection where lengths differ."""
    student = narrow(norm="group", widths=(12, 16))
    model = transfer(pairs, student, granularity="clip_to_clip", blocks=(1,))
    assert [type(layer).__name__ for layer in model.projection] == ["Linear", "Identity"]
    depth = torch.rand(3, 3, 4, 12, 12)
    targets = torch.rand(3, 8 + 16)
    with torch.no_grad():
        losses, _ = model.match(model._student_features(depth), targets, targets)
        maps = student.feature_maps(depth)
        first = model.projection[0](maps["layer1"].mean((2, 3, 4)))
        last = maps["layer2"].mean((2, 3, 4))
    expected = cosine_distance(first.numpy(), targets[:, :8].numpy())
    expected = expected + cosine_distance(last.numpy(), targets[:, 8:].numpy())
    np.testing.assert_allclose(losses.numpy(), expected, rtol=1e-4)
    fit(pairs, model, max_steps=1, limit_val_batches=0)  # the teacher's stages are cached


def test_a_skeleton_student_matches_the_video(pairs) -> None:
    """Equation 2.5, on the whole sequence; a projection to the teacher's length."""
    student = STGCN(2, (1, 1, 1), dropout=0.0)
    model = transfer(pairs, student, student_modality="skeleton", granularity="video_to_video")
    before, projection = copy.deepcopy(student), copy.deepcopy(model.projection[0])
    record = Record()
    data = PairData(pairs / "pairs", modalities=("rgb", "skeleton"))
    run = fit(pairs, model, record, data=data, max_steps=1)
    assert data.read == ("skeleton",)
    fresh = PairData(pairs / "pairs", modalities=("skeleton",))
    fresh.trainer = run
    run.fit_loop.epoch_loop.batch_progress.total.processed = 0
    batch = next(iter(fresh.train_dataloader()))
    with torch.no_grad():
        own = projection(before.train()(batch["skeleton"])).numpy()
    video = np.stack([teacher_features(pairs, name).mean(0) for name in batch["name"]])
    assert record.losses == pytest.approx([cosine_distance(own, video).mean()], rel=1e-4)

    held_out = transfer(pairs, student, student_modality="skeleton", granularity="video_to_video")
    (metrics,) = trainer(pairs).validate(held_out, data, verbose=False)
    batch = collate([data.val_dataloader().dataset[row] for row in range(4)])
    with torch.no_grad():
        own = held_out.projection[0](student.eval()(batch["skeleton"])).numpy()
    video = np.stack([teacher_features(pairs, name).mean(0) for name in batch["name"]])
    assert metrics["val/loss"] == pytest.approx(cosine_distance(own, video).mean(), rel=1e-4)

    short = transfer(pairs, student, student_modality="skeleton", granularity="video_to_video", crop=SequenceCrop(8))
    assert short(batch).shape == (4, 8)


# The cache within training


def test_cached_features_are_those_that_the_teacher_gives(pairs) -> None:
    model, data = transfer(pairs), PairData(pairs / "pairs")
    fit(pairs, model, data=data, max_steps=1)
    assert sorted(data.computed) == sorted(data.sample_names())
    for name in data.sample_names():
        expected = teacher_features(pairs, name)
        clips, video, known = model._cache.look_up([name], torch.arange(len(expected))[None])
        assert known.all() and len(expected) == model._cache.num_clips(name)
        assert (expected.std(1) > 0.1).all()
        np.testing.assert_allclose(clips[0].numpy(), expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(video[0].numpy(), expected.mean(0), rtol=1e-4, atol=1e-5)


def test_recomputed_features_give_the_same_held_out_loss(pairs) -> None:
    values = []
    for features in ("cached", "recomputed"):
        model = transfer(pairs, granularity="clip_to_clip", teacher_features=features)
        (metrics,) = trainer(pairs).validate(model, PairData(pairs / "pairs"), verbose=False)
        values.append((metrics["val/loss"], metrics["val/cosine"]))
    assert values[0] == pytest.approx(values[1], rel=1e-5)
    assert 0.05 < values[0][0] and values[0][1] == pytest.approx(1 - values[0][0], rel=1e-5)


def test_recomputed_features_see_the_students_crop(pairs) -> None:
    """Where teacher and student are one network and the two modalities one picture, nothing is left to learn."""
    data = PairData(pairs / "pairs", modalities=("rgb", "depth"))
    for name in data.sample_names():
        depth = np.load(pairs / "pairs" / f"{name}_depth.npy")
        grey = np.where(depth == 1500, 255, 0).astype(np.uint8)
        np.save(pairs / "pairs" / f"{name}_rgb.npy", np.repeat(grey[..., None], 3, axis=3))
        np.save(pairs / "pairs" / f"{name}_depth.npy", np.where(depth == 1500, 500, 0).astype(np.int16))
    student = narrow()
    load_weights(student, pairs / "teacher.pth")
    model = transfer(
        pairs,
        student.eval(),
        granularity="clip_to_clip",
        teacher_features="recomputed",
        student_preprocessing=Preprocessing(4, 12, 12, mean=RGB.mean, std=RGB.std, depth_range=(1000, 3000)),
    )
    batch = collate([data.train_dataloader().dataset[(row, row)] for row in range(4)])
    for seed in range(3):
        students, clips, _, _ = model._match_crops(batch, model.generator(seed))
        torch.testing.assert_close(students[-1], clips, rtol=1e-4, atol=1e-4)


def test_training_reads_no_teacher_files_once_they_are_cached(pairs) -> None:
    data = PairData(pairs / "pairs")
    fit(pairs, transfer(pairs), data=data, max_steps=1)
    assert data.read == ("depth",) and len(data.computed) == 12
    again = PairData(pairs / "pairs")
    fit(pairs, transfer(pairs), data=again, max_steps=1)
    assert again.computed == []


@pytest.mark.parametrize("change", ["weights", "list", "file", "preprocessing", "stages"])
def test_a_stale_cache_is_never_used(pairs, change) -> None:
    fit(pairs, transfer(pairs), max_steps=1, limit_val_batches=0)
    changes, count = {}, None
    if change == "weights":
        content = torch.load(pairs / "teacher.pth")
        content["state_dict"]["module.layer2.0.conv1.weight"][0, 0, 0, 0, 0] += 1e-3
        torch.save(content, pairs / "teacher.pth")
    elif change == "list":
        count = 11
    elif change == "file":
        video = np.load(pairs / "pairs" / "S003_rgb.npy")
        np.save(pairs / "pairs" / "S003_rgb.npy", video[:, ::-1])
    elif change == "preprocessing":
        changes = {"teacher_preprocessing": Preprocessing(4, 12, 14, mean=RGB.mean, std=RGB.std)}
    else:
        changes = {"blocks": (1,)}
    data = PairData(pairs / "pairs", count=count)
    model = transfer(pairs, **changes)
    fit(pairs, model, data=data, max_steps=1, limit_val_batches=0)
    assert len(data.computed) == (count or 12)
    if change in ("list", "file", "preprocessing"):
        expected = teacher_features(pairs, "S003", changes.get("teacher_preprocessing", RGB))
        clips, _, _ = model._cache.look_up(["S003"], torch.arange(len(expected))[None])
        np.testing.assert_allclose(clips[0].numpy(), expected, rtol=1e-4, atol=1e-5)


def test_a_pair_without_a_readable_teacher_does_not_count(pairs, caplog) -> None:
    (pairs / "pairs" / "S002_rgb.npy").unlink()
    model, data = transfer(pairs), PairData(pairs / "pairs")
    with caplog.at_level(logging.WARNING):
        fit(pairs, model, data=data, max_steps=1)
    assert "1 samples have no readable rgb and teach nothing, such as S002" in caplog.text
    batch = collate([data.train_dataloader().dataset[(row, 0)] for row in range(4)])
    students, clips, videos, known = model._match_crops(batch, model.generator(0))
    assert known.tolist() == [True, True, False, True]
    model.match(students, clips, videos)[0].sum().backward()

    # nor in evaluation: the loss is that of the only one left
    for name in ("S008", "S009", "S010"):
        (pairs / "pairs" / f"{name}_rgb.npy").unlink()
    data = PairData(pairs / "pairs")
    model = transfer(pairs)
    (metrics,) = trainer(pairs).validate(model, data, verbose=False)
    alone = collate([data.val_dataloader().dataset[3]])
    with torch.no_grad():
        own = model.student.eval()(DEPTH(alone["depth"][0])).numpy()
    clips = teacher_features(pairs, "S011")
    expected = cosine_distance(own, clips) + cosine_distance(own, clips.mean(0, keepdims=True))
    assert len(own) == 3
    assert metrics["val/loss"] == pytest.approx(expected.mean(), rel=1e-4)


def test_a_video_that_is_shorter_than_its_pair_is_named(pairs) -> None:
    model = transfer(pairs)
    fit(pairs, model, max_steps=1)
    with pytest.raises(ValueError, match=r"S003: clip 3 is asked for, and the teacher's video has 3 clips"):
        model._cache.look_up(["S000", "S003"], torch.tensor([[0], [3]]))
    with pytest.raises(ValueError, match=r"S099: is not among the samples whose features are cached"):
        model._cache.look_up(["S099"], torch.tensor([[0]]))


# Learning


def test_gradients_reach_the_whole_student_and_never_the_teacher(pairs) -> None:
    student = narrow(ResNeXt3D, cardinality=4, norm="group")
    model = transfer(pairs, student)  # a feature of 64 against the teacher's 16
    before = copy.deepcopy(model.teacher.state_dict())
    gradients = {}

    class Keep(Callback):
        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            gradients.update({name: value.grad.abs().sum() for name, value in pl_module.named_parameters()})

    fit(pairs, model, Keep(), max_epochs=2)
    assert all(value > 0 for value in gradients.values())
    assert {name.split(".")[0] for name in gradients} == {"student", "projection"}
    assert not model.teacher.training and not any(value.requires_grad for value in model.teacher.parameters())
    for name, value in model.teacher.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert not any("teacher" in key for key in model.state_dict())


def test_the_student_learns(pairs) -> None:
    settings = {"granularity": "video_to_clip", "augmentation": CornerCrop((1.0,), 0.0)}
    first = trainer(pairs).validate(transfer(pairs, **settings), PairData(pairs / "pairs"), verbose=False)[0]
    run = fit(pairs, transfer(pairs, **settings), max_epochs=15)
    assert float(run.callback_metrics["val/loss"]) < 0.6 * first["val/loss"]
    assert float(run.callback_metrics["val/cosine"]) > first["val/cosine"]


@pytest.mark.parametrize("kind", ["depth", "skeleton"])
def test_stop_and_resume_equals_not_stopping(pairs, kind) -> None:
    """In mid-epoch: weights, momentum, schedule, clips, crops and dropout all go on."""

    def build():
        seed_everything(1)
        if kind == "depth":
            return transfer(pairs, narrow())
        student = STGCN(2, (1, 1, 1), dropout=0.5)
        return transfer(pairs, student, student_modality="skeleton", granularity="video_to_video")

    def data():
        return PairData(pairs / "pairs", modalities=("rgb", kind), batch_size=2)

    whole, complete = Record(), build()
    fit(pairs, complete, whole, data=data())

    class Crash(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if trainer.global_step == 5:
                raise RuntimeError("killed")

    parts = Record()
    checkpoint = ModelCheckpoint(dirpath=pairs, every_n_train_steps=1, save_last=True, save_top_k=0)
    with pytest.raises(RuntimeError, match="killed"):
        fit(pairs, build(), parts, checkpoint, Crash(), data=data())
    resumed = build()
    torch.manual_seed(99)
    trainer(pairs, parts).fit(resumed, data(), ckpt_path=pairs / "last.ckpt")
    assert len(whole.losses) == 8
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
        torch.save(pl_module.student.state_dict(), self.folder / f"student_{name}.pt")
        content = {"losses": self.losses, "computed": trainer.datamodule.computed}
        (self.folder / f"run_{name}.json").write_text(json.dumps(content))


def test_two_processes_are_one(pairs) -> None:
    """They share the teacher's work, and train as one process with the global batch does."""
    two = {"devices": 2, "strategy": "ddp_fork"}
    fit(pairs, transfer(pairs, cache=str(pairs / "cache_2")), Save(pairs), **two)
    fit(pairs, transfer(pairs, cache=str(pairs / "cache_1")), Save(pairs))
    runs = [json.loads((pairs / f"run_{name}.json").read_text()) for name in ("1_0", "2_0", "2_1")]
    assert len(runs[0]["losses"]) == 4
    assert runs[1]["losses"] == runs[2]["losses"] == pytest.approx(runs[0]["losses"], rel=1e-4)
    assert len(runs[1]["computed"]) == len(runs[2]["computed"]) == 6
    assert sorted(runs[1]["computed"] + runs[2]["computed"]) == sorted(runs[0]["computed"])
    one, first, second = (torch.load(pairs / f"student_{name}.pt") for name in ("1_0", "2_0", "2_1"))
    for name, value in one.items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], value, rtol=1e-3, atol=1e-4)
    (a,), (b,) = ([*(pairs / cache).glob("*/clips.npy")] for cache in ("cache_1", "cache_2"))
    np.testing.assert_allclose(np.load(a), np.load(b), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("schedule", "shares"),
    [
        ("constant", [1, 1, 1, 1, 1, 1]),
        ("step", [1, 0.1, 0.1, 0.01, 0.01, 0.01]),
        ("cosine", [0.933, 0.75, 0.5, 0.25, 0.067, 0]),
    ],
)
def test_schedules(pairs, schedule, shares) -> None:
    record = Record()
    model = transfer(pairs, schedule=schedule, milestones=(1, 2))
    run = fit(pairs, model, record, max_epochs=3, limit_val_batches=0)
    assert record.rates == pytest.approx([0.05 * share for share in shares], abs=1e-5)
    (group,) = run.optimizers[0].param_groups
    assert (group["momentum"], group["weight_decay"]) == (0.9, 1e-3)


# Weights


def test_the_checkpoints_student_is_loaded_and_exported(pairs) -> None:
    checkpoint = ModelCheckpoint(dirpath=pairs, save_last=True, save_top_k=0)
    student = narrow(ResNeXt3D, cardinality=4)
    model = transfer(pairs, student)
    fit(pairs, model, checkpoint)
    clip = torch.randn(2, 3, 4, 12, 12)
    expected = model.student.eval()(clip)
    start = narrow(ResNeXt3D, cardinality=4)
    report = load_weights(start, pairs / "last.ckpt")
    assert (
        report.format == "checkpoint"
        and report.dropped
        and all(key.startswith("projection.") for key in report.dropped)
    )
    assert torch.equal(start.eval()(clip), expected)
    export(pairs / "last.ckpt", pairs / "student.safetensors")
    network, preprocessing = load_pretrained(pairs / "student.safetensors")
    assert type(network) is ResNeXt3D and preprocessing == DEPTH
    assert torch.equal(network(clip), expected)
    again = transfer(pairs, narrow(ResNeXt3D, cardinality=4), weights=str(pairs / "last.ckpt"))
    assert torch.equal(again.student.eval()(clip), expected)


def test_a_skeleton_students_checkpoint_is_loaded(pairs) -> None:
    checkpoint = ModelCheckpoint(dirpath=pairs, save_last=True, save_top_k=0)
    model = transfer(pairs, STGCN(2, (1, 1, 1)), student_modality="skeleton", granularity="video_to_video")
    fit(pairs, model, checkpoint, data=PairData(pairs / "pairs", modalities=("rgb", "skeleton")), max_steps=2)
    start = STGCN(2, (1, 1, 1))
    load_weights(start, pairs / "last.ckpt")
    sequence = torch.randn(1, 3, 12, 25, 2)
    assert torch.equal(start.eval()(sequence), model.student.eval()(sequence))


def test_another_teacher_is_refused_on_resume(pairs) -> None:
    checkpoint = ModelCheckpoint(dirpath=pairs, save_last=True, save_top_k=0)
    fit(pairs, transfer(pairs), checkpoint, max_steps=1)
    write_teacher(pairs / "other.pth", seed=5)
    model = transfer(pairs, teacher_weights=str(pairs / "other.pth"))
    with pytest.raises(ValueError, match="the checkpoint's student had another teacher"):
        trainer(pairs).fit(model, PairData(pairs / "pairs"), ckpt_path=pairs / "last.ckpt")


def test_a_flow_teacher_and_predictions(pairs) -> None:
    write_teacher(pairs / "flow.pth", in_channels=2)
    model = transfer(
        pairs,
        teacher=narrow(in_channels=2),
        teacher_weights=str(pairs / "flow.pth"),
        teacher_modality="flow",
        teacher_preprocessing=Preprocessing(4, 12, 12, (0.5, 0.5), (0.5, 0.5), flow_bound=2),
    )
    data = PairData(pairs / "pairs")
    run = fit(pairs, model, data=data)
    predictions = run.predict(model, data)
    assert torch.cat([part["feature"] for part in predictions]).shape == (4, 16)
    assert [name for part in predictions for name in part["name"]] == data.val_names
    batch = list(data.val_dataloader())[1]
    with torch.no_grad():
        clips = [of[number >= 0] for of, number in zip(batch["depth"], batch["clip"], strict=True)]
        expected = torch.stack([model.student.eval()(DEPTH(of)).mean(0) for of in clips])
    assert len({len(of) for of in clips}) == 2
    torch.testing.assert_close(predictions[1]["feature"], expected, rtol=1e-4, atol=1e-5)


# When it goes wrong


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"granularity": "video_to_video"}, "a depth student takes clips: it cannot be video_to_video"),
        ({"student_modality": "skeleton"}, "a skeleton student takes whole sequences: it must be video_to_video"),
        ({"student": STGCN(2, (1, 1, 1))}, "student_modality=depth needs a video network.* is STGCN"),
        ({"blocks": (2,)}, "blocks must be rising numbers of ResNet3D's stages before the last.*; it has 1"),
        ({"teacher_features": "recomputed"}, "with teacher_features=recomputed it must be clip_to_clip"),
        ({"teacher_modality": "flow"}, "teacher_modality=flow has 2 channels, the teacher takes 3"),
        ({"teacher_batch_size": 0}, "teacher_batch_size=0"),
        ({"student_preprocessing": RGB}, "student_preprocessing must say the depth_range"),
        (
            {"teacher_preprocessing": Preprocessing(4, 12, 12, (0.5, 0.5), (0.5, 0.5), flow_bound=2)},
            "the teacher's preprocessing is of flow, teacher_modality is rgb",
        ),
    ],
)
def test_arguments_that_do_not_go_together_are_named(pairs, changes, message) -> None:
    with pytest.raises(ValueError, match=message):
        transfer(pairs, **changes)


def test_a_teacher_must_fit_its_weights(pairs) -> None:
    with pytest.raises(WeightsError, match=r"does not fit ResNet3D: .*of another shape"):
        transfer(pairs, teacher=narrow(widths=(8, 24)))


def test_shared_actions_are_warned_of(pairs) -> None:
    model = transfer(pairs, teacher_actions=("60", "drink", "wave"))
    with pytest.warns(UserWarning, match="2 of the student's actions, such as drink"):
        fit(pairs, model, data=PairData(pairs / "pairs", actions=["jump", "wave", "drink"]), max_steps=1)


def test_data_without_pairs_and_batches_without_a_modality_are_named(pairs) -> None:
    data = PairData(pairs / "pairs", modalities=("rgb",))
    data.read_only = lambda modalities: None
    with pytest.raises(ValueError, match=r"the batch has no depth: add it to data.modalities"):
        fit(pairs, transfer(pairs), data=data)
    with pytest.raises(ValueError, match="NoneType holds no pairs"):
        trainer(pairs).fit(transfer(pairs), PairData(pairs / "pairs").val_dataloader())
