"""TubeDetection: steps by hand, evaluation from clips to video mAP, checkpoints, and what it refuses."""

import copy

import numpy as np
import pytest
import torch
import yaml
from pytorch_lightning import Callback
from recognition_fakes import Record, trainer

import configs
from callbacks import PredictionWriter
from datamodules import SyntheticUCF10124DataModule
from lightning_modules import TubeDetection, load_pretrained
from lightning_modules.networks import R2Plus1D
from lightning_modules.tube_detection import flip_boxes
from lightning_modules.tubes.anchors import decode, k_means_anchors
from lightning_modules.tubes.detections import FrameDetections
from lightning_modules.tubes.region_loss import region_losses
from lightning_modules.views.clip import normalise


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("ucf101_24")


def data(cache, **changes):
    arguments = {"train_videos": 2, "test_videos": 1, "video_frames": 10, "num_frames": 4, "size": 32}
    arguments |= {"eval_frames": 6, "global_batch_size": 8, "eval_batch_size": 2, "num_workers": 0}
    return SyntheticUCF10124DataModule(cache=cache, **{**arguments, **changes})


def model(**changes):
    torch.manual_seed(0)
    network = R2Plus1D((4, 6), (1, 1), stem_width=3, norm="group")
    arguments = {"anchors": None, "learning_rate": 0.01, "milestones": (1,), "trim": 0.5}
    return TubeDetection(network, **{**arguments, **changes})


class Batches(Callback):
    def __init__(self):
        self.seen = []

    def on_test_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        self.seen.append(batch)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("pool", ["mean", "last"])
def test_a_step_by_hand(cache, tmp_path, flip, pool):
    record, tuned = Record(), model(flip=flip, pool=pool, weight_decay=0.0)
    module = data(cache)
    start = copy.deepcopy(tuned)
    trainer(tmp_path, record, max_steps=1, limit_val_batches=0).fit(tuned, module)
    start.build(6)
    (batch,) = record.batches
    clips, boxes = batch["clip"].clone(), batch["boxes"].clone()
    flipped = start.augmentation.draw(8, 1, start.generator(0)).flipped[:, 0]
    assert flipped.any() == flip
    clips[flipped] = clips[flipped].flip(3)
    turned = flipped[batch["owner"]]
    boxes[turned] = torch.stack([1 - boxes[turned, 2], boxes[turned, 1], 1 - boxes[turned, 0], boxes[turned, 3]], 1)
    maps = start.network.forward_maps(normalise(clips))
    assert maps.shape[2] == 2
    anchors = k_means_anchors(module.box_sizes, 5)
    found = decode(start.head(maps.mean(2) if pool == "mean" else maps[:, :, 1]), anchors)
    loss = sum(region_losses(found, boxes, batch["owner"], batch["box_label"], anchors, 1, 5, 0.6, 2).values())
    assert record.losses == [pytest.approx(float(loss.detach()), rel=1e-5)]
    loss.backward()
    assert all(value.grad is not None and value.grad.any() for value in start.parameters())
    # The first step of Adam moves each weight by the rate, against the sign of its gradient.
    weight, new = start.head.weight, tuned.head.weight
    sure = weight.grad.abs() > 1e-4
    torch.testing.assert_close(new[sure], (weight - 0.01 * weight.grad.sign())[sure], atol=1e-4, rtol=0)


def test_perfect_detections_are_worth_one_and_shuffled_ones_are_not(cache, tmp_path):
    module, tuned = data(cache), model()

    def scores(change):
        """Test a network that detects what is annotated, changed."""
        tuned.detect = lambda batch: change(annotated(batch))
        (result,) = trainer(tmp_path).test(tuned, module, verbose=False)
        return result

    result = scores(lambda found: found)
    assert result == pytest.approx(dict.fromkeys(result, 1.0))
    names = ("frame_map", "video_map", "video_map_0.1", "video_map_0.2", "video_map_0.5")
    assert {*result} == {f"test/{name}" for name in names}
    wrong = scores(lambda found: type(found)(found.video, found.frame, (found.label + 1) % 6, found.box, found.score))
    assert wrong == pytest.approx(dict.fromkeys(wrong, 0.0))
    late = scores(lambda found: found[found.frame % 10 < 4])
    assert 0 < late["test/frame_map"] < 0.8
    assert late["test/video_map_0.5"] < 1


def annotated(batch):
    """What a perfect network detects."""
    run = batch["frame"].shape[1]
    video, frame = batch["video"][batch["owner"] // run], batch["frame"].flatten()[batch["owner"]]
    return FrameDetections(video, frame, batch["box_label"], batch["boxes"], torch.full_like(batch["boxes"][:, 0], 0.9))


def test_clips_are_cut_out_of_runs(cache, tmp_path):
    """Each key frame's clip is the frames that end with it, and nothing is looked at past the end of a video."""
    batches, tuned = Batches(), model()
    seen = []
    output = tuned.output
    tuned.output = lambda clips: seen.append(clips) or output(clips)
    trainer(tmp_path, batches).test(tuned, data(cache), verbose=False)
    clips, place = torch.cat(seen), 0
    for batch in batches.seen:
        for pieces, frames in zip(batch["clip"], batch["frame"], strict=True):
            for number in range(int((frames >= 0).sum())):
                torch.testing.assert_close(clips[place], normalise(pieces[None, number : number + 4])[0])
                place += 1
    assert place == len(clips) == 60
    assert len(tuned.videos) == 6
    assert len(tuned.evaluated[1]) >= 6


def test_detections_of_a_frame_by_hand():
    """Two boxes that overlap: the surer one stays, with both of its classes; a faint one does not."""
    tuned = model(anchors=((0.5, 0.5), (0.4, 0.5)), num_classes=2, score_threshold=0.2, max_detections=3)
    output = torch.full((1, 14, 1, 2), -9.0)
    output[0, 4, 0, 0], output[0, 11, 0, 0], output[0, 4, 0, 1] = 1.0, 2.0, -1.0
    output[0, [0, 1, 2, 3, 5, 6, 7, 8, 9, 10]] = 0.0
    output[0, 12:, 0, 0] = torch.tensor([0.2, 0.0])
    frame, label, box, score = tuned._detections(output)
    first, second = torch.tensor([0.2, 0.0]).softmax(0) * torch.tensor(2.0).sigmoid()
    assert (frame.tolist(), label.tolist()) == ([0, 0], [0, 1])
    assert score.tolist() == pytest.approx([float(first), float(second)])
    assert box.tolist() == [pytest.approx([0.05, 0.25, 0.45, 0.75])] * 2


def test_predictions_are_written_a_row_a_box(cache, tmp_path):
    tuned, run = model(score_threshold=0.0), trainer(tmp_path, PredictionWriter(tmp_path))
    run.test(tuned, data(cache), verbose=False)  # the classes and anchors are those of the data
    found = run.predict(tuned, data(cache))
    rows = np.load(tmp_path / "predictions.npz")
    assert len(rows["score"]) == sum(len(batch["score"]) for batch in found) > 0
    assert rows["box"].shape == (len(rows["score"]), 4)
    assert all(name in tuned.videos.values() for name in rows["name"]) and rows["class"].max() < 6


def test_boxes_are_mirrored():
    boxes = torch.tensor([[0.1, 0.2, 0.4, 0.9]])
    assert flip_boxes(boxes).tolist() == [pytest.approx([0.6, 0.2, 0.9, 0.9])]
    torch.testing.assert_close(flip_boxes(flip_boxes(boxes)), boxes)


def test_a_checkpoint_keeps_anchors_and_classes_and_gives_its_network(cache, tmp_path):
    tuned, run = model(), trainer(tmp_path, max_steps=2, limit_val_batches=0)
    run.fit(tuned, data(cache))
    file = tmp_path / "last.ckpt"
    run.save_checkpoint(file)
    (before,) = run.test(tuned, data(cache), verbose=False)
    again = model()
    (after,) = trainer(tmp_path).test(again, data(cache), ckpt_path=file, verbose=False)
    assert after == before
    assert torch.equal(again.anchors, tuned.anchors) and again.anchors.min() > 0.05
    weights = load_pretrained(file)[0].state_dict()
    assert all(torch.equal(weights[name], value) for name, value in tuned.network.state_dict().items())
    with pytest.raises(ValueError, match="the checkpoint has 6 classes and 5 anchors, this run 7 and 5"):
        trainer(tmp_path).test(model(num_classes=7), data(cache), ckpt_path=file, verbose=False)
    from_it = model(weights=str(file))
    assert torch.equal(next(from_it.network.parameters()), next(tuned.network.parameters()))


def test_it_refuses_what_it_cannot_use(cache, tmp_path):
    with pytest.raises(ValueError, match=r"the data have 6 classes, the head 3: set model.num_classes=6"):
        trainer(tmp_path).test(model(num_classes=3), data(cache), verbose=False)
    with pytest.raises(ValueError, match=r"map_threshold=0.3 must be one of map_thresholds=\(0.1, 0.2, 0.5\)"):
        model(map_threshold=0.3)
    with pytest.raises(ValueError, match=r"anchors=\(\(0.1, 0.0\),\) must be widths and heights above 0"):
        model(anchors=((0.1, 0.0),))
    with pytest.raises(ValueError, match=r"trim=1.0 above 0 and below 1"):
        model(trim=1.0)
    with pytest.raises(ValueError, match="pool='max' must be mean or last"):
        model(pool="max")
    with pytest.raises(ValueError, match="num_anchors=0, max_boxes=10"):
        model(num_anchors=0)
    tuned = model(num_classes=2, anchors=((0.5, 0.5),))
    batch = {"box_label": torch.tensor([0, 2]), "owner": torch.tensor([0, 3]), "frame": torch.zeros(2, 2), "name": "ab"}
    with pytest.raises(ValueError, match=r"b: class 2 is not 0 to 1; set model.num_classes"):
        tuned.check(batch)


def test_the_recipe_is_that_of_the_thesis():
    """B.2.4."""
    config = yaml.safe_load((configs.FOLDER / "severe" / "ucf101_24.yaml").read_text())
    model, data = config["model"]["init_args"], config["data"]["init_args"]
    assert (data["num_frames"], data["global_batch_size"], config["trainer"]["max_epochs"]) == (16, 64, 12)
    assert (model["optimizer"], model["learning_rate"], model["weight_decay"]) == ("adam", 1e-4, 5e-4)
    assert (model["milestones"], model["gamma"]) == ([4, 6, 8, 10], 0.5)
