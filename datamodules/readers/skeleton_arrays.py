"""Skeletons of NTU RGB+D as other projects keep them: one file of arrays, by explicit format.

``pyskl``: ``ntu60_3d.pkl`` or ``ntu120_3d.pkl`` of https://github.com/kennymckormick/pyskl and MMAction2: a dictionary
whose ``annotations`` hold ``frame_dir`` (the name), ``label``, and ``keypoint``, (M, T, 25, 3) in metres, as recorded.
``agcn``: ``<part>_data_joint.npy``, (N, 3, T, 25, 2), of https://github.com/lshiwjx/2s-AGCN and
https://github.com/fmthoker/skeleton-contrast, preprocessed as here, beside ``<part>_label.pkl``, names and labels.
``ctrgcn``: ``NTU60_CS.npz``, ``NTU60_CV.npz``, ``NTU120_CSub.npz`` or ``NTU120_CSet.npz`` of
https://github.com/Uason-Chen/CTR-GCN (e1eef2d, ``data/ntu/seq_transformation.py``): ``x_train`` and ``x_test``,
(N, T, 150), x, y, z of 25 joints of two bodies, metres from where the first one's spine is at first, zeros after the
last frame; ``y_train`` and ``y_test``, (N, classes), 1 at the class. There are no names, so samples are called
``train_000000`` and so on, and the split is the file's own. NTU-120's files show a lone person twice.

Pickles are read without running what is in them: they may hold numpy arrays, numbers, texts, lists and the like.
"""

import pickle
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import numpy as np

from datamodules.readers.array_archive import DAMAGE, ArchivedArray

Format = Literal["pyskl", "agcn", "ctrgcn"]
CTRGCN_PARTS = ("train", "test")

# What numpy's own pickles name, of versions 1 and 2.
_ALLOWED = {
    (f"numpy.{core}.{module}", name)
    for core in ("core", "_core")
    for module, name in (("multiarray", "_reconstruct"), ("multiarray", "scalar"), ("numeric", "_frombuffer"))
} | {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}
_CUT_SHORT = "an archive that is cut short (.npz)"
# What the unpickler and numpy raise, given something else than they expect.
_DAMAGE = (
    *(OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RuntimeError, pickle.PickleError),
    *DAMAGE,
)


class ArraySample(NamedTuple):
    """One sequence.

    Attributes:
        name: such as S001C001P001R001A001, as the file has it.
        label: class from 0; -1 where the file tells none.
        read: gives the sequence as the file has it.
        format: of the file.
    """

    name: str
    label: int
    read: Callable[[], np.ndarray]
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
        if format == "pyskl":
            samples = list(_pyskl(path))
        else:
            samples = list(_agcn(path) if format == "agcn" else _ctrgcn(path))
    except _DAMAGE as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or repr(error)
        looks = describe(path)
        remedy = "copy the file again" if looks == _CUT_SHORT else "set another format"
        raise ValueError(f"{path}: cannot be read as {format} ({reason}); it looks like {looks}; {remedy}") from error
    if not samples:
        raise ValueError(f"{path}: holds no sequences; give a file that has some")
    return samples


def _pyskl(path: Path) -> Iterator[ArraySample]:
    content = load_plain(path)
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        raise ValueError("no list of annotations")
    for annotation in content["annotations"]:
        keypoint = partial(np.asarray, annotation["keypoint"])
        yield ArraySample(str(annotation["frame_dir"]), int(annotation["label"]), keypoint, "pyskl")


def _agcn(path: Path) -> Iterator[ArraySample]:
    sequences = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(sequences, np.ndarray) or sequences.ndim != 5:
        raise ValueError("not an array (N, 3, T, 25, 2)")
    beside = path.with_name(f"{path.name.partition('_')[0]}_label.pkl")
    names, labels = load_plain(beside)
    if not len(names) == len(labels) == len(sequences):
        raise ValueError(f"{len(sequences)} sequences, but {beside.name} has {len(names)} names, {len(labels)} labels")
    for name, label, sequence in zip(names, labels, sequences, strict=True):
        yield ArraySample(str(name).removesuffix(".skeleton"), int(label), partial(np.asarray, sequence), "agcn")


def _ctrgcn(path: Path) -> Iterator[ArraySample]:
    arrays = {name: ArchivedArray(path, name) for part in CTRGCN_PARTS for name in (f"x_{part}", f"y_{part}")}
    for part in CTRGCN_PARTS:
        sequences, one_hot = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if len(sequences.shape) != 3 or sequences.shape[2] != 150 or sequences.dtype.kind != "f":
            raise ValueError(f"{sequences.name} is {sequences.dtype} {sequences.shape}, not float (N, T, 150)")
        if len(one_hot.shape) != 2 or one_hot.dtype.kind not in "fiub":
            raise ValueError(f"{one_hot.name} is {one_hot.dtype} {one_hot.shape}, not one-hot (N, classes)")
        if one_hot.shape[0] != sequences.shape[0]:
            raise ValueError(
                f"{sequences.shape[0]} sequences in {sequences.name}, {one_hot.shape[0]} in {one_hot.name}"
            )
        for number, row in enumerate(one_hot.rows()):
            label = int(row.argmax()) if (row == 1).sum() == 1 and (row == 0).sum() == len(row) - 1 else -1
            yield ArraySample(f"{part}_{number:06d}", label, partial(sequences.row, number), "ctrgcn")


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
            return f"an archive of {names} (.npz{', as of ctrgcn' if 'x_train' in names else ''})"
        if start.startswith(b"PK"):
            return _CUT_SHORT
        if start.startswith(b"\x80"):
            content = load_plain(path)
            what = f" with {', '.join(map(repr, list(content)[:6]))}" if isinstance(content, dict) else ""
            return f"a pickled {type(content).__name__}{what}"
    except _DAMAGE:
        return "a damaged file, or one that holds more than arrays"
    return "text" if start.isascii() and start.strip() else "none that is known here"
