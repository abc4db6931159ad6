"""AVA's lists: boxes with actions, the label map, excluded timestamps, and persons that a detector found.

A row of boxes is ``video,timestamp,x1,y1,x2,y2,action,person`` without a header: seconds in the film, corners in 0..1
of the picture, an action from 1. A detector's has an empty action and its score in the place of the person; some have
actions, too. A box with several actions has a row for each. Some copies of AVA leave the last column out.
"""

import csv
import re
from array import array
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from datamodules.readers.annotations import read_lines, read_text

_ROW = "video,timestamp,x1,y1,x2,y2,action,person"
_NAME = re.compile(r"^name:\s*[\"'](.*)[\"']$")
_NUMBER = re.compile(r"^(?:id|label_id):\s*(\d+)$")
_LINE = re.compile(r"^(\d+):\s*(.+)$")


@dataclass
class OddRows:
    """Rows of a list that a rule was applied to.

    Attributes:
        file: the list.
        counts: number of rows by what was odd about them.
        first: line of the first of each.
    """

    file: Path
    counts: dict[str, int] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)

    def add(self, what: str, line: int) -> None:
        """Count a row."""
        self.counts[what] = self.counts.get(what, 0) + 1
        self.first.setdefault(what, line)

    def __str__(self) -> str:
        """Say in one line what there was and where, or nothing."""
        kinds = (f"{count:,} {what} (line {self.first[what]})" for what, count in self.counts.items())
        return f"{self.file}: {'; '.join(kinds)}" if self.counts else ""


class BoxTable(NamedTuple):
    """N boxes in K keyframes, in the order of their first rows.

    Attributes:
        names: K names ``video,0902``.
        keyframe: int64 (N,), keyframe of each box.
        box: float32 (N, 4), x1, y1, x2, y2 in 0..1.
        action_box: int64 (A,), box of each action.
        action: int64 (A,), class from 0.
        odd: what rules were applied to.
    """

    names: list[str]
    keyframe: Tensor
    box: Tensor
    action_box: Tensor
    action: Tensor
    odd: OddRows


def key_of(video: str, timestamp: str) -> str:
    """Name of a keyframe: ``video,0902``.

    Raises:
        ValueError: the timestamp is no whole number of seconds.
    """
    seconds = timestamp.strip()
    if not seconds.isdecimal():
        raise ValueError
    return f"{video.strip()},{int(seconds):04d}"


def read_boxes(
    file: Path,
    num_classes: int = 80,
    least_score: float | None = None,
    videos: Container[str] | None = None,
) -> BoxTable:
    """Read boxes, each once, with its actions.

    Rows that are odd are counted: a box that reaches out of the picture is cut to it; one that is empty (x2 <= x1 or y2
    <= y1), at a timestamp that is no number of seconds, of a video that is not known, or of an action that is not 1 to
    ``num_classes``, is left out.

    Args:
        file: the list.
        num_classes: actions are 1 .. num_classes; none is an empty one.
        least_score: of a detector's list: rows with a lower score are left out, without a count.
        videos: known ones; all are when None.

    Raises:
        ValueError: the file is missing, a row has not 7 or 8 columns or its corners or score are no numbers (with the
            line), or no row is left.
    """
    odd = OddRows(file)
    names: dict[str, int] = {}
    known: dict[tuple[str, ...], int] = {}
    keyframes, corners, action_boxes, actions = array("q"), array("d"), array("q"), array("q")
    number = 0
    for number, row in enumerate(csv.reader(read_text(file).splitlines()), 1):
        if not row:
            continue
        if len(row) not in (7, 8) or (least_score is not None and len(row) != 8):
            wanted = _ROW if least_score is None else _ROW.replace("person", "score")
            raise ValueError(f"{file}:{number}: has {len(row)} columns, must be {wanted}; correct the line")
        try:
            if least_score is not None and not float(row[7]) >= least_score:
                continue
            box = tuple(map(float, row[2:6]))
        except ValueError:
            raise ValueError(
                f"{file}:{number}: `{','.join(row)}` has corners or a score that are no numbers; correct the line"
            ) from None
        if videos is not None and row[0].strip() not in videos:
            odd.add("of a video that is not annotated, left out", number)
            continue
        try:
            name = key_of(row[0], row[1])
        except ValueError:
            odd.add("at a timestamp that is no number of seconds, left out", number)
            continue
        x1, y1, x2, y2 = (min(max(value, 0.0), 1.0) for value in box)
        if not (box[0] < box[2] and box[1] < box[3] and x1 < x2 and y1 < y2):  # also where one is not a number
            odd.add("with an empty box (x2 <= x1 or y2 <= y1), left out", number)
            continue
        action = row[6].strip()
        if action and not (action.isdecimal() and 1 <= int(action) <= num_classes):
            odd.add(f"of an action that is not 1 to {num_classes}, left out", number)
            continue
        if (x1, y1, x2, y2) != box:
            odd.add("with a box that reaches out of 0..1, cut to the picture", number)
        key = (name, *row[2:6])
        place = known.setdefault(key, len(known))
        if place == len(keyframes):
            keyframes.append(names.setdefault(name, len(names)))
            corners.extend((x1, y1, x2, y2))
        if action:
            action_boxes.append(place)
            actions.append(int(action) - 1)
    if not keyframes:
        reason = str(odd).partition(": ")[2] or "it is empty, or all scores are too low"
        raise ValueError(f"{file}: none of its {number:,} lines can be used: {reason}; give the official list")
    tensors = (torch.tensor(column, dtype=torch.long) for column in (keyframes, action_boxes, actions))
    keyframe, action_box, action_label = tensors
    return BoxTable(list(names), keyframe, torch.tensor(corners).float().view(-1, 4), action_box, action_label, odd)


def read_exclusions(file: Path) -> frozenset[str]:
    """Read excluded timestamps, a row ``video,timestamp`` each; names as of ``key_of``.

    Raises:
        ValueError: the file is missing, or a row is another.
    """
    excluded = set()
    for number, line in read_lines(file):
        try:
            video, timestamp = line.split(",")
            excluded.add(key_of(video, timestamp))
        except ValueError:
            raise ValueError(f"{file}:{number}: `{line}` is not `video,timestamp`; correct the line") from None
    return frozenset(excluded)


def read_label_map(file: Path, num_classes: int = 80) -> dict[int, str]:
    """Read the actions that are evaluated.

    Args:
        file: ``.pbtxt`` with ``item { name: "dance" id: 4 }``, or text with a line ``4: dance`` each.
        num_classes: actions are 1 .. num_classes.

    Returns:
        Names by class from 0, in order.

    Raises:
        ValueError: the file is missing or empty, or a line is another, twice there, or of an action outside.
    """
    names: dict[int, str] = {}
    name: str | None = None
    for number, line in read_lines(file):
        if line in ("item {", "}"):
            continue
        if match := _NAME.match(line):
            name = match[1]
            continue
        match = _LINE.match(line)
        if match:
            action, name = int(match[1]), match[2]
        elif match := _NUMBER.match(line):
            action = int(match[1])
        else:
            raise ValueError(f"{file}:{number}: `{line}` is no part of a label map; give the official .pbtxt")
        if name is None or not 1 <= action <= num_classes or action - 1 in names:
            raise ValueError(
                f"{file}:{number}: action {action} has no name, is there twice or is not 1 to {num_classes}; correct it"
            )
        names[action - 1], name = name, None
    if not names:
        raise ValueError(f"{file}: names no action; give the official .pbtxt")
    return dict(sorted(names.items()))
