"""Look at the pairs that tubelet contrast makes, before a week is spent on them."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from pytorch_lightning import Callback, LightningModule, Trainer

from callbacks.pictures import keep_picture, render
from lightning_modules.tubelet_contrast import TubeletContrast


class TubeletPictures(Callback):
    """Draw the first training batch's pairs as a contact sheet: two rows a pair, one column a frame, paths drawn.

    Writes ``pictures/tubelets.png`` in the run folder and an image to TensorBoard, once, at the first step.

    Args:
        num_pairs: pairs on the sheet.
        max_frames: columns; longer clips are thinned evenly.
    """

    def __init__(self, num_pairs: int = 4, max_frames: int = 8) -> None:
        self.num_pairs = num_pairs
        self.max_frames = max_frames

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: dict[str, Any], batch_idx: int
    ) -> None:
        """Draw, if this is the first step of a run."""
        if trainer.global_step or batch_idx or not trainer.is_global_zero or not isinstance(pl_module, TubeletContrast):
            return
        query, key, tubelets = pl_module.pairs(batch["clip"], pl_module.generator(0))
        frames = np.unique(np.linspace(0, query.shape[1] - 1, self.max_frames).round().astype(int))
        rows = [view[pair].cpu().numpy() for pair in range(min(self.num_pairs, len(query))) for view in (query, key)]
        paths = tubelets.centre[: self.num_pairs].cpu().numpy()  # (P, M, T, 2)
        sheet = draw_sheet(rows, paths, frames)
        keep_picture(trainer, "tubelets", sheet, "tubelets of the first batch")


def draw_sheet(rows: list[np.ndarray], paths: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Draw clips as rows of frames, each pair's paths over both of its rows.

    Args:
        rows: 2 P clips, uint8 (T, H, W, 3): query and key of each pair in turn.
        paths: float (P, M, T, 2), centres (x, y) in pixels.
        frames: indices of the frames to show.

    Returns:
        uint8 (H, W, 3).
    """
    height, width = rows[0].shape[1:3]
    inch = max(1.2, width / 100)
    figure = Figure(figsize=(inch * len(frames) + 0.6, inch * height / width * len(rows) + 0.3), dpi=100)
    grid = figure.subplots(len(rows), len(frames), squeeze=False)
    figure.subplots_adjust(left=0.6 / figure.get_figwidth(), right=1, bottom=0, top=0.97, wspace=0.03, hspace=0.05)
    for row, (clip, axes) in enumerate(zip(rows, grid, strict=True)):
        for column, (frame, axis) in enumerate(zip(frames, axes, strict=True)):
            axis.imshow(clip[frame], extent=(0, width, height, 0), interpolation="nearest")
            for number, path in enumerate(paths[row // 2]):
                axis.plot(*path[: frame + 1].T, color=f"C{number}", linewidth=1)
                axis.plot(*path[frame], "o", color=f"C{number}", markersize=3, markeredgecolor="white")
            axis.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
            if column == 0:
                axis.set_ylabel(f"{row // 2 + 1} {('query', 'key')[row % 2]}", fontsize=8)
            if row == 0:
                axis.set_title(f"frame {frame + 1}", fontsize=7, pad=2)
    return render(figure)
