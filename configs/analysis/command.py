"""The arguments of ``lightning analyse``."""

import argparse
from pathlib import Path

from configs import ConfigError
from configs.severe_benchmark.command import make_parser, parse

NAMES = {
    "cka": "how alike the layers of networks are: centred kernel alignment (figures 4.4, B.9)",
    "activation_maps": "where networks look: class-agnostic activation maps, pictures and a video (figures 5.5, C.2)",
    "tsne": "t-SNE of the videos' features, coloured by class",
    "temporal_awareness": "accuracy over the number of frames, and where it stops to rise (equation B.1, figure B.12)",
    "attributes": "what data sets are like, as radar plots (figures 4.2, B.10)",
    "motion_appearance": "linear evaluation and fine-tuning on UCF101 and Gym99 (table 5.6)",
}
EXAMPLE = "as in: lightning analyse cka --weights tubelet=runs/tubelet/checkpoints/last.ckpt none --out analysis"


def analyse(arguments: list[str]) -> int:
    """Run an analysis.

    Args:
        arguments: its name, and those after it.

    Returns:
        Exit code, as of ``cli.main``.

    Raises:
        ConfigError: an argument is wrong.
        ValueError: weights or data are not there or wrong.
        OSError: a file cannot be read or written.
    """
    if arguments[:1] in (["-h"], ["--help"]):
        print(overview())
        return 0
    name, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if name not in NAMES:
        raise ConfigError(f"analyse: no analysis '{name}'; there are {', '.join(NAMES)}; {EXAMPLE}")
    run = {
        "cka": _cka,
        "activation_maps": _activation_maps,
        "tsne": _tsne,
        "temporal_awareness": _temporal_awareness,
        "attributes": _attributes,
        "motion_appearance": _motion_appearance,
    }[name]
    return run(make_parser(f"lightning analyse {name}", NAMES[name]), rest)


def overview() -> str:
    """What ``lightning analyse --help`` says."""
    width = max(map(len, NAMES))
    lines = ["usage: lightning analyse NAME --weights NAME=FILE ... --out DIR [--help]", ""]
    lines += [f"  {name:<{width}}  {text}" for name, text in NAMES.items()]
    return "\n".join([*lines, "", f"Each writes a picture and its numbers, {EXAMPLE}"])


def _cka(parser: argparse.ArgumentParser, arguments: list[str]) -> int:
    _add_inputs(parser, "compared: the first with each of the others, or with `none` where it is alone")
    parser.add_argument("--depth", choices=["stages", "blocks", "all"], default="blocks", help="default: blocks")
    parser.add_argument("--pooled", action="store_true", help="features are means over time and space")
    options, rest = _parse(parser, arguments)
    from configs.analysis import cka
    from configs.analysis.inputs import name_weights, open_inputs

    alone = len(options.weights) == 1 and options.weights != ["none"]
    weights = name_weights([*options.weights, "none"] if alone else options.weights)
    if len(weights) < 2:
        raise ConfigError(f"analyse cka compares weights: give two; {EXAMPLE}")
    inputs = open_inputs(weights, options.config, rest, options.videos, clips=1)
    print(cka.analyse(inputs, options.out, options.depth, options.pooled))
    return 0


def _activation_maps(parser: argparse.ArgumentParser, arguments: list[str]) -> int:
    _add_inputs(parser, "whose maps are drawn one below the other", videos=200)
    parser.add_argument(
        "--layer", help="a stage of the network, such as layer4 (default: the last whose maps have 7 rows)"
    )
    parser.add_argument("--shown", type=int, default=6, help="videos that are drawn (default: 6)")
    parser.add_argument("--frames", type=int, default=4, help="of each clip in the picture (default: 4)")
    options, rest = _parse(parser, arguments)
    from configs.analysis import activation_maps
    from configs.analysis.inputs import name_weights, open_inputs

    if min(options.shown, options.frames) < 1:
        raise ConfigError(f"--shown {options.shown} and --frames {options.frames} must be at least 1")
    inputs = open_inputs(name_weights(options.weights), options.config, rest, options.videos, clips=1)
    print(activation_maps.analyse(inputs, options.out, options.layer, options.shown, options.frames))
    return 0


def _tsne(parser: argparse.ArgumentParser, arguments: list[str]) -> int:
    _add_inputs(parser, "a panel each")
    parser.add_argument("--classes", type=int, default=10, metavar="N", help="drawn by chance (default: 10)")
    parser.add_argument("--perplexity", type=float, default=30.0, help="default: 30")
    options, rest = _parse(parser, arguments)
    from configs.analysis import tsne
    from configs.analysis.inputs import name_weights, open_inputs

    if options.classes < 1 or options.perplexity <= 0:
        raise ConfigError(f"--classes {options.classes} must be at least 1, --perplexity {options.perplexity} above 0")
    inputs = open_inputs(name_weights(options.weights), options.config, rest, options.videos, clips=None)
    print(tsne.analyse(inputs, options.out, options.classes, options.perplexity))
    return 0


def _temporal_awareness(parser: argparse.ArgumentParser, arguments: list[str]) -> int:
    _add_runs(parser, ["ucf101"], "finetune")
    parser.add_argument(
        "--frames", type=int, nargs="+", help="of a clip (default: 1 2 4 8 16 32; embedded: 1 2 4 8 16)"
    )
    parser.add_argument("--alpha", type=float, default=1.0, help="percent that one more frame has to give (default: 1)")
    options, rest = _parse(parser, arguments)
    from configs.analysis import temporal_awareness
    from configs.analysis.runs import Runs

    default = [1, 2, 4, 8, 16] if options.embedded else [1, 2, 4, 8, 16, 32]
    frames = sorted(set(options.frames or default))
    if len(frames) < 2 or frames[0] < 1:
        raise ConfigError(f"--frames {' '.join(map(str, frames))}: give at least two numbers from 1 on")
    runs = Runs(options.weights, options.embedded, options.seeds, options.out / "runs", options.root, rest)
    settings = list(dict.fromkeys(options.settings))
    print(temporal_awareness.analyse(runs, settings, options.mode, frames, options.alpha, options.out))
    return 0


def _motion_appearance(parser: argparse.ArgumentParser, arguments: list[str]) -> int:
    _add_runs(parser, ["ucf101", "gym99"], "both")
    parser.add_argument("--runs", type=Path, help="results of lightning severe to add to (default: OUT/runs)")
    options, rest = _parse(parser, arguments)
    from configs.analysis import motion_appearance
    from configs.analysis.runs import Mode, Runs

    if len(set(options.settings)) != 2 or len(options.settings) != 2:
        raise ConfigError("--settings takes two: one where appearance tells the class, and one where motion does")
    modes: list[Mode] = ["linear", "finetune"] if options.mode == "both" else [options.mode]
    folder = options.runs or options.out / "runs"
    runs = Runs(options.weights, options.embedded, options.seeds, folder, options.root, rest)
    print(motion_appearance.analyse(runs, options.settings, modes, options.out))
    return 0


def _attributes(parser: argparse.ArgumentParser, arguments: list[str]) -> int:
    parser.add_argument("--out", type=Path, help="folder to write")
    parser.add_argument("--config", nargs="+", default=[], help="of data to measure beside the published ones")
    parser.add_argument("--source", help="config of the pretraining data, whose classes the labels are compared with")
    parser.add_argument(
        "--attributes",
        type=Path,
        nargs="+",
        default=[],
        metavar="CSV",
        help="further values, in the columns of the one written, or a temporal_awareness.csv",
    )
    parser.add_argument("--same", type=Path, help="CSV `class,source class` of classes that only differ in wording")
    parser.add_argument("--videos", type=int, default=500, metavar="N", help="whose length is measured (default: 500)")
    options, rest = _parse(parser, arguments, weights=False)
    from configs.analysis import attributes

    print(
        attributes.analyse(
            options.config, options.source, options.attributes, options.same, options.videos, rest, options.out
        )
    )
    return 0


def _add_inputs(parser: argparse.ArgumentParser, what: str, videos: int | None = None) -> None:
    parser.add_argument(
        "--weights",
        nargs="+",
        default=[],
        metavar="NAME=FILE",
        help=f"checkpoints or weights files, names of the catalogue, or none; {what}",
    )
    parser.add_argument(
        "--config", help="names data and network; of an ActionRecognition (default: severe_embedded/ucf101.yaml)"
    )
    parser.add_argument(
        "--videos", type=int, default=videos, metavar="N", help=f"evenly over the classes (default: {videos or 'all'})"
    )
    parser.add_argument("--out", type=Path, help="folder to write")


def _add_runs(parser: argparse.ArgumentParser, settings: list[str], mode: str) -> None:
    modes = ["finetune", "linear", "neighbours", *(["both"] if mode == "both" else [])]
    parser.add_argument(
        "--weights", nargs="+", default=[], metavar="NAME=FILE", help="as of lightning severe, several of them"
    )
    parser.add_argument("--settings", nargs="+", default=settings, help=f"default: {' '.join(settings)}")
    parser.add_argument(
        "--mode", choices=modes, default=mode, help=f"neighbours trains nothing and takes seconds (default: {mode})"
    )
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="0 to N - 1 (default: 1)")
    parser.add_argument("--embedded", action="store_true", help="on small embedded data")
    parser.add_argument(
        "--root", action="append", nargs="+", default=[], help="DATASET=PATH, or a YAML file of such pairs"
    )
    parser.add_argument("--out", type=Path, help="folder to write")


def _parse(
    parser: argparse.ArgumentParser, arguments: list[str], weights: bool = True
) -> tuple[argparse.Namespace, list[str]]:
    options, rest = parse(parser, arguments, passed_on=True)
    name = parser.prog.rpartition(" ")[2]
    if options.out is None:
        raise ConfigError(f"analyse {name} needs --out FOLDER; {EXAMPLE}")
    if weights and not options.weights:
        raise ConfigError(f"analyse {name} needs --weights NAME=FILE ...; {EXAMPLE}")
    return options, rest
