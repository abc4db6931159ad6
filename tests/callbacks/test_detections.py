"""What evaluation and prediction of a detector leave in the run folder."""

import json

import matplotlib.image
import numpy as np
import pytest
import torch
from pytorch_lightning import LightningDataModule, Trainer
from torch.utils.data import DataLoader

from callbacks import DetectionTimeline, DetectionWriter, PredictionWriter
from callbacks.detection_timeline import draw_timelines, lanes
from lightning_modules.metrics.detection_results import DetectionResults
from lightning_modules.segments.detections import Actions, Detections
from tests.detection_fakes import DetectionData, collate
from tests.lightning_modules.test_rc3d import detector


def trainer(folder, *callbacks, **changes):
    arguments = {
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "use_distributed_sampler": False,
    }
    return Trainer(default_root_dir=folder, callbacks=list(callbacks), **{**arguments, **changes})


@pytest.mark.parametrize("processes", [1, 2])
def test_predictions_are_lines_of_json(tmp_path, processes):
    model, data = detector(score_threshold=0.3).eval(), DetectionData(train_videos=1, val_videos=3)
    changes = {"devices": 2, "strategy": "ddp_fork"} if processes == 2 else {}
    callbacks = PredictionWriter(tmp_path), DetectionWriter(tmp_path)
    trainer(tmp_path, *callbacks, **changes).predict(model, data)
    rows = [json.loads(line) for line in (tmp_path / "detections.jsonl").read_text().splitlines()]
    assert not (tmp_path / "predictions.npz").exists()
    results, nothing = DetectionResults(2, model.detection_nms), torch.empty(0, dtype=torch.long)
    for index in range(len(data.val)):
        with torch.no_grad():
            found = model.detect(collate([data.val[index]]))
        results.update(found, Actions(nothing, nothing, nothing, torch.empty(0, 2)))
    expected, _ = results.gathered()
    assert len(rows) == len(expected) > 10
    assert [row["video"] for row in rows] == [f"{video:04d}-L" for video in expected.video.tolist()]
    assert [row["class"] for row in rows] == expected.label.tolist()
    assert [row["score"] for row in rows] == pytest.approx(expected.score.tolist(), abs=1e-4)
    assert [row["start"] for row in rows] == pytest.approx(expected.segment[:, 0].tolist(), abs=0.02)
    assert [row["end"] for row in rows] == pytest.approx(expected.segment[:, 1].tolist(), abs=0.02)


def test_nothing_detected_is_an_empty_file(tmp_path):
    data = DetectionData(train_videos=1, val_videos=1)
    trainer(tmp_path, DetectionWriter(tmp_path)).predict(detector(score_threshold=1.0), data)
    assert (tmp_path / "detections.jsonl").read_text() == ""


@pytest.mark.parametrize("split", ["val", "test"])
def test_time_line_of_an_evaluation(tmp_path, split):
    data = DetectionData(train_videos=1, val_videos=3)
    run = trainer(tmp_path, DetectionTimeline(num_videos=2))
    (run.validate if split == "val" else run.test)(detector(), data, verbose=False)
    sheet = matplotlib.image.imread(tmp_path / f"pictures/detections_{split}.png")
    assert sheet.std() > 0.05
    assert sheet.shape[1] == 1200


def test_no_video_is_no_picture(tmp_path):
    class Empty(LightningDataModule):
        def val_dataloader(self):
            return DataLoader([])

    trainer(tmp_path, DetectionTimeline()).validate(detector(), Empty(), verbose=False)
    assert not (tmp_path / "pictures").exists()


def rows(*values):
    table = torch.tensor(values).view(-1, 3)
    zeros = torch.zeros(len(table), dtype=torch.long)
    return zeros, zeros, table[:, 0].long(), table[:, 1:].float()


def test_time_line_shows_what_is_there():
    actions = Actions(*rows([0, 10, 40]))
    right = Detections(*rows([0, 12, 40]), torch.tensor([0.9]))
    wrong = Detections(*rows([0, 60, 90]), torch.tensor([0.9]))
    nothing = Detections(*rows(), torch.empty(0))
    pictures = [draw_timelines([("a", 100, actions, found)]) for found in (right, wrong, nothing)]
    assert pictures[0].dtype == np.uint8
    assert len({picture.tobytes() for picture in pictures}) == 3
    named = draw_timelines([("a", 100, actions, right)], ["drink"])
    assert (named != pictures[0]).any()
    assert draw_timelines([("a", 0, Actions(*rows()), nothing)] * 3).shape[0] > pictures[0].shape[0]


def test_lanes_keep_bars_apart():
    segment = np.array([[0, 10], [5, 15], [10, 20], [12, 13], [15, 30]], float)
    assert lanes(segment).tolist() == [0, 1, 0, 2, 1]
    assert lanes(np.empty((0, 2))).tolist() == []
