"""Tables of the report: which columns they have, and their rows, published and own."""

import csv
import functools
from dataclasses import dataclass, field
from pathlib import Path

from callbacks.run_summary import Spread

PUBLISHED = Path(__file__).parent / "published"


@dataclass(frozen=True)
class Column:
    """One number of a setting.

    Attributes:
        key: ``FAMILY/SETTING/METRIC``: of own results, and of the columns of the published tables.
        title: above it.
        group: above the titles.
    """

    key: str
    title: str
    group: str = ""

    @property
    def metric(self) -> str:
        """What is measured."""
        return self.key.rpartition("/")[2]

    @property
    def factor(self) -> float:
        """From a logged number to that of the tables: percent, but for errors of counts and video mAP."""
        return 1.0 if self.metric in ("error", "video_map") else 100.0

    def score(self, value: float) -> float:
        """A number of the table as one of which more is better, in percent: for means and ranks."""
        return 100 * (1 - value) if self.metric == "error" else 100 / self.factor * value

    def text(self, value: float) -> str:
        """A number with the digits that the thesis prints."""
        return f"{value:.3f}" if self.factor == 1 else f"{value:.1f}"


@dataclass(frozen=True)
class Cell:
    """A number of a table.

    Attributes:
        mean: over the runs.
        deviation: standard deviation over n - 1 for own runs; None where there is one run, or it was not published.
        runs: how many; 0 for published numbers.
        printed: mean and deviation as the thesis prints them.
    """

    mean: float
    deviation: float | None = None
    runs: int = 0
    printed: str = ""


@dataclass
class Row:
    """A model.

    Attributes:
        name: of the method or the weights.
        network: its backbone; empty where unknown.
        pretraining: its data; empty where unknown.
        source: tables of the thesis; empty for own runs.
        cells: by a column's key.
        printed: mean and rank as published, where they are.
    """

    name: str
    network: str = ""
    pretraining: str = ""
    source: str = ""
    cells: dict[str, Cell] = field(default_factory=dict)
    printed: dict[str, str] = field(default_factory=dict)

    @property
    def published(self) -> bool:
        """Whether the numbers are those of the thesis."""
        return bool(self.source)

    @property
    def label(self) -> str:
        """Name for figures, with what tells rows of the same method apart."""
        return f"{self.name} (Mini)" if self.pretraining == "Mini-Kinetics" else self.name


@dataclass(frozen=True)
class Layout:
    """A table of the thesis.

    Attributes:
        name: of the files.
        title: above the table.
        sources: published tables, the one that names the rows first; the others fill what it lacks.
        columns: from left to right.
        averaged: keys of the columns that the mean and the average rank are over; none where there are none.
        deviations: whether standard deviations are shown.
    """

    name: str
    title: str
    sources: tuple[str, ...]
    columns: tuple[Column, ...]
    averaged: tuple[str, ...] = ()
    deviations: bool = False


_TASKS = (
    Column("severe/ucfrep/error", "UCF-RC (error)", "Tasks"),
    Column("severe/charades/map", "Charades", "Tasks"),
)
SEVERE = (
    Column("severe/ssv2/top1", "SSv2", "Domains"),
    Column("severe/gym99/top1", "Gym-99", "Domains"),
    Column("severe/ucf101_1000/top1", "UCF (1000)", "Samples"),
    Column("severe/gym99_1000/top1", "Gym-99 (1000)", "Samples"),
    Column("severe/fx_s1/mean_class_accuracy", "FX-S1", "Actions"),
    Column("severe/ub_s1/mean_class_accuracy", "UB-S1", "Actions"),
    *_TASKS,
)
_UCF101 = Column("severe/ucf101/top1", "UCF101", "Existing")
_HMDB51 = Column("severe/hmdb51/top1", "HMDB51", "Existing")
_EIGHT = tuple(column.key for column in SEVERE)


def _domains(family: str, group: str) -> tuple[Column, ...]:
    names = {"ucf101": "UCF101", "ntu60": "NTU-60", "gym99": "Gym-99", "ssv2": "SSv2", "epic_verb": "EK-100"}
    return tuple(Column(f"{family}/{name}/top1", title, group) for name, title in names.items())


LAYOUTS = (
    Layout(
        "severe",
        "SEVERE benchmark (tables 4.4 and 5.8)",
        ("table_5_8", "table_4_4", "table_5_7"),
        (_UCF101, *SEVERE),
        averaged=_EIGHT,
    ),
    Layout(
        "severe_std",
        "SEVERE benchmark with standard deviations (table B.3)",
        ("table_b_3",),
        (_UCF101, _HMDB51, *SEVERE),
        deviations=True,
    ),
    Layout(
        "domains",
        "Downstream domain (table 4.1)",
        ("table_4_1",),
        (
            *_domains("severe", "Fine-tuning"),
            Column("severe_linear/kinetics400/top1", "K-400", "Linear evaluation"),
            *_domains("severe_linear", "Linear evaluation"),
        ),
        deviations=True,
    ),
    Layout(
        "actions",
        "Downstream actions, mean class accuracy (table 4.2)",
        ("table_4_2",),
        (
            Column("severe/gym99/mean_class_accuracy", "Gym-99", "Across events"),
            Column("severe/vault/mean_class_accuracy", "Vault", "Within event"),
            Column("severe/floor/mean_class_accuracy", "Floor", "Within event"),
            Column("severe/fx_s1/mean_class_accuracy", "FX-S1", "Within set"),
            Column("severe/ub_s1/mean_class_accuracy", "UB-S1", "Within set"),
            Column("severe/gym288/mean_class_accuracy", "Gym-288", "Across events, long-tailed"),
        ),
        deviations=True,
    ),
    Layout(
        "tasks",
        "Downstream tasks (table 4.3)",
        ("table_4_3",),
        (
            Column("severe/ucf101_24/video_map", "Detection", "Within domain"),
            Column("severe/ucfrep/error", "Repetition counting (error)", "Within domain"),
            Column("severe/arrow_of_time/top1", "Arrow of time", "Within domain"),
            Column("severe/charades/map", "Charades", "Out of domain"),
            Column("severe/ava/map", "AVA detection", "Out of domain"),
        ),
        deviations=True,
    ),
    Layout(
        "verbs_and_nouns",
        "EPIC-Kitchens-100 (table B.4)",
        ("table_b_4",),
        (
            Column("severe/epic_verb/top1", "Verb"),
            Column("severe/epic_noun/top1", "Noun"),
            Column("severe/epic_action/top1", "Action"),
        ),
        deviations=True,
    ),
    Layout(
        "standard",
        "UCF101 and HMDB51, as the methods' authors report them (tables 5.7 and C.2)",
        ("table_5_7", "table_c_2"),
        (Column("severe/ucf101/top1", "UCF101"), Column("severe/hmdb51/top1", "HMDB51")),
        deviations=True,
    ),
    Layout(
        "diving48",
        "Diving48 (table C.1)",
        ("table_c_1",),
        (Column("severe/diving48/top1", "Diving48"),),
        deviations=True,
    ),
)


_METRICS = {
    **dict.fromkeys(("fx_s1", "ub_s1", "vault", "floor", "gym288"), "mean_class_accuracy"),
    **{"ucfrep": "error", "charades": "map", "ava": "map", "ucf101_24": "video_map"},
}


def metric_of(setting: str) -> str:
    """What the thesis reports of a setting: top-1, or the mean class accuracy of actions (5.1, B.2.3), or a task's."""
    return _METRICS.get(setting, "top1")


@functools.cache
def read_published(table: str) -> tuple[Row, ...]:
    """Read a published table: ``published/TABLE.csv``, whose first line says what it is."""
    title, *lines = (PUBLISHED / f"{table}.csv").read_text(encoding="utf-8").splitlines()
    source = title.removeprefix("# Table ").partition(":")[0]
    rows = []
    for values in csv.DictReader(lines):
        cells = {key: _cell(text) for key, text in values.items() if "/" in key and text}
        printed = {key: values[key] for key in ("mean", "rank") if key in values}
        rows.append(
            Row(values["method"], values["network"], values["pretraining"], f"thesis, table {source}", cells, printed)
        )
    return tuple(rows)


def published_rows(layout: Layout) -> list[Row]:
    """The published rows of a table.

    Rows of the second and later sources fill cells of those that the first one names, or, where the first source has
    no such network (tables 5.7 and C.2), come below them.
    """
    rows: dict[tuple[str, str, str], Row] = {}
    first, *others = (read_published(table) for table in layout.sources)
    networks = {row.network for row in first}
    keys = {column.key for column in layout.columns}
    for part in (first, *others):
        for row in part:
            key = (row.name, row.network, row.pretraining)
            cells = {name: cell for name, cell in row.cells.items() if name in keys}
            if key not in rows:
                if part is first or row.network not in networks:
                    rows[key] = Row(*key, row.source, cells, row.printed)
            elif added := {name: cell for name, cell in cells.items() if name not in rows[key].cells}:
                rows[key].cells |= added
                number = row.source.removeprefix("thesis, table ")
                rows[key].source = f"{rows[key].source.replace('table ', 'tables ')} and {number}"
    return list(rows.values())


def own_cell(column: Column, values: list[float]) -> Cell:
    """Mean and standard deviation of the numbers that runs with several seeds logged."""
    spread = Spread([column.factor * value for value in values])
    return Cell(spread.mean, spread.deviation, len(values))


def ranks(scores: list[float]) -> list[int]:
    """Rank each score: 1 plus the number of better ones, so that equal ones share the better rank."""
    return [1 + sum(other > score for other in scores) for score in scores]


def averages(rows: list[Row], columns: list[Column]) -> dict[int, tuple[float, float]]:
    """Mean score and average rank of the rows that have all columns.

    Args:
        rows: of a table.
        columns: that are averaged.

    Returns:
        Mean and rank by the row's place. A rank is among the rows of this table that have all columns.
    """
    whole = [place for place, row in enumerate(rows) if all(column.key in row.cells for column in columns)]
    if not whole or not columns:
        return {}
    scores = [[column.score(rows[place].cells[column.key].mean) for place in whole] for column in columns]
    ranked = [ranks(one) for one in scores]
    return {
        place: (
            sum(one[number] for one in scores) / len(columns),
            sum(one[number] for one in ranked) / len(columns),
        )
        for number, place in enumerate(whole)
    }


def _cell(text: str) -> Cell:
    mean, _, deviation = text.partition("±")
    return Cell(float(mean), float(deviation) if deviation else None, printed=text)
