"""Momentum contrast on the embedded data: steps worked out by hand, resume, two processes, non-finite losses."""

import copy
import json

import pytest
import torch
from pytorch_lightning import Callback, Trainer, seed_everything
from pytorch_lightning.callbacks import ModelCheckpoint
from torch.nn import functional

from datamodules import SyntheticKineticsDataModule
from lightning_modules import TemporalContrast, TubeletContrast
from lightning_modules.networks import R2Plus1D
from lightning_modules.networks.heads import ProjectionHead
from lightning_modules.networks.momentum_encoder import MomentumEncoder, encoder
from lightning_modules.views.tubelets import Tubelets


@pytest.fixture(scope="session")
def videos(tmp_path_factory):
    return tmp_path_factory.mktemp("synthetic")


def data(videos, **changes):
    arguments = {
        "train_videos": 24,
        "val_videos": 12,
        "video_frames": 16,
        "num_frames": 4,
        "global_batch_size": 8,
        "num_workers": 0,
    }
    return SyntheticKineticsDataModule(cache=videos, **{**arguments, **changes})


def network(**changes):
    return R2Plus1D(widths=(4, 8), blocks=(1, 1), stem_width=4, **changes)


def tubelet_contrast(**changes):
    seed_everything(0)
    arguments = {"queue_size": 20, "tubelets": Tubelets(patch_size=(6, 16)), "projection_dim": 16}
    samples = changes.pop("samples_per_norm", None)
    return TubeletContrast(network(samples_per_norm=samples), **{**arguments, **changes})


class Record(Callback):
    """Losses of each batch, in order."""

    def __init__(self):
        self.losses = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.losses.append(float(outputs["loss"]))


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


def test_key_encoder_is_a_moving_average():
    query = encoder(network(), ProjectionHead(8, out_dim=16))
    key = MomentumEncoder(query, momentum=0.9)
    before = [parameter.clone() for parameter in key.parameters()]
    with torch.no_grad():
        for parameter in query.parameters():
            parameter += torch.randn_like(parameter)
    key.update(query)
    for old, new, source in zip(before, key.parameters(), query.parameters(), strict=True):
        torch.testing.assert_close(new, 0.9 * old + 0.1 * source)
    assert not any(parameter.requires_grad for parameter in key.parameters())
    assert list(key.state_dict()) == list(query.state_dict())


def test_a_step_by_hand(videos, tmp_path):
    """Loss, queue and key encoder after one step, recomputed from the views with plain operations."""
    model = tubelet_contrast(shuffle_keys=False, key_momentum=0.9)
    start = copy.deepcopy(model)
    seen = {}

    class Keep(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            seen.update(clip=batch["clip"], loss=outputs["loss"].detach())

    trainer(tmp_path, Keep(), max_steps=1).fit(model, data(videos))
    query_clip, key_clip = start.views(seen["clip"], start.generator(0))
    start.train()
    query = functional.normalize(start.query_encoder(start.prepare(query_clip)), dim=1)
    key = functional.normalize(start.key_encoder(start.prepare(key_clip)), dim=1)
    logits = torch.cat([(query * key).sum(1, keepdim=True), query @ start.queue.keys.T], 1) / 0.2
    torch.testing.assert_close(seen["loss"], -logits.log_softmax(1)[:, 0].mean())
    torch.testing.assert_close(model.queue.keys[:8], key)
    torch.testing.assert_close(model.queue.keys[8:], start.queue.keys[8:])
    assert model.queue.count == 8
    for old, new, source in zip(
        start.key_encoder.parameters(), model.key_encoder.parameters(), model.query_encoder.parameters(), strict=True
    ):
        torch.testing.assert_close(new, 0.9 * old + 0.1 * source)


@pytest.mark.parametrize("method", [TubeletContrast, TemporalContrast])
def test_every_trainable_parameter_gets_a_gradient(method, videos):
    model = method(network(), queue_size=20)
    module = data(videos, num_clips=2)
    module.prepare_data()
    module.setup("fit")
    batch = next(iter(module.train_dataloader()))
    query_clip, key_clip = model.views(batch["clip"], model.generator(0))
    losses, _ = model.info_nce(
        model.query_encoder(model.prepare(query_clip)),
        model.encode_keys(key_clip, model.generator(0)),
        model.queue.keys,
    )
    losses.mean().backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name
        else:
            assert name.startswith("key_encoder")


def test_key_encoder_moves_once_per_optimizer_step(videos, tmp_path):
    moves = []
    model = tubelet_contrast()
    update = model.key_encoder.update
    model.key_encoder.update = lambda source: (moves.append(model.trainer.global_step), update(source))
    run = trainer(tmp_path, accumulate_grad_batches=2, max_epochs=1)
    run.fit(model, data(videos))
    assert run.global_step == 3  # 24 videos, 8 a step
    assert len(moves) == 3
    assert model.queue.count == 24


@pytest.mark.parametrize(("workers", "accumulate"), [(0, 1), (2, 1), (2, 2)])
def test_stop_and_resume_equals_not_stopping(videos, tmp_path, workers, accumulate):
    """In mid-epoch: weights, queue, momentum, optimizer, schedule, order of videos and views all go on."""
    whole = Record()
    settings = {"num_workers": workers}
    complete = tubelet_contrast()
    gather = {"accumulate_grad_batches": accumulate}
    trainer(tmp_path / "whole", whole, **gather).fit(complete, data(videos, **settings))

    class Crash(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if trainer.global_step == 4:
                raise RuntimeError("killed")

    parts = Record()
    checkpoint = ModelCheckpoint(dirpath=tmp_path, every_n_train_steps=1, save_last=True, save_top_k=0)
    with pytest.raises(RuntimeError, match="killed"):
        trainer(tmp_path, parts, checkpoint, Crash(), **gather).fit(tubelet_contrast(), data(videos, **settings))
    resumed = tubelet_contrast()
    trainer(tmp_path, parts, **gather).fit(resumed, data(videos, **settings), ckpt_path=tmp_path / "last.ckpt")
    assert len(whole.losses) == 6 * accumulate
    assert parts.losses == whole.losses
    for name, value in complete.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, rtol=0, atol=0, msg=name)


class Save(Callback):
    """What each process holds after training."""

    def __init__(self, folder):
        self.folder, self.losses, self.logged = folder, [], []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        loss = outputs["loss"].detach().clone()
        if trainer.world_size > 1:
            torch.distributed.all_reduce(loss)
        self.losses.append(float(loss) / trainer.world_size)

        self.logged.append(float(trainer.callback_metrics["train/loss"]))

    def on_train_end(self, trainer, pl_module):
        name = f"{trainer.world_size}_{trainer.global_rank}"
        torch.save(pl_module.queue.state_dict(), self.folder / f"queue_{name}.pt")
        (self.folder / f"losses_{name}.json").write_text(json.dumps(self.losses))
        assert self.logged == pytest.approx(self.losses)


@pytest.mark.parametrize("method", ["tubelet", "temporal"])
def test_two_processes_equal_one(videos, tmp_path, method):
    """Same global batch: the same views, shuffling, losses and queue on one process and on two."""

    def model():
        if method == "tubelet":
            return tubelet_contrast(samples_per_norm=2, in_batch_negatives=True, head_batch_norm=True)
        seed_everything(0)
        return TemporalContrast(network(samples_per_norm=2), queue_size=20, projection_dim=16)

    clips = {"num_clips": 2 if method == "temporal" else 1}
    data(videos).prepare_data()
    trainer(tmp_path, Save(tmp_path), max_epochs=1).fit(model(), data(videos, **clips))
    trainer(tmp_path, Save(tmp_path), max_epochs=1, devices=2, strategy="ddp_fork").fit(model(), data(videos, **clips))
    one = json.loads((tmp_path / "losses_1_0.json").read_text())
    two = [json.loads((tmp_path / f"losses_2_{rank}.json").read_text()) for rank in (0, 1)]
    assert len(one) == 3
    assert two[0] == two[1]
    assert two[0] == pytest.approx(one, rel=1e-4)
    queues = [torch.load(tmp_path / f"queue_{name}.pt", weights_only=True) for name in ("1_0", "2_0", "2_1")]
    torch.testing.assert_close(queues[1], queues[2], rtol=0, atol=0)
    torch.testing.assert_close(queues[1], queues[0], rtol=1e-3, atol=1e-4)


def test_non_finite_loss_stops_before_it_reaches_the_weights(videos, tmp_path):
    model = tubelet_contrast()
    with torch.no_grad():
        next(model.query_encoder.parameters())[0] = float("nan")
    untouched = [parameter.clone() for parameter in model.key_encoder.parameters()]
    with pytest.raises(ValueError, match=r"loss is nan at step 0, learning rate 0.01, batch of .*\.mp4.*learning_rate"):
        trainer(tmp_path).fit(model, data(videos))
    torch.testing.assert_close(list(model.key_encoder.parameters()), untouched)


def test_temporal_contrast_needs_two_clips(videos, tmp_path):
    with pytest.raises(ValueError, match=r"data\.num_clips"):
        trainer(tmp_path).fit(TemporalContrast(network(), queue_size=20), data(videos))


def test_no_negatives_are_refused():
    with pytest.raises(ValueError, match="no negatives"):
        TubeletContrast(network(), queue_size=0)


def test_independent_pairs_are_half_as_many(videos):
    model = tubelet_contrast(pairing="independent")
    clip = torch.randint(0, 256, (6, 1, 4, 32, 32, 3), dtype=torch.uint8)
    query, key = model.views(clip, model.generator(0))
    assert query.shape == key.shape == (3, 4, 32, 32, 3)


def test_views_of_a_rank_are_rows_of_the_global_batch(monkeypatch):
    model = tubelet_contrast()
    clip = torch.randint(0, 256, (8, 1, 4, 32, 32, 3), dtype=torch.uint8)
    whole = model.views(clip, model.generator(5))
    monkeypatch.setattr("lightning_modules.tubelet_contrast.world", lambda: (1, 2))
    half = model.views(clip[4:], model.generator(5))
    for part, all_rows in zip(half, whole, strict=True):
        torch.testing.assert_close(part, all_rows[4:], rtol=0, atol=0)


@pytest.mark.parametrize("shuffle", [False, True])
def test_batch_norm_leak_is_cured_by_shuffling(shuffle):
    """With groups of normalisation, a key's neighbours differ from its query's if and only if keys are shuffled."""
    seed_everything(0)
    model = TubeletContrast(network(samples_per_norm=2), shuffle_keys=shuffle)
    clip = torch.randint(0, 256, (8, 4, 32, 32, 3), dtype=torch.uint8)
    keys = model.encode_keys(clip, model.generator(0))
    together = model.key_encoder(model.prepare(clip))
    assert torch.allclose(keys, together, atol=1e-5) != shuffle


def test_optimizer_of_the_thesis(videos, tmp_path):
    model = tubelet_contrast()
    run = trainer(tmp_path, max_epochs=1)
    run.fit(model, data(videos))
    (group,) = run.optimizers[0].param_groups
    assert (group["momentum"], group["weight_decay"], group["initial_lr"]) == (0.9, 1e-4, 0.01)
    assert group["lr"] == pytest.approx(0, abs=1e-9)  # the cosine's end
