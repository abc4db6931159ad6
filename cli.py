"""The ``lightning`` command. Nothing heavy is imported before it is known what to do: ``--help`` answers at once."""

import argparse
import difflib
import importlib
import importlib.metadata
import os
import sys
from collections import Counter
from pathlib import Path

import configs
from configs.arguments import parse

SUBCOMMANDS = {
    "fit": "train a method, or go on with a run",
    "validate": "evaluate on the validation split",
    "test": "evaluate on the test split",
    "predict": "write down what the method says of each video; with --input of any files, by --checkpoint alone",
    "search": "find the videos of a folder that are nearest to one",
    "submit": "train as a job of SLURM, on one or several nodes",
    "repeat": "run the same fit with several seeds, and print mean and standard deviation",
    "summary": "print mean and standard deviation of runs that are there",
    "prepare": "preprocess a dataset once, into files that its data module reads",
    "fuse": "average the scores that several runs predicted",
    "export": "turn a checkpoint into a file of the network alone: safetensors, ONNX or torch.export",
    "weights": "say what a weights file is and what of it would load; or list the published ones",
    "curves": "draw a logged number, such as the loss, of several runs in one picture",
    "data": "say what the data module of a config finds, and draw training clips",
    "configs": "list the shipped configs with their tables in the thesis and the thesis' numbers",
    "report": "make one HTML page of runs: curves, final numbers, pictures, configs, machines",
    "severe": "evaluate weights on the SEVERE benchmark, and report the results beside the published ones",
    "analyse": "look at what weights have learnt and what data are like: CKA, activation maps, t-SNE, ...",
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: those after the command's name; of the process by default.

    Returns:
        Exit code: 0 done, 1 stopped by an error that the message explains, 2 wrong usage, 130 Ctrl-C, 143 SIGTERM,
        138 SIGUSR1, 141 nobody reads the output any more.
    """
    try:
        code = run(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return code


def run(arguments: list[str]) -> int:
    """Do what ``main`` does, with the same exit codes."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(overview())
        return 0
    if arguments[0] == "--version":
        print(versions())
        return 0
    subcommand, rest = arguments[0], arguments[1:]
    if subcommand not in SUBCOMMANDS:
        near = difflib.get_close_matches(subcommand, SUBCOMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(SUBCOMMANDS)}"
        return complain(f"no subcommand '{subcommand}'; {hint}", 2)
    try:
        if subcommand == "search" or (subcommand == "predict" and any(a.split("=")[0] == "--input" for a in rest)):
            from configs.prediction.command import run as predict

            return predict(subcommand, rest)
        if subcommand == "prepare":
            return prepare(rest)
        if subcommand == "fuse":
            return fuse(rest)
        if subcommand == "curves":
            return curves(rest)
        if subcommand == "weights":
            return weights(rest)
        if subcommand == "submit":
            return submit(rest)
        if subcommand == "repeat":
            return repeat(rest)
        if subcommand == "summary":
            return summary(rest)
        if subcommand == "severe":
            return severe(rest)
        if subcommand == "analyse":
            return analyse(rest)
        if subcommand in ("data", "configs", "report"):
            return look(subcommand, rest)
        return export(rest) if subcommand == "export" else train(subcommand, rest)
    except configs.ConfigError as error:
        return complain(str(error), 2)


def overview() -> str:
    """What ``lightning --help`` says: the subcommands, the shipped configs, and how to start."""
    lines = [
        "usage: lightning SUBCOMMAND [--config NAME] [--KEY VALUE ...]",
        "",
        "subcommands (--help after one says more):",
    ]
    lines += [f"  {name:<10} {text}" for name, text in SUBCOMMANDS.items()]
    shipped = configs.shipped()
    alone = {name: title for name, title in shipped.items() if "/" not in name}
    width = max(map(len, alone), default=0)
    lines += ["", "shipped configs (a file of the same name in the working directory goes first):"]
    lines += [f"  {name:<{width}}  {title}".rstrip() for name, title in alone.items()]
    folders = Counter(name.partition("/")[0] for name in shipped if "/" in name)
    if folders:
        lines += ["and by folder, one for each row of a table (configs/README.md has the tables):"]
        lines += [f"  {f'{folder}/':<{width}}  {number} configs" for folder, number in folders.items()]
    lines += [
        "",
        "any value of a config can be changed behind it, and --print_config shows the whole:",
        "  lightning fit --config tubelet.yaml --trainer.max_epochs 20 --run_dir runs/longer",
        "the same command again goes on where it stopped.",
    ]
    return "\n".join(lines)


def versions() -> str:
    """What ``lightning --version`` says."""
    names = ("video-efficient-zoo", "pytorch-lightning", "torch", "torchvision")
    return "\n".join(f"{name} {importlib.metadata.version(name)}" for name in names)


def complain(line: str, code: int) -> int:
    """Write one line to stderr, on the first process only; returns the exit code."""
    if configs.is_first_process():
        print(f"lightning: error: {line}", file=sys.stderr)
    return code


def train(subcommand: str, arguments: list[str]) -> int:
    """Hand over to LightningCLI.

    Args:
        subcommand: fit, validate, test or predict.
        arguments: those after the subcommand.

    Returns:
        Exit code, as of ``main``.
    """
    # Classes of the working directory can be named in a config; last, so that nothing there hides an installed package.
    sys.path.append(os.getcwd())
    names, arguments = split_configs(arguments)
    chains = [configs.chain(name) for name in names]
    from callbacks.run_record import Interrupted
    from configs.command import Command
    from configs.errors import UsageError, explain

    try:
        Command(subcommand, arguments, chains)
    except UsageError as error:
        return complain(str(error), 2)
    except Interrupted as interrupted:
        return interrupted.exit_code
    except Exception as error:
        line = explain(error)
        if line is None:
            raise
        return complain(line, 1)
    return 0


def split_configs(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Take ``--config NAME`` out of the arguments.

    Returns:
        The names, and the other arguments.

    Raises:
        configs.ConfigError: if a name is missing.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("-c", "--config", action="append", default=[])
    try:
        known, rest = parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise configs.ConfigError("--config needs the name of a config") from error
    return known.config, rest


def export(arguments: list[str]) -> int:
    """Export the network of a checkpoint.

    Args:
        arguments: those after the subcommand.

    Returns:
        Exit code, as of ``main``.
    """
    from configs.export import export as run

    try:
        return run(arguments)
    except configs.ConfigError:
        raise
    except (ValueError, OSError) as error:
        return complain(str(error), 1)


def fuse(arguments: list[str]) -> int:
    """Fuse the predictions of several runs, and print how good each and all are.

    Args:
        arguments: those after the subcommand.

    Returns:
        Exit code, as of ``main``.
    """
    parser = argparse.ArgumentParser("lightning fuse", description=SUBCOMMANDS["fuse"], exit_on_error=False)
    parser.add_argument("runs", nargs="*", type=Path, help="folders of runs with a predictions.npz, or such files")
    parser.add_argument("--weights", type=float, nargs="+", help="of each run's scores; equal by default")
    parser.add_argument("--out", type=Path, help="file to write the fused predictions to, e.g. fused.npz")
    options = parse(parser, arguments, "it takes runs, --weights and --out FILE")
    if len(options.runs) < 2:
        return complain("fuse needs at least two runs, as in: fuse runs/sequence runs/graph", 2)
    from lightning_modules.metrics.late_fusion import fuse as average
    from lightning_modules.metrics.late_fusion import read_predictions

    try:
        runs = [read_predictions(path) for path in options.runs]
        fused = average(runs, options.weights)
        if options.out is not None:
            fused.write(options.out)
    except (ValueError, OSError) as error:
        return complain(str(error), 1)
    rows = [(str(given), run) for given, run in zip(options.runs, runs, strict=True)] + [("fusion", fused)]
    width = max(len(name) for name, _ in rows)
    print(f"{'run':<{width}}  top-1 of {len(fused.name):,} in %")
    for name, run in rows:
        top1 = run.top1()
        print(f"{name:<{width}}  {'no labels' if top1 is None else f'{100 * top1:.1f}'}")
    return 0


def prepare(arguments: list[str]) -> int:
    """Preprocess a dataset.

    Args:
        arguments: those after the subcommand.

    Returns:
        Exit code, as of ``main``.
    """
    from configs.prepare import prepare

    try:
        print(prepare(arguments))
    except configs.ConfigError:
        raise
    except ValueError as error:
        return complain(str(error), 1)
    except KeyboardInterrupt:
        return complain("stopped; the same command goes on", 130)
    return 0


def submit(arguments: list[str]) -> int:
    """Submit a fit to SLURM.

    Args:
        arguments: those after the subcommand.

    Returns:
        Exit code, as of ``main``.
    """
    # As in train, which the job calls.
    sys.path.append(os.getcwd())
    names, rest = split_configs(arguments)
    from configs.errors import UsageError
    from configs.slurm.submit import submit as run

    try:
        return run(names, rest)
    except UsageError as error:
        return complain(str(error), 2)
    except configs.ConfigError:
        raise
    except (ValueError, OSError) as error:
        return complain(str(error), 1)


def repeat(arguments: list[str]) -> int:
    """Run the same fit with several seeds.

    Args:
        arguments: those after the subcommand.

    Returns:
        Exit code, as of ``main``.
    """
    parser = argparse.ArgumentParser(
        "lightning repeat",
        usage="lightning repeat [--seeds N] [--metrics NAME ...] fit --config NAME [--KEY VALUE ...]",
        description="Run the same fit with seeds S, S + 1, ... (S is the config's seed_everything), one by one, each "
        "in RUN/seed_S; RUN is --run_dir, or runs/CONFIG-seeds. The same command again goes on where it stopped. "
        "At the end print the final metrics as mean and standard deviation (over n - 1), and write RUN/summary.csv.",
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="how many (default: 5)")
    add_metrics(parser)
    at = arguments.index("fit") if "fit" in arguments else len(arguments)
    options = parse(parser, arguments[:at], "as in: lightning repeat --seeds 5 fit --config skeleton.yaml")
    if at == len(arguments):
        return complain("repeat: fit is missing; as in: lightning repeat --seeds 5 fit --config skeleton.yaml", 2)
    names, rest = split_configs(arguments[at + 1 :])
    from configs.repeat import Repeat

    try:
        repeated = Repeat(names, rest, options.seeds)
        code = repeated.run()
    except configs.ConfigError:
        raise
    except ValueError as error:
        return complain(str(error), 1)
    return code or summarise(list(repeated.runs.values()), options.metrics, repeated.folder / "summary.csv")


def summary(arguments: list[str]) -> int:
    """Print the final metrics of runs.

    Args:
        arguments: those after the subcommand.

    Returns:
        Exit code, as of ``main``.
    """
    parser = argparse.ArgumentParser(
        "lightning summary",
        description="Print the final metrics of runs as mean and standard deviation (over n - 1). Runs that are not "
        "finished are named and left out.",
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_argument("runs", nargs="*", type=Path, help="run folders, or folders that hold runs seed_0, seed_1, ...")
    add_metrics(parser)
    parser.add_argument("--out", type=Path, help="a CSV file to write, too")
    options = parse(parser, arguments, "as in: lightning summary runs/skeleton-seeds")
    if not options.runs:
        return complain("summary: no folder given; as in: lightning summary runs/skeleton-seeds", 2)
    return summarise(options.runs, options.metrics, options.out)


def add_metrics(parser: argparse.ArgumentParser) -> None:
    """Add the option that chooses metrics."""
    parser.add_argument(
        "--metrics", nargs="+", metavar="NAME", help="names or patterns (default: 'val/*' 'test/*' 'probe/*')"
    )


def summarise(runs: list[Path], metrics: list[str] | None, out: Path | None) -> int:
    """Print the table of ``lightning summary``, and write it to a file if one is given; returns the exit code."""
    from rich.console import Console

    from callbacks.run_summary import FINAL_METRICS, summarise

    try:
        found = summarise(runs, tuple(metrics or FINAL_METRICS))
        if out is not None:
            found.write(out)
    except ValueError as error:
        return complain(str(error), 1)
    except OSError as error:
        return complain(f"{out}: cannot be written ({error.strerror}); give another", 1)
    Console().print(found.table())
    for note in found.notes:
        print(note)
    if out is not None:
        print(f"wrote {out}")
    return 0


def curves(arguments: list[str]) -> int:
    """Draw a logged number of several runs.

    Args:
        arguments: those after the subcommand.

    Returns:
        Exit code, as of ``main``.
    """
    parser = argparse.ArgumentParser("lightning curves", description=SUBCOMMANDS["curves"], exit_on_error=False)
    parser.add_argument("runs", nargs="*", metavar="RUN", help="folder of a run, or NAME=FOLDER to label it otherwise")
    parser.add_argument("--metric", default="train/loss", help="as logged; train/loss by default")
    parser.add_argument(
        "--out", type=Path, default=Path("curves.png"), help="the picture; the numbers go beside it, into a .csv"
    )
    options = parse(parser, arguments, "it takes --metric NAME and --out FILE.png")
    if not options.runs:
        return complain("curves needs folders of runs, as in: curves runs/skeleton none=runs/without", 2)
    from callbacks.curves import compare

    try:
        print(compare(options.runs, options.metric, options.out))
    except (ValueError, OSError) as error:
        return complain(str(error), 1)
    return 0


def weights(arguments: list[str]) -> int:
    """Print what a weights file is and what of it would load, or which are published.

    Args:
        arguments: those after the subcommand.

    Returns:
        Exit code, as of ``main``.
    """
    parser = argparse.ArgumentParser(
        "lightning weights",
        usage="lightning weights show FILE [--network CLASS] | lightning weights list",
        description=SUBCOMMANDS["weights"],
        exit_on_error=False,
    )
    parser.add_argument("action", nargs="?", choices=["show", "list"], help="show a file, or list the published ones")
    parser.add_argument("file", nargs="?", metavar="FILE", help="a weights file, or a name that list prints")
    parser.add_argument("--network", metavar="CLASS", help="to be filled, e.g. R3D; by default what the file holds")
    options = parse(parser, arguments, "as in: lightning weights show FILE --network R2Plus1D")
    if options.action is None or (options.action == "show") != (options.file is not None):
        return complain("weights: as in: lightning weights show FILE, or: lightning weights list", 2)
    from lightning_modules.weights.contents import listing, show

    try:
        print(show(options.file, options.network) if options.action == "show" else listing())
    except (ValueError, OSError) as error:
        return complain(str(error), 1)
    return 0


def severe(arguments: list[str]) -> int:
    """Run jobs of the SEVERE benchmark, or report on them.

    Args:
        arguments: those after the subcommand.

    Returns:
        Exit code, as of ``main``.
    """
    # A data module of the working directory can be named in a config of settings, as in train.
    sys.path.append(os.getcwd())
    from configs.severe_benchmark.command import severe as run

    try:
        return run(arguments)
    except configs.ConfigError:
        raise
    except (ValueError, OSError) as error:
        return complain(str(error), 1)


def analyse(arguments: list[str]) -> int:
    """Look at weights or data.

    Args:
        arguments: those after the subcommand.

    Returns:
        Exit code, as of ``main``.
    """
    sys.path.append(os.getcwd())  # as in train
    from configs.analysis.command import analyse as run

    try:
        return run(arguments)
    except configs.ConfigError:
        raise
    except (ValueError, OSError) as error:
        return complain(str(error), 1)


def look(subcommand: str, arguments: list[str]) -> int:
    """Look at data, at configs or at runs.

    Args:
        subcommand: data, configs or report.
        arguments: those after the subcommand.

    Returns:
        Exit code, as of ``main``.
    """
    sys.path.append(os.getcwd())  # as in train
    module = {"data": "configs.data_show", "configs": "configs.listing", "report": "configs.report.command"}[subcommand]
    try:
        code: int = importlib.import_module(module).run(arguments)
    except configs.ConfigError:
        raise
    except (ValueError, OSError) as error:
        return complain(str(error), 1)
    return code
