"""Names, lists, categories and times of FineGym; ``fine_gym.py`` tells of the dataset."""

import math
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from datamodules.readers.annotations import read_json, read_text
from datamodules.sample_list import VIDEO_SUFFIXES

EVENTS = {0: "vault", 2: "floor exercise", 3: "balance beam", 4: "uneven bars"}
# Of set_categories.txt; the tens tell the event.
SETS = {
    1: "vault",
    21: "floor: leap, jump, hop",
    22: "floor: turns",
    23: "floor: side salto",
    24: "floor: front salto",
    25: "floor: back salto",
    31: "beam: leap, jump, hop",
    32: "beam: turns",
    33: "beam: flight salto",
    34: "beam: flight handspring",
    35: "beam: dismounts",
    41: "bars: circles",
    42: "bars: flight, same bar",
    43: "bars: transition flight",
    44: "bars: dismounts",
}

_VIDEO = re.compile(r"[\w-]{11}", re.ASCII)
_EVENT = re.compile(r"E_(\d{6})_\d{6}", re.ASCII)
_ACTION = re.compile(r"A_\d{4}_\d{4}", re.ASCII)
_ELEMENT = re.compile(rf"{_VIDEO.pattern}_{_EVENT.pattern}_{_ACTION.pattern}", re.ASCII)
_CATEGORY = re.compile(r"Clabel:\s*(\d+);\s*set:\s*(\d+);\s*Glabel:\s*(\d+);\s*(\S.*)", re.ASCII)
_REMEDY = "correct the line, or take the official file"


class Element(NamedTuple):
    """One line of a list.

    Attributes:
        name: ``VIDEO_E_START_END_A_START_END``.
        label: class from 0.
    """

    name: str
    label: int


class Category(NamedTuple):
    """One class and its place in the hierarchy of event, set and element.

    Attributes:
        set: number of the set, one of ``SETS``.
        element: number of the element among the 530 of Gym530.
        name: of the element, such as ``(VT) round-off, flic-flac on, stretched salto backward with 2 turn off``.
    """

    set: int
    element: int
    name: str

    @property
    def event(self) -> str:
        """Name of the event."""
        return EVENTS[self.set // 10]

    @property
    def set_name(self) -> str:
        """Name of the set."""
        return SETS[self.set]


class Span(NamedTuple):
    """When an element is seen, in seconds from the start of the raw video.

    Attributes:
        start: of the first stage.
        end: of the last stage.
    """

    start: float
    end: float


def video_of(name: str) -> str:
    """Return the YouTube id in an element's name."""
    return name[:11]


def read_elements(file: Path, num_classes: int | None = None) -> list[Element]:
    """Read a list with a line ``VIDEO_E_START_END_A_START_END label``; the name may end in ``.avi`` or the like.

    Args:
        file: the list.
        num_classes: of the list, to check the labels against; not checked when None.

    Returns:
        The elements, in order.

    Raises:
        ValueError: the list is empty or a line is something else, with file and line.
    """
    elements = []
    for number, line in enumerate(read_text(file).splitlines(), 1):
        if not line.strip():
            continue
        words = line.split()
        stem, suffix = os.path.splitext(words[0])
        name = stem if suffix.lower() in VIDEO_SUFFIXES else words[0]
        if len(words) != 2 or not _ELEMENT.fullmatch(name) or not (words[1].isascii() and words[1].isdigit()):
            raise ValueError(
                f"{file}:{number}: {line.strip()!r} is not `VIDEO_E_START_END_A_START_END label`; {_REMEDY}"
            )
        label = int(words[1])
        if num_classes is not None and label >= num_classes:
            raise ValueError(f"{file}:{number}: label {label} is not 0 to {num_classes - 1}; {_REMEDY}")
        elements.append(Element(name, label))
    if not elements:
        raise ValueError(f"{file}: is empty; take the official file")
    return elements


def read_categories(file: Path) -> list[Category]:
    """Read the classes of a list: a line ``Clabel: 0; set: 1; Glabel: 1; (VT) ...`` each, from 0 up.

    Raises:
        ValueError: there is none, or a line is something else, with file and line.
    """
    categories: list[Category] = []
    for number, line in enumerate(read_text(file).splitlines(), 1):
        if not line.strip():
            continue
        match = _CATEGORY.fullmatch(line.strip())
        if match is None or int(match[2]) not in SETS:
            raise ValueError(
                f"{file}:{number}: {line.strip()!r} is not `Clabel: N; set: N; Glabel: N; NAME` of a known set;"
                f" {_REMEDY}"
            )
        if int(match[1]) != len(categories):
            raise ValueError(f"{file}:{number}: class {match[1]} comes where {len(categories)} should; {_REMEDY}")
        categories.append(Category(int(match[2]), int(match[3]), match[4]))
    if not categories:
        raise ValueError(f"{file}: is empty; take the official file")
    return categories


def read_spans(file: Path) -> dict[str, Span]:
    """Read when each element is seen.

    Two forms are known. The official ``finegym_annotation_info_v1.*.json`` maps videos to events, and those to
    ``{timestamps, segments}``: times of the event within the video, and its elements, or null. The file of events that
    others derived from it (``event_annotation.json``) maps events to elements; their events start at the whole second
    that their names give, up to a second early. In both an element has ``timestamps``, [start, end] of each stage in
    seconds from the start of its event.

    Returns:
        By the names of the elements, in the order of the file.

    Raises:
        ValueError: the file is something else; with the entry.
    """
    content = read_json(file)
    spans: dict[str, Span] = {}
    for key, value in _items(content, file, "the file"):
        if _VIDEO.fullmatch(key):
            for event, details in _items(value, file, key):
                details = details if isinstance(details, dict) else {}
                if details.get("segments") is not None:
                    start = _span(details.get("timestamps"), file, f"{key}_{event}").start
                    _add(spans, f"{key}_{event}", start, details["segments"], file)
        else:
            match = _EVENT.fullmatch(key[12:])
            _add(spans, key, float(match[1]) if match else 0.0, value, file)
    if not spans:
        raise ValueError(f"{file}: holds no elements; take finegym_annotation_info_v1.0.json of the dataset")
    return spans


def _add(spans: dict[str, Span], event: str, start: float, segments: object, file: Path) -> None:
    for action, details in _items(segments, file, event):
        name = f"{event}_{action}"
        if not _ELEMENT.fullmatch(name):
            raise ValueError(
                f"{file}: {name!r} is no element VIDEO_E_START_END_A_START_END; take the official annotations"
            )
        within = _span(details.get("timestamps") if isinstance(details, dict) else None, file, name)
        spans[name] = Span(start + within.start, start + within.end)


def _items(value: object, file: Path, key: str) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        raise ValueError(f"{file}: {key} holds no names with entries; take finegym_annotation_info_v1.0.json")
    return list(value.items())


def _span(stages: object, file: Path, key: str) -> Span:
    """Return the time from the start of the first stage to the end of the last."""
    if isinstance(stages, list) and stages and all(isinstance(stage, list) and len(stage) == 2 for stage in stages):
        ends = (stages[0][0], stages[-1][1])
        if all(isinstance(end, int | float) and math.isfinite(end) for end in ends) and 0 <= ends[0] < ends[1]:
            return Span(float(ends[0]), float(ends[1]))
    raise ValueError(f"{file}: {key}: timestamps {stages!r} are no [[start, end], ...] in seconds; correct them")
