"""Optical flow of one video, in one file: two planes of 8 bits a frame, and their scale.

The file is an ``.npy`` of T records: ``scale``, float32 (2,), and ``planes``, int8 (2, H, W). Flow along x, then y, is
plane times scale, in pixels a frame at the size stored; the scale is the largest flow of a plane and frame over 127, so
that it errs by at most 0.4 % of that. Record t leads from frame t to frame t + 1; the last one repeats the one before.
"""

import os

import numpy as np
import torch
from torch.nn.functional import interpolate

_REMEDY = "remove it and prepare the flow again"
LEVELS = 127


def record_type(height: int, width: int) -> np.dtype:
    """Return the type of one record."""
    return np.dtype([("scale", "<f4", (2,)), ("planes", "i1", (2, height, width))])


class FlowError(ValueError):
    """A file of flow that cannot be read, as ``path: what is wrong``."""


class FlowReader:
    """Flow of one video, by frame number from 0, through a memory map.

    Attributes:
        num_frames: T, of the video.
        size: H and W as stored.

    Args:
        path: of the file.

    Raises:
        FlowError: the file is missing, cut short, or something else.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        try:
            self._records = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, EOFError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise FlowError(f"{path}: cannot be read as flow ({reason}); {_REMEDY}") from error
        fields = self._records.dtype.fields or {}
        planes: tuple[int, ...] = fields["planes"][0].shape if "planes" in fields else ()
        self.size = (int(planes[1]), int(planes[2])) if len(planes) == 3 else (0, 0)
        if self._records.ndim != 1 or not len(self._records) or self._records.dtype != record_type(*self.size):
            raise FlowError(f"{path}: holds {self._records.dtype} {self._records.shape}, not flow; {_REMEDY}")
        self.num_frames = len(self._records)

    def read(self, indices: np.ndarray, size: tuple[int, int] | None = None) -> np.ndarray:
        """Return the flow of frames.

        Args:
            indices: integers (T,), from 0, repeats allowed.
            size: height and width to bring them to, bilinear; flow stays in pixels of the size stored.

        Returns:
            float16 (T, H, W, 2), pixels a frame along x and y.
        """
        records = self._records[np.asarray(indices, np.int64)]
        flow = records["planes"] * records["scale"][:, :, None, None]
        if size is not None and size != self.size:
            # Antialiased only where it shrinks.
            flow = interpolate(torch.from_numpy(flow), size, mode="bilinear", antialias=True).numpy()
        return np.ascontiguousarray(flow.transpose(0, 2, 3, 1), np.float16)
