"""Videos as folders of numbered pictures, as ``rgb-images/<class>/<video>/00001.jpg``: frames by number."""

import os
from types import TracebackType
from typing import Self

import cv2
import numpy as np

from datamodules.readers.video import VideoError

SUFFIXES = (".jpg", ".jpeg", ".png")


class FrameFolder:
    """Frames of one folder, by number; used as ``VideoReader``.

    Attributes:
        num_frames: pictures in the folder.

    Args:
        path: the folder; its pictures are called by their numbers from 1, all of one extension.

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

    def __enter__(self) -> Self:
        """Return the reader."""
        return self

    def __exit__(
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
            VideoError: a picture cannot be decoded.
        """
        numbers, place = np.unique(indices, return_inverse=True)
        return np.stack([self._picture(int(number), size) for number in numbers])[place]

    def _picture(self, number: int, size: tuple[int, int]) -> np.ndarray:
        file = os.path.join(self._path, self._names[number])
        picture = cv2.imread(file, cv2.IMREAD_COLOR)
        if picture is None:
            raise VideoError(f"{file}: is no picture, or damaged")
        shrinks = size[0] * size[1] < picture.shape[0] * picture.shape[1]
        picture = cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
