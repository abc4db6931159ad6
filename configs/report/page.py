"""One HTML page of runs: everything is inside, there is no script, and its policy lets a browser fetch nothing.

Curves are matplotlib's SVG: matplotlib is there already, a panel takes 5 to 20 KB and follows the page's light or dark
colours. Libraries that draw in the browser would bring 1 (Bokeh, Vega) to 4 MB (plotly) of script into each page.
"""

import base64
import fnmatch
import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from callbacks.curve_panels import NUM_COLOURS, Series, draw_panel
from callbacks.run_summary import FINAL_METRICS, short, without_seed
from configs.report.runs import SPEED, Group, Run

LARGEST_PICTURE = 1600
# What panels are sorted by: the first of these that is in their metric's name.
ORDER = ("loss", "top1", "accuracy", "knn", "map", "error", "", "learning_rate", "speed/", "data/")
FACTS = ("date", "host", "device", "processes", "python", "torch", "cuda")
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def make_page(groups: Sequence[Group]) -> str:
    """Lay out runs.

    Args:
        groups: in the order of their colours.

    Returns:
        A whole HTML document; whatever comes from the runs is escaped.

    Raises:
        ValueError: a picture is damaged.
        OSError: one cannot be read.
    """
    runs = [run for group in groups for run in group.runs]
    names = [group.name for group in groups]
    title = ", ".join(names if len(names) <= 4 else names[:3])
    title += f" and {len(names) - 3} more" if len(names) > 4 else ""
    sections = {
        "results": ("Results", _results(groups)),
        "curves": ("Curves", _curves(groups)),
        "runs": ("Runs", _runs(groups)),
        "pictures": ("Pictures", _pictures(groups)),
        "configs": ("Configs", _configs(groups)),
        "machines": ("Machines and versions", _machines(groups)),
    }
    shown = {key: (heading, content) for key, (heading, content) in sections.items() if content}
    links = "".join(f'<a href="#{key}">{heading}</a>' for key, (heading, _) in shown.items())
    body = "".join(
        f'<section id="{key}"><h2>{heading}</h2>{content}</section>' for key, (heading, content) in shown.items()
    )
    today = datetime.now(UTC).date().isoformat()
    return (
        "<!doctype html>\n"
        '<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{_style(len(groups))}</style></head>\n"
        f"<body><header><p class=kind>Report of runs, {today}</p><h1>{escape(title)}</h1>"
        f"<p>{_told(groups, runs)}</p><nav>{links}</nav></header>"
        f'<div class="legend" role="group" aria-label="Runs to show">{_legend(groups)}</div>\n'
        f"<main>{body}</main></body></html>\n"
    )


def _style(groups: int) -> str:
    style = (files("configs.report") / "page.css").read_text(encoding="utf-8")
    for number in range(groups):
        off = f"body:has(#show-{number}:not(:checked))"
        style += f'{off} [id^="series-{number}-"],{off} .of-{number}{{display:none}}'
        style += f".of-{number}{{--own:var(--series-{number % NUM_COLOURS})}}"
    return style


def _told(groups: Sequence[Group], runs: Sequence[Run]) -> str:
    """What there is, in a sentence."""
    unfinished = sum(run.state != "finished" for run in runs)
    text = f"{len(runs)} run{'s' * (len(runs) > 1)}"
    text += f" of {len(groups)} recipes" if 1 < len(groups) < len(runs) else ""
    return f"{text}, {unfinished} of them not finished." if unfinished else f"{text}."


def _legend(groups: Sequence[Group]) -> str:
    chips = []
    for number, group in enumerate(groups):
        count = f" <small>{len(group.runs)} seeds</small>" if len(group.runs) > 1 else ""
        # Not of the class of-N: what hides the runs must not hide its own switch.
        colour = f"--own:var(--series-{number % NUM_COLOURS})"
        chips.append(
            f'<label style="{colour}"><input type="checkbox" id="show-{number}" checked>'
            f"<i></i><span>{escape(group.name)}{count}</span></label>"
        )
    return "".join(chips)


def _results(groups: Sequence[Group]) -> str:
    names = dict.fromkeys(name for group in groups for run in group.runs for name in run.metrics)
    chosen = [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in FINAL_METRICS)]
    if not chosen:
        return ""
    head = "".join(f'<th class="number of-{n}">{_name(group.name)}</th>' for n, group in enumerate(groups))
    rows = []
    for metric in sorted(chosen, key=_rank):
        spreads = [group.spread(metric) for group in groups]
        most = max((abs(spread.mean) for spread in spreads if spread.known), default=0.0)
        cells = []
        for number, (group, spread) in enumerate(zip(groups, spreads, strict=True)):
            if not spread.known:
                cells.append(f'<td class="number of-{number}">-</td>')
                continue
            text = escape(short(spread.mean))
            text += f" <small>± {escape(short(spread.deviation))}</small>" if spread.deviation is not None else ""
            text += f" <small>({len(spread.known)} runs)</small>" if len(spread.known) < len(group.runs) else ""
            share = abs(spread.mean) / most if most and most < float("inf") and spread.mean == spread.mean else 0.0
            cells.append(f'<td class="number bar of-{number}" style="--share:{100 * share:.1f}%">{text}</td>')
        rows.append(f"<tr><th>{escape(metric)}</th>{''.join(cells)}</tr>")
    note = "<p>The last values that were logged"
    several = any(len(group.runs) > 1 for group in groups)
    note += "; mean ± standard deviation over the seeds (over n\u202f-\u202f1)." if several else "."
    table = _wide(f'<table class="results"><tr><th></th>{head}</tr>{"".join(rows)}</table>')
    return f"{note}</p>{table}{_each_run(groups, chosen) if several else ''}"


def _each_run(groups: Sequence[Group], metrics: Sequence[str]) -> str:
    head = "".join(f'<th class="number">{escape(metric)}</th>' for metric in sorted(metrics, key=_rank))
    rows = []
    for number, run in _every(groups):
        cells = "".join(
            f'<td class="number">{escape(short(run.metrics.get(metric))) or "-"}</td>'
            for metric in sorted(metrics, key=_rank)
        )
        rows.append(f'<tr class="of-{number}"><th>{_name(run.name)}</th>{cells}</tr>')
    table = _wide(f"<table><tr><th></th>{head}</tr>{''.join(rows)}</table>")
    return f"<details><summary>Each run</summary>{table}</details>"


def _curves(groups: Sequence[Group]) -> str:
    names = dict.fromkeys(name for group in groups for run in group.runs for name in run.curves)
    panels: list[str] = []
    for metric in sorted(names, key=_rank):
        series = [
            Series(number, [run.curves[metric] for run in group.runs if metric in run.curves])
            for number, group in enumerate(groups)
        ]
        series = [one for one in series if one.curves]
        curves = [curve for one in series for curve in one.curves]
        if all(len(curve.step) < 2 for curve in curves):
            continue  # the table of results has it
        if metric.startswith("data/") and not any(curve.value.any() for curve in curves):
            continue  # nothing is broken
        drawing = draw_panel(series, f"panel-{len(panels)}")
        label = f'role="img" aria-label="{escape(metric)} over the optimizer steps"'
        panels.append(f"<figure {label}><figcaption>{_called(metric)}</figcaption>{drawing}</figure>")
    if not panels:
        return ""
    several = any(len(group.runs) > 1 for group in groups)
    note = "Over the optimizer steps, smoothed over a fortieth of a run"
    note += "; thin lines are seeds, thick ones their mean." if several else "; faint lines are what was logged."
    return f'<p>{note}</p><div class="panels">{"".join(panels)}</div>'


def _called(metric: str) -> str:
    return "steps a second, with loading" if metric == SPEED else escape(metric)


def _rank(metric: str) -> tuple[int, bool, str]:
    named = [place for place, part in enumerate(ORDER) if part and part in metric]
    place = named[0] if named else ORDER.index("")
    return place, metric.rpartition("/")[2] != ORDER[place], metric


def _runs(groups: Sequence[Group]) -> str:
    rows = []
    for number, run in _every(groups):
        finished = run.last.get("finished", {})
        done = ", ".join(f"{finished[key]:,} {key}s" for key in ("epoch", "step") if key in finished)
        notes = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in run.notes.items())
        cells = (
            run.state,
            done or "-",
            _duration(run.seconds),
            str(run.config.get("seed_everything", "-")),
            notes or "-",
            str(run.folder),
        )
        texts = "".join(f"<td{' class=state' if cell is run.state else ''}>{escape(cell)}</td>" for cell in cells)
        rows.append(f'<tr class="of-{number}"><th>{_name(run.name)}</th>{texts}</tr>')
    head = "".join(f"<th>{name}</th>" for name in ("", "state", "trained", "took", "seed", "samples", "folder"))
    commands = "".join(
        f'<dt class="of-{number}">{_name(run.name)}</dt>'
        f'<dd class="of-{number}"><code>{escape(str(run.last.get("command", "")))}</code></dd>'
        for number, run in _every(groups)
    )
    table = _wide(f"<table><tr>{head}</tr>{''.join(rows)}</table>")
    return f"{table}<details><summary>Commands</summary><dl>{commands}</dl></details>"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _pictures(groups: Sequence[Group]) -> str:
    figures: dict[str, list[str]] = {}
    for number, run in _every(groups):
        for path in run.pictures:
            figures.setdefault(path.stem, []).append(
                f'<figure class="picture of-{number}"><figcaption>{_name(run.name)}</figcaption>'
                f'<img src="{_embed(path)}" alt="{escape(path.stem)} of {escape(run.name)}"></figure>'
            )
    return "".join(
        f'<h3>{escape(name.replace("_", " "))}</h3><div class="pictures">{"".join(found)}</div>'
        for name, found in sorted(figures.items())
    )


def _embed(path: Path) -> str:
    """A picture as an address that holds it: as it is, or as WebP where that is smaller."""
    content = path.read_bytes()
    try:
        with Image.open(io.BytesIO(content)) as picture:
            kind = picture.format or ""
            small = picture.convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{path}: is no picture or a damaged one; remove it") from error
    small.thumbnail((LARGEST_PICTURE, 4 * LARGEST_PICTURE))
    packed = io.BytesIO()
    small.save(packed, "WEBP", quality=82)
    if packed.tell() < len(content):
        content, kind = packed.getvalue(), "WEBP"
    return f"data:image/{kind.lower()};base64,{base64.b64encode(content).decode('ascii')}"


def _configs(groups: Sequence[Group]) -> str:
    recipes = [without_seed(group.runs[0].config) for group in groups]
    keys = sorted({key for recipe in recipes for key in recipe})
    different = [key for key in keys if len({str(recipe.get(key, "-")) for recipe in recipes}) > 1]
    told = ""
    if len(groups) > 1:
        told = f"<p>{len(different)} of {len(keys)} values differ." if different else "<p>The values are the same."
        told += "</p>"
    if different:
        head = "".join(f'<th class="of-{number}">{_name(group.name)}</th>' for number, group in enumerate(groups))
        rows = "".join(
            f"<tr><th><code>{escape(key)}</code></th>"
            + "".join(
                f'<td class="of-{number}"><code>{escape(_value(recipe.get(key, "-")))}</code></td>'
                for number, recipe in enumerate(recipes)
            )
            + "</tr>"
            for key in different
        )
        told += _wide(f"<table><tr><th></th>{head}</tr>{rows}</table>")
    whole = "".join(
        f'<details class="of-{number}"><summary>{_name(group.runs[0].name)}</summary>'
        f"<pre>{escape(group.runs[0].config_text)}</pre></details>"
        for number, group in enumerate(groups)
        if group.runs[0].config_text
    )
    return told + whole


def _value(value: object) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _machines(groups: Sequence[Group]) -> str:
    runs = [run for _, run in _every(groups)]
    facts: list[dict[str, Any]] = [
        {**run.last, "date": run.last["date"][:16].replace("T", " "), "starts": len(run.starts)} for run in runs
    ]
    names = dict.fromkeys(key for one in facts for key in one if key not in ("subcommand", "command", "finished"))
    ordered = [*(name for name in FACTS if name in names), *(name for name in names if name not in FACTS)]
    rows = []
    for key in ordered:
        values = [_value(one.get(key, "-")) for one in facts]
        label = f"<th>{escape(key.replace('_', ' '))}</th>"
        if len(set(values)) == 1:
            rows.append(f'<tr>{label}<td colspan="{len(runs)}"><span>{escape(values[0])}</span></td></tr>')
        else:
            numbers = [number for number, _ in _every(groups)]
            cells = (f'<td class="of-{n}">{escape(value)}</td>' for n, value in zip(numbers, values, strict=True))
            rows.append(f"<tr>{label}{''.join(cells)}</tr>")
    head = "".join(f'<th class="of-{number}">{_name(run.name)}</th>' for number, run in _every(groups))
    return _wide(f"<table><tr><th></th>{head}</tr>{''.join(rows)}</table>")


def _every(groups: Sequence[Group]) -> Iterable[tuple[int, Run]]:
    return ((number, run) for number, group in enumerate(groups) for run in group.runs)


def _name(name: str) -> str:
    """A name behind the colour of what it stands in."""
    return f'<i class="dot"></i>{escape(name)}'


def _wide(table: str) -> str:
    """What may be wider than the page scrolls in itself."""
    return f'<div class="wide" tabindex="0">{table}</div>'
