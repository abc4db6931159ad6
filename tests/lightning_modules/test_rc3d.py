"""R-C3D on toy videos: it learns, each parameter gets a gradient, and nothing depends on resumes and processes."""

import copy
import math

import pytest
import torch
from pytorch_lightning import Callback, Trainer, seed_everything
from pytorch_lightning.callbacks import ModelCheckpoint
from torch.nn import functional

from datamodules import VideoFolderDataModule
from lightning_modules import RC3D, TubeletContrast
from lightning_modules.networks import I3D, R3D, R2Plus1D
from lightning_modules.networks.video_network import stage_cells
from lightning_modules.rc3d import Proposals, WindowActions
from lightning_modules.segments.anchors import ACTIVITYNET_SCALES
from lightning_modules.segments.targets import assign_anchors
from lightning_modules.views.multimodal import DEFAULTS
from lightning_modules.weights.export import export
from tests.detection_fakes import DetectionData, Windows, collate
from tests.fakes import moving_texture, write_video


def network(**changes):
    seed_everything(0)
    arguments = {"widths": (8, 16, 16), "blocks": (1, 1, 1), "temporal_strides": (1, 2, 2)}
    return R3D(**{**arguments, **changes})


def detector(backbone=None, **changes):
    seed_everything(0)
    arguments = {
        "num_classes": 2,
        "modality": "rgb",
        "anchor_scales": (2.0, 3.0, 4.0, 5.0, 6.0),
        "proposal_channels": 16,
        "hidden_features": 32,
        "learning_rate": 0.02,
        "milestones": (100,),
    }
    return RC3D(network() if backbone is None else backbone, **{**arguments, **changes})


def trainer(folder, *callbacks, **changes):
    arguments = {
        "max_epochs": 1,
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


def batch(modality="rgb", count=2, **changes):
    windows = Windows(3, 160, 64, 32, 5, modality)
    return {**collate([windows[index] for index in range(count)]), **changes}


class Record(Callback):
    """Losses of each batch, in order."""

    def __init__(self):
        self.losses = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.losses.append(float(outputs["loss"]))


def test_it_learns(tmp_path):
    model, data = detector(dropout=0.0, flip_probability=0.0), DetectionData()
    run = trainer(tmp_path, max_epochs=4, limit_val_batches=1.0, check_val_every_n_epoch=10)
    (before,) = run.validate(model, data, verbose=False)
    run.fit(model, data)
    (after,) = run.validate(model, data, verbose=False)
    assert before["val/map_0.5"] < 0.5
    assert after["val/map_0.5"] > 0.85
    assert after["val/f1"] > before["val/f1"] + 0.3
    assert set(after) == {f"val/{name}" for name in ("map", "map_0.5", "f1", "ap", "map_action", "map_video", "2d_ap")}


def step(model, data_batch):
    """Losses of one training step, without a trainer."""
    model.batches_done = lambda: 0
    model.log = model.log_dict = lambda *args, **kwargs: None
    return model.training_step(data_batch, 0)


@pytest.mark.parametrize("modality", ["rgb", "depth"])
def test_every_parameter_gets_a_gradient(modality):
    model = detector(modality=modality)
    step(model, batch(modality)).backward()
    without = [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()]
    assert not without


def test_a_window_without_actions_trains_as_background():
    model = detector()
    nothing = {"segments": [torch.empty(0, 2)] * 2, "classes": [torch.empty(0, dtype=torch.long)] * 2}
    loss = step(model, batch(**nothing))
    loss.backward()
    # Two halves of a chance, and thirds of three classes, at the start.
    assert float(loss.detach()) == pytest.approx(0.693 + 1.099, abs=0.15)
    assert all(value.grad is not None and value.grad.isfinite().all() for value in model.parameters())


def test_anchor_losses_by_hand():
    """Every anchor is drawn, so that nothing is left to chance."""
    model = detector(anchors_per_window=10**6)
    data_batch = batch(count=1)
    maps = model.network.forward_maps(model.prepare(data_batch))
    anchors, logits, offsets = model.judge_anchors(maps)
    actions = model.window_actions(data_batch)
    losses = model.proposal_losses(anchors, logits, offsets, actions, [model.generator(0)])
    label, owner = assign_anchors(anchors, actions[0].segment, 64, 0.7, 0.3)
    binary = regression = 0.0
    for anchor, logit, offset, kind, action in zip(anchors, logits[0], offsets[0], label, owner, strict=True):
        if kind < 0:
            continue
        binary -= functional.logsigmoid(logit if kind else -logit)
        if kind:
            (start, end), (a, b) = actions[0].segment[action].tolist(), anchor.tolist()
            target = torch.tensor([((start + end) - (a + b)) / 2 / (b - a), (end - start) / (b - a)])
            target[1].log_()
            error = (offset - target).abs()
            # Sigma 3: 0.5 (3 x)^2 below 1/9, |x| - 0.5/9 above.
            regression += torch.where(error < 1 / 9, 4.5 * error**2, error - 0.5 / 9).sum()
    count = (label >= 0).sum()
    assert (label == 1).any()
    torch.testing.assert_close(losses["anchor_loss"], binary / count)
    torch.testing.assert_close(losses["anchor_offset_loss"], regression / count)


def test_head_losses_by_hand():
    """Given proposals of two windows, all of which are drawn, with the actions themselves."""
    model = detector(dropout=0.0, positive_share=1.0)
    maps = torch.randn(2, 16, 16, 2, 2)
    actions = [
        WindowActions(torch.tensor([[10.0, 20], [40, 60]]), torch.tensor([1, 0])),
        WindowActions(torch.empty(0, 2), torch.empty(0).long()),
    ]
    segment = torch.tensor([[12.0, 20], [30, 55], [0, 8], [5, 25]])
    proposals = Proposals(segment, torch.tensor([0, 0, 0, 1]))
    draws = [model.generator(row) for row in range(2)]
    losses = model.head_losses(maps, proposals, actions, draws, torch.Generator())
    # The proposals of the first window that overlap by half, the others, and its two actions; one of the second.
    rows = [(12, 20, 2, 0), (30, 55, 1, 1), (0, 8, 0, None), (10, 20, 2, 0), (40, 60, 1, 1)]
    logits, offsets = model.classify(
        maps, Proposals(torch.tensor([row[:2] for row in rows]).float(), torch.zeros(5).long())
    )
    classes = regression = 0.0
    for (start, end, kind, action), logit, offset in zip(rows, logits, offsets, strict=True):
        classes -= logit.log_softmax(0)[kind] / 5
        if action is not None:
            a, b = actions[0].segment[action].tolist()
            shift = (a + b - start - end) / 2 / (end - start) / 0.1
            growth = math.log((b - a) / (end - start)) / 0.2
            for value, target in zip(offset[kind], (shift, growth), strict=True):
                error = (value - target).abs()
                regression += torch.where(error < 1, 0.5 * error**2, error - 0.5) / 5
    other, _ = model.classify(maps, Proposals(segment[3:], torch.tensor([1])))
    classes -= other[0].log_softmax(0)[0]
    torch.testing.assert_close(losses["class_loss"], classes / 2)
    torch.testing.assert_close(losses["offset_loss"], regression / 2)


@pytest.mark.parametrize(("length", "filled"), [(150, [64, 64]), (100, [50])])
def test_detections_lie_in_the_video(length, filled):
    """Windows with a step, one of which repeats its last frame; starts and ends are in the video's frames."""
    windows = Windows(1, length, 64, 48, 3, "rgb", step=2)
    data_batch = collate([windows[index] for index in range(len(windows))])
    assert data_batch["num_frames"].tolist() == filled
    found = detector(score_threshold=0.0).eval().detect(data_batch)
    assert set(found.window.tolist()) == set(data_batch["start"].tolist())
    assert (found.segment[:, 1] > found.segment[:, 0]).all()
    assert (found.segment[:, 0] >= found.window).all()
    assert (found.segment[:, 1] <= (found.window + 128).clamp(max=length)).all()
    assert found.segment.max() > 64


def test_annotations_of_windows_give_those_of_the_video(tmp_path):
    """Cut by windows and a step, each action comes back whole and once."""
    model = detector().eval()
    windows = Windows(2, 160, 40, 24, 3, "rgb", step=1)
    for index in range(len(windows)):
        model._evaluate(collate([windows[index]]))
    _, actions = model.results.gathered()
    for video, (segments, classes) in enumerate(windows.actions):
        mine = actions.video == video
        order = actions.segment[mine][:, 0].argsort()
        assert actions.segment[mine][order].tolist() == segments.tolist()
        assert actions.label[mine][order].tolist() == classes.tolist()


def test_a_resumed_run_is_an_uninterrupted_one(tmp_path):
    whole, first, second = Record(), Record(), Record()
    data = {"train_videos": 4, "val_videos": 1}
    model = detector()
    trainer(tmp_path / "a", whole).fit(model, DetectionData(**data))
    saved = ModelCheckpoint(tmp_path / "b", save_top_k=-1, every_n_train_steps=2, filename="{step}")
    trainer(tmp_path / "b", first, saved, max_steps=2).fit(detector(), DetectionData(**data))
    torch.manual_seed(1234)  # nothing may depend on the state of torch's own generator
    again = detector()
    trainer(tmp_path / "b", second).fit(again, DetectionData(**data), ckpt_path=tmp_path / "b/step=2.ckpt")
    assert len(whole.losses) == 4
    assert first.losses + second.losses == whole.losses
    for name, value in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=0, atol=0)


def test_two_processes_evaluate_as_one(tmp_path):
    data = {"train_videos": 1, "val_videos": 2}
    (one,) = trainer(tmp_path, limit_val_batches=1.0).validate(detector(score_threshold=0.3), DetectionData(**data))
    (two,) = trainer(tmp_path, limit_val_batches=1.0, devices=2, strategy="ddp_fork").validate(
        detector(score_threshold=0.3), DetectionData(**data)
    )
    assert two == pytest.approx(one, abs=1e-6)
    assert one["val/map_0.5"] > 0


def test_two_processes_learn_as_one(tmp_path):
    """The same windows, flips and samples of anchors and proposals, so the same losses; but for dropout."""

    class Write(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            mean = pl_module.all_gather(outputs["loss"].detach()).mean()
            if trainer.is_global_zero:
                with (tmp_path / f"{trainer.world_size}.txt").open("a") as file:
                    file.write(f"{float(mean)}\n")

    for devices in (1, 2):
        changes = {"devices": 2, "strategy": "ddp_fork"} if devices == 2 else {}
        model = detector(network(norm="group"), dropout=0.0)
        trainer(tmp_path, Write(), **changes).fit(model, DetectionData(train_videos=3, val_videos=1))
    one, two = ([*map(float, (tmp_path / f"{devices}.txt").read_text().split())] for devices in (1, 2))
    assert len(one) == 3
    assert two == pytest.approx(one, rel=1e-4)


def test_half_precision():
    """Losses and segments are float32. Maps of 4 x 4, as torch 2.11 crashes on strides over 1 x 1 in bfloat16."""
    model, whole = (detector(network(stem_stride=1), flip_probability=0.0, dropout=0.0) for _ in range(2))
    with torch.autocast("cpu", torch.bfloat16):
        half = step(model, batch())
        found = model.detect(batch())
    half.backward()
    assert half.dtype == found.segment.dtype == found.score.dtype == torch.float32
    assert float(half.detach()) == pytest.approx(float(step(whole, batch()).detach()), rel=0.1)
    assert all(value.grad.isfinite().all() for value in model.parameters())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"segments": [torch.tensor([[30.0, 20.0]])] * 2, "classes": [torch.tensor([0])] * 2}, "from 30 to 20 is none"),
        ({"segments": [torch.tensor([[3.0, 20.0]])] * 2, "classes": [torch.tensor([2])] * 2}, "class 2 is not 0 to 1"),
        ({"segments": [torch.empty(0, 2)] * 2, "classes": [torch.tensor([0])] * 2}, "segments for 1 classes"),
        ({"segments": [torch.tensor([[3.0, float("nan")]])] * 2, "classes": [torch.tensor([0])] * 2}, "is none"),
    ],
)
def test_wrong_annotations_name_their_video(changes, message):
    model = detector()
    with pytest.raises(ValueError, match=rf"0000-L, window at frame 0: .*{message}"):
        step(model, batch(**changes))
    with pytest.raises(ValueError, match=message):
        model.eval()._evaluate(batch(**changes))


def test_odd_annotations_have_a_rule():
    """One past the end is cut, one that is mostly outside is left out, overlapping and empty ones are fine."""
    segments = [torch.tensor([[40.0, 70.0], [-90.0, 10.0], [10.0, 30.0], [12.0, 30.0]]), torch.empty(0, 2)]
    odd = batch(segments=segments, classes=[torch.tensor([0, 1, 0, 1]), torch.empty(0, dtype=torch.long)])
    first, second = detector().window_actions(odd)
    assert first.segment.tolist() == [[40, 64], [10, 30], [12, 30]]
    assert first.label.tolist() == [0, 0, 1]
    assert len(second.segment) == 0
    assert step(detector(), odd).isfinite()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"anchor_scales": ()}, "anchor_scales must be positive"),
        ({"dropout": 1.0}, "dropout must lie"),
        ({"proposal_background": 0.6}, "must lie below those of positive ones"),
        ({"proposals": 0}, "must be positive"),
        ({"num_classes": 0}, "num_classes is 0"),
        ({"map_thresholds": (0.0,)}, "thresholds must lie above 0"),
        ({"modality": "depth", "preprocessing": DEFAULTS["rgb"]}, "modality is depth, preprocessing is of rgb"),
        ({"stage": "layer9"}, "no stage 'layer9'; its stages are stem, layer1, layer2, layer3"),
    ],
)
def test_wrong_arguments_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        detector(**changes)


def test_wrong_batches_are_refused():
    with pytest.raises(ValueError, match=r"model\.modality is depth, the data has rgb"):
        detector(modality="depth").detect(batch("rgb"))
    short = batch()
    short["rgb"] = short["rgb"][:, :63]
    with pytest.raises(ValueError, match="63 frames does not fill cells of 4"):
        detector().detect(short)


def test_stages_that_take_no_part_do_not_train():
    model = detector(stage="layer2")
    assert all(value.requires_grad == ("layer3" not in name) for name, value in model.named_parameters())


def test_a_loss_that_is_no_number_stops(tmp_path):
    model = detector()
    with torch.no_grad():
        model.head.classes.bias.fill_(float("nan"))
    with pytest.raises(ValueError, match="the loss is nan at step 0"):
        trainer(tmp_path).fit(model, DetectionData(train_videos=2, val_videos=1))


@pytest.mark.parametrize(
    ("backbone", "stage", "expected"),
    [
        (R3D(widths=(2, 3, 4, 5), blocks=(1, 1, 1, 1)), None, (5, 8)),
        (R3D(widths=(2, 3, 4, 5), blocks=(1, 1, 1, 1)), "layer3", (4, 4)),
        (R2Plus1D(widths=(2, 3, 4, 5), blocks=(1, 1, 1, 1), stem_width=2), None, (5, 8)),
        (I3D(width_multiplier=0.02), "mixed_4f", None),
    ],
)
def test_maps_of_any_network(backbone, stage, expected):
    channels, stride = stage_cells(backbone, stage)
    if expected is not None:
        assert (channels, stride) == expected
    assert backbone.training
    clip = torch.randn(2, 3, 4 * stride, 32, 32)
    backbone.eval()
    maps = backbone.forward_maps(clip, stage)
    assert maps.shape[:3] == (2, channels, 4)
    torch.testing.assert_close(maps, backbone.feature_maps(clip)[stage or list(backbone.feature_maps(clip))[-1]])


def test_the_published_size_fits():
    """112 x 112 pixels, the default heads, on the narrowest network."""
    backbone = R3D(widths=(2, 2, 2, 4), blocks=(1, 1, 1, 1))
    model = RC3D(backbone, proposal_channels=8, hidden_features=8).eval()
    assert len(ACTIVITYNET_SCALES) == 37
    depth = torch.randint(0, 5000, (1, 96, 112, 112), dtype=torch.int16)
    windows = {**batch("depth", 1), "depth": depth, "num_frames": torch.tensor([96])}
    maps = model.network.forward_maps(model.prepare(windows))
    assert maps.shape == (1, 4, 12, 7, 7)
    assert model.judge_anchors(maps)[1].shape == (1, 12 * 37)
    model.detect(windows)


def test_frozen_norms_stay():
    model = detector(freeze_batch_norm=True)
    before = copy.deepcopy(dict(model.network.named_buffers()))
    model.train()
    step(model, batch()).backward()
    assert before
    for name, value in model.network.named_buffers():
        torch.testing.assert_close(value, before[name])
    assert not any(value.requires_grad for name, value in model.network.named_parameters() if ".1." in name)


def optimizer_of(model):
    """Its optimizer and what changes the rates of it."""
    found = model.configure_optimizers()
    return found["optimizer"], found["lr_scheduler"]["scheduler"]


def test_colours_of_windows_are_mixed_around_grey():
    model, windows = detector(), batch(count=2)
    colours = torch.stack((torch.eye(3), torch.zeros(3, 3)))
    plain, mixed = model.prepare(windows), model.prepare(windows, colours=colours)
    unit = [clip * torch.tensor(model.preprocessing.std).view(3, 1, 1, 1) for clip in (plain[0], mixed[0])]
    difference = (unit[0] - unit[1]).flatten(1)
    torch.testing.assert_close(difference, difference.mean(1, keepdim=True).expand_as(difference), atol=1e-5, rtol=0)
    grey = mixed[1] * torch.tensor(model.preprocessing.std).view(3, 1, 1, 1)
    grey = grey + torch.tensor(model.preprocessing.mean).view(3, 1, 1, 1)
    torch.testing.assert_close(grey, torch.full_like(grey, 0.5))
    with pytest.raises(ValueError, match="depth has no colours"):
        detector(modality="depth", recolour=True)


def test_colours_of_training_depend_on_the_seed(tmp_path):
    losses = []
    for seed in (0, 0, 1):
        model, record = detector(dropout=0.0, flip_probability=0.0, recolour=True, seed=seed), Record()
        trainer(tmp_path, record, max_steps=2).fit(model, DetectionData())
        losses.append(record.losses)
    assert losses[0] == losses[1] != losses[2]


def test_rates_of_biases_and_epochs():
    model = detector(learning_rate=1e-4, milestones=(6,))
    optimizer, schedule = optimizer_of(model)
    rates = []
    for _ in range(8):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    assert [rate for rate, _ in rates] == pytest.approx([1e-4] * 6 + [1e-5] * 2)
    assert [bias for _, bias in rates] == pytest.approx([2e-4] * 6 + [2e-5] * 2)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [5e-4, 0]
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(model.parameters()))
    assert isinstance(optimizer, torch.optim.SGD) and optimizer.defaults["momentum"] == 0.9


def test_rates_rise_first():
    optimizer, schedule = optimizer_of(detector(optimizer="adamw", learning_rate=1e-3, warmup_epochs=1))
    assert isinstance(optimizer, torch.optim.AdamW)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([5e-4, 1e-3])
    optimizer.step()
    schedule.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([1e-3, 2e-3])


def test_its_backbone_is_found_in_a_checkpoint(tmp_path):
    model = detector()
    run = trainer(tmp_path, max_steps=1)
    run.fit(model, DetectionData(train_videos=2, val_videos=1))
    run.save_checkpoint(tmp_path / "detector.ckpt")
    start = detector(weights=str(tmp_path / "detector.ckpt"))
    torch.testing.assert_close(start.network.state_dict(), model.network.state_dict())
    exported = export(tmp_path / "detector.ckpt", tmp_path / "network.safetensors").header
    assert (exported["architecture"], exported["method"]) == ("R3D", "RC3D")


def tubelet_network(**changes):
    seed_everything(3)
    return R2Plus1D((4, 8, 8), (1, 1, 1), stem_width=3, spatial_strides=(2, 2, 1), motion_stem=True, **changes)


def test_it_learns_from_a_tubelet_checkpoint(tmp_path):
    for number in range(4):
        write_video(tmp_path / "videos" / f"{number}.mp4", moving_texture(12, 24, 32, seed=number))
    videos = VideoFolderDataModule(
        tmp_path / "videos", num_frames=4, crop_size=24, short_sides=(24,), global_batch_size=4, num_workers=0
    )
    contrast = TubeletContrast(tubelet_network(samples_per_norm=4), projection_dim=4, queue_size=8)
    run = trainer(tmp_path, max_steps=1)
    run.fit(contrast, videos)
    run.save_checkpoint(tmp_path / "tubelet.ckpt")
    model = detector(tubelet_network(), weights=str(tmp_path / "tubelet.ckpt"), dropout=0.0, flip_probability=0.0)
    torch.testing.assert_close(model.network.state_dict(), contrast.network.state_dict(), rtol=0, atol=0)
    assert model.stride == 4
    step(model, batch()).backward()
    assert all(value.grad is not None and value.grad.any() for value in model.parameters())
    model.zero_grad()
    losses = Record()
    trainer(tmp_path, losses, max_epochs=2).fit(model, DetectionData())
    assert sum(losses.losses[-4:]) < 0.8 * sum(losses.losses[:4])


@pytest.mark.parametrize(
    ("rename", "dilated", "stride"),
    [
        (lambda state: state, False, 4),
        (lambda state: {"state_dict": {f"module.encoder_q.{key}": value for key, value in state.items()}}, False, 4),
        (lambda state: {"state_dict": {f"module.0.{key}": value for key, value in state.items()}}, True, 2),
    ],
    ids=["torchvision", "moco", "tclr"],
)
def test_it_starts_from_published_files(rename, dilated, stride, tmp_path):
    """Of networks whose maps have cells of 4 frames, or, TCLR's, of 2."""
    source = tubelet_network(dilated_last_stage=dilated)
    torch.save(rename(source.state_dict()), tmp_path / "file.pth")
    seed_everything(4)
    backbone = R2Plus1D((4, 8, 8), (1, 1, 1), 3, spatial_strides=(2, 2, 1), dilated_last_stage=dilated)
    model = detector(backbone, weights=str(tmp_path / "file.pth"))
    if not dilated:
        torch.testing.assert_close(model.network.state_dict(), source.state_dict(), rtol=0, atol=0)
    assert model.stride == stride
    assert model.judge_anchors(model.network.forward_maps(model.prepare(batch())))[0].shape == (64 // stride * 5, 2)
    assert step(model, batch()).isfinite()
