"""The arguments of ``lightning report``."""

from pathlib import Path

from configs import ConfigError
from configs.severe_benchmark.command import make_parser, parse

EXAMPLE = "as in: lightning report runs/tubelet runs/temporal --out report.html"


def run(arguments: list[str]) -> int:
    """Make a page of runs.

    Args:
        arguments: those after the subcommand.

    Returns:
        Exit code, as of ``cli.main``.

    Raises:
        ConfigError: an argument is wrong.
        ValueError: a folder is no run, or a damaged one.
        OSError: a file cannot be read or written.
    """
    parser = make_parser(
        "lightning report",
        "Make one HTML page of runs, which needs no network: curves, final numbers as mean and standard deviation over "
        "seeds, pictures, what differs in the configs, machines and versions. Runs of one config with several seeds "
        "are put together, and so are those that are given one NAME.",
    )
    parser.add_argument(
        "runs",
        nargs="*",
        metavar="RUN",
        help="folder of a run, or one that holds seed_0, seed_1, ...; or NAME=FOLDER to call it otherwise",
    )
    parser.add_argument("--out", type=Path, default=Path("report.html"), help="the page (default: report.html)")
    options, _ = parse(parser, arguments)
    if not options.runs:
        raise ConfigError(f"report needs folders of runs, {EXAMPLE}")
    if options.out.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"report: --out {options.out}: the page is an HTML file; give it such a name")
    from callbacks.run_folder import write_whole
    from configs.report.page import make_page
    from configs.report.runs import group_runs, read_runs

    runs = read_runs(options.runs)
    page = make_page(group_runs(runs)).encode()
    write_whole(options.out, page)
    print(f"wrote {options.out}, {len(page) / 2**20:.1f} MiB: {len(runs)} run{'s' if len(runs) > 1 else ''}")
    return 0
