"""How pictures get from a figure into the run folder and TensorBoard; no display is needed."""

import io
from pathlib import Path

import matplotlib.image
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from pytorch_lightning import Trainer
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_info

from callbacks.run_folder import write_whole


def render(figure: Figure) -> np.ndarray:
    """Draw a figure: uint8 (H, W, 3)."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write a PNG file.

    Args:
        path: of the file.
        picture: uint8 (H, W, 3).

    Raises:
        OSError: it cannot be written.
    """
    packed = io.BytesIO()
    matplotlib.image.imsave(packed, picture, format="png")
    write_whole(path, packed.getbuffer())


def keep_picture(trainer: Trainer, name: str, picture: np.ndarray, what: str) -> None:
    """Write ``pictures/NAME.png`` in the run folder and an image to TensorBoard, and say so.

    Args:
        trainer: of the run.
        name: of the picture.
        picture: uint8 (H, W, 3).
        what: it shows, for the message.

    Raises:
        OSError: it cannot be written.
    """
    path = Path(trainer.default_root_dir) / "pictures" / f"{name}.png"
    write_picture(path, picture)
    rank_zero_info(f"{what}: {path}")
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(name, picture, trainer.global_step, dataformats="HWC")
