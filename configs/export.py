"""The arguments of ``lightning export``."""

from pathlib import Path

from configs import ConfigError
from configs.severe_benchmark.command import make_parser, parse


def export(arguments: list[str]) -> int:
    """Export a network and say how far the file is from its source.

    Args:
        arguments: those after the subcommand.

    Returns:
        Exit code, as of ``cli.main``.

    Raises:
        ConfigError: an argument is wrong.
        ValueError: the source cannot be read, or the file differs from it.
        OSError: the file cannot be written.
    """
    parser = make_parser(
        "lightning export",
        "Write the network of a checkpoint alone, and compare it with the checkpoint on random input: as safetensors "
        "(load_pretrained, create_network), ONNX (any runtime) or torch.export (torch.export.load, without this "
        "project).",
    )
    parser.add_argument("--checkpoint", help="of a run, an export, or a name of the catalogue, e.g. embedded_tubelet")
    parser.add_argument("--out", type=Path, help="the file to write, e.g. model.safetensors, model.onnx or model.pt2")
    parser.add_argument(
        "--format", choices=["safetensors", "onnx", "torch_export"], help="by default as the ending of --out says"
    )
    parser.add_argument("--half", action="store_true", help="of safetensors: weights in 16 bits")
    parser.add_argument(
        "--classifier",
        action="store_true",
        help="keep the classifier, so that lightning predict tells classes; ONNX and torch.export give class scores, "
        "instead of features",
    )
    options, _ = parse(parser, arguments)
    if options.checkpoint is None or options.out is None:
        raise ConfigError("export needs --checkpoint FILE and --out FILE")
    from lightning_modules.weights.export import export as write

    exported = write(options.checkpoint, options.out, options.format, options.half, options.classifier)
    size = options.out.stat().st_size / 2**20
    header = exported.header
    print(f"wrote {options.out}, {size:.1f} MiB: {header['architecture']} of {header['method']}")
    print(exported)
    return 0
