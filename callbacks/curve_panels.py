"""Curves of runs as SVG that a page takes in: small, without fonts or scripts, in the page's own colours.

Lines are drawn in the CSS variables ``--series-0`` to ``--series-7``, axes in ``--muted`` and ``--grid``, so that one
drawing serves light and dark. Each line is a group whose id starts with ``series-N-``, N the number of its series.
"""

import io
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from callbacks.curves import Curve, smooth

NUM_COLOURS = 8
# Width and height in CSS pixels where the page is as wide as a phone; text is then 11 pixels high.
WIDTH, HEIGHT = 350, 210
MOST_POINTS = 800
STYLES = ("-", "--", ":", "-.")
# Matplotlib knows no variables: these stand for them while it draws.
INK, GRID = "#010203", "#010204"
SERIES = tuple(f"#0102{number + 16:02x}" for number in range(NUM_COLOURS))


class Series(NamedTuple):
    """Curves in one colour: the runs of one recipe.

    Attributes:
        number: of the colour.
        curves: one a run.
    """

    number: int
    curves: Sequence[Curve]


def draw_panel(series: Sequence[Series], name: str) -> str:
    """Draw the curves of one metric over the optimizer steps.

    A run alone is drawn smoothed, and faintly as it was logged. Of several runs of a series each is drawn thinly and
    smoothed, and their mean, over the steps that all of them logged.

    Args:
        series: those that logged it.
        name: of the panel, such as ``panel-3``, to tell ids apart: letters, digits and ``-``.

    Returns:
        An ``<svg>`` element. It holds no text but numbers.
    """
    figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72), layout="constrained")
    axis = figure.subplots()
    for one in series:
        for place, (step, value, style) in enumerate(_lines(one)):
            line = axis.plot(_thin(step), _thin(value), color=SERIES[one.number % NUM_COLOURS], **style)[0]
            line.set_gid(f"series-{one.number}-{name}-{place}")
    axis.grid(color=GRID, linewidth=0.8)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.spines["bottom"].set_color(GRID)
    axis.tick_params(color=GRID, labelcolor=INK, labelsize=11, length=0)
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.yaxis.set_major_locator(MaxNLocator(5))
    axis.ticklabel_format(axis="x", useOffset=False, style="plain")
    axis.ticklabel_format(axis="y", useOffset=False, scilimits=(-3, 5))
    axis.yaxis.get_offset_text().set(color=INK, size=11)
    axis.set_axisbelow(True)
    axis.margins(x=0.02)
    return _svg(figure, name)


def _lines(series: Series) -> list[tuple[np.ndarray, np.ndarray, dict[str, Any]]]:
    """Steps, values and style of the lines of a series."""
    dash = STYLES[series.number // NUM_COLOURS % len(STYLES)]
    whole: dict[str, Any] = {"linewidth": 1.8, "linestyle": dash}
    lines: list[tuple[np.ndarray, np.ndarray, dict[str, Any]]] = []
    for curve in series.curves:
        smoothed = smooth(curve.value)
        if len(series.curves) > 1:
            lines.append((curve.step, smoothed, {"linewidth": 0.9, "alpha": 0.45, "linestyle": dash}))
            continue
        if smoothed is not curve.value:
            lines.append((curve.step, curve.value, {"linewidth": 0.8, "alpha": 0.3}))
        lines.append((curve.step, smoothed, whole | _marks(len(curve.step))))
    if len(series.curves) > 1:
        step = series.curves[0].step
        for curve in series.curves[1:]:
            step = np.intersect1d(step, curve.step)
        if len(step):
            value = np.mean([curve.value[np.isin(curve.step, step)] for curve in series.curves], axis=0)
            lines.append((step, smooth(value), whole | _marks(len(step))))
    return lines


def _marks(points: int) -> dict[str, Any]:
    """Few points are shown as such."""
    return {"marker": "o", "markersize": 4} if points <= 12 else {}


def _thin(values: np.ndarray) -> np.ndarray:
    """At most so many values as can be told apart, evenly, with the first and the last."""
    if len(values) <= MOST_POINTS:
        return values
    return np.asarray(values[np.linspace(0, len(values) - 1, MOST_POINTS).round().astype(int)])


def _svg(figure: Figure, name: str) -> str:
    text = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        FigureCanvasSVG(figure).print_svg(text, metadata=metadata)  # type: ignore[no-untyped-call]
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg [^>]*?) width="[^"]*" height="[^"]*"|(<svg [^>]*?) height="[^"]*"', r"\1\2", svg, count=1)
    # A page holds many: an id that nothing refers to would be there many times.
    used = set(re.findall(r'(?:url\(|href=")#([^)"]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda found: _kept(found, used), svg)
    # The background and the font are the page's; a hundredth of a pixel is enough.
    svg = svg.replace("fill: #ffffff", "fill: none")
    svg = re.sub(r"font-family: [^;]*; ", "", svg)
    svg = re.sub(r' (?:d|x|y|transform)="[^"]*"', lambda found: re.sub(r"(\.\d\d)\d+", r"\1", found[0]), svg)
    for colour, variable in ((INK, "muted"), (GRID, "grid"), *((SERIES[n], f"series-{n}") for n in range(NUM_COLOURS))):
        svg = svg.replace(colour, f"var(--{variable})")
    return re.sub(r"\n\s*", "\n", svg).strip()


def _kept(found: re.Match[str], used: set[str]) -> str:
    return found[0] if found[1] in used or found[1].startswith("series-") else ""
