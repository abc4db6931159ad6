"""Which classes two data sets share, whatever the wording: *HeadMassage* and *massaging person's head* (B.5)."""

import csv
import re
from collections.abc import Iterable
from pathlib import Path

_EMPTY = frozenset(("a", "an", "the", "of", "on", "in", "at", "to", "with", "or", "and", "person", "somebody", "some"))


def words_of(label: str) -> frozenset[str]:
    """The words of a class' name, in no order, without their endings and without those that say nothing."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|[_/-]", " ", label)
    words = re.findall(r"[a-z0-9]+", re.sub(r"'s\b", "", apart).lower())
    return frozenset(_stem(word) for word in words if word not in _EMPTY)


def label_overlap(classes: Iterable[str], source: Iterable[str], same: Iterable[str] = ()) -> tuple[float, list[str]]:
    """Share of a data set's classes that the source has, too.

    Args:
        classes: names of the one.
        source: names of the other.
        same: further classes of the one that are known to be in the other.

    Returns:
        The share, in 0..1, and the classes.

    Raises:
        ValueError: there are no classes.
    """
    names = list(dict.fromkeys(classes))
    if not names:
        raise ValueError("a data set has no names of classes to compare")
    known = {words_of(name) for name in source}
    given = set(same)
    shared = [name for name in names if name in given or words_of(name) in known]
    return len(shared) / len(names), shared


def read_same(path: Path) -> list[str]:
    """Read a CSV of classes that differ in wording alone: first the class, then, for the reader, the source's.

    Raises:
        ValueError: a line has no two names.
        OSError: the file cannot be read.
    """
    names = []
    with path.open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.reader(file), 1):
            if row and (len(row) != 2 or not all(cell.strip() for cell in row)):
                raise ValueError(f"{path}:{number}: `{','.join(row)}` is not `class,class of the source`; correct it")
            names += [row[0].strip()] if row else []
    return names


def _stem(word: str) -> str:
    for ending in ("ing", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            break
    if len(word) > 3 and word[-1] == word[-2]:
        word = word[:-1]
    return word
