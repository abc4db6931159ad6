"""Figures of the report: samples (4.3, B.13), correlations (B.1 to B.8) and differences between classes (C.1)."""

import csv
import math
from collections import defaultdict
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from callbacks.pictures import render
from configs.severe_benchmark.results import Result
from configs.severe_benchmark.settings import SAMPLES
from configs.severe_benchmark.tables import SEVERE, Cell, Column, metric_of, own_cell, read_published

FULL = {"ucf101": 9537, "ntu60": 40320, "gym99": 20484, "ssv2": 168913}
"""Training videos of all classes (B.2.1)."""
TITLES = {"ucf101": "UCF101", "ntu60": "NTU-60", "gym99": "Gym-99", "ssv2": "SSv2", "kinetics400": "K-400"}
_TABLES = ("table_4_1", "table_4_2", "table_4_3", "table_4_4")
_MARKERS = "osD^v<>PphX"
_OWN: dict[str, Any] = {"marker": "*", "markersize": 11, "markeredgecolor": "black", "markeredgewidth": 0.7}

DOMAINS = (
    *(Column(f"severe/{name}/top1", f"{title}, fine-tuning") for name, title in list(TITLES.items())[1:4]),
    Column("severe/epic_verb/top1", "EK-100, fine-tuning"),
    *(Column(f"severe_linear/{name}/top1", f"{title}, linear") for name, title in list(TITLES.items())[:4]),
    Column("severe_linear/epic_verb/top1", "EK-100, linear"),
)
ACTIONS = (
    Column("severe/vault/mean_class_accuracy", "Vault"),
    Column("severe/floor/mean_class_accuracy", "Floor"),
    Column("severe/fx_s1/mean_class_accuracy", "FX-S1"),
    Column("severe/ub_s1/mean_class_accuracy", "UB-S1"),
    Column("severe/gym288/mean_class_accuracy", "Gym-288"),
)
TASKS = (
    Column("severe/ucf101_24/video_map", "Action detection, UCF101-24"),
    Column("severe/ucfrep/error", "Repetition counting, 100 (1 - error)"),
    Column("severe/arrow_of_time/top1", "Arrow of time"),
    Column("severe/charades/map", "Charades"),
    Column("severe/ava/map", "Action detection, AVA"),
)
FACTORS = {"domains": DOMAINS, "samples": SEVERE[2:4], "actions": ACTIONS, "tasks": TASKS}
AGAINST = (
    Column("severe/ucf101/top1", "UCF101, fine-tuning"),
    Column("severe_linear/kinetics400/top1", "Kinetics-400, linear evaluation"),
)


class Picture(NamedTuple):
    """A figure of the report.

    Attributes:
        name: of the file.
        pixels: uint8 (H, W, 3).
        caption: what it shows.
    """

    name: str
    pixels: np.ndarray
    caption: str


class Point(NamedTuple):
    """Where a model is in a figure."""

    model: str
    own: bool
    x: float
    y: float


def draw_all(results: list[Result], compared: list[str]) -> list[Picture]:
    """Draw what the results allow.

    Args:
        results: of all jobs.
        compared: names of two weights whose classes are compared, the baseline first; or fewer: none are.
    """
    families = dict.fromkeys(result.identity.family for result in results)
    pictures = [picture for family in families if (picture := samples(results, family))]
    if any(family in ("severe", "severe_linear") for family in families):
        values = _published_values()
        own = _own_values(results, ("severe", "severe_linear"))
        for against in AGAINST:
            for factor, downstream in FACTORS.items():
                name = f"{factor}_against_{against.key.split('/')[1]}"
                pictures += filter(None, [correlations(name, against, list(downstream), values, own)])
    for family in families:
        if family not in ("severe", "severe_linear"):
            own = _own_values(results, (family,))
            keys = sorted({key for cells in own.values() for key in cells})
            parts = [key.split("/") for key in keys]
            columns = [Column("/".join(part), part[1]) for part in parts if part[2] == metric_of(part[1])]
            first = next((column for column in columns if column.title == "ucf101"), None)
            if first is not None:
                others = [column for column in columns if column is not first]
                pictures += filter(None, [correlations(f"{family}_against_ucf101", first, others, {}, own)])
    if len(compared) == 2:
        pictures += class_differences(results, compared[0], compared[1])
    return pictures


def samples(results: list[Result], family: str) -> Picture | None:
    """Accuracy over the number of training videos, a panel for each data set; None without such runs."""
    metrics: dict[tuple[str, str, float], list[float]] = defaultdict(list)
    for result in results:
        one = result.identity
        if one.family != family or (value := result.metrics.get("test/top1")) is None:
            continue
        found = SAMPLES.fullmatch(one.setting)
        base = found[1] if found else one.setting.removesuffix("_few")
        number = FULL.get(base, math.inf) if result.samples is None else result.samples
        metrics[base, one.name, number].append(value)
    column = Column(f"{family}/any/top1", "")
    curves: dict[str, dict[str, dict[float, Cell]]] = defaultdict(lambda: defaultdict(dict))
    for (base, name, number), values in metrics.items():
        curves[base][name][number] = own_cell(column, values)
    bases = [base for base, lines in curves.items() if len({x for line in lines.values() for x in line}) > 1]
    if not bases:
        return None
    bases.sort(key=lambda base: (list(FULL).index(base) if base in FULL else len(FULL), base))
    figure, axes = _grid(len(bases), 2)
    published = _published_samples(family)
    names = list(dict.fromkeys(name for base in bases for name in curves[base]))
    for axis, base in zip(axes, bases, strict=True):
        known = {x for line in curves[base].values() for x in line if math.isfinite(x)}
        known |= {x for points in published[base].values() for x in points}
        last = 2 * max(known)
        for name, points in published[base].items():
            marker, colour = _style(name)
            x = sorted(points)
            axis.plot(x, [points[at] for at in x], ":", color=colour, marker=marker, markersize=4, linewidth=0.9)
        for name, line in curves[base].items():
            x = sorted(line)
            means, deviations = [line[at].mean for at in x], [line[at].deviation or 0.0 for at in x]
            at_last = [min(at, last) for at in x]
            colour = f"C{names.index(name) % 10}"
            axis.errorbar(at_last, means, deviations, color=colour, capsize=3, linewidth=1.6, **_OWN)
        ticks = sorted({min(x, last) for line in curves[base].values() for x in line} | known)
        full = FULL.get(base, last)
        axis.set_xscale("log", base=2)
        axis.set_xticks(ticks, ["all" if x == full else f"{x:,.0f}" for x in ticks])
        axis.minorticks_off()
        axis.set_title(TITLES.get(base, base), fontsize=9)
        axis.set(xlabel="training videos", ylabel="top-1 in %")
    handles = [Line2D([], [], color=f"C{number % 10}", **_OWN) for number in range(len(names))]
    shown = sorted({name for base in bases for name in published[base]}, key=list(_published_values()).index)
    handles += [_handle(name, ":") for name in shown]
    _legend(figure, handles, [*names, *(f"{name} (published)" for name in shown)])
    caption = "Accuracy over the number of training videos; bars are standard deviations over seeds."
    if shown:
        caption += " Dotted: published, tables 4.1 and 4.4 of the thesis, which has no numbers in between."
    return Picture(f"samples_{family}", render(figure), caption)


def correlations(
    name: str,
    against: Column,
    columns: list[Column],
    published: dict[str, dict[str, float]],
    own: dict[str, dict[str, float]],
) -> Picture | None:
    """Each column against one, a point for each model; None where no column has 3 points.

    Args:
        name: of the picture.
        against: on the horizontal axis.
        columns: a panel each.
        published: scores by model and key.
        own: likewise.
    """
    panels: list[tuple[Column, list[Point]]] = []
    for column in columns:
        points = [
            Point(model, source is own, scores[against.key], scores[column.key])
            for source in (published, own)
            for model, scores in source.items()
            if against.key in scores and column.key in scores
        ]
        if len(points) >= 3:
            panels.append((column, points))
    if not panels:
        return None
    figure, axes = _grid(len(panels), 2 if len(panels) == 4 else 3)
    owners = list(dict.fromkeys(point.model for _, points in panels for point in points if point.own))
    for axis, (column, points) in zip(axes, panels, strict=True):
        for point in points:
            if point.own:
                axis.plot(point.x, point.y, color=f"C{owners.index(point.model) % 10}", zorder=3, **_OWN)
            else:
                marker, colour = _style(point.model)
                axis.plot(point.x, point.y, marker, color=colour, markersize=5, alpha=0.9)
        x, y = (np.array([getattr(point, key) for point in points]) for key in ("x", "y"))
        axis.set_title(f"{column.title}{_pearson(x, y)}", fontsize=9)
        axis.set_xlabel(against.title)
        axis.margins(0.12)
    handles = [Line2D([], [], color=f"C{number % 10}", linestyle="", **_OWN) for number in range(len(owners))]
    models = [model for model in published if any(point.model == model for _, points in panels for point in points)]
    handles += [_handle(model, "") for model in models]
    _legend(figure, handles, [*owners, *(f"{model} (published)" for model in models)])
    caption = f"Scores in % against {against.title}; r is Pearson's correlation over a panel's points, from 4 on."
    if models:
        caption += " Published: tables 4.1 to 4.4 of the thesis."
    return Picture(name, render(figure), caption)


def class_differences(results: list[Result], baseline: str, other: str, most: int = 10) -> list[Picture]:
    """The classes whose accuracy rises and falls most from one model to another, a picture for each setting.

    Args:
        results: of all jobs; those with a table of class accuracies count.
        baseline: name of weights.
        other: of those that are compared with it.
        most: classes on each side.

    Raises:
        ValueError: a table is damaged.
    """
    classes: dict[tuple[str, str], dict[str, dict[str, list[float]]]] = defaultdict(
        lambda: {baseline: defaultdict(list), other: defaultdict(list)}
    )
    for result in results:
        one = result.identity
        if one.name in (baseline, other) and result.class_accuracy.is_file():
            for label, value in read_class_accuracy(result).items():
                classes[one.family, one.setting][one.name][label].append(100 * value)
    pictures = []
    for (family, setting), by_name in classes.items():
        before, after = by_name[baseline], by_name[other]
        change = {label: _mean(after[label]) - _mean(before[label]) for label in before if label in after}
        if not change:
            continue
        ordered = sorted(change, key=lambda label: (-change[label], label))
        chosen = ordered if len(ordered) <= 2 * most else ordered[:most] + ordered[-most:]
        figure = Figure(figsize=(6, 1.1 + 0.22 * len(chosen)), dpi=200, layout="constrained")
        axis = figure.subplots()
        places = np.arange(len(chosen))
        values = [change[label] for label in chosen]
        axis.barh(places, values, color=["C0" if value >= 0 else "C3" for value in values], height=0.7)
        axis.set_yticks(places, [label if len(label) <= 45 else f"{label[:44]}…" for label in chosen], fontsize=7)
        axis.invert_yaxis()
        axis.axvline(0, color="0.3", linewidth=0.8)
        axis.set_title(f"{family}/{setting}", fontsize=9)
        axis.set_xlabel(f"accuracy of {other} minus that of {baseline}, points", fontsize=8)
        axis.tick_params(axis="x", labelsize=7)
        axis.margins(y=0.01)
        if len(chosen) < len(ordered):
            axis.axhline(most - 0.5, color="0.6", linewidth=0.8, linestyle="--")
        _plain(axis)
        which = f"the {most} that rise and the {most} that fall most" if len(chosen) < len(ordered) else "all"
        caption = f"Accuracy by class, {which}, means over seeds."
        pictures.append(Picture(f"classes_{family}_{setting}", render(figure), caption))
    return pictures


def read_class_accuracy(result: Result) -> dict[str, float]:
    """Accuracy of each class, in 0..1, by its name, from ``class_accuracy.csv``.

    Raises:
        ValueError: the file is damaged.
    """
    path = result.class_accuracy
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    try:
        return {row["name"] or row["class"]: float(row["accuracy"]) for row in rows if row["accuracy"]}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: is not what a test writes; move it away, and {result.path}, and run it again"
        ) from error


def _published_values() -> dict[str, dict[str, float]]:
    """Scores of the methods of tables 4.1 to 4.4, in their order, by key."""
    values: dict[str, dict[str, float]] = defaultdict(dict)
    for table in _TABLES:
        for row in read_published(table):
            values[row.name] |= {key: Column(key, "").score(cell.mean) for key, cell in row.cells.items()}
    return dict(values)


def _own_values(results: list[Result], families: tuple[str, ...]) -> dict[str, dict[str, float]]:
    logged: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        one = result.identity
        if one.family in families:
            for metric, value in result.metrics.items():
                logged[one.name][f"{one.family}/{one.setting}/{metric.removeprefix('test/')}"].append(value)
    return {
        name: {key: (column := Column(key, "")).score(own_cell(column, values).mean) for key, values in one.items()}
        for name, one in logged.items()
    }


def _published_samples(family: str) -> dict[str, dict[str, dict[float, float]]]:
    curves: dict[str, dict[str, dict[float, float]]] = defaultdict(lambda: defaultdict(dict))
    for name, scores in _published_values().items():
        for base, full in FULL.items():
            for setting, number in ((base, full), (f"{base}_1000", 1000)):
                if (key := f"{family}/{setting}/top1") in scores:
                    curves[base][name][number] = scores[key]
    return curves


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _pearson(x: np.ndarray, y: np.ndarray) -> str:
    """Second line of a title; empty where few or equal points leave no correlation to speak of."""
    return f"\nr = {np.corrcoef(x, y)[0, 1]:.2f}" if len(x) > 3 and x.std() > 0 and y.std() > 0 else ""


def _style(model: str) -> tuple[str, str]:
    """Marker and colour of a published method, the same in all figures."""
    number = list(_published_values()).index(model)
    return _MARKERS[number % len(_MARKERS)], "0.25" if number == 0 else f"C{number % 10}"


def _handle(model: str, line: Literal["", ":"]) -> Line2D:
    marker, colour = _style(model)
    return Line2D([], [], color=colour, marker=marker, markersize=5, linestyle=line)


def _grid(panels: int, columns: int) -> tuple[Figure, list[Axes]]:
    columns = min(columns, panels)
    rows = math.ceil(panels / columns)
    figure = Figure(figsize=(max(3.2 * columns, 4.5), 2.7 * rows + 0.9), dpi=200, layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis in axes[panels:]:
        axis.remove()
    for axis in axes[:panels]:
        axis.tick_params(labelsize=7)
        axis.xaxis.label.set_fontsize(8)
        axis.yaxis.label.set_fontsize(8)
        _plain(axis)
    return figure, axes[:panels]


def _plain(axis: Axes) -> None:
    axis.grid(color="0.92")
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_axisbelow(True)


def _legend(figure: Figure, handles: list[Line2D], names: list[str]) -> None:
    columns = 2 if figure.get_size_inches()[0] < 6 else 4
    figure.legend(handles, names, loc="outside lower center", ncols=columns, frameon=False, fontsize=7)
