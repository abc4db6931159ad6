"""Depth maps to a folder of 16-bit PNGs; ``readers/depth.py`` tells of the format."""

import struct
import zlib
from pathlib import Path

import numpy as np

from datamodules.readers.depth import PREFIX, DepthKind

_LEVEL = 1  # of zlib: fast


def write_depth(folder: Path, frames: np.ndarray, kind: DepthKind) -> None:
    """Write the depth maps of a sample.

    Args:
        folder: of the sample, made where it is missing.
        frames: uint16 (T, H, W), millimetres.
        kind: decides the names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames, 1):
        (folder / f"{PREFIX[kind]}{number:08d}.png").write_bytes(encode_png(frame))


def encode_png(frame: np.ndarray) -> bytes:
    """Return a 16-bit grey PNG of uint16 (H, W); torchvision writes 8 bits only."""
    height, width = frame.shape
    rows = np.zeros((height, 1 + 2 * width), np.uint8)  # a 0 before each row: not filtered
    rows[:, 1:] = frame.astype(">u2").view(np.uint8)
    header = struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), _LEVEL)), (b"IEND", b""))
    parts = [b"\x89PNG\r\n\x1a\n"]
    for name, data in chunks:
        parts += [struct.pack(">I", len(data)), name, data, struct.pack(">I", zlib.crc32(name + data))]
    return b"".join(parts)
