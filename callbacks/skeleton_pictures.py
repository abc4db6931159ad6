"""Look at the views that skeleton contrast makes, before days are spent on them."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from pytorch_lightning import Callback, LightningModule, Trainer

from callbacks.pictures import keep_picture, render
from callbacks.skeleton_drawing import draw_strip
from lightning_modules.skeleton_contrast import SkeletonContrast

PANELS = ("sequence", "query view", "key view")


class SkeletonPictures(Callback):
    """Draw the first training batch's sequences as a contact sheet: each beside its query and key view.

    Writes ``pictures/skeletons.png`` in the run folder and an image to TensorBoard, once, at the first step.

    Args:
        num_sequences: rows of the sheet.
        max_frames: frames of each sequence and view; longer ones are thinned evenly.
    """

    def __init__(self, num_sequences: int = 6, max_frames: int = 8) -> None:
        self.num_sequences = num_sequences
        self.max_frames = max_frames

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: dict[str, Any], batch_idx: int
    ) -> None:
        """Draw, if this is the first step of a run."""
        if (
            trainer.global_step
            or batch_idx
            or not trainer.is_global_zero
            or not isinstance(pl_module, SkeletonContrast)
        ):
            return
        query, key = pl_module.views(batch["skeleton"], batch["num_frames"], pl_module.generator(0))
        rows, titles = [], []
        names = getattr(trainer.datamodule, "class_names", None)  # type: ignore[attr-defined]
        for row in range(min(self.num_sequences, len(query))):
            sequence = batch["skeleton"][row, :, : int(batch["num_frames"][row])]
            rows.append([part.cpu().numpy() for part in (sequence, query[row], key[row])])
            name, label = batch["name"][row], class_name(int(batch["label"][row]), names)
            titles.append(f"{name}\n{textwrap.shorten(label, 28, placeholder='…')}\n{sequence.shape[1]} frames")
        sheet = draw_sheet(rows, titles, self.max_frames)
        keep_picture(trainer, "skeletons", sheet, "sequences of the first batch and their views")


def class_name(label: int, names: Sequence[str] | None) -> str:
    """What a class is called.

    Args:
        label: from 0; -1 where there is none.
        names: of the classes, where they are known.
    """
    if label < 0:
        return "no label"
    return names[label] if names is not None and label < len(names) else f"class {label + 1}"


def draw_sheet(rows: list[list[np.ndarray]], titles: list[str], max_frames: int) -> np.ndarray:
    """Draw sequences and their views, one row a sequence.

    Args:
        rows: of each row sequence, query view and key view, float (3, T, 25, 2); T differs.
        titles: of the rows.
        max_frames: shown of each.

    Returns:
        uint8 (H, W, 3).
    """
    height, width = 0.85, 0.5 * max_frames
    figure = Figure(figsize=(3 * width + 1.9, height * len(rows) + 0.4), dpi=150)
    grid = figure.subplots(len(rows), 3, squeeze=False)
    left, top = 1.75 / figure.get_figwidth(), 1 - 0.3 / figure.get_figheight()
    figure.subplots_adjust(left, 0.05 / figure.get_figheight(), 0.995, top, wspace=0.02, hspace=0.06)
    for row, (strips, title, axes) in enumerate(zip(rows, titles, grid, strict=True)):
        for strip, panel, axis in zip(strips, PANELS, axes, strict=True):
            draw_strip(axis, strip, max_frames)
            axis.spines[:].set(color="0.8")
            if row == 0:
                axis.set_title(f"{panel} ({strip.shape[1]} frames)" if strip is not strips[0] else panel, fontsize=9)
        axes[0].set_ylabel(title, fontsize=7, rotation=0, ha="right", va="center", labelpad=6)
    return render(figure)
