"""One array of a ``.npz`` archive, row by row: however large it is, one row of it is in memory."""

import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

# What zipfile raises of an archive that is damaged or cut short.
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError)


class ArchivedArray:
    """An array in an archive, packed or not. Nothing in it is run: an array of objects is refused.

    Attributes:
        shape: of the array.
        dtype: of its values.

    Args:
        path: of the ``.npz``.
        name: of the array, without ``.npy``.

    Raises:
        ValueError: the archive holds no such array, or one that cannot be read row by row.
        zipfile.BadZipFile: it is no archive, or a damaged one.
        OSError: it cannot be read.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        self._stream: IO[bytes] | None = None
        self._next = 0
        with zipfile.ZipFile(path) as archive:
            names = [entry.removesuffix(".npy") for entry in archive.namelist()]
            if name not in names:
                raise ValueError(f"no array {name}, only {', '.join(names[:6]) or 'nothing'}")
            size = archive.getinfo(f"{name}.npy").file_size
            with archive.open(f"{name}.npy") as stream:
                self.shape, self.dtype = self._header(stream)
                if self._row_bytes * self.shape[0] != size - stream.tell():
                    raise ValueError(f"{name} holds {size - stream.tell():,} bytes, which is not {self.shape}")

    def _header(self, stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, by_column, dtype = read(stream)
        if dtype.hasobject or not shape or (by_column and len(shape) > 1):
            raise ValueError(f"{self.name} is {dtype} {shape}, which is not read row by row")
        return shape, dtype

    @property
    def _row_bytes(self) -> int:
        return self.dtype.itemsize * int(np.prod(self.shape[1:], dtype=object))

    def row(self, number: int) -> np.ndarray:
        """Read a row; fast where rows are asked for in order.

        Raises:
            zipfile.BadZipFile: the archive is damaged; checked by its sum at the last row.
            zlib.error: it is damaged.
            EOFError: it is cut short.
        """
        if self._stream is None or number < self._next:
            self._stream = zipfile.ZipFile(self.path).open(f"{self.name}.npy")
            self._header(self._stream)
            self._next = 0
        while self._next < number:
            self._read(self._stream)
        return np.frombuffer(self._read(self._stream), self.dtype).reshape(self.shape[1:])

    def rows(self) -> np.ndarray:
        """Read the whole."""
        return (
            np.stack([self.row(number) for number in range(self.shape[0])]) if self.shape[0] else np.empty(self.shape)
        )

    def _read(self, stream: IO[bytes]) -> bytes:
        data = stream.read(self._row_bytes)
        if len(data) != self._row_bytes:
            raise EOFError(f"{self.name} ends in row {self._next}")
        self._next += 1
        if self._next == self.shape[0]:
            stream.read(1)  # the end of the entry: its sum is checked
        return data
