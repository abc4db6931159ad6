"""From other projects' files of arrays to the cache that ``NTUSkeletonDataModule`` reads."""

import json
import shutil
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np

from datamodules.ntu_protocol import parse_name
from datamodules.prepare_ntu import (
    BROKEN_FILE,
    SEQUENCE_SHAPE,
    SETTINGS_FILE,
    VERSION,
    Prepared,
    file_size,
    finished,
    progress_bar,
    write_index,
)
from datamodules.readers.skeleton import MAX_METRES, NUM_JOINTS
from datamodules.readers.skeleton_arrays import ArraySample, Format, read_arrays
from datamodules.skeleton_dataset import ARRAY_FILE
from datamodules.transforms.skeleton import preprocess


def prepare_arrays(files: list[Path], out: Path, format: Format, progress: bool = True) -> Prepared:
    """Turn files of arrays into a cache, in one go.

    Args:
        files: one of ``pyskl``; both parts of ``agcn``.
        out: as of ``prepare_ntu.prepare``.
        format: see ``readers/skeleton_arrays.py``.
        progress: whether to draw a bar on stderr.

    Raises:
        ValueError: a file is missing or of another format, all sequences are broken, a sample occurs twice, or ``out``
            is something else or cannot be written.
    """
    settings = {
        "version": VERSION,
        "format": format,
        "files": [[str(file), file_size(file)] for file in files],
        "left_out": 0,
    }
    done = finished(out, settings)
    if done is not None:
        return done
    samples = sorted((sample for file in files for sample in read_arrays(file, format)), key=lambda sample: sample.name)
    twice = next((a.name for a, b in pairwise(samples) if a.name == b.name), None)
    if twice is not None:
        raise ValueError(f"{files[-1]}: {twice} occurs twice; give each sample once")
    folder = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{out.name}.", dir=out.parent))
        _write(folder, samples, progress, str(files[0]))
        (folder / SETTINGS_FILE).write_text(json.dumps(settings))
        folder.rename(out)
    except OSError as error:
        raise ValueError(f"{out}: cannot be written ({error.strerror}); make room for it, or give another") from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
    made = finished(out, settings)
    assert made is not None
    return made._replace(read=len(samples))


def _write(folder: Path, samples: list[ArraySample], progress: bool, source: str) -> None:
    names, frames, broken = [], [], []
    with (folder / ARRAY_FILE).open("wb") as stream, progress_bar(progress) as bar:
        task = bar.add_task(Path(source).name, total=len(samples))
        usable = []
        for sample in samples:
            try:
                if parse_name(sample.name).action != sample.label + 1:
                    raise ValueError(f"its label is {sample.label}, which is not that of its name")
                usable.append(sample)
            except ValueError as error:
                broken.append(f"{source}: {sample.name}: {error}")
        header = {"descr": "<f4", "fortran_order": False, "shape": (len(usable), *SEQUENCE_SHAPE)}
        np.lib.format.write_array_header_1_0(stream, header)
        for number, sample in enumerate(usable):
            try:
                sequence, length = read_sequence(sample)
            except ValueError as error:
                broken.append(f"{source}: {sample.name}: {error}")
                sequence, length = np.zeros(SEQUENCE_SHAPE, np.float32), 0
            stream.write(sequence.tobytes())
            names.append(sample.name)
            frames.append(length)
            if number % 100 == 99 or number + 1 == len(usable):
                bar.update(task, completed=number + 1, refresh=True)
    if not any(frames):
        raise ValueError(f"all {len(samples):,} sequences are broken, such as {broken[0]}")
    write_index(folder, names, frames)
    (folder / BROKEN_FILE).write_text("".join(f"{line}\n" for line in broken))


def read_sequence(sample: ArraySample) -> tuple[np.ndarray, int]:
    """Preprocess a sequence, unless its format has done so.

    Returns:
        As ``transforms.skeleton.preprocess``.

    Raises:
        ValueError: the array has another shape, or holds what cannot be.
    """
    values = np.asarray(sample.skeleton)
    if sample.format == "pyskl" and (values.ndim != 4 or values.shape[2:] != (NUM_JOINTS, 3)):
        raise ValueError(f"keypoint is {values.shape}, not (M, T, {NUM_JOINTS}, 3)")
    if sample.format == "agcn" and values.shape != SEQUENCE_SHAPE:
        raise ValueError(f"the sequence is {values.shape}, not {SEQUENCE_SHAPE}")
    if values.dtype.kind != "f" or not (np.abs(values) <= MAX_METRES).all():
        raise ValueError(f"the coordinates are not all numbers of up to {MAX_METRES:g} m")
    sequence = np.ascontiguousarray(values, np.float32)
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
