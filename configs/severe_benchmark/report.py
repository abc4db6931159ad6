"""``lightning severe report``: results of jobs as tables beside the published ones, and as figures."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from callbacks.pictures import write_picture
from callbacks.run_folder import write_whole
from configs.severe_benchmark import figures
from configs.severe_benchmark.formats import Table, to_csv, to_latex, to_markdown
from configs.severe_benchmark.results import JOB, RESULT, Result, read_result, state
from configs.severe_benchmark.settings import ORDER
from configs.severe_benchmark.tables import (
    LAYOUTS,
    Column,
    Layout,
    Row,
    metric_of,
    own_cell,
    published_rows,
)

PUBLISHED_FAMILIES = ("severe", "severe_linear")
"""Those whose settings are the thesis': only their results stand beside published numbers."""

RANK_NOTE = (
    "Mean and average rank count repetition counting as 100 (1 - error); equal numbers share the better rank. The "
    "ranks printed in table 5.8 come out where the larger error of repetition counting is given the better rank; "
    "here the smaller one is. Its mean of VideoMAE is not that of its row (58.8)."
)


@dataclass
class Results:
    """Results of several jobs.

    Attributes:
        all: each job once.
        notes: jobs that have no result, and what else a reader has to know.
    """

    all: list[Result]
    notes: list[str]

    def values(self, family: str) -> dict[str, dict[str, list[float]]]:
        """Numbers of a family, one for each seed, by name of the weights and ``FAMILY/SETTING/METRIC``."""
        found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for result in self.all:
            if result.identity.family == family:
                for metric, value in result.metrics.items():
                    key = f"{family}/{result.identity.setting}/{metric.removeprefix('test/')}"
                    found[result.identity.name][key].append(value)
        return {name: dict(columns) for name, columns in found.items()}

    def row(self, name: str, families: Sequence[str]) -> Row:
        """A row for weights, still without numbers: their network and data, several where results differ in them."""
        of_name = [one for one in self.all if one.identity.name == name and one.identity.family in families]
        parts = ([one.network for one in of_name], [one.pretraining for one in of_name])
        network, pretraining = (" or ".join(dict.fromkeys(filter(None, part))) for part in parts)
        return Row(name, network, pretraining)

    @property
    def names(self) -> list[str]:
        """Of the weights, in the order of the folders."""
        return list(dict.fromkeys(result.identity.name for result in self.all))

    @property
    def families(self) -> list[str]:
        """Of the settings, in the order of the folders."""
        return list(dict.fromkeys(result.identity.family for result in self.all))


def report(folders: list[Path], out: Path, compare: list[str] | None = None) -> str:
    """Write ``report.md``, each table as CSV and LaTeX too, and the figures.

    Args:
        folders: of results.
        out: folder to write.
        compare: names of two weights whose accuracies in each class are compared; by default the last two.

    Returns:
        What was written, in a few lines.

    Raises:
        ValueError: there are no results, or some contradict each other, or ``compare`` names others.
        OSError: a file cannot be read or written.
    """
    results = collect(folders)
    if compare is not None and (unknown := [name for name in compare if name not in results.names]):
        raise ValueError(f"--compare {unknown[0]}: no such results; there are: {', '.join(results.names)}")
    tables = [table for layout in LAYOUTS if (table := thesis_table(layout, results))]
    tables += [own_table(family, results) for family in results.families if family not in PUBLISHED_FAMILIES]
    pictures = figures.draw_all(results.all, compare or results.names[-2:])
    lines = ["# SEVERE benchmark", ""]
    lines += ["Rows whose source is a table of the thesis are published numbers; none of them is rerun here.", ""]
    lines += [f"- {note}" for note in results.notes]
    for table in tables:
        lines += ["", f"## {table.title}", "", to_markdown(table), *("", *table.notes)[: 1 + len(table.notes)]]
        write_whole(out / f"{table.name}.csv", to_csv(table).encode())
        write_whole(out / f"{table.name}.tex", to_latex(table).encode())
    lines += ["", "## Figures"] if pictures else []
    for picture in pictures:
        write_picture(out / f"{picture.name}.png", picture.pixels)
        lines += ["", f"![{picture.name}]({picture.name}.png)", "", picture.caption]
    write_whole(out / "report.md", ("\n".join(lines) + "\n").encode())
    said = [f"wrote {out / 'report.md'}: {len(tables)} tables, {len(pictures)} figures of {len(results.all)} results"]
    return "\n".join([*said, *results.notes])


def collect(folders: list[Path]) -> Results:
    """Read the results in folders.

    Raises:
        ValueError: there are none, or two kinds of weights or two configs go by one name, or a job has two results.
    """
    found: list[Result] = []
    notes = []
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"{folder}: no such folder; give that of `lightning severe --out`")
        for job in sorted(folder.rglob(JOB)):
            result = read_result(job.with_name(RESULT))
            if result is not None:
                found.append(result)
            else:
                notes.append(f"left out, {state(job.parent)}: {job.parent}")
    if not found:
        where = ", ".join(map(str, folders))
        raise ValueError(f"{where}: no result of a job there{f'; {notes[0]}' if notes else ''}")
    unique: dict[tuple[str, str, str, int], Result] = {}
    for result in found:
        one = result.identity
        key = (one.name, one.family, one.setting, one.seed)
        if key in unique and unique[key].path.resolve() != result.path.resolve():
            raise ValueError(f"{unique[key].path} and {result.path}: results of the same job; give one of the folders")
        unique[key] = result
    results = Results(list(unique.values()), notes)
    _check(results)
    return results


def _check(results: Results) -> None:
    weights: dict[str, Result] = {}
    configs: dict[tuple[str, str], Result] = {}
    for result in results.all:
        one = result.identity
        first = weights.setdefault(one.name, result)
        if first.identity.weights != one.weights:
            raise ValueError(f"{first.path} and {result.path}: both are called {one.name}, but are of other weights")
        first = configs.setdefault((one.family, one.setting), result)
        if first.identity.config != one.config:
            raise ValueError(
                f"{first.path} and {result.path}: {one.setting} was run with different configs or arguments; no mean "
                "or rank is over both: give folders of one of them"
            )
    for key in ("video-efficient-zoo", "git_commit"):
        versions = dict.fromkeys(str(result.version.get(key)) for result in results.all)
        if len(versions) > 1:
            results.notes.append(f"the results are of several versions: {key} {', '.join(versions)}")


def thesis_table(layout: Layout, results: Results) -> Table | None:
    """One of the thesis' tables with own rows below; None where there are none, but for that of the benchmark."""
    by_name: dict[str, Row] = {}
    for family in PUBLISHED_FAMILIES:
        for name, values in results.values(family).items():
            for column in layout.columns:
                if column.key in values:
                    row = by_name.setdefault(name, results.row(name, PUBLISHED_FAMILIES))
                    row.cells[column.key] = own_cell(column, values[column.key])
    own = list(by_name.values())
    if not own and not (layout.averaged and set(results.families) & set(PUBLISHED_FAMILIES)):
        return None
    rows = [*published_rows(layout), *own]
    wanted = [column for column in layout.columns if column.key in layout.averaged]
    most = max(own, key=lambda row: sum(column.key in row.cells for column in wanted), default=None)
    averaged = [column for column in wanted if most is None or column.key in most.cells]
    notes = []
    if averaged:
        notes = [RANK_NOTE]
        if len(averaged) < len(wanted):
            left = ", ".join(column.title for column in wanted if column not in averaged)
            notes.append(f"Mean and rank are over {len(averaged)} columns, for all rows: no own row has {left}.")
    return Table(layout.name, layout.title, list(layout.columns), rows, averaged, layout.deviations, notes)


def own_table(family: str, results: Results) -> Table:
    """Results of settings that the thesis does not have, such as those on embedded data."""
    values = results.values(family)
    settings = {key.split("/")[1] for columns in values.values() for key in columns}
    columns = []
    for setting in sorted(settings, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name)):
        logged = {key for one in values.values() for key in one if key.split("/")[1] == setting}
        column = Column(f"{family}/{setting}/{metric_of(setting)}", setting)
        if column.key in logged:
            columns.append(column)
    rows = []
    for name, one in values.items():
        row = results.row(name, (family,))
        row.cells = {column.key: own_cell(column, one[column.key]) for column in columns if column.key in one}
        rows.append(row)
    notes = ["These settings are not the thesis'; their numbers cannot be compared with published ones."]
    return Table(family, f"Settings of {family}", columns, rows, columns, True, notes)
