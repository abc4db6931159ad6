"""A table of the thesis in small: its rows, what they are read from, and the orders that the thesis finds."""

import statistics
from collections.abc import Mapping
from typing import NamedTuple

from benchmarks.reproduction.runs import AnyRun, recipe

Values = dict[tuple[str, str], dict[int, float]]
"""By row and column: the number of each seed."""


class Figure(NamedTuple):
    """A number that a run comes to, in the table's unit.

    Attributes:
        run: which.
        metric: as the run logs it.
        scale: of 0..1 to percent.
    """

    run: AnyRun
    metric: str
    scale: float = 100.0


class Column(NamedTuple):
    """A column.

    Attributes:
        title: what is measured here.
        thesis: what the thesis' numbers in brackets are of; empty where it is the same.
        lower_is_better: as of an error.
        digits: after the point.
    """

    title: str
    thesis: str = ""
    lower_is_better: bool = False
    digits: int = 1


class Row(NamedTuple):
    """A row.

    Attributes:
        title: what is compared.
        figures: one for each column; None where the row has no such cell.
        thesis: the thesis' numbers of the same row, one for each column or none at all.
    """

    title: str
    figures: tuple[Figure | None, ...]
    thesis: tuple[float | None, ...] = ()


class Order(NamedTuple):
    """That one row is ahead of another.

    Attributes:
        higher: title of the row that is ahead in the thesis.
        lower: title of the other.
        columns: titles of those it is said of; all that both rows have if omitted.
    """

    higher: str
    lower: str
    columns: tuple[str, ...] = ()


class Table(NamedTuple):
    """A table.

    Attributes:
        name: its number in the thesis.
        columns: from left to right.
        rows: from top to bottom.
        orders: what the thesis concludes.
        seeds: runs of each row, with seeds from 0.
        corner: heading of the rows.
        quick_columns: how many columns a quick pass fills; all if omitted.
    """

    name: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    orders: tuple[Order, ...]
    seeds: int = 3
    corner: str = "run"
    quick_columns: int | None = None

    def row(self, title: str) -> Row:
        """The row of a title."""
        return next(row for row in self.rows if row.title == title)

    def wanted(self, seeds: int, quick: bool) -> list[tuple[AnyRun, int]]:
        """The runs of all figures."""
        runs = [
            figure.run for row in self.rows for figure in row.figures[: self.quick_columns if quick else None] if figure
        ]
        return [(run, seed) for seed in range(seeds) for run in dict.fromkeys(runs)]


class Verdict(NamedTuple):
    """What became of an order in one column.

    Attributes:
        kind: one of ``KINDS``.
        column: title.
        text: difference, how many seeds show it, and the thesis' difference.
    """

    kind: str
    column: str
    text: str


HOLDS, ONE_SEED, NOT_TOLD_APART = "holds", "not settled by one seed", "not told apart"
DOES_NOT_HOLD, NOT_RUN = "**does not hold**", "not run"
KINDS = (HOLDS, NOT_TOLD_APART, DOES_NOT_HOLD, ONE_SEED, NOT_RUN)


def judge(table: Table, order: Order, values: Values) -> list[Verdict]:
    """Say of each column whether an order holds.

    Two rows are told apart if their means lie farther from each other than the larger of their standard deviations, and
    each seed that both have shows the same order.
    """
    verdicts = []
    higher, lower = table.row(order.higher), table.row(order.lower)
    for index, column in enumerate(table.columns):
        said_of = not order.columns or column.title in order.columns
        if not said_of or higher.figures[index] is None or lower.figures[index] is None:
            continue
        first, second = (values.get((row.title, column.title), {}) for row in (higher, lower))
        kind, text = NOT_RUN, []
        if first and second:
            sign = -1 if column.lower_is_better else 1
            difference = statistics.mean(first.values()) - statistics.mean(second.values())
            both = first.keys() & second.keys()
            ahead = sum(sign * (first[seed] - second[seed]) > 0 for seed in both)
            text = [f"{difference:+.{column.digits}f}", f"in {ahead} of {len(both)} seeds" if len(both) > 1 else ""]
            if min(len(first), len(second)) == 1:
                kind = ONE_SEED
            elif abs(difference) <= max(statistics.stdev(first.values()), statistics.stdev(second.values())):
                kind = NOT_TOLD_APART
            elif ahead != (len(both) if sign * difference > 0 else 0):
                kind = NOT_TOLD_APART
            else:
                kind = HOLDS if sign * difference > 0 else DOES_NOT_HOLD
        published = thesis_difference(higher, lower, index)
        if published is not None:
            text.append(f"thesis {published:+.{column.digits}f}")
        verdicts.append(Verdict(kind, column.title, ", ".join(filter(None, text)).replace(", in ", " in ")))
    return verdicts


def thesis_difference(higher: Row, lower: Row, index: int) -> float | None:
    """The difference of the thesis' numbers in a column; None where it has none."""
    if index >= min(len(higher.thesis), len(lower.thesis)):
        return None
    first, second = higher.thesis[index], lower.thesis[index]
    return None if first is None or second is None else first - second


def sentence(table: Table, order: Order, values: Values) -> str:
    """An order and what became of it, in one line of Markdown."""
    verdicts = judge(table, order, values)
    parts = []
    for kind in KINDS:
        found = [verdict for verdict in verdicts if verdict.kind == kind]
        texts = [f" ({verdict.text})" if verdict.text else "" for verdict in found]
        if len(table.columns) > 1 and found:
            named = (f"{verdict.column}{text}" for verdict, text in zip(found, texts, strict=True))
            parts.append(f"{kind} for {', '.join(named)}")
        else:
            parts += [f"{kind}{text}" for text in texts]
    return f"- *{order.higher}* ahead of *{order.lower}*: {'; '.join(parts)}"


def cell(table: Table, row: Row, index: int, values: Values, best: float | None) -> str:
    """Mean and deviation over the seeds, how many these are where not all, and the thesis' number in brackets."""
    column = table.columns[index]
    if row.figures[index] is None:
        return ""
    found = list(values.get((row.title, column.title), {}).values())
    thesis = row.thesis[index] if index < len(row.thesis) else None
    text = "not run"
    if found:
        mean = statistics.mean(found)
        text = f"{mean:.{column.digits}f}"
        if len(found) > 1:
            text += f" ± {statistics.stdev(found):.{column.digits}f}"
        text = f"**{text}**" if mean == best else text
        if len(found) != table.seeds:
            text += f", {len(found)} seed{'s' if len(found) > 1 else ''}"
    return text if thesis is None else f"{text} ({thesis:.{column.digits}f})"


def markdown(table: Table, values: Values) -> str:
    """The table, and a sentence for each order."""
    heads = [column.title + (f" ({column.thesis})" if column.thesis else "") for column in table.columns]
    lines = [[table.corner, *heads], ["---"] * (1 + len(heads))]
    best: list[float | None] = []
    for column in table.columns:
        means = [
            statistics.mean(found)
            for row in table.rows
            if (found := list(values.get((row.title, column.title), {}).values()))
        ]
        best.append((min if column.lower_is_better else max)(means, default=None))
    for row in table.rows:
        lines.append([row.title, *(cell(table, row, index, values, best[index]) for index in range(len(heads)))])
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n".join([text, "", *(sentence(table, order, values) for order in table.orders)])


def record_rows(table: Table, values: Values) -> list[dict[str, object]]:
    """Rows of a record: a line for each figure, with its number for each seed."""
    rows: list[dict[str, object]] = []
    for row in table.rows:
        for index, (column, figure) in enumerate(zip(table.columns, row.figures, strict=True)):
            if figure is None:
                continue
            found = values.get((row.title, column.title), {})
            line: dict[str, object] = {"row": row.title, "column": column.title}
            line |= {f"seed {seed}": found.get(seed) for seed in range(max([table.seeds - 1, *found]) + 1)}
            line["mean"] = statistics.mean(found.values()) if found else None
            line["deviation"] = statistics.stdev(found.values()) if len(found) > 1 else None
            line["thesis"] = row.thesis[index] if index < len(row.thesis) else None
            line["from"] = f"{figure.metric} of {recipe(figure.run)}"
            rows.append(line)
    return rows


def values_of(rows: list[Mapping[str, object]]) -> Values:
    """The numbers in the rows of a record."""
    return {
        (str(row["row"]), str(row["column"])): {
            int(name.removeprefix("seed ")): float(value)
            for name, value in row.items()
            if name.startswith("seed ") and isinstance(value, int | float)
        }
        for row in rows
    }
