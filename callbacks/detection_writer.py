"""Keep what ``lightning predict`` detects."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import BasePredictionWriter
from pytorch_lightning.utilities import rank_zero_info

from callbacks.run_folder import write_whole
from lightning_modules.losses.gather import gather_dicts
from lightning_modules.metrics.detection_results import DetectionResults
from lightning_modules.rc3d import RC3D
from lightning_modules.segments.detections import Actions, Detections


class DetectionWriter(BasePredictionWriter):
    """Writes the detections of ``lightning predict`` to ``detections.jsonl`` in the run folder, one line each.

    A line is JSON: ``{"video": "0002-L", "class": 3, "start": 120.5, "end": 241.0, "score": 0.93}``; class from 0,
    start and end (exclusive) in frames of the video. Detections of overlapping windows are merged; lines are in the
    order of the videos and of falling scores. A video without a detection has no line. Methods other than ``RC3D`` are
    left to ``PredictionWriter``.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(write_interval="epoch")
        self.path = folder / "detections.jsonl"

    def write_on_epoch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        predictions: Sequence[Detections],
        batch_indices: Sequence[Any],
    ) -> None:
        """Join the windows of all processes, and write them.

        Raises:
            OSError: the file cannot be written.
        """
        if not isinstance(pl_module, RC3D):
            return
        results = DetectionResults(pl_module.num_classes, pl_module.detection_nms).to(pl_module.device)
        nothing = torch.empty(0, dtype=torch.long, device=pl_module.device)
        for detections in predictions:
            results.update(
                detections.to(pl_module.device), Actions(nothing, nothing, nothing, nothing.float().view(0, 2))
            )
        detections, _ = results.gathered()
        videos = gather_dicts(pl_module.videos)
        if not trainer.is_global_zero:
            return
        lines = [
            json.dumps(row) for row in detection_rows(detections, {row: name for row, (name, _) in videos.items()})
        ]
        write_whole(self.path, "".join(f"{line}\n" for line in lines).encode())
        rank_zero_info(f"wrote {self.path}: {len(lines)} detections in {len(videos)} videos")


def detection_rows(detections: Detections, names: dict[int, str]) -> list[dict[str, Any]]:
    """Detections as plain JSON types.

    Args:
        detections: N.
        names: of the videos, by their row in the dataset.

    Returns:
        N dictionaries with ``video``, ``class``, ``start``, ``end`` and ``score``.
    """
    columns = (detections.video, detections.label, detections.segment.double(), detections.score.double())
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [
        {
            "video": names[video],
            "class": label,
            "start": round(start, 2),
            "end": round(end, 2),
            "score": round(score, 5),
        }
        for video, label, (start, end), score in rows
    ]
