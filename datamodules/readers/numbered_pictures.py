"""Videos as folders of numbered pictures: frames by number, used as ``VideoReader``."""

import os
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

import cv2
import numpy as np

from datamodules.readers.video import VideoError

SUFFIXES = (".jpg", ".jpeg", ".png")


class NumberedPictures(ABC):
    """Frames of one folder, by number from 0.

    Attributes:
        num_frames: pictures, numbered from 1 without a gap.
    """

    num_frames: int

    def __enter__(self) -> Self:
        """Return the reader."""
        return self

    def __exit__(  # noqa: B027 - there is nothing to do
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave: nothing is held open."""

    def read(self, indices: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Read frames.

        Args:
            indices: integers (T,), frame numbers from 0 in any order, repeats allowed.
            size: height and width to scale to.

        Returns:
            uint8 (T, H, W, 3), RGB.

        Raises:
            VideoError: a picture is missing, or cannot be decoded.
        """
        numbers, place = np.unique(indices, return_inverse=True)
        return np.stack([self._scaled(int(number), size) for number in numbers])[place]

    @abstractmethod
    def _file(self, number: int) -> str:
        """Path of a frame's picture."""

    def _picture(self, number: int) -> np.ndarray:
        """A frame as it is stored, uint8 (H, W, 3), BGR."""
        file = self._file(number)
        if not os.path.exists(file):
            raise VideoError(f"{file}: no such picture")
        picture = cv2.imread(file, cv2.IMREAD_COLOR)
        if picture is None:
            raise VideoError(f"{file}: is no picture, or damaged")
        return np.asarray(picture)

    def _scaled(self, number: int, size: tuple[int, int]) -> np.ndarray:
        picture = self._picture(number)
        shrinks = size[0] * size[1] < picture.shape[0] * picture.shape[1]
        picture = cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))


class FrameFolder(NumberedPictures):
    """Pictures called by their numbers, ``rgb-images/<class>/<video>/00001.jpg``.

    Args:
        path: the folder; its pictures are all of one extension.

    Raises:
        VideoError: it cannot be listed, holds no pictures, or one is missing between two.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            names = os.listdir(path)
        except OSError as error:
            raise VideoError(f"{path}: cannot be listed ({error.strerror})") from error
        pictures = {}
        for name in names:
            stem, suffix = os.path.splitext(name)
            if stem.isdecimal() and suffix.lower() in SUFFIXES:
                pictures[int(stem)] = name
        self.num_frames = len(pictures)
        missing = next((number for number in range(1, self.num_frames + 1) if number not in pictures), None)
        if not pictures or missing is not None:
            raise VideoError(f"{path}: picture {missing or 1:05d} is missing")
        self._names = [pictures[number + 1] for number in range(self.num_frames)]

    def _file(self, number: int) -> str:
        return os.path.join(self._path, self._names[number])


class PictureFrames(NumberedPictures):
    """Pictures called by the video and their numbers, ``VIDEO/VIDEO_000001.jpg``.

    A folder of 15 minutes holds 27,000 pictures: it is not listed, the last number is found by bisection.

    Attributes:
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
        folder = os.fspath(path)
        self._stem = os.path.join(folder, os.path.basename(os.path.normpath(folder)))
        self.fps = fps
        self.height, self.width = self._picture(0).shape[:2]
        known, missing = 0, 1
        while os.path.exists(self._file(missing)):
            known, missing = missing, 2 * missing
        while missing - known > 1:
            middle = (known + missing) // 2
            known, missing = (middle, missing) if os.path.exists(self._file(middle)) else (known, middle)
        self.num_frames = missing

    def frame_at(self, seconds: np.ndarray) -> np.ndarray:
        """Numbers of the frames on screen at these times, int64; before the first it is 0, after the last the last."""
        numbers = np.floor(np.asarray(seconds, np.float64) * self.fps + 1e-3).astype(np.int64)
        return np.asarray(np.clip(numbers, 0, self.num_frames - 1))

    def _file(self, number: int) -> str:
        return f"{self._stem}_{number + 1:06d}.jpg"
