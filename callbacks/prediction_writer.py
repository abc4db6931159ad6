"""Keep what ``lightning predict`` computes."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import BasePredictionWriter
from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor, distributed

from callbacks.run_folder import write_whole
from lightning_modules.rc3d import RC3D


class PredictionWriter(BasePredictionWriter):
    """Writes what a method's ``predict_step`` returns to ``predictions.npz`` in the run folder, one row a sample.

    Read it with ``numpy.load(file)``. Tensors (B, ...) become arrays (N, ...), lists of B names become arrays of
    strings; all are in the order of ``video`` (``sample``), each of them once: one that stood in for a broken one has
    one row, and the broken one none. Detectors of boxes give a row a box. What
    ``RC3D`` detects is left to ``DetectionWriter``.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(write_interval="epoch")
        self.path = folder / "predictions.npz"

    def write_on_epoch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        predictions: Sequence[dict[str, Any]],
        batch_indices: Sequence[Any],
    ) -> None:
        """Join the batches of all processes, and write them.

        Raises:
            OSError: the file cannot be written.
        """
        if isinstance(pl_module, RC3D):
            return
        own = {name: _join([batch[name] for batch in predictions]) for name in (predictions[0] if predictions else ())}
        parts = [own]
        if trainer.world_size > 1:
            parts = [own] * trainer.world_size
            distributed.all_gather_object(parts, own)
        if not trainer.is_global_zero:
            return
        parts = [part for part in parts if part]
        rows: dict[str, Any] = {
            name: np.concatenate([part[name] for part in parts]) for name in (parts[0] if parts else ())
        }
        for number in {"video", "sample"} & set(rows):
            first = np.unique(rows[number], return_index=True)[1]
            rows = {name: values[first] for name, values in rows.items()}
        file = io.BytesIO()
        np.savez(file, **rows)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.path, file.getbuffer())
        shapes = ", ".join(f"{name} {values.shape}" for name, values in rows.items())
        rank_zero_info(f"wrote {self.path}: {shapes or 'nothing, there are no samples'}")


def _join(batches: list[Any]) -> np.ndarray:
    if isinstance(batches[0], Tensor):
        joined = torch.cat(batches).cpu()
        return (joined.float() if joined.dtype == torch.bfloat16 else joined).numpy()
    return np.array([name for batch in batches for name in batch])
