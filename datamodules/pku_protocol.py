"""Names, labels and splits of PKU-MMD; ``pku_mmd.py`` tells of the dataset."""

import re
from pathlib import Path
from typing import Literal, NamedTuple

NUM_CLASSES = 51
CAMERAS = {"L": 1, "M": 2, "R": 3}

Phase = Literal[1, 2]
PKUProtocol = Literal["xsub", "xview"]

_NAMES = {1: re.compile(r"\d{4}-[LMR]", re.ASCII), 2: re.compile(r"A\d\dN\d\d-[LMR]", re.ASCII)}
_REMEDY = "correct the line, or take the official file"


class Segment(NamedTuple):
    """One action in a video.

    Attributes:
        action: from 1.
        start: first frame.
        end: frame after the last.
        line: of the label file, for messages.
    """

    action: int
    start: int
    end: int
    line: int


def is_video(name: str, phase: Phase) -> bool:
    """Tell whether a name is one of the phase: 0002-L, A01N01-L."""
    return _NAMES[phase].fullmatch(name) is not None


def read_labels(file: Path, num_frames: int, odd: dict[str, list[str]]) -> list[Segment]:
    """Read a label file: a line ``class,start,end,confidence`` per action.

    The official files have lines that need a rule; each is written down in ``odd``. Where the start lies after the
    end, the two change places (``inverted``). Whatever the confidence, 0 too, the action is kept (``confidence 0``).
    The end is not part of the action, so it may equal the length; beyond that it is cut (``past the end``). An action
    without a frame in the video is kept as an empty segment, for the caller to refuse (``empty``).

    Args:
        file: the labels of one video.
        num_frames: length of the video.
        odd: is added to: file and line of each line that needed a rule, by rule.

    Raises:
        ValueError: a line is something else, with file and line.
    """
    segments = []
    for number, line in enumerate(_text(file).splitlines(), 1):
        if not line.strip():
            continue
        words = [word.strip() for word in line.split(",")]
        if len(words) != 4 or not all(word.isascii() and word.isdigit() and len(word) < 10 for word in words):
            raise ValueError(f"{file}:{number}: {line!r} is not `class,start,end,confidence`; {_REMEDY}")
        action, start, end, confidence = map(int, words)
        if not 1 <= action <= NUM_CLASSES:
            raise ValueError(f"{file}:{number}: class {action} is not 1 to {NUM_CLASSES}; {_REMEDY}")
        applied = []
        if start > end:
            applied.append("inverted")
            start, end = end, start
        if confidence == 0:
            applied.append("confidence 0")
        if end > num_frames:
            applied.append("past the end")
            end = num_frames
        if start >= end:
            applied.append("empty")
            start = end
        for rule in applied:
            odd.setdefault(rule, []).append(f"{file}:{number}")
        segments.append(Segment(action, start, end, number))
    return segments


def read_split(file: Path) -> tuple[frozenset[str], frozenset[str]]:
    """Read a split list: a line of words, a line of names with commas, for training; two more for evaluation.

    Returns:
        The names of the training videos, and of the others.

    Raises:
        ValueError: the file is something else, or a video is in both.
    """
    lines = [(number, line.strip()) for number, line in enumerate(_text(file).splitlines(), 1) if line.strip()]
    if len(lines) != 4 or not lines[0][1].lower().startswith("training") or not lines[2][1].lower().startswith("val"):
        raise ValueError(
            f"{file}:1: is not a split list: the line `Training videos:`, a line of names, and the same of validation;"
            f" take cross-subject.txt or cross-view.txt of the dataset"
        )
    parts = []
    for number, line in (lines[1], lines[3]):
        names = [name.strip() for name in line.split(",") if name.strip()]
        wrong = next((name for name in names if not (is_video(name, 1) or is_video(name, 2))), None)
        if wrong is not None:
            raise ValueError(f"{file}:{number}: {wrong!r} is no name such as 0002-L or A01N01-L; {_REMEDY}")
        parts.append(frozenset(names))
    both = parts[0] & parts[1]
    if both:
        raise ValueError(f"{file}:{lines[3][0]}: {min(both)} is in the training list, too; {_REMEDY}")
    return parts[0], parts[1]


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no text"
        raise ValueError(f"{file}:1: cannot be read ({reason}); copy the file again from the dataset") from error
