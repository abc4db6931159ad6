"""Annotations of UCF101-24 to boxes: where each actor is, frame by frame.

- ``finalAnnots.mat`` (https://github.com/gurkirt/corrected-UCF101-Annots): ``annot``, a struct ``name``, ``num_imgs``
  and ``tubes`` a video; a tube has ``class`` from 1, ``sf`` and ``ef``, first and last frame from 1, and ``boxes``, x,
  y, width and height in pixels of each of its frames.
- ``pyannot.pkl`` of the same project: a dictionary of videos with ``numf`` and ``annotations``; of these ``label``
  counts from 0, ``sf`` from 0, and ``ef`` is the frame after the last. Read without running what is in it.
- a folder ``labels/<class>/<video>/00001.txt``, as https://github.com/wei-tim/YOWO reads: a line ``class x1 y1 x2 y2``
  for each actor of the frame, the class from 1. Boxes of neighbouring frames are one actor's where they overlap most.
"""

import os
import pickle
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.io
from scipy.io.matlab import MatReadError
from scipy.optimize import linear_sum_assignment

from datamodules.readers.annotations import read_lines
from datamodules.readers.skeleton_arrays import load_plain

# What scipy and the unpickler raise of a file that is another, damaged or cut short.
_DAMAGE = (
    *(OSError, ValueError, LookupError, TypeError, AttributeError, EOFError, NotImplementedError, zlib.error),
    *(pickle.PickleError, MatReadError),
)


class Tube(NamedTuple):
    """The boxes of one actor in consecutive frames.

    Attributes:
        label: class from 0.
        first: frame of the first box, from 0.
        boxes: float64 (N, 4), left, top, right and bottom in pixels.
    """

    label: int
    first: int
    boxes: np.ndarray


class VideoTubes(NamedTuple):
    """The tubes of a video.

    Attributes:
        name: such as ``Basketball/v_Basketball_g01_c01``.
        num_frames: of the video; None where the file does not tell.
        tubes: may be none.
        source: file, and what in it tells of this video, for messages.
    """

    name: str
    num_frames: int | None
    tubes: list[Tube]
    source: str


def read_tubes(path: Path) -> list[VideoTubes]:
    """Read annotations of one of the forms above, told by the extension; a folder is one of text files.

    Raises:
        ValueError: the file is missing, damaged or of another form, or frames and boxes of a tube are not as many.
    """
    if path.is_dir():
        return list(_labels(path))
    if path.suffix not in (".mat", ".pkl"):
        raise ValueError(f"{path}: is no .mat, .pkl or folder of labels; give finalAnnots.mat, pyannot.pkl or labels")
    try:
        videos = list(_mat(path) if path.suffix == ".mat" else _pickle(path))
    except _MalformedError:
        raise
    except _DAMAGE as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0] or repr(error)
        raise ValueError(f"{path}: cannot be read as {path.suffix[1:]} ({reason}); copy the file again") from error
    if not videos:
        raise ValueError(f"{path}: holds no videos; copy the file again")
    return videos


class _MalformedError(ValueError):
    """A tube that is none; the message says which."""


def _mat(path: Path) -> Iterator[VideoTubes]:
    for video in np.atleast_1d(scipy.io.loadmat(path, simplify_cells=True)["annot"]):
        name, tubes = str(video["name"]), video["tubes"]
        source = f"{path}: {name}"
        found = [
            _tube(
                f"{source}, tube {number}", int(tube["class"]) - 1, int(tube["sf"]) - 1, int(tube["ef"]), tube["boxes"]
            )
            for number, tube in enumerate([tubes] if isinstance(tubes, dict) else tubes, 1)
        ]
        yield VideoTubes(name, int(video["num_imgs"]), found, source)


def _pickle(path: Path) -> Iterator[VideoTubes]:
    for key, video in load_plain(path).items():
        name = key.decode() if isinstance(key, bytes) else str(key)
        source = f"{path}: {name}"
        found = [
            _tube(f"{source}, tube {number}", int(tube["label"]), int(tube["sf"]), int(tube["ef"]), tube["boxes"])
            for number, tube in enumerate(video["annotations"], 1)
        ]
        yield VideoTubes(name, int(video["numf"]), found, source)


def _tube(source: str, label: int, first: int, end: int, boxes: Any) -> Tube:  # noqa: ANN401 - as the file has it
    # As stored, in 8 or 16 bits, sums of them would overflow.
    corner = np.asarray(boxes, np.float64)
    if first < 0 or corner.size != 4 * (end - first):
        raise _MalformedError(
            f"{source}: {corner.size / 4:g} boxes for frames {first + 1} to {end}; give one for each, counted from 1"
        )
    corner = corner.reshape(-1, 4)
    return Tube(label, first, np.concatenate([corner[:, :2], corner[:, :2] + corner[:, 2:]], 1))


def _labels(folder: Path) -> Iterator[VideoTubes]:
    videos = sorted(path for path in folder.glob("*/*") if path.is_dir())
    if not videos:
        raise ValueError(f"{folder}: holds no folder <class>/<video> of text files; give the folder called labels")
    for video in videos:
        frames = {}
        for entry in sorted(os.scandir(video), key=lambda entry: entry.name):
            stem, suffix = os.path.splitext(entry.name)
            if suffix != ".txt":
                continue
            if not stem.isdecimal() or int(stem) < 1:
                raise ValueError(f"{entry.path}: is no frame's number from 00001.txt on; remove or rename the file")
            frames[int(stem) - 1] = np.array(list(_boxes(Path(entry.path))), np.float64).reshape(-1, 5)
        yield VideoTubes(f"{video.parent.name}/{video.name}", None, join_boxes(frames), str(video))


def _boxes(file: Path) -> Iterator[tuple[float, ...]]:
    for number, line in read_lines(file):
        try:
            label, *box = (float(part) for part in line.split())
        except ValueError:
            box = []
        if len(box) != 4 or not np.isfinite(box).all() or label != int(label):
            raise ValueError(f"{file}:{number}: `{line}` is not `class x1 y1 x2 y2`; correct the line")
        yield (label - 1, *box)


def join_boxes(frames: dict[int, np.ndarray]) -> list[Tube]:
    """Make tubes of boxes: those of one class in neighbouring frames that overlap most in sum are one actor's.

    Args:
        frames: by frame from 0, float64 (N, 5): class from 0, left, top, right, bottom.

    Returns:
        The tubes, by their first frame.
    """
    tubes: list[tuple[int, int, list[np.ndarray]]] = []
    active: list[int] = []
    for frame in sorted(frames):
        rows = frames[frame]
        active = [tube for tube in active if tubes[tube][1] + len(tubes[tube][2]) == frame]
        last = np.array([[tubes[tube][0], *tubes[tube][2][-1]] for tube in active]).reshape(-1, 5)
        shares = _overlaps(last[:, 1:], rows[:, 1:]) * (last[:, :1] == rows[:, 0])
        owner = {
            int(row): active[tube]
            for tube, row in zip(*linear_sum_assignment(-shares), strict=True)
            if shares[tube, row]
        }
        active = []
        for number, (label, *box) in enumerate(rows):
            tube = owner.get(number, len(tubes))
            if tube == len(tubes):
                tubes.append((int(label), frame, []))
            tubes[tube][2].append(np.array(box))
            active.append(tube)
    return [Tube(label, first, np.array(boxes)) for label, first, boxes in tubes]


def _overlaps(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of all pairs of boxes, float64 (N, M)."""
    low = np.maximum(first[:, None, :2], second[:, :2])
    high = np.minimum(first[:, None, 2:], second[:, 2:])
    common = (high - low).clip(0).prod(2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).clip(0).prod(1) for boxes in (first, second)]
    return np.asarray(common / np.maximum(areas[0][:, None] + areas[1] - common, 1e-12))


def check_tubes(
    video: VideoTubes, num_frames: int, height: int, width: int, class_names: Sequence[str], odd: dict[str, list[str]]
) -> tuple[np.ndarray, np.ndarray]:
    """Keep the boxes of a video that can be used.

    A box without area, or wholly outside the picture, is left out, and so is one past the video's end; one that reaches
    out of the picture is cut.

    Args:
        video: as read.
        num_frames: of the video.
        height: of the picture that the boxes are drawn on, in pixels.
        width: likewise.
        class_names: of all classes.
        odd: by what is odd, a line for each tube that is, added to.

    Returns:
        int64 (N, 3): frame, class and number of the tube in the video; float32 (N, 4): the boxes as shares of the
        picture, left, top, right and bottom.

    Raises:
        ValueError: the class of a tube is none.
    """
    rows, shares = [np.empty((0, 3), np.int64)], [np.empty((0, 4), np.float32)]
    for number, tube in enumerate(video.tubes):
        place = f"{video.source}, tube {number + 1}"
        if not 0 <= tube.label < len(class_names):
            raise ValueError(f"{place}: class {tube.label + 1} is not 1 to {len(class_names)}; correct it")
        frame = tube.first + np.arange(len(tube.boxes))
        boxes = tube.boxes / (width, height, width, height)
        cut = boxes.clip(0, 1)
        empty = ~(boxes[:, :2] < boxes[:, 2:]).all(1)
        outside = ~empty & ~(cut[:, :2] < cut[:, 2:]).all(1)
        late = ~empty & ~outside & (frame >= num_frames)
        reaches = ~empty & ~outside & ~late & (cut != boxes).any(1)
        for what, which in (
            ("no area, left out", empty),
            ("outside the picture, left out", outside),
            ("past the end of the video, left out", late),
            ("partly outside the picture, cut", reaches),
        ):
            if which.any():
                at = int(frame[which][0]) + 1
                odd.setdefault(what, []).extend([f"{place}, frame {at}"] * int(which.sum()))
        kept = ~(empty | outside | late)
        rows.append(np.stack([frame, np.full_like(frame, tube.label), np.full_like(frame, number)], 1)[kept])
        shares.append(cut[kept].astype(np.float32))
    return np.concatenate(rows), np.concatenate(shares)
