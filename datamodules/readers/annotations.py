"""Annotation files to Python values; what cannot be read is one line with the file and what to do."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

_COPY = "copy the file again from the dataset"


def find_file(root: Path, given: str | Path | None, folders: Sequence[str], names: Sequence[str]) -> Path:
    """Return an annotation file, the first of its names that is there.

    Args:
        root: folder of the data set.
        given: folder of the annotations, below ``root`` or as it is; None looks in ``root``, and in some folders in and
            beside it.
        folders: their names.
        names: that the file goes by, or patterns of them.

    Raises:
        ValueError: there is none.
    """
    places = [root, *(place / folder for place in (root, root.absolute().parent) for folder in folders)]
    if given is not None:
        folder = Path(given).expanduser()
        places = [root / folder, folder]
    file = next((file for name in names for place in places for file in place.glob(name)), None)
    if file is None:
        raise ValueError(
            f"{' or '.join(names)}: no such list in {', '.join(map(str, places))}; put the official one there, or set"
            f" lists to its folder"
        )
    return file


def read_lines(file: Path) -> Iterator[tuple[int, str]]:
    """Read a list's lines that are not blank, without the blanks around them, each with its number from 1.

    Raises:
        ValueError: there is no such file.
    """
    if not file.is_file():
        raise ValueError(f"{file}: no such list; put the official one there")
    with file.open(encoding="utf-8-sig", errors="surrogateescape") as stream:
        for number, line in enumerate(stream, 1):
            if text := line.strip():
                yield number, text


def read_text(file: Path) -> str:
    """Read a text file, with or without a byte order mark.

    Raises:
        ValueError: it is missing, or is no UTF-8.
    """
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"{file}: cannot be read ({error.strerror}); {_COPY}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{file}:{line}: is no UTF-8 text; {_COPY}") from error


def read_json(file: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    """Read a JSON file.

    Raises:
        ValueError: it is missing, or is no JSON; with the line.
    """
    try:
        return json.loads(read_text(file))
    except json.JSONDecodeError as error:
        raise ValueError(f"{file}:{error.lineno}: is no JSON ({error.msg}); {_COPY}") from error


def read_table(file: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Read a CSV file whose first line names the columns.

    Args:
        file: the table.
        columns: those that are needed; others may be there.

    Yields:
        The number of a row's last line, from 1, and its values by column.

    Raises:
        ValueError: the file cannot be read, columns are missing, or a row has more or fewer values than columns.
    """
    reader = csv.DictReader(io.StringIO(read_text(file), newline=""))
    absent = [name for name in columns if name not in (reader.fieldnames or ())]
    if absent:
        raise ValueError(f"{file}:1: columns {', '.join(absent)} are missing; {_COPY}")
    for row in reader:
        if None in row or None in row.values():
            raise ValueError(f"{file}:{reader.line_num}: has not as many values as the first line has names; {_COPY}")
        yield reader.line_num, row
