"""The arguments of ``lightning predict --input`` and ``lightning search``."""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

from configs import ConfigError
from configs.severe_benchmark.command import make_parser, parse

EXAMPLE = "as in: lightning predict --checkpoint runs/NAME/checkpoints/last.ckpt --input FOLDER --out DIR"
SEARCH_EXAMPLE = "as in: lightning search --checkpoint FILE --index FOLDER --query VIDEO --out DIR"
MOST_SHOWN = 20  # videos in the table


def run(subcommand: str, arguments: list[str]) -> int:
    """Predict or search.

    Args:
        subcommand: predict or search.
        arguments: those after it.

    Returns:
        Exit code, as of ``cli.main``.

    Raises:
        ConfigError: an argument is wrong.
    """
    # Methods of the working directory can be named in a checkpoint's config.
    sys.path.append(os.getcwd())
    try:
        return predict(arguments) if subcommand == "predict" else search(arguments)
    except ConfigError:
        raise
    except (ValueError, OSError) as error:
        print(f"lightning: error: {error}", file=sys.stderr)
        return 1


def predict(arguments: list[str]) -> int:
    """Write down what a checkpoint says of files.

    Args:
        arguments: those after the subcommand.

    Returns:
        Exit code, as of ``cli.main``; 1 where a file cannot be read.

    Raises:
        ConfigError: an argument is wrong.
        ValueError: the checkpoint cannot tell what it is, or there are no files.
        OSError: a file cannot be written.
    """
    parser = make_parser(
        "lightning predict",
        "What a checkpoint says of any files: top classes over the whole of each and over time, detected actions, or "
        "features. Writes DIR/predictions.jsonl, features/NAME.npz and pictures/NAME.png. The same command again "
        "goes on where it stopped.",
    )
    _add_checkpoint(parser)
    parser.add_argument("--input", type=Path, help="a video, a .skeleton file, or a folder of them")
    parser.add_argument("--out", type=Path, help="folder to write")
    parser.add_argument("--top", type=int, default=5, help="classes that are listed and drawn (default: 5)")
    parser.add_argument("--hop", type=float, help="seconds from a clip to the next (default: half a clip)")
    parser.add_argument("--min_score", type=float, default=0.2, help="of detections that are shown (default: 0.2)")
    parser.add_argument("--video", action="store_true", help="write annotated videos/NAME.mp4 instead of pictures")
    options, _ = parse(parser, arguments)
    _require(options, "predict", ("checkpoint", "input", "out"), EXAMPLE)
    if options.top < 1 or (options.hop is not None and not options.hop > 0):
        raise ConfigError(f"predict: --top {options.top} must be at least 1, and --hop {options.hop} above 0")
    from configs.prediction.folder import BROKEN, LINES, Options, find_inputs, predict_all
    from configs.prediction.predictors import of_number

    predictor = _predictor(options)
    if not predictor.checkpoint.class_names:
        print(
            f"{options.checkpoint} holds no classifier: features are written, no classes are told; for these, fine-tune"
            " it on labelled data (--model.weights), or export with --classifier"
        )
    inputs = find_inputs(options.input, predictor, options.out)
    wanted = Options(options.hop, options.top, options.min_score, options.video)
    try:
        outcome = predict_all(predictor, inputs, options.out, wanted)
    except KeyboardInterrupt:
        print(f"stopped; the same command goes on in {options.out}")
        return 130
    _print_table(outcome.lines[:MOST_SHOWN], options.min_score)
    more = f", {outcome.earlier:,} of them earlier" if outcome.earlier else ""
    print(f"{of_number(predictor.noun, len(outcome.lines))} in {options.out / LINES}{more}")
    if outcome.broken:
        print(f"{len(outcome.broken):,} of {len(inputs):,} cannot be read, listed in {options.out / BROKEN}")
    return 1 if outcome.broken else 0


def search(arguments: list[str]) -> int:
    """Find the videos of a folder that are nearest to one.

    Args:
        arguments: those after the subcommand.

    Returns:
        Exit code, as of ``cli.main``; 1 where a file cannot be read.

    Raises:
        ConfigError: an argument is wrong.
        ValueError: the checkpoint cannot tell what it is, or the query cannot be read.
        OSError: a file cannot be written.
    """
    parser = make_parser(
        "lightning search",
        "The videos of a folder whose features are nearest to those of one, by cosine. The index of the folder is made "
        "once, in DIR/index; later only what is new or changed is looked at. Writes DIR/QUERY.png and DIR/QUERY.csv.",
    )
    _add_checkpoint(parser)
    parser.add_argument("--index", type=Path, metavar="FOLDER", help="videos, or .skeleton files, to search in")
    parser.add_argument("--query", type=Path, help="a video, or a .skeleton file")
    parser.add_argument("--out", type=Path, help="folder to write")
    parser.add_argument("--k", type=int, default=10, help="videos to find (default: 10)")
    parser.add_argument("--clips", type=int, default=4, help="of a video, whose mean is its feature (default: 4)")
    options, _ = parse(parser, arguments)
    _require(options, "search", ("checkpoint", "index", "query", "out"), SEARCH_EXAMPLE)
    if min(options.k, options.clips) < 1:
        raise ConfigError(f"search: --k {options.k} and --clips {options.clips} must be at least 1")
    if not options.index.is_dir():
        raise ConfigError(f"search: --index {options.index}: no such folder; {SEARCH_EXAMPLE}")
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from callbacks.pictures import write_picture
    from callbacks.run_folder import write_whole
    from configs.prediction import search as searching
    from configs.prediction.predictors import of_number

    predictor = _predictor(options)
    try:
        index, broken = searching.build_index(predictor, options.index, options.out, options.clips)
    except KeyboardInterrupt:
        print(f"stopped; the same command goes on in {options.out}")
        return 130
    for line in broken[:MOST_SHOWN]:
        print(f"cannot be read: {line}")
    if not len(index):
        raise ValueError(f"{options.index}: none of its {predictor.noun} can be read")
    start = time.perf_counter()
    hits = searching.search(predictor, index, options.index, options.query, options.k, options.clips)
    seconds = time.perf_counter() - start
    table = Table("", "cosine", predictor.noun.removesuffix("s"), box=None, header_style="bold")
    for rank, hit in enumerate(hits, 1):
        table.add_row(str(rank), f"{hit.similarity:.4f}", Text(hit.name))
    Console().print(table)
    sheet = options.out / f"{options.query.name}.png"
    rows = [f"{rank},{hit.similarity:.6f},{_quoted(str(hit.path))}" for rank, hit in enumerate(hits, 1)]
    write_whole(sheet.with_suffix(".csv"), "\n".join(["rank,cosine,path", *rows, ""]).encode(errors="surrogateescape"))
    write_picture(sheet, searching.draw(predictor, options.query, hits))
    number = of_number(predictor.noun, len(index))
    print(f"searched {number} in {seconds:.2f} s, the query's feature included; wrote {sheet}")
    return 1 if broken else 0


def _quoted(text: str) -> str:
    """A cell of a CSV file."""
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def _add_checkpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint",
        type=Path,
        help="of a run, such as runs/NAME/checkpoints/last.ckpt; exported weights, a folder of save_pretrained, or a "
        "name of lightning weights list, e.g. embedded_severe",
    )
    parser.add_argument("--classes", type=Path, metavar="FILE", help="names of the classes, one a line")
    parser.add_argument("--batch_size", type=int, default=16, help="clips at once (default: 16)")


def _require(options: argparse.Namespace, command: str, names: tuple[str, ...], example: str) -> None:
    missing = [f"--{name}" for name in names if getattr(options, name) is None]
    if missing:
        raise ConfigError(f"{command} needs {', '.join(missing)}; {example}")
    if options.batch_size < 1:
        raise ConfigError(f"{command}: --batch_size {options.batch_size} must be at least 1")


def _predictor(options: argparse.Namespace) -> Any:  # noqa: ANN401 - imported late, as all that is heavy
    from configs.prediction.checkpoint import open_checkpoint
    from configs.prediction.predictors import choose_predictor

    checkpoint = open_checkpoint(options.checkpoint, options.classes)
    if checkpoint.origin is not None:
        print(f"{options.checkpoint}, of {checkpoint.origin}")
    if checkpoint.class_names and not checkpoint.named:
        print(f"{options.checkpoint} does not know the names of its classes; --classes FILE gives them, one a line")
    return choose_predictor(checkpoint, options.batch_size)


def _print_table(lines: list[dict[str, Any]], min_score: float) -> None:
    """Print what is said of each video."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not any("top" in line or "detections" in line for line in lines):
        return
    table = Table("video", "seconds", "", box=None, header_style="bold")
    for line in lines:
        if "top" in line:
            said = ", ".join(f"{one['class']} {100 * one['score']:.0f} %" for one in line["top"][:3])
        else:
            found = [one for one in line.get("detections", []) if one["score"] >= min_score]
            said = ", ".join(f"{one['class']} {one['start']:.1f}-{one['end']:.1f} s" for one in found[:3])
            said = f"{len(found)} detections: {said}" if found else "nothing"
        table.add_row(Text(line["name"]), f"{line['seconds']:.1f}", Text(said))
    Console().print(table)
