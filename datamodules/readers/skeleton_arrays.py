"""Skeletons of NTU RGB+D as other projects keep them: one file of arrays, by explicit format.

``pyskl``: ``ntu60_3d.pkl`` or ``ntu120_3d.pkl`` of https://github.com/kennymckormick/pyskl and MMAction2: a dictionary
whose ``annotations`` hold ``frame_dir`` (the name), ``label``, and ``keypoint``, (M, T, 25, 3) in metres, as recorded.
``agcn``: ``<part>_data_joint.npy``, (N, 3, T, 25, 2), of https://github.com/lshiwjx/2s-AGCN and
https://github.com/fmthoker/skeleton-contrast, preprocessed as here, beside ``<part>_label.pkl``, names and labels.

Pickles are read without running what is in them: they may hold numpy arrays, numbers, texts, lists and the like.
"""

import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import numpy as np

Format = Literal["pyskl", "agcn"]

# What numpy's own pickles name, of versions 1 and 2.
_ALLOWED = {
    (f"numpy.{core}.{module}", name)
    for core in ("core", "_core")
    for module, name in (("multiarray", "_reconstruct"), ("multiarray", "scalar"), ("numeric", "_frombuffer"))
} | {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}
# What the unpickler and numpy raise, given something else than they expect.
_DAMAGE = (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, OverflowError, pickle.PickleError)


class ArraySample(NamedTuple):
    """One sequence.

    Attributes:
        name: such as S001C001P001R001A001, as the file has it.
        label: class from 0.
        skeleton: the sequence as the file has it.
        format: of the file.
    """

    name: str
    label: int
    skeleton: np.ndarray
    format: Format


def read_arrays(path: Path, format: Format) -> list[ArraySample]:
    """List the sequences in a file.

    Args:
        path: of the file; of one part's ``.npy`` for ``agcn``.
        format: as above.

    Raises:
        ValueError: the file is missing or is of another format; the message says what it looks like.
    """
    try:
        samples = list(_pyskl(path) if format == "pyskl" else _agcn(path))
    except (
        OSError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
        pickle.PickleError,
    ) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or repr(error)
        raise ValueError(
            f"{path}: cannot be read as {format} ({reason}); it looks like {describe(path)}; set another format"
        ) from error
    if not samples:
        raise ValueError(f"{path}: holds no sequences; give a file that has some")
    return samples


def _pyskl(path: Path) -> Iterator[ArraySample]:
    content = load_plain(path)
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        raise ValueError("no list of annotations")
    for annotation in content["annotations"]:
        yield ArraySample(str(annotation["frame_dir"]), int(annotation["label"]), annotation["keypoint"], "pyskl")


def _agcn(path: Path) -> Iterator[ArraySample]:
    sequences = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(sequences, np.ndarray) or sequences.ndim != 5:
        raise ValueError("not an array (N, 3, T, 25, 2)")
    beside = path.with_name(f"{path.name.partition('_')[0]}_label.pkl")
    names, labels = load_plain(beside)
    if not len(names) == len(labels) == len(sequences):
        raise ValueError(f"{len(sequences)} sequences, but {beside.name} has {len(names)} names, {len(labels)} labels")
    for name, label, sequence in zip(names, labels, sequences, strict=True):
        yield ArraySample(str(name).removesuffix(".skeleton"), int(label), sequence, "agcn")


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - as inherited
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, and only arrays and plain values are read")
        return super().find_class(module, name)


def load_plain(path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    """Read a pickle of numpy arrays and plain types.

    Raises:
        pickle.UnpicklingError: it holds something else.
    """
    with path.open("rb") as stream:
        return _PlainUnpickler(_checked(stream), encoding="latin1").load()


def _checked(stream: IO[bytes]) -> IO[bytes]:
    if stream.peek(1)[:1] != b"\x80":  # type: ignore[attr-defined]  # of a buffered reader
        raise pickle.UnpicklingError("no pickle of protocol 2 or later")
    return stream


def describe(path: Path) -> str:
    """Say what a file looks like, for whoever guessed wrong."""
    if path.is_dir():
        return "a folder"
    if not path.is_file():
        return "nothing: there is no such file"
    with path.open("rb") as stream:
        start = stream.read(8)
    try:
        if start.startswith(b"\x93NUMPY"):
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            return f"one array {array.dtype} {array.shape} (.npy, as of agcn)"
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                names = ", ".join(name.removesuffix(".npy") for name in archive.namelist()[:6])
            return f"an archive of {names} (.npz, as of CTR-GCN)"
        if start.startswith(b"\x80"):
            content = load_plain(path)
            what = f" with {', '.join(map(repr, list(content)[:6]))}" if isinstance(content, dict) else ""
            return f"a pickled {type(content).__name__}{what}"
    except _DAMAGE:
        return "a damaged file, or one that holds more than arrays"
    return "text" if start.isascii() and start.strip() else "none that is known here"
