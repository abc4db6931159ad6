"""The arguments of ``lightning severe`` and ``lightning severe report``."""

import argparse
from pathlib import Path

from configs import ConfigError

PASSED_ON = ("--trainer.", "--model.", "--data.", "--checkpoint.")
EXAMPLE = (
    "as in: lightning severe --weights runs/tubelet/checkpoints/last.ckpt --root ucf101=/data/UCF-101 --out severe"
)


def severe(arguments: list[str]) -> int:
    """Run jobs of the benchmark, or report on them.

    Args:
        arguments: those after the subcommand.

    Returns:
        Exit code, as of ``cli.main``.

    Raises:
        ConfigError: an argument is wrong.
        ValueError: the weights or the results are not there or wrong.
        OSError: a file cannot be read or written.
    """
    if arguments[:1] == ["report"]:
        return _report(arguments[1:])
    parser = make_parser(
        "lightning severe",
        "Evaluate weights on the settings of the SEVERE benchmark: one job for each setting and seed, each in "
        "OUT/NAME/FAMILY/SETTING/seed_S. Finished jobs are skipped and stopped ones go on from their last checkpoint. "
        "Settings whose data are missing are named and left out. Arguments such as --trainer.devices 8 are those of "
        "lightning fit. `lightning severe report DIR --out DIR` makes tables and figures of the results.",
    )
    parser.add_argument("--weights", help="a checkpoint or weights file, a name of the catalogue, or none")
    parser.add_argument("--name", help="of the weights in tables and folders (default: after the file)")
    parser.add_argument("--settings", nargs="+", help="such as ucf101 gym99_1000 ucf101_2000 (default: all there are)")
    parser.add_argument("--mode", choices=["finetune", "linear"], default="finetune", help="default: finetune")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="0 to N - 1 (default: 3)")
    parser.add_argument("--out", type=Path, help="folder of the results")
    parser.add_argument("--embedded", action="store_true", help="on small embedded data, in minutes")
    parser.add_argument("--configs", type=Path, metavar="FOLDER", help="YAML files of other settings")
    parser.add_argument(
        "--root", action="append", nargs="+", default=[], help="DATASET=PATH, or a YAML file of such pairs"
    )
    parser.add_argument("--list", action="store_true", help="print the jobs with their numbers, and run none")
    parser.add_argument("--only", metavar="SETTING:SEED", help="run this job only")
    parser.add_argument("--job", type=int, metavar="NUMBER", help="run this job only: --job $SLURM_ARRAY_TASK_ID")
    options, rest = parse(parser, arguments, passed_on=True)
    if options.weights is None or options.out is None:
        raise ConfigError(f"severe needs --weights and --out; {EXAMPLE}")
    from configs.severe_benchmark.runner import Severe, folder_of, read_weights
    from configs.severe_benchmark.settings import check_roots, family, find_settings, read_roots

    if options.configs is not None and options.embedded:
        raise ConfigError("severe: --configs names other settings than those of --embedded; give one of them")
    name = options.configs.resolve().name if options.configs else family(options.mode, options.embedded)
    settings = find_settings(options.configs or folder_of(name), options.settings)
    roots = read_roots([text for texts in options.root for text in texts])
    check_roots(roots, settings)
    weights = read_weights(options.weights, options.name)
    benchmark = Severe(weights, settings, name, options.seeds, options.out, roots, rest)
    jobs = benchmark.choose(options.only, options.job)
    if options.list:
        print(benchmark.listing(jobs))
        return 0
    chosen = any(given is not None for given in (options.settings, options.only, options.job))
    return benchmark.run(jobs, all_needed=chosen)


def _report(arguments: list[str]) -> int:
    parser = make_parser(
        "lightning severe report",
        "Put results beside the published ones: tables as Markdown, CSV and LaTeX, and figures.",
    )
    parser.add_argument("folders", nargs="*", type=Path, metavar="DIR", help="given to `lightning severe` as --out")
    parser.add_argument("--out", type=Path, help="folder to write")
    parser.add_argument(
        "--compare", nargs=2, metavar="NAME", help="weights whose accuracies in each class are compared (figure C.1)"
    )
    options, _ = parse(parser, arguments)
    if not options.folders or options.out is None:
        raise ConfigError("severe report needs folders and --out, as in: lightning severe report severe --out report")
    from configs.severe_benchmark.report import report

    print(report(options.folders, options.out, options.compare))
    return 0


def make_parser(name: str, description: str) -> argparse.ArgumentParser:
    """A parser whose errors are ours to word."""
    return argparse.ArgumentParser(name, description=description, exit_on_error=False, allow_abbrev=False)


def parse(
    parser: argparse.ArgumentParser, arguments: list[str], passed_on: bool = False
) -> tuple[argparse.Namespace, list[str]]:
    """Parse; what begins as a key of a config is handed back with its values, in order, where it may be."""
    own: list[str] = []
    rest: list[str] = []
    kept = own
    for argument in arguments:
        if argument.startswith("--"):
            kept = rest if passed_on and argument.startswith(PASSED_ON) else own
        kept.append(argument)
    try:
        options, unknown = parser.parse_known_args(own)
    except argparse.ArgumentError as error:
        raise ConfigError(f"{parser.prog.partition(' ')[2]}: {error}") from error
    if unknown:
        raise ConfigError(
            f"{parser.prog.partition(' ')[2]}: unknown argument {unknown[0]}; --help tells which there are"
        )
    return options, rest
