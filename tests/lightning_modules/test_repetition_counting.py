"""Repetition counting on toy videos that grow bright and dark: it learns to count, and resumes as if not stopped."""

import copy

import pytest
import torch
from pytorch_lightning import LightningDataModule, Trainer, seed_everything
from pytorch_lightning.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from datamodules.readers.cycles import neighbour_lengths
from datamodules.repetition_dataset import collate
from lightning_modules import RepetitionCounting
from lightning_modules.networks import R3D

SIDE = 8


def video(row):
    """A video of 40 to 60 frames with 2 to 8 cycles of brightness."""
    draw = torch.Generator().manual_seed(row)
    count = 2 + row % 7
    mean = int(torch.randint(40, 61, (), generator=draw)) / count
    bounds = (mean * torch.arange(count + 1)).round().long()
    time = torch.arange(int(bounds[-1]) + 1)
    cycle = (torch.searchsorted(bounds, time, right=True) - 1).clamp(max=count - 1)
    phase = (time - bounds[cycle]) / (bounds[cycle + 1] - bounds[cycle])
    noise = torch.randint(20, (len(time), SIDE, SIDE, 3), generator=draw)
    frames = (118 - 100 * torch.cos(2 * torch.pi * phase)[:, None, None, None] + noise).to(torch.uint8)
    previous, following = (torch.from_numpy(lengths) for lengths in neighbour_lengths(bounds.numpy()))
    lengths = {"bounds": bounds, "previous_length": previous, "next_length": following}
    return {"frames": frames, **lengths, "sample": row, "name": f"video {row}", "broken": []}


class Videos(LightningDataModule):
    mean_count = 5.0

    def train_dataloader(self):
        return DataLoader([video(row) for row in range(28)], batch_size=7, collate_fn=collate)

    def val_dataloader(self):
        return DataLoader([video(100 + row) for row in range(14)], batch_size=5, collate_fn=collate)

    test_dataloader = predict_dataloader = val_dataloader


def counter(**changes):
    seed_everything(0)
    network = R3D((8, 16), (1, 1), temporal_strides=(1, 2))
    arguments = {"num_frames": 8, "contexts": 8, "learning_rate": 0.01, "weight_decay": 0.0, "optimizer": "adamw"}
    return RepetitionCounting(network, **{**arguments, **changes})


def trainer(folder, *callbacks, **changes):
    arguments = {"max_epochs": 1, "accelerator": "cpu", "logger": False, "enable_progress_bar": False}
    arguments |= {"enable_model_summary": False, "use_distributed_sampler": False, "limit_val_batches": 0}
    arguments["enable_checkpointing"] = bool(callbacks)
    return Trainer(default_root_dir=folder, callbacks=list(callbacks), **{**arguments, **changes})


def batch(count=3):
    return collate([video(row) for row in range(count)])


def test_it_learns_to_count(tmp_path):
    method = counter(milestones=(20,))
    run = trainer(tmp_path, max_epochs=25)
    run.fit(method, Videos())
    (found,) = run.test(method, Videos(), verbose=False)
    assert set(found) == {"test/error", "test/off_by_one", "test/error_of_mean_count"}
    assert found["test/error_of_mean_count"] == pytest.approx((3 / 2 + 2 / 3 + 1 / 4 + 0 + 1 / 6 + 2 / 7 + 3 / 8) / 7)
    assert found["test/error"] < 0.5 * found["test/error_of_mean_count"]
    assert found["test/off_by_one"] > 3 / 7  # that of the mean count


def test_every_parameter_is_trained_and_nothing_outside_the_video_is_seen(tmp_path):
    method = counter(follow=0.0)
    run = trainer(tmp_path, limit_train_batches=1)
    run.fit(method, Videos())
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in method.parameters())
    method.eval()
    held, padded = batch(), batch()
    for row, frames in enumerate(padded["num_frames"].tolist()):
        padded["frames"][row, frames:] = 255
    for one, other in zip(method.count(held), method.count(padded), strict=True):
        assert torch.equal(one, other)


def test_a_context_that_goes_on_has_the_networks_estimate_and_its_own_truth(tmp_path):
    draws = torch.rand(24, 9, generator=torch.Generator().manual_seed(0))
    staying, going = counter(follow=0.0), counter(follow=1.0)
    torch.nn.init.zeros_(going.head.behind.weight)
    torch.nn.init.zeros_(going.head.ahead.weight)
    with torch.no_grad():
        going.head.behind.bias[6] = going.head.ahead.bias[3] = 1.0  # twice as long behind, the same ahead
    first, _ = staying.draw(batch(), draws)
    second, true = going.draw(batch(), draws)
    assert torch.equal(first.span, second.span)
    assert torch.allclose(second.length, first.limited(first.length * torch.tensor([2.0, 1.0])))
    moved = (second.middle - first.middle) % first.span.diff()[:, 0]
    part = moved / first.span.diff()[:, 0]
    assert part.min() > 0.02 and part.max() <= 0.2
    held = batch()
    lengths = torch.stack((held["previous_length"], held["next_length"]), dim=2)
    assert torch.equal(true, lengths[second.row, second.middle])


def test_stopping_and_going_on_is_as_good_as_not_stopping(tmp_path):
    whole = counter()
    trainer(tmp_path / "whole", max_epochs=2).fit(whole, Videos())
    saver = ModelCheckpoint(tmp_path / "first", save_last=True)
    trainer(tmp_path / "first", saver, max_epochs=1).fit(counter(), Videos())
    resumed = counter()
    trainer(tmp_path / "second", max_epochs=2).fit(resumed, Videos(), ckpt_path=tmp_path / "first/last.ckpt")
    for one, other in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_predictions_name_the_videos(tmp_path):
    predictions = trainer(tmp_path).predict(counter(), Videos())
    assert [len(part["count"]) for part in predictions] == [5, 5, 4]
    assert predictions[0]["name"][0] == "video 100" and predictions[0]["length"].shape == (5, 16, 2)
    assert (predictions[0]["count"] >= 2).all()


def test_backbone_weights_of_another_method_are_taken(tmp_path):
    source = counter()
    saver = ModelCheckpoint(tmp_path, save_last=True)
    trainer(tmp_path, saver, limit_train_batches=1).fit(source, Videos())
    taken = counter(weights=str(tmp_path / "last.ckpt"), contexts=2)
    for one, other in zip(source.network.state_dict().values(), taken.network.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_flips_show_a_context_mirrored():
    method = counter().eval()
    held = batch(1)
    held["frames"][:, :, :, : SIDE // 2] = 0
    contexts, _ = method.draw(held, torch.rand(8, 9, generator=torch.Generator().manual_seed(0)))
    mirrored = copy.deepcopy(held)
    mirrored["frames"] = held["frames"].flip(3)
    flipped = method.judge(held["frames"], contexts, torch.ones(8, dtype=torch.bool))
    assert torch.allclose(flipped.logit, method.judge(mirrored["frames"], contexts).logit, atol=1e-6)
    assert not torch.allclose(flipped.logit, method.judge(held["frames"], contexts).logit, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_frames": 7}, "num_frames=7 must be even"),
        ({"num_frames": 10}, "makes 5 cells in time of num_frames=10, which cannot be halved"),
        ({"contexts": 0}, "contexts=0"),
        ({"anchors": (0.5, 0.0)}, "must be positive"),
        ({"follow": 1.5}, "follow=1.5"),
        ({"flip_probability": -1.0}, "flip_probability=-1.0"),
    ],
)
def test_arguments_out_of_range_are_one_line(changes, message):
    with pytest.raises(ValueError, match=message) as error:
        counter(**changes)
    assert "\n" not in str(error.value)
