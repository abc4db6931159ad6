"""Puts the tables of ``benchmarks/results/*.json`` into the pages of docs/, each between two comments.

    python -m benchmarks.pages
    python -m benchmarks.pages --check

A page says where: ``<!-- table NAME/TABLE -->``, then what this script writes, then ``<!-- end -->``. Under a table
stands with which command and where it was measured. In place of a table without a record stands that it was not
measured. ``--check`` writes nothing, names each table that is not that of its record, and ends with 1 if there is one.
"""

import argparse
import json
import re
import sys
from pathlib import Path

from benchmarks.record import RESULTS, circumstances, markdown

DOCS = Path(__file__).parents[1] / "docs"
BEGIN = "<!-- table "
PLACE = re.compile(rf"({BEGIN}(\w+)/([^\n]+?) -->\n)((?:(?!{BEGIN}).)*?)(?=<!-- end -->)", re.DOTALL)


def filled(page: Path, results: Path = RESULTS) -> str:
    """A page's text with all its tables written anew.

    Raises:
        ValueError: a place has no end, or its record no such table; with the page.
    """
    text = page.read_text(encoding="utf-8")
    if len(PLACE.findall(text)) != text.count(BEGIN):
        raise ValueError(f"{page.name}: a line {BEGIN}NAME/TABLE --> without its line <!-- end -->")
    return PLACE.sub(lambda place: place[1] + block(page, place[2], place[3], results), text)


def block(page: Path, name: str, table: str, results: Path) -> str:
    """What stands between the comments."""
    record = results / f"{name}.json"
    if not record.exists():
        return "\nNot measured.\n\n"
    kept = json.loads(record.read_text(encoding="utf-8"))
    if table not in kept["tables"]:
        known = ", ".join(kept["tables"])
        raise ValueError(f"{page.name}: {record.name} has no table {table!r}, it has {known}")
    return f"\n{markdown(kept['tables'][table])}\n\n*{circumstances(kept)}*\n\n"


def complaints(page: Path, results: Path = RESULTS) -> list[str]:
    """One line for each table of a page that is not that of its record."""
    try:
        wanted = PLACE.finditer(filled(page, results))
    except ValueError as error:
        return [str(error)]
    found = PLACE.finditer(page.read_text(encoding="utf-8"))
    return [
        f"{page.name}: table {old[2]}/{old[3]} is not that of its record: run python -m benchmarks.pages"
        for old, new in zip(found, wanted, strict=True)
        if old[4] != new[4]
    ]


def main() -> None:
    """Write or check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; say which tables are not up to date")
    options = parser.parse_args()
    pages = sorted(DOCS.rglob("*.md"))
    if options.check:
        sys.exit("\n".join(line for page in pages for line in complaints(page)) or 0)
    try:
        for page in pages:
            page.write_text(filled(page), encoding="utf-8")
    except ValueError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
