"""Tables as Markdown, CSV and LaTeX."""

import csv
import io
import itertools
from dataclasses import dataclass

from configs.severe_benchmark.tables import Cell, Column, Row, averages

_LATEX = {"\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_LATEX |= {character: f"\\{character}" for character in "&%$#_"}


@dataclass(frozen=True)
class Table:
    """A table that can be written.

    Attributes:
        name: of its files.
        title: above it.
        columns: from left to right.
        rows: from top to bottom.
        averaged: columns of the mean and the average rank; neither is shown where there are none.
        deviations: whether standard deviations are shown.
        notes: below it.
    """

    name: str
    title: str
    columns: list[Column]
    rows: list[Row]
    averaged: list[Column]
    deviations: bool
    notes: list[str]

    @property
    def printed(self) -> bool:
        """Whether published means and ranks are shown, too."""
        return any(row.printed for row in self.rows)

    def heads(self) -> list[tuple[str, str]]:
        """Group and title of each column."""
        heads = [("", "pretraining"), ("", "network"), ("", "data")]
        heads += [(column.group, column.title) for column in self.columns]
        if self.averaged:
            heads += [("", "mean"), ("", "rank")]
        if self.printed:
            heads += [("As printed", "mean"), ("As printed", "rank")]
        return [*heads, ("", "source")]

    def texts(self, plus_minus: str, empty: str) -> list[list[str]]:
        """Each row's texts."""
        means = averages(self.rows, self.averaged)
        texts = []
        for place, row in enumerate(self.rows):
            cells = [self._text(row.cells.get(column.key), column, plus_minus, empty) for column in self.columns]
            if self.averaged:
                cells += [f"{number:.1f}" for number in means[place]] if place in means else [empty, empty]
            if self.printed:
                cells += [row.printed.get(key, empty) for key in ("mean", "rank")]
            texts.append([row.name, row.network or empty, row.pretraining or empty, *cells, source(row)])
        return texts

    def _text(self, cell: Cell | None, column: Column, plus_minus: str, empty: str) -> str:
        if cell is None:
            return empty
        mean, _, deviation = cell.printed.partition("±")
        if not cell.printed:
            mean = column.text(cell.mean)
            deviation = "" if cell.deviation is None else column.text(cell.deviation)
        return f"{mean}{plus_minus}{deviation}" if self.deviations and deviation else mean


def source(row: Row) -> str:
    """Where a row's numbers are from."""
    if row.published:
        return f"published: {row.source}"
    runs = sorted({cell.runs for cell in row.cells.values()})
    seeds = "-".join(map(str, dict.fromkeys((runs[0], runs[-1])))) if runs else "0"
    return f"own, {seeds} seed{'' if seeds == '1' else 's'}"


def to_markdown(table: Table) -> str:
    """A table of GitHub's Markdown; a column's group goes before its title."""
    heads = [f"{group}: {title}" if group else title for group, title in table.heads()]
    lines = [heads, ["---", "---", "---", *["---:"] * (len(heads) - 4), "---"]]
    lines += [[text.replace("|", "\\|") for text in row] for row in table.texts(" ± ", "-")]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def to_csv(table: Table) -> str:
    """Numbers unrounded, each column by its key, with a column for its standard deviation and its number of runs."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    averaged = [f"{name} of {len(table.averaged)}" for name in ("mean", "rank")] if table.averaged else []
    printed = ["mean as printed", "rank as printed"] if table.printed else []
    keys = [f"{column.key}{part}" for column in table.columns for part in ("", "/std", "/runs")]
    writer.writerow(["pretraining", "network", "data", "source", *keys, *averaged, *printed])
    means = averages(table.rows, table.averaged)
    for place, row in enumerate(table.rows):
        values: list[object] = [row.name, row.network, row.pretraining, source(row)]
        for column in table.columns:
            cell = row.cells.get(column.key)
            values += ["", "", ""] if cell is None else [cell.mean, cell.deviation, cell.runs or ""]
        values += means.get(place, ("", "")) if averaged else ()
        values += [row.printed.get(key, "") for key in ("mean", "rank")] if printed else ()
        writer.writerow(values)
    return text.getvalue()


def to_latex(table: Table) -> str:
    """A ``tabular`` of the package booktabs: groups above titles, own rows below the published ones and a rule."""
    heads = table.heads()
    above, rules, column = [], [], 1
    for group, heads_of in itertools.groupby(heads, key=lambda head: head[0]):
        width = len(list(heads_of))
        above.append(rf"\multicolumn{{{width}}}{{c}}{{{_escape(group)}}}" if group else " & ".join([""] * width))
        if group:
            rules.append(rf"\cmidrule(lr){{{column}-{column + width - 1}}}")
        column += width
    lines = [f"% {table.title}", rf"\begin{{tabular}}{{lll{'r' * (len(heads) - 4)}l}}", r"\toprule"]
    if rules:
        lines += [" & ".join(above) + r" \\", " ".join(rules)]
    lines += [" & ".join(_escape(title) for _, title in heads) + r" \\", r"\midrule"]
    # The sign is put in after the other characters are made safe.
    texts = table.texts("±", "--")
    for row, before, line in zip(table.rows, [None, *table.rows[:-1]], texts, strict=True):
        if before is not None and before.published and not row.published:
            lines.append(r"\midrule")
        lines.append(" & ".join(_escape(text).replace("±", r"$\pm$") for text in line) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", *(f"% {note}" for note in table.notes)]) + "\n"


def _escape(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
