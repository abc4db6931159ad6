"""Skeleton text of the Kinect v2: NTU RGB+D's ``.skeleton`` and PKU-MMD's, both strictly, one file at a time.

NTU (https://github.com/shahroudy/NTURGB-D): a line with the number of frames; per frame a line with the number of
bodies; per body a line of 10 values that starts with its ID, a line ``25``, and 25 lines of 12 values that start with
x, y, z in metres. PKU-MMD (https://github.com/ECHO960/PKU-MMD): a line per frame of 150 numbers, x, y, z of the 25
joints of two bodies, zeros where there is one. Joints have the same order in both.
"""

import re
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

from datamodules.readers.decimal_text import is_number, plain

NUM_JOINTS = 25
# The sensor sees bodies up to 4.5 m away; joints outside the picture are guessed some metres beyond.
MAX_METRES = 50.0
# Recordings name a handful of bodies, the sensor's mistakes included.
MAX_BODIES = 100

_HEADER_FIELDS = 10
_JOINT_FIELDS = 12
_PKU_FIELDS = 2 * NUM_JOINTS * 3
_REMEDY = "copy the file again from the dataset, or leave it out"
_WORD = re.compile(rb"[^ \t\r]+")


class SkeletonRecording(NamedTuple):
    """The R bodies seen in the frames of one file, in the order of the file.

    Attributes:
        num_frames: T, those without a body included.
        frame: int64 (R,), frame from 0, never decreasing.
        order: int64 (R,), place of the body within its frame, from 0.
        body: int64 (R,), which of the ``ids`` it is.
        ids: the sensor's number of each body, in order of appearance.
        joints: float32 (R, 25, 3), x, y, z in metres from the camera: left of it, up, away from it.
    """

    num_frames: int
    frame: np.ndarray
    order: np.ndarray
    body: np.ndarray
    ids: tuple[int, ...]
    joints: np.ndarray

    def first(self, num_frames: int) -> "SkeletonRecording":
        """Return the recording's first frames, all where there are fewer."""
        keep = self.frame < num_frames
        return SkeletonRecording(
            min(self.num_frames, num_frames),
            self.frame[keep],
            self.order[keep],
            self.body[keep],
            self.ids,
            self.joints[keep],
        )

    def tracked(self) -> np.ndarray:
        """Return one sequence per body ID.

        Returns:
            float32 (M, T, 25, 3); zeros where a body is not seen.
        """
        return self._placed(self.body, len(self.ids))

    def listed(self, max_bodies: int = 4) -> np.ndarray:
        """Return one sequence per place within the frame: who is named first, second, ...

        So read fmthoker/skeleton-contrast and shahroudy/NTURGB-D before it: where a body leaves, the next takes its
        place. Bodies beyond ``max_bodies`` in a frame are left out.

        Returns:
            float32 (``max_bodies``, T, 25, 3); zeros where a place is empty.
        """
        return self._placed(self.order, max_bodies)

    def _placed(self, row: np.ndarray, rows: int) -> np.ndarray:
        sequences = np.zeros((rows, self.num_frames, NUM_JOINTS, 3), np.float32)
        keep = row < rows
        sequences[row[keep], self.frame[keep]] = self.joints[keep]
        return sequences


def read_ntu(path: str | Path) -> SkeletonRecording:
    """Read a ``.skeleton`` file of NTU RGB+D.

    Raises:
        ValueError: the file is missing, or is not such a file to the last character; the message starts with
            ``path:line: ``.
    """
    return parse_ntu(_bytes_of(path), str(path))


def read_num_frames(path: str | Path) -> int:
    """Return how many frames a ``.skeleton`` file of NTU RGB+D says it has, from its first line alone.

    Raises:
        ValueError: as of ``read_ntu``.
    """
    try:
        with open(path, "rb") as stream:
            line = stream.readline(20)
    except OSError as error:
        raise ValueError(f"{path}:1: cannot be read ({error.strerror}); {_REMEDY}") from error
    return _count([line.rstrip(b"\n")], 0, "frames", str(path))


def read_pku(path: str | Path) -> np.ndarray:
    """Read a skeleton text of PKU-MMD.

    Returns:
        float32 (2, T, 25, 3), metres; zeros where a body is not seen.

    Raises:
        ValueError: as of ``read_ntu``.
    """
    return parse_pku(_bytes_of(path), str(path))


def parse_ntu(text: bytes, name: str) -> SkeletonRecording:
    """Read the text of a ``.skeleton`` file.

    Fields of a joint other than x, y, z have to be numbers, finite or not: they are not used.

    Args:
        text: with LF or CRLF.
        name: of the file, for messages.

    Raises:
        ValueError: as of ``read_ntu``.
    """
    recording = _parse_plain_ntu(text)
    return _parse_any_ntu(text, name) if recording is None else recording


def _parse_plain_ntu(text: bytes) -> SkeletonRecording | None:
    """Read a text as the sensor's software writes it, some times faster; None for any other, whatever is wrong."""
    numbers = plain(text)
    if numbers is None:
        return None
    last = numbers.last_words()
    per_line = np.diff(last, prepend=-1)
    alone = np.flatnonzero(per_line == 1)  # lines of one word: the numbers of frames, bodies and joints
    words = numbers.words(last[alone])
    if alone[:1].tolist() != [0] or not all(word.isdigit() and len(word) <= 9 for word in words):
        return None
    places, counts = alone.tolist(), [int(word) for word in words]
    frame: list[int] = []
    order: list[int] = []
    starts: list[int] = []
    line = used = 1
    for number in range(counts[0]):
        if used == len(places) or places[used] != line:
            return None
        bodies = counts[used]
        line, used = line + 1, used + 1
        if bodies > len(places) - used:
            return None
        for place in range(bodies):
            if places[used] != line + 1 or counts[used] != NUM_JOINTS:
                return None
            frame.append(number)
            order.append(place)
            starts.append(line)
            line, used = line + NUM_JOINTS + 2, used + 1
    if used != len(places) or line != len(last) or not starts:
        return None
    header = np.array(starts)
    rows = header[:, None] + 2 + np.arange(NUM_JOINTS)
    if (per_line[header] != _HEADER_FIELDS).any() or (per_line[rows] != _JOINT_FIELDS).any():
        return None
    first = last - per_line + 1
    xyz = numbers.values((first[rows][..., None] + np.arange(3)).reshape(-1))
    if not (np.abs(xyz) <= MAX_METRES).all():
        return None
    try:
        body, ids = _identities(numbers.words(first[header]), starts, frame, "")
    except ValueError:
        return None
    joints = xyz.astype(np.float32).reshape(-1, NUM_JOINTS, 3)
    return SkeletonRecording(counts[0], np.array(frame), np.array(order), body, ids, joints)


def _parse_any_ntu(text: bytes, name: str) -> SkeletonRecording:
    """Read a text word by word, and find the first thing that is wrong with it."""
    values, per_line = _numbers(text, name)
    lines = text.split(b"\n")
    if not lines[-1].strip():
        lines.pop()
    num_frames = _count(lines, 0, "frames", name)
    frame: list[int] = []
    order: list[int] = []
    starts: list[int] = []
    line = 1
    for number in range(num_frames):
        bodies = _count(lines, line, f"bodies of frame {number + 1} of {num_frames}", name)
        line += 1
        for place in range(bodies):
            if _count(lines, line + 1, f"joints of a body of frame {number + 1} of {num_frames}", name) != NUM_JOINTS:
                raise _error(name, line + 1, f"a body has {_shown(lines[line + 1])} joints, not {NUM_JOINTS}", _REMEDY)
            frame.append(number)
            order.append(place)
            starts.append(line)
            line += NUM_JOINTS + 2
            if line > len(lines):
                raise _error(name, len(lines), f"the file ends in frame {number + 1} of {num_frames}", _REMEDY)
    if per_line[line:].any():
        extra = line + int(np.flatnonzero(per_line[line:])[0])
        raise _error(
            name, extra, f"{_shown(lines[extra])} follows after the {num_frames} frames that line 1 tells", _REMEDY
        )
    if not starts:
        nothing = np.zeros(0, np.int64)
        return SkeletonRecording(num_frames, nothing, nothing, nothing, (), np.zeros((0, NUM_JOINTS, 3), np.float32))
    header = np.array(starts)
    rows = header[:, None] + 2 + np.arange(NUM_JOINTS)  # (R, 25), lines of joints
    _check_fields(per_line, header, _HEADER_FIELDS, "a body's header", name)
    _check_fields(per_line, rows.reshape(-1), _JOINT_FIELDS, "a joint", name)
    first = np.cumsum(per_line) - per_line  # of each line among all values
    xyz = values[first[rows][..., None] + np.arange(3)]
    _check_metres(xyz.reshape(len(header), -1), rows.reshape(-1), 3, name)
    words = [lines[line].split(maxsplit=1)[0] for line in starts]
    body, ids = _identities(words, starts, frame, name)
    return SkeletonRecording(num_frames, np.array(frame), np.array(order), body, ids, xyz.astype(np.float32))


def parse_pku(text: bytes, name: str) -> np.ndarray:
    """Read the text of a skeleton file of PKU-MMD.

    Args:
        text: with LF or CRLF.
        name: of the file, for messages.

    Returns:
        As of ``read_pku``.

    Raises:
        ValueError: as of ``read_ntu``.
    """
    values, per_line = _numbers(text, name)
    num_frames = int(np.flatnonzero(per_line)[-1]) + 1 if len(values) else 0
    if not num_frames:
        raise _error(name, 0, "the file is empty", _REMEDY)
    lines = np.arange(num_frames)
    _check_fields(per_line, lines, _PKU_FIELDS, "a frame", name)
    xyz = values.reshape(num_frames, _PKU_FIELDS)
    _check_metres(xyz, lines, _PKU_FIELDS, name)
    sequences = xyz.reshape(num_frames, 2, NUM_JOINTS, 3).transpose(1, 0, 2, 3)
    return np.ascontiguousarray(sequences, np.float32)


def _bytes_of(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{path}:1: cannot be read ({error.strerror}); {_REMEDY}") from error


def _numbers(text: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Read all numbers of a text.

    Returns:
        float64, the values one after the other; int64 (lines,), how many of them are on each line.
    """
    characters = np.frombuffer(text, np.uint8)
    space = (characters == 32) | (characters == 10) | (characters == 13) | (characters == 9)
    # What numpy too takes for space: a sign that became a form feed must not read as no sign.
    if ((characters == 11) | (characters == 12)).any():
        raise _not_a_number(text, name)
    begins = ~space
    begins[1:] &= space[:-1]
    ends = np.append(np.flatnonzero(characters == 10), len(text))
    per_line = np.diff(np.searchsorted(np.flatnonzero(begins), ends), prepend=0)
    if not per_line.any():
        return np.empty(0), per_line
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)
            values: np.ndarray = np.fromstring(text.decode("ascii"), np.float64, sep=" ")
    except (ValueError, DeprecationWarning):
        values = np.empty(0)
    if len(values) != per_line.sum():
        raise _not_a_number(text, name)
    return values, per_line


def _not_a_number(text: bytes, name: str) -> ValueError:
    for line, content in enumerate(text.split(b"\n")):
        for word in _WORD.findall(content):
            if not is_number(word):
                return _error(name, line, f"{_shown(word)} is not a number", _REMEDY)
    return _error(name, 0, "the file holds something that is not a number", _REMEDY)


def _count(lines: list[bytes], line: int, what: str, name: str) -> int:
    """Return the whole number that stands alone on a line."""
    if line >= len(lines):
        raise _error(name, len(lines), f"the file ends where the number of {what} should be", _REMEDY)
    content = lines[line].strip(b" \t\r")
    if not content.isdigit() or len(content) > 9:
        raise _error(name, line, f"{_shown(content)} is not the number of {what}", _REMEDY)
    return int(content)


def _check_fields(per_line: np.ndarray, lines: np.ndarray, fields: int, what: str, name: str) -> None:
    wrong = np.flatnonzero(per_line[lines] != fields)
    if len(wrong):
        line = int(lines[wrong[0]])
        raise _error(name, line, f"{what} has {per_line[line]} values, not {fields}", _REMEDY)


def _check_metres(xyz: np.ndarray, lines: np.ndarray, per_line: int, name: str) -> None:
    values = xyz.reshape(-1)
    wrong = np.flatnonzero(~(np.abs(values) <= MAX_METRES))
    if len(wrong):
        value, line = float(values[wrong[0]]), int(lines[wrong[0] // per_line])
        raise _error(name, line, f"a joint lies {value:g} m away, outside of what the sensor sees", _REMEDY)


def _identities(
    words: list[bytes], starts: list[int], frame: list[int], name: str
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Number the bodies by their IDs, which are larger than a float64 can tell apart."""
    numbers = {word: int(word) for word in dict.fromkeys(words) if word.isdigit() and len(word) <= 20}
    known = {number: place for place, number in enumerate(dict.fromkeys(numbers.values()))}
    body = [known[numbers[word]] for word in words if word in numbers]
    if len(body) < len(words) or len(known) > MAX_BODIES or len(set(zip(frame, body, strict=True))) < len(words):
        raise _wrong_identity(words, numbers, starts, frame, name)
    return np.array(body), tuple(known)


def _wrong_identity(
    words: list[bytes], numbers: dict[bytes, int], starts: list[int], frame: list[int], name: str
) -> ValueError:
    seen: set[tuple[int, int]] = set()
    for time, word, line in zip(frame, words, starts, strict=True):
        if word not in numbers:
            return _error(name, line, f"{_shown(word)} is not the ID of a body", _REMEDY)
        if (time, numbers[word]) in seen:
            return _error(name, line, f"body {_shown(word)} occurs twice in frame {time + 1}", _REMEDY)
        seen.add((time, numbers[word]))
        if len({number for _, number in seen}) > MAX_BODIES:
            break
    return _error(name, line, f"the file names more than {MAX_BODIES} bodies", _REMEDY)


def _shown(content: bytes) -> str:
    text = content.strip().decode("ascii", "backslashreplace")
    return repr(text if len(text) <= 40 else f"{text[:37]}...")


def _error(name: str, line: int, what: str, remedy: str) -> ValueError:
    return ValueError(f"{name}:{line + 1}: {what}; {remedy}")
