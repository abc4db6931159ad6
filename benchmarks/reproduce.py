"""The thesis' tables in small, on the embedded data: makes the runs, and writes the tables of docs/results.md.

    python -m benchmarks.reproduce                          # everything: about a day on one core
    python -m benchmarks.reproduce --tables 5.3 5.5         # the runs of two tables
    python -m benchmarks.reproduce --quick --jobs 2         # one seed and a few steps of everything

Each run is a command of ``lightning`` in a folder of its own under ``--out``: one that is finished is not repeated, and
a stopped one goes on. Tables share runs. Then ``benchmarks/results/reproduce_TABLE.json`` gets the number of each seed,
and keeps those of seeds whose runs are not in the folder; docs/results.md gets, between its markers, the table with
mean and standard deviation, the thesis' numbers in brackets, and for each order that the thesis finds whether it holds
here. ``--quick`` writes into its own folder alone: its numbers mean nothing.
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from multiprocessing import get_context
from pathlib import Path

from benchmarks.record import RESULTS, record
from benchmarks.reproduction import severe, skeletons, transfer, tubelets
from benchmarks.reproduction.runs import AnyRun, in_order, make
from benchmarks.reproduction.tables import Table, Values, markdown, record_rows, values_of
from configs.child import STOPPED, Child

TABLES = {table.name: table for table in (*transfer.TABLES, *skeletons.TABLES, *severe.TABLES, *tubelets.TABLES)}
PAGE = Path(__file__).resolve().parent.parent / "docs" / "results.md"
END = "<!-- end -->"


class Stopped(Exception):
    """A signal ended a run: so it does the whole."""


def run_alone(arguments: list[str]) -> int:
    """Run a command of ``lightning`` in a process of its own."""
    return Child().run(arguments)


def run_here(arguments: list[str]) -> int:
    """Run a command of ``lightning`` in this process: what is imported already is not imported again."""
    import cli

    return cli.main(arguments)


def unless_stopped(lightning: Callable[[list[str]], int], arguments: list[str]) -> int:
    """Run a command, and raise where a signal ended it.

    Raises:
        Stopped: a signal did.
    """
    code = lightning(arguments)
    if code in STOPPED:
        raise Stopped
    return code


def make_one(job: tuple[AnyRun, int], out: Path, quick: bool) -> str:
    """Make a run: see ``make``."""
    return make(*job, out, quick, partial(unless_stopped, run_here if quick else run_alone))


def make_all(wanted: list[tuple[AnyRun, int]], out: Path, quick: bool, pool: Executor | None) -> list[str]:
    """Make what is missing of some runs and of those that they start from, and return what went wrong."""
    work, problems = partial(make_one, out=out, quick=quick), []
    for layer in in_order(wanted):
        problems += [problem for problem in (pool.map if pool else map)(work, layer) if problem]
    return problems


def collect(table: Table, out: Path, seeds: int, known: Values) -> Values:
    """Read what the finished runs of a table came to; numbers of runs that are not there are kept."""
    values = {key: dict(found) for key, found in known.items()}
    for row in table.rows:
        for column, figure in zip(table.columns, row.figures, strict=True):
            for seed in range(seeds):
                if figure is None or not figure.run.finished(out, seed):
                    continue
                number = figure.run.read(out, seed, figure.metric)
                if number is not None:
                    values.setdefault((row.title, column.title), {})[seed] = figure.scale * number
    return values


def known_values(table: Table, folder: Path) -> Values:
    """The numbers that a table's record holds."""
    path = record_path(table, folder)
    return values_of(json.loads(path.read_text(encoding="utf-8"))["tables"][table.name]) if path.is_file() else {}


def record_path(table: Table, folder: Path) -> Path:
    """The record of a table."""
    return folder / f"reproduce_{table.name}.json"


def marker(table: Table) -> str:
    """The line of a page after which a table stands."""
    return f"<!-- reproduce {table.name} -->"


def filled(text: str, table: Table, new: str) -> str:
    """A page with a table between its markers."""
    pattern = rf"{re.escape(marker(table))}\n.*?{re.escape(END)}"
    return re.sub(pattern, lambda _: f"{marker(table)}\n\n{new}\n\n{END}", text, count=1, flags=re.DOTALL)


def check_markers(page: Path, tables: list[Table]) -> None:
    """Raise before days of work, not after them.

    Raises:
        ValueError: a page has no place for a table.
    """
    text = page.read_text(encoding="utf-8")
    for table in tables:
        if marker(table) not in text:
            raise ValueError(f"{page}: write the lines {marker(table)} and {END} where table {table.name} should stand")


def main(arguments: list[str] | None = None) -> int:
    """Make, collect, write.

    Returns:
        0, or 1 where a run failed, or 130 where it was stopped.
    """
    parser = argparse.ArgumentParser("python -m benchmarks.reproduce", description=__doc__.splitlines()[0])
    parser.add_argument("--tables", nargs="+", default=list(TABLES), choices=list(TABLES), metavar="TABLE")
    parser.add_argument("--seeds", type=int, metavar="N", help="0 to N - 1 (default: 3, five in table 3.3)")
    parser.add_argument(
        "--out", type=Path, help="folder of the runs (default: runs/reproduce, or runs/reproduce_quick)"
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at a time (default: 1)")
    parser.add_argument("--quick", action="store_true", help="one seed and a few steps, to see that all works")
    parser.add_argument("--collect", action="store_true", help="make no run: write what is there")
    options = parser.parse_args(arguments)
    quick: bool = options.quick
    out: Path = (options.out or Path("runs", "reproduce_quick" if quick else "reproduce")).resolve()
    seeds = 1 if quick else options.seeds
    tables = [TABLES[name] for name in dict.fromkeys(options.tables)]
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # sums are rounded otherwise with other numbers of threads
    page, results = (out / "results.md", out / "results") if quick else (PAGE, RESULTS)
    if quick:
        out.mkdir(parents=True, exist_ok=True)
        page.write_text("".join(f"{marker(table)}\n{END}\n\n" for table in tables), encoding="utf-8")
    check_markers(page, tables)
    problems: list[str] = []
    pool = ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) if options.jobs > 1 else None
    for table in tables:
        try:
            if not options.collect:
                problems += make_all(table.wanted(seeds or table.seeds, quick), out, quick, pool)
        except (Stopped, KeyboardInterrupt):
            if pool:
                pool.shutdown(cancel_futures=True)
            print("stopped: the same command goes on", file=sys.stderr)
            return 130
        values = collect(table, out, 1 if quick else max(seeds or 0, table.seeds), known_values(table, results))
        with redirect_stdout(StringIO()):  # the page says it shorter
            record(f"reproduce_{table.name}", {table.name: record_rows(table, values)}, folder=results)
        new = markdown(table, known_values(table, results))
        page.write_text(filled(page.read_text(encoding="utf-8"), table, new), encoding="utf-8")
        print(f"\n{table.name}\n\n{new}", flush=True)
    print(f"\nwrote {page} and {results}")
    print(*dict.fromkeys(problems), sep="\n", end="", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
