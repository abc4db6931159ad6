"""Videos as folders of numbered pictures, ``VIDEO/VIDEO_000001.jpg``: frames by number, none listed."""

import os
from types import TracebackType
from typing import Self

import cv2
import numpy as np

from datamodules.readers.video import VideoError


class PictureFrames:
    """Frames of one folder, by number from 0; used as ``VideoReader``.

    A folder of 15 minutes holds 27,000 pictures: it is not listed, the last number is found by bisection.

    Attributes:
        num_frames: of pictures numbered from 1 without a gap.
        fps: frames per second.
        height: of the first picture in pixels.
        width: likewise.

    Args:
        path: the folder; pictures are called by its name, ``_`` and six digits.
        fps: that the pictures were taken with.

    Raises:
        VideoError: there is no first picture, or it cannot be decoded.
    """

    def __init__(self, path: str | os.PathLike[str], fps: float = 30.0) -> None:
        self._path = os.fspath(path)
        self._stem = os.path.join(self._path, os.path.basename(os.path.normpath(self._path)))
        self.fps = fps
        self.height, self.width = self._picture(0).shape[:2]
        known, missing = 0, 1
        while os.path.exists(self._file(missing)):
            known, missing = missing, 2 * missing
        while missing - known > 1:
            middle = (known + missing) // 2
            known, missing = (middle, missing) if os.path.exists(self._file(middle)) else (known, middle)
        self.num_frames = missing

    def __enter__(self) -> Self:
        """Return the reader."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave: nothing is held open."""

    def frame_at(self, seconds: np.ndarray) -> np.ndarray:
        """Numbers of the frames on screen at these times, int64; before the first it is 0, after the last the last."""
        numbers = np.floor(np.asarray(seconds, np.float64) * self.fps + 1e-3).astype(np.int64)
        return np.asarray(np.clip(numbers, 0, self.num_frames - 1))

    def read(self, indices: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Read frames.

        Args:
            indices: integers (T,), from 0, repeats allowed.
            size: height and width to scale to.

        Returns:
            uint8 (T, H, W, 3), RGB.

        Raises:
            VideoError: a picture is missing, or cannot be decoded.
        """
        numbers, place = np.unique(indices, return_inverse=True)
        return np.stack([self._scaled(int(number), size) for number in numbers])[place]

    def _scaled(self, number: int, size: tuple[int, int]) -> np.ndarray:
        picture = self._picture(number)
        shrinks = size[0] < picture.shape[0]
        picture = cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))

    def _picture(self, number: int) -> np.ndarray:
        file = self._file(number)
        if not os.path.exists(file):
            raise VideoError(f"{file}: no such picture")
        picture = cv2.imread(file, cv2.IMREAD_COLOR)
        if picture is None:
            raise VideoError(f"{file}: is no picture, or damaged")
        return np.asarray(picture)

    def _file(self, number: int) -> str:
        return f"{self._stem}_{number + 1:06d}.jpg"
