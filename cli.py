"""The ``lightning`` command. Nothing heavy is imported before it is known what to do: ``--help`` answers at once."""

import argparse
import difflib
import importlib.metadata
import os
import sys
from pathlib import Path

import configs

SUBCOMMANDS = {
    "fit": "train a method, or go on with a run",
    "validate": "evaluate on the validation split",
    "test": "evaluate on the test split",
    "predict": "write down what the method says of each video",
    "prepare": "preprocess a dataset once, into files that its data module reads",
    "export": "turn a checkpoint into a safetensors file of the network alone",
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: those after the command's name; of the process by default.

    Returns:
        Exit code: 0 done, 1 stopped by an error that the message explains, 2 wrong usage, 130 Ctrl-C, 143 SIGTERM.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
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
        if subcommand == "prepare":
            return prepare(rest)
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
    width = max(map(len, shipped), default=0)
    lines += ["", "shipped configs (a file of the same name in the working directory goes first):"]
    lines += [f"  {name:<{width}}  {title}".rstrip() for name, title in shipped.items()]
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
    if not any(int(os.environ.get(name, 0)) for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID")):
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
    parser = argparse.ArgumentParser("lightning export", description=SUBCOMMANDS["export"], exit_on_error=False)
    parser.add_argument(
        "--checkpoint", type=Path, help="a checkpoint of a run, e.g. runs/tubelet/checkpoints/last.ckpt"
    )
    parser.add_argument("--out", type=Path, help="the file to write, e.g. model.safetensors")
    try:
        options, unknown = parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        return complain(f"export: {error}", 2)
    if unknown:
        return complain(f"export: unknown argument {unknown[0]}; it takes --checkpoint FILE and --out FILE", 2)
    if options.checkpoint is None or options.out is None:
        return complain("export needs --checkpoint FILE and --out FILE", 2)
    from lightning_modules.weights.export import export as write

    try:
        header = write(options.checkpoint, options.out)
    except (ValueError, OSError) as error:
        return complain(str(error), 1)
    size = options.out.stat().st_size / 2**20
    print(f"wrote {options.out}, {size:.1f} MiB: {header.get('architecture')} of {header.get('method')}")
    return 0


def prepare(arguments: list[str]) -> int:
    """Preprocess a dataset.

    Args:
        arguments: those after the subcommand.

    Returns:
        Exit code, as of ``main``.
    """
    parser = argparse.ArgumentParser("lightning prepare", description=SUBCOMMANDS["prepare"], exit_on_error=False)
    parser.add_argument(
        "dataset",
        nargs="?",
        choices=["ntu", "flow"],
        help="ntu: skeletons of NTU RGB+D 60 and 120; flow: optical flow of any videos",
    )
    parser.add_argument(
        "--root",
        type=Path,
        nargs="+",
        help="folder of the .skeleton files or videos, nested or flat; or the files of another format",
    )
    parser.add_argument(
        "--format",
        choices=["skeleton", "pyskl", "agcn"],
        default="skeleton",
        help="pyskl: ntu60_3d.pkl; agcn: train_data_joint.npy val_data_joint.npy, beside their _label.pkl",
    )
    parser.add_argument("--out", type=Path, help="folder to make; data.root of NTUSkeletonDataModule")
    parser.add_argument("--workers", type=int, help="processes; by default as many as there are cores")
    parser.add_argument(
        "--bodies",
        choices=["listed", "tracked"],
        default="listed",
        help="listed: a body is known by its place in the frame, as published; tracked: by the sensor's ID",
    )
    parser.add_argument(
        "--method",
        choices=["dis", "tvl1", "raft"],
        default="dis",
        help="of flow: OpenCV's dis or tvl1, torchvision's raft",
    )
    parser.add_argument("--short_side", type=int, default=128, help="of flow: pixels of a frame's shorter side")
    parser.add_argument("--weights", type=Path, help="of raft: file of torchvision's weights")
    try:
        options, unknown = parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        return complain(f"prepare: {error}", 2)
    if unknown:
        return complain(f"prepare: unknown argument {unknown[0]}; --help tells which there are", 2)
    if options.dataset is None or options.root is None or options.out is None:
        return complain(
            "prepare needs a dataset, --root FOLDER and --out FOLDER, as in: prepare ntu --root A --out B", 2
        )
    if options.format == "skeleton" and len(options.root) > 1:
        return complain("prepare: --root takes one folder of files; put them into one", 2)
    from datamodules.prepare_arrays import prepare_arrays
    from datamodules.prepare_flow import PreparedFlow, prepare_flow
    from datamodules.prepare_ntu import Prepared
    from datamodules.prepare_ntu import prepare as prepare_files

    done: Prepared | PreparedFlow
    try:
        if options.dataset == "flow":
            done = prepare_flow(
                options.root[0], options.out, options.method, options.short_side, options.weights, options.workers
            )
        elif options.format == "skeleton":
            done = prepare_files(options.root[0], options.out, options.workers, options.bodies)
        else:
            done = prepare_arrays(options.root, options.out, options.format)
    except ValueError as error:
        return complain(str(error), 1)
    except KeyboardInterrupt:
        return complain("stopped; the same command goes on", 130)
    print(done)
    return 0
