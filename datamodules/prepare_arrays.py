"""From other projects' files of arrays to the cache that ``NTUSkeletonDataModule`` reads."""

import json
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from datamodules.prepare_ntu import (
    BROKEN_FILE,
    SEQUENCE_SHAPE,
    SETTINGS_FILE,
    VERSION,
    Prepared,
    file_size,
    finished,
    listed,
    progress_bar,
    write_index,
)
from datamodules.readers.array_archive import DAMAGE
from datamodules.readers.skeleton import MAX_METRES, NUM_JOINTS
from datamodules.readers.skeleton_arrays import ArraySample, Format, read_arrays
from datamodules.skeleton_dataset import ARRAY_FILE, Listed, is_cache
from datamodules.transforms.skeleton import NUM_ACTORS, preprocess


def prepare_arrays(files: list[Path], out: Path, format: Format, progress: bool = True) -> Prepared:
    """Turn files of arrays into a cache, in one go.

    Args:
        files: one of ``pyskl`` or ``ctrgcn``; both parts of ``agcn``.
        out: as of ``prepare_ntu.prepare``.
        format: see ``readers/skeleton_arrays.py``.
        progress: whether to draw a bar on stderr.

    Raises:
        ValueError: a file is missing or of another format, all sequences are broken, a sample occurs twice, or ``out``
            is something else or cannot be written.
    """
    sizes = [[str(file), file_size(file)] for file in files]
    settings = {"version": VERSION, "format": format, "files": sizes, "left_out": 0}
    done = finished(out, settings)
    if done is not None:
        return done
    samples = sorted((sample for file in files for sample in read_arrays(file, format)), key=lambda sample: sample.name)
    twice = next((a.name for a, b in pairwise(samples) if a.name == b.name), None)
    if twice is not None:
        raise ValueError(f"{files[-1]}: {twice} occurs twice; give each sample once")
    rows: list[Row] = []
    broken: list[str] = []
    for sample in samples:
        try:
            rows.append(Row(_listed(len(rows), sample), partial(_read_row, files[0], sample)))
        except ValueError as error:
            broken.append(f"{files[0]}: {sample.name}: {error}")
    try:
        return write_cache(out, settings, rows, broken, str(files[0]), progress)
    except DAMAGE as error:
        raise ValueError(f"{files[0]}: is damaged ({error}); copy the file again from its source") from error


def _read_row(file: Path, sample: ArraySample) -> tuple[np.ndarray, int]:
    try:
        return read_sequence(sample)
    except ValueError as error:
        raise ValueError(f"{file}: {sample.name}: {error}") from error


def _listed(row: int, sample: ArraySample) -> Listed:
    """Return a sample's line of the index.

    Raises:
        ValueError: its name or its label is none.
    """
    if sample.format == "ctrgcn":
        if sample.label < 0:
            raise ValueError("its label is not one-hot")
        return Listed(row, sample.name, 0, 0, 0, sample.label + 1, 0)
    line = listed(row, sample.name)
    if line.action != sample.label + 1:
        raise ValueError(f"its label is {sample.label}, which is not that of its name")
    return line


class Row(NamedTuple):
    """One sequence to be.

    Attributes:
        listed: its line of the index; the frames are not looked at.
        read: gives what ``transforms.skeleton.preprocess`` does, or raises ValueError with file and place.
    """

    listed: Listed
    read: Callable[[], tuple[np.ndarray, int]]


def write_cache(
    out: Path, settings: dict[str, Any], rows: list[Row], broken: list[str], source: str, progress: bool
) -> Prepared:
    """Read sequences one by one into a cache, which is there when all is done and not before.

    Args:
        out: as of ``prepare_ntu.prepare``.
        settings: what decides the content, in plain JSON types; holds ``left_out``.
        rows: in order.
        broken: a line on each sample that has no row.
        source: the file or folder, for messages.
        progress: whether to draw a bar on stderr.

    Raises:
        ValueError: all sequences are broken, or ``out`` cannot be written.
    """
    folder = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{out.name}.", dir=out.parent))
        _write(folder, rows, broken, source, progress)
        (folder / SETTINGS_FILE).write_text(json.dumps(settings))
        folder.rename(out)
    except OSError as error:
        # Another process may have been first, which is as good.
        if not is_cache(out):
            raise ValueError(f"{out}: cannot be written ({error.strerror}); make room, or give another") from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
    made = finished(out, settings)
    assert made is not None
    return made._replace(read=len(rows))


def _write(folder: Path, rows: list[Row], broken: list[str], source: str, progress: bool) -> None:
    lines, index = list(broken), []
    with (folder / ARRAY_FILE).open("wb") as stream, progress_bar(progress) as bar:
        task = bar.add_task(Path(source).name, total=len(rows))
        header = {"descr": "<f4", "fortran_order": False, "shape": (len(rows), *SEQUENCE_SHAPE)}
        np.lib.format.write_array_header_1_0(stream, header)
        for number, row in enumerate(rows):
            try:
                sequence, frames = row.read()
            except ValueError as error:
                lines.append(str(error))
                sequence, frames = np.zeros(SEQUENCE_SHAPE, np.float32), 0
            stream.write(sequence.tobytes())
            index.append(row.listed._replace(frames=frames))
            if number % 100 == 99 or number + 1 == len(rows):
                bar.update(task, completed=number + 1, refresh=True)
    if not any(sample.frames for sample in index):
        raise ValueError(f"all {len(lines):,} sequences are broken, such as {lines[0]}")
    write_index(folder, index)
    (folder / BROKEN_FILE).write_text("".join(f"{line}\n" for line in lines))


def read_sequence(sample: ArraySample) -> tuple[np.ndarray, int]:
    """Preprocess a sequence, unless its format has done so.

    Returns:
        As ``transforms.skeleton.preprocess``.

    Raises:
        ValueError: the array has another shape, or holds what cannot be.
    """
    values = sample.read()
    if sample.format == "pyskl" and (values.ndim != 4 or values.shape[2:] != (NUM_JOINTS, 3)):
        raise ValueError(f"keypoint is {values.shape}, not (M, T, {NUM_JOINTS}, 3)")
    if sample.format == "agcn" and values.shape != SEQUENCE_SHAPE:
        raise ValueError(f"the sequence is {values.shape}, not {SEQUENCE_SHAPE}")
    if values.dtype.kind != "f" or not (np.abs(values) <= MAX_METRES).all():
        raise ValueError(f"the coordinates are not all numbers of up to {MAX_METRES:g} m")
    sequence = np.ascontiguousarray(values, np.float32)
    if sample.format == "ctrgcn":
        bodies = sequence.reshape(len(sequence), NUM_ACTORS, NUM_JOINTS, 3).transpose(1, 0, 2, 3)
        return preprocess(bodies[:1] if np.array_equal(bodies[0], bodies[1]) else bodies)
    if sample.format == "pyskl":
        return preprocess(sequence)
    frames = max(_period(actor) for actor in np.moveaxis(sequence, -1, 0))
    if not frames:
        raise ValueError("no body is seen in any frame")
    return sequence, frames


def _period(actor: np.ndarray) -> int:
    """Return after how many frames (3, T, 25) repeats itself; T where it does not, 0 where there is nobody."""
    if not actor.any():
        return 0
    for start in np.flatnonzero((actor[:, 1:] == actor[:, :1]).all((0, 2))).tolist():
        if np.array_equal(actor[:, start + 1 :], actor[:, : -start - 1]):
            return int(start) + 1
    return int(actor.shape[1])
