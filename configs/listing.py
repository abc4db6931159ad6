"""``lightning configs``: what is shipped, where it stands in the thesis, and the thesis' numbers.

The numbers stand in the tables of ``configs/README.md`` alone, and are read from there.
"""

import difflib
import fnmatch
import re
from typing import NamedTuple

import configs
from configs import ConfigError

HEADING = re.compile(r"#+ (?:Tables? |(Figure) )([^:]+):")
LINK = re.compile(r"\[[^\]]*\]\(([^)]+\.yaml)\)")
NUMBER = re.compile(r"\d+(\.\d+)?( ± \d+(\.\d+)?)?")
RULER = re.compile(r"\|[-:| ]+\|")


class Place(NamedTuple):
    """Where a config stands in the thesis.

    Attributes:
        table: ``3.1``, or ``4.1, 4.4`` where several have the row; ``figure 2.3`` of a figure.
        row: what the row is of.
        numbers: ``85.2``, or ``None 77.3 ± 0.9, supervised 93.9 ± 0.2`` where there are several; empty where there are
            none, as for a pretraining whose evaluation has them.
    """

    table: str
    row: str
    numbers: str


def run(arguments: list[str]) -> int:
    """List configs.

    Args:
        arguments: those after the subcommand.

    Returns:
        Exit code, as of ``cli.main``.

    Raises:
        ConfigError: no config fits the pattern.
    """
    from configs.severe_benchmark.command import make_parser, parse

    parser = make_parser(
        "lightning configs",
        "List the shipped configs: what each is, its tables in the thesis, and the thesis' numbers. They are the "
        "thesis', not ours; configs/README.md has the same by table.",
    )
    parser.add_argument(
        "pattern", nargs="?", metavar="PATTERN", help="part of a name, title or table, or a name with * and ?"
    )
    options, _ = parse(parser, arguments)
    show(options.pattern)
    return 0


def show(pattern: str | None) -> None:
    """Print the configs that fit a pattern: a block each on a terminal, a line each into a file or another program.

    Raises:
        ConfigError: there are none.
    """
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    places = read_places()
    console = Console()
    table = Table("config", "what", "table", "thesis", box=None, pad_edge=False)
    for name, title in choose(pattern, places).items():
        by_numbers: dict[str, list[str]] = {}
        for place in places.get(name, []):
            by_numbers.setdefault(place.numbers, []).append(place.table)
        rows = [(", ".join(dict.fromkeys(tables)), numbers) for numbers, tables in by_numbers.items()]
        if console.is_terminal:
            lines = [f"{named(tables)}{': ' if numbers else ''}{numbers}" for tables, numbers in rows]
            console.print(Text(name, "bold"), Padding(Text("\n".join([title, *lines])), (0, 0, 0, 4)), sep="\n")
        for number, row in enumerate(rows or [("", "")]):
            table.add_row(*map(Text, (name, title, *row) if number == 0 else ("", "", *row)))
    if not console.is_terminal:
        Console(width=400).print(table)


def choose(pattern: str | None, places: dict[str, list[Place]]) -> dict[str, str]:
    """Name and title of the shipped configs that fit a pattern.

    Args:
        pattern: part of a name, a title or ``table 3.1``, or a name with ``*`` and ``?``; None for all.
        places: of each config.

    Raises:
        ConfigError: there are none.
    """
    shipped = configs.shipped()
    if pattern is None:
        return shipped
    wanted = pattern.casefold()
    found = {}
    for name, title in shipped.items():
        tables = [named(table) for place in places.get(name, []) for table in split_tables(place.table)]
        if fnmatch.fnmatchcase(name, pattern) or wanted in f"{name} {title}".casefold() or wanted in tables:
            found[name] = title
    if found:
        return found
    near = difflib.get_close_matches(pattern, shipped, n=3, cutoff=0.5)
    hint = f"near: {', '.join(near)}" if near else "without a pattern all are listed"
    raise ConfigError(f"configs: none fits '{pattern}'; {hint}")


def named(table: str) -> str:
    """``table 3.1`` or ``figure 2.3``."""
    return table if table.startswith("figure") else f"table {table}"


def split_tables(text: str) -> list[str]:
    """``5.2 to 5.5, c.1 and c.3`` as numbers, in small letters."""
    numbers: list[str] = []
    for part in re.split(r", | and ", text.casefold()):
        first, _, last = part.partition(" to ")
        if last:
            chapter, start = first.split(".")
            numbers += [f"{chapter}.{number}" for number in range(int(start), int(last.split(".")[1]) + 1)]
        else:
            numbers.append(first)
    return numbers


def read_places() -> dict[str, list[Place]]:
    """Places of each config that a table of ``configs/README.md`` links to.

    A table's number stands in its column ``table`` or in the heading above it. A cell that is a number belongs to the
    nearest config on its left, and is called as its column is, but for ``thesis``.
    """
    places: dict[str, list[Place]] = {}
    above, header = "", None
    for line in (configs.FOLDER / "README.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            found = HEADING.match(line)
            above, header = found[2] if found else "", None
            if found and found[1]:
                above = f"figure {above}"
        elif not line.startswith("|"):
            header = None
        elif header is None:
            header = _cells(line)
        elif not RULER.fullmatch(line):
            for name, place in _read_row(dict(enumerate(_cells(line))), header, above):
                places.setdefault(name, []).append(place)
    return places


def _read_row(cells: dict[int, str], header: list[str], above: str) -> list[tuple[str, Place]]:
    table = cells[header.index("table")] if "table" in header else above
    if not table:
        return []
    table = table.replace(" and ", ", ")
    words: list[str] = []
    found: list[tuple[list[str], list[str]]] = []
    for column, cell in cells.items():
        if names := LINK.findall(cell):
            found.append((names, []))
        elif NUMBER.fullmatch(cell) and found:
            found[-1][1].append(cell if header[column] == "thesis" else f"{header[column]} {cell}")
        elif header[column] != "table" and cell:
            words.append(cell)
    return [(name, Place(table, ", ".join(words), ", ".join(numbers))) for names, numbers in found for name in names]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]
