"""``lightning analyse attributes``: what data sets are like, beside the pretraining data (figures 4.2 and B.10)."""

import csv
import math
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pytorch_lightning.utilities import rank_zero_warn

import configs
from callbacks.pictures import render
from configs import ConfigError
from configs.analysis.files import write_both
from configs.analysis.inputs import Parts
from configs.analysis.labels import label_overlap, read_same
from configs.errors import UsageError
from datamodules.readers.video import VideoError, VideoReader
from datamodules.sample_list import SampleList
from datamodules.video_datamodule import VideoDataModule

PUBLISHED = Path(__file__).parent / "published" / "dataset_attributes.csv"
HEADER = ("dataset", "attribute", "value", "source")
REFERENCE = "Kinetics-400"
ENVIRONMENTS = ("YouTube", "films", "homes", "kitchens", "stadium", "laboratory")
"""From the most to the least varied (B.5); the order between the ends is ours."""
POINTS_OF_VIEW = ("third person", "first person")
_INNER = 0.25  # radius at which the scales begin


class Attribute(NamedTuple):
    """A value of a data set.

    Attributes:
        dataset: its name.
        name: one of the five axes.
        value: a number, or a word of the axis.
        source: where it comes from.
    """

    dataset: str
    name: str
    value: str
    source: str


class Spoke(NamedTuple):
    """A spoke of the radar plots.

    Attributes:
        title: at its end.
        ticks: what stands where, 0 (as Kinetics-400 is, or least) to 1.
    """

    title: str
    ticks: dict[str, float]


def _seconds(value: float) -> float:
    return math.log2(min(max(value, 1), 32)) / 5


def _frames(value: float) -> float:
    return math.log2(min(max(value, 1), 32)) / 5


def _steps(words: tuple[str, ...]) -> dict[str, float]:
    return {word: number / (len(words) - 1) for number, word in enumerate(words)}


AXES = {
    "label_overlap": Spoke("label overlap", {"100 %": 0.0, "50 %": 0.5, "0 %": 1.0}),
    "point_of_view": Spoke("point of view", _steps(POINTS_OF_VIEW)),
    "environment": Spoke("environment", _steps(ENVIRONMENTS)),
    "action_length": Spoke("action length", {f"{value} s": _seconds(value) for value in (1, 2, 4, 8, 16, 32)}),
    "temporal_awareness": Spoke("temporal awareness", {str(value): _frames(value) for value in (1, 2, 4, 8, 16, 32)}),
}


def analyse(
    measured: list[str],
    source: str | None,
    further: list[Path],
    same: Path | None,
    videos: int,
    arguments: list[str],
    out: Path,
) -> str:
    """Draw a radar plot for each data set, and write ``attributes.png`` and ``attributes.csv``.

    Args:
        measured: configs whose data are measured: mean length of the samples, and label overlap.
        source: config of the pretraining data that the labels are compared with; without it they are not.
        further: CSV files of more values, in the columns of the one written, or those of ``temporal_awareness.csv``.
        same: see ``read_same``.
        videos: whose length is measured.
        arguments: that change values of all these configs.
        out: folder.

    Returns:
        What was written.

    Raises:
        ConfigError: a config is missing or of other data, or a number is out of range.
        ValueError: data or values are not there or wrong.
        OSError: a file cannot be read or written.
    """
    if videos < 1:
        raise ConfigError(f"--videos {videos} must be at least 1")
    attributes = read_attributes(PUBLISHED)
    classes = None if source is None else list(open_data(source, arguments).class_names)
    for name in measured:
        attributes += measure(Path(name).stem, open_data(name, arguments), classes, same, videos)
    for path in further:
        attributes += read_attributes(path)
    return write_both(out, "attributes", draw(attributes), HEADER, attributes)


def open_data(name: str, arguments: list[str]) -> VideoDataModule:
    """Build the data of a config, and list its videos.

    Raises:
        ConfigError: it is missing or of other data.
        ValueError: the data are not there.
    """
    chain = configs.chain(name)
    try:
        data = Parts("test", arguments, [chain]).datamodule
    except UsageError as error:
        raise ConfigError(str(error)) from error
    if not isinstance(data, VideoDataModule):
        raise ConfigError(f"{chain[-1].path}: {type(data).__name__} has no videos to measure")
    data.prepare_data()
    data.setup("test")
    return data


def measure(
    name: str, data: VideoDataModule, source: list[str] | None, same: Path | None, videos: int
) -> list[Attribute]:
    """Measure what can be measured of a data set.

    Args:
        name: of it.
        data: set up.
        source: classes of the pretraining data.
        same: see ``read_same``.
        videos: whose length is measured.
    """
    number = len(data.train_samples)
    chosen = data.train_samples if videos >= number else data.train_samples.subset(videos / number, seed=0)
    length = mean_length(chosen)
    found = [Attribute(name, "action_length", f"{length:.3g}", f"measured, {len(chosen):,} training videos")]
    if source and data.class_names:
        share, _ = label_overlap(data.class_names, source, [] if same is None else read_same(same))
        words = "same words" if same is None else f"same words, and {same.name}"
        found.append(Attribute(name, "label_overlap", f"{share:.3g}", f"measured, {words}"))
    return found


def mean_length(samples: SampleList) -> float:
    """Mean duration of samples, or of their segments, in seconds; those that cannot be read are left out, and named.

    Raises:
        ValueError: none can be read.
    """
    lengths, broken = [], []
    for row in range(len(samples)):
        segment = samples.segment(row)
        if segment is not None and math.isfinite(segment[1]):
            lengths.append(segment[1] - segment[0])
            continue
        try:
            with VideoReader(samples.path(row)) as video:
                if video.fps > 0:
                    lengths.append(video.num_frames / video.fps)
        except VideoError as error:
            broken.append(str(error))
    if broken:
        rank_zero_warn(f"{len(broken)} videos cannot be read and are left out, such as {broken[0]}")
    if not lengths:
        raise ValueError("no video has a length; check the data")
    return float(np.mean(lengths))


def read_attributes(path: Path) -> list[Attribute]:
    """Read values.

    Args:
        path: a CSV file with the columns of ``attributes.csv``, or of ``temporal_awareness.csv``; lines with ``#`` in
            front are passed over.

    Raises:
        ValueError: columns are missing, or a value is none of its attribute.
        OSError: the file cannot be read.
    """
    lines = [(number, line) for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)]
    kept = [(number, line) for number, line in lines if line.strip() and not line.startswith("#")]
    table = csv.DictReader(line for _, line in kept)
    columns = tuple(table.fieldnames or ())
    of_frames = {"setting", "weights", "temporal_awareness"} <= set(columns)
    if not of_frames and columns != HEADER:
        raise ValueError(f"{path}: its columns are {','.join(columns)}; they have to be {','.join(HEADER)}")
    found = []
    for row in table:
        number = kept[table.line_num - 1][0]
        if of_frames:
            about = f"{path.name}, {row['weights']}"
            one = Attribute(row["setting"], "temporal_awareness", row["temporal_awareness"], about)
        else:
            one = Attribute(*(str(row[name] or "").strip() for name in HEADER))
        try:
            radius(one)
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from error
        if one not in found:
            found.append(one)
    return found


def radius(one: Attribute) -> float:
    """Where a value lies on its axis, 0 (as in the pretraining data, or least) to 1.

    Raises:
        ValueError: there is no such attribute, or the value is none of it.
    """
    if one.name not in AXES:
        raise ValueError(f"no attribute '{one.name}'; there are {', '.join(AXES)}")
    if one.name in ("point_of_view", "environment"):
        ticks = AXES[one.name].ticks
        if one.value not in ticks:
            raise ValueError(f"{one.name} '{one.value}' is none of {', '.join(ticks)}")
        return ticks[one.value]
    try:
        value = float(one.value)
    except ValueError:
        value = math.nan
    if one.name == "label_overlap":
        if not 0 <= value <= 1:
            raise ValueError(f"label_overlap '{one.value}' is no share in 0..1")
        return 1 - value
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{one.name} '{one.value}' is no number above 0")
    return _seconds(value) if one.name == "action_length" else _frames(value)


def draw(attributes: Iterable[Attribute]) -> np.ndarray:
    """Draw a radar plot for each data set; of several values of one attribute the last counts.

    The dotted line is Kinetics-400. Where a value is not known the outline is open.

    Returns:
        uint8 (H, W, 3).
    """
    values: dict[str, dict[str, Attribute]] = {}
    for one in attributes:
        values.setdefault(one.dataset, {})[one.name] = one
    reference = values.get(REFERENCE, {})
    columns = min(4, len(values))
    rows = -(-len(values) // columns)
    height = 2.35 * rows + 0.22
    figure = Figure(figsize=(2.6 * columns, height), dpi=200)
    figure.subplots_adjust(0.01, 0.22 / height, 0.99, 0.99, wspace=0.02, hspace=0.02)
    note = f"dotted: {REFERENCE}; outlines are open where a value is not known"
    figure.text(0.5, 0.08 / height, note, fontsize=6.5, color="0.3", ha="center", va="bottom")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for number, (axis, (name, own)) in enumerate(zip(axes[: len(values)], values.items(), strict=True)):
        _spokes(axis)
        _outline(axis, reference, "0.25", dotted=True)
        _outline(axis, own, f"C{number % 10}", dotted=False)
        axis.text(0, 1.88, name, fontsize=9, fontweight="bold", ha="center", va="top")
    for axis in axes[len(values) :]:
        axis.remove()
    return render(figure)


def _place(spoke: int, level: float) -> tuple[float, float]:
    """Where a level, 0 to 1, is on a spoke."""
    angle = math.pi / 2 + 2 * math.pi * spoke / len(AXES)
    return (_INNER + level) * math.cos(angle), (_INNER + level) * math.sin(angle)


def _spokes(axis: Axes) -> None:
    axis.set(xlim=(-1.85, 1.85), ylim=(-1.4, 1.95), aspect="equal")
    axis.set_axis_off()
    for level in (0.0, 0.5, 1.0):
        ring = [_place(spoke, level) for spoke in (*range(len(AXES)), 0)]
        axis.plot(*zip(*ring, strict=True), color="0.85", linewidth=0.6, zorder=0)
    for spoke, one in enumerate(AXES.values()):
        axis.plot(*zip(_place(spoke, 0), _place(spoke, 1), strict=True), color="0.85", linewidth=0.6, zorder=0)
        x, y = _place(spoke, 1.0)
        beside = abs(x) > 0.1 and y > 0
        title = one.title.replace(" ", "\n", 1) if beside else one.title
        x, y = 1.12 * x if beside else x, y + math.copysign(0.1, y)
        axis.text(x, y, title, fontsize=6.5, ha="center", va="bottom" if y > 0 else "top")
        for text, level in one.ticks.items():
            axis.text(*_place(spoke, level), text, fontsize=4.3, color="0.4", ha="center", va="center", zorder=5)


def _outline(axis: Axes, own: dict[str, Attribute], colour: str, dotted: bool) -> None:
    levels = [radius(own[name]) if name in own else math.nan for name in AXES]
    places = np.array([_place(spoke, level) for spoke, level in enumerate(levels)])
    closed = np.concatenate([places, places[:1]])
    if dotted:
        axis.plot(*closed.T, ":", color=colour, linewidth=1.2, zorder=3)
        return
    axis.plot(*closed.T, "-", color=colour, linewidth=1.4, zorder=2)
    axis.plot(*places.T, "o", color=colour, markersize=4, zorder=4)
    if np.isfinite(places).all():
        axis.fill(*places.T, color=colour, alpha=0.15, linewidth=0, zorder=1)
