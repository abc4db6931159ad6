"""Depth maps of NTU RGB+D, strictly: a folder a sample, a 16-bit PNG a frame, millimetres.

``S001C001P001R001A001/Depth-00000001.png`` is the full picture (512x424), ``MDepth-00000001.png`` the same with zeros
where no body is; numbers run from 1 without a gap. torchvision decodes them: it is here anyway, as fast as OpenCV, and
raises where a picture is damaged; Pillow takes 1.4 times as long.
"""

import os
import re
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torchvision.io import ImageReadMode, decode_png

DepthKind = Literal["masked", "full"]
PREFIX: dict[DepthKind, str] = {"masked": "MDepth-", "full": "Depth-"}

# int16 holds 32 metres, more than any such sensor sees.
MAX_MILLIMETRES = 32_767

_NUMBER = re.compile(r"\d{8}\.png", re.ASCII)
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGB with alpha"}
_REMEDY = "copy it again from the dataset, or leave the sample out"


class DepthError(ValueError):
    """Depth maps that cannot be read, as ``path: what is wrong``."""


class DepthReader:
    """Depth maps of one sample, by number from 0.

    Attributes:
        num_frames: of the folder.

    Args:
        folder: of the sample.
        kind: which pictures of it.

    Raises:
        DepthError: the folder is missing, holds no such picture, or one is missing among them.
    """

    def __init__(self, folder: str | os.PathLike[str], kind: DepthKind = "masked") -> None:
        self._folder, self._prefix = Path(folder), PREFIX[kind]
        try:
            names = os.listdir(folder)
        except OSError as error:
            raise DepthError(f"{folder}: cannot be listed ({error.strerror}); {_REMEDY}") from error
        start = len(self._prefix)
        numbers = sorted(
            int(name[start : start + 8])
            for name in names
            if name.startswith(self._prefix) and _NUMBER.fullmatch(name[start:])
        )
        if not numbers:
            raise DepthError(f"{folder}: holds no {self._prefix}00000001.png; {_REMEDY}")
        gap = next((number for number, found in enumerate(numbers, 1) if number != found), None)
        if gap is not None:
            raise DepthError(
                f"{self._folder / self._name(gap)}: is missing, and the numbers run to {numbers[-1]}; {_REMEDY}"
            )
        self.num_frames = len(numbers)

    def read(self, indices: np.ndarray, size: tuple[int, int] | None = None) -> np.ndarray:
        """Decode depth maps.

        Args:
            indices: integers (T,), from 0, repeats allowed.
            size: height and width to bring them to; the nearest pixel is taken, as depths of an edge's two sides have
                no mean. None keeps the stored size.

        Returns:
            int16 (T, H, W), millimetres, 0 where nothing was measured.

        Raises:
            DepthError: a picture is damaged, is no 16-bit grey PNG, or is of another size than the first.
        """
        frames: np.ndarray | None = None
        stored = (0, 0)
        numbers, places = np.unique(np.asarray(indices, np.int64), return_inverse=True)
        for place, number in enumerate(numbers.tolist()):
            path = self._folder / self._name(number + 1)
            picture = _decode(path)
            if frames is None:
                stored = (picture.shape[0], picture.shape[1])
                rows, columns = (_nearest(*lengths) for lengths in zip(stored, size or stored, strict=True))
                frames = np.empty((len(numbers), len(rows), len(columns)), np.int16)
            if picture.shape != stored:
                (height, width), (first_height, first_width) = picture.shape, stored
                raise DepthError(
                    f"{path}: is {width}x{height}, others of the sample are {first_width}x{first_height}; {_REMEDY}"
                )
            frames[place] = np.minimum(picture[rows[:, None], columns], MAX_MILLIMETRES)
        assert frames is not None, "at least one frame"
        chosen: np.ndarray = frames if np.array_equal(places, np.arange(len(numbers))) else frames[places]
        return chosen

    def _name(self, number: int) -> str:
        return f"{self._prefix}{number:08d}.png"


def _nearest(stored: int, wanted: int) -> np.ndarray:
    """Return the stored pixel nearest to each wanted one, along one axis."""
    return np.asarray(((np.arange(wanted) + 0.5) * stored / wanted).astype(np.int64))


def _decode(path: Path) -> np.ndarray:
    """Return a picture, uint16 (H, W)."""
    try:
        data = bytearray(path.read_bytes())
    except OSError as error:
        raise DepthError(f"{path}: cannot be read ({error.strerror}); {_REMEDY}") from error
    if not data.startswith(_SIGNATURE) or len(data) < 33:
        raise DepthError(f"{path}: is no PNG, or is cut short ({len(data)} bytes); {_REMEDY}")
    bits, colour = data[24], data[25]
    if bits != 16 or colour != 0:
        raise DepthError(
            f"{path}: is a PNG of {bits} bits ({_COLOUR_TYPES.get(colour, 'damaged')}), and depth in millimetres has 16"
            f" bits (grey); {_REMEDY}"
        )
    try:
        picture: np.ndarray = decode_png(torch.frombuffer(data, dtype=torch.uint8), ImageReadMode.UNCHANGED)[0].numpy()
    except RuntimeError as error:
        raise DepthError(f"{path}: is damaged or cut short ({len(data):,} bytes); {_REMEDY}") from error
    return picture
