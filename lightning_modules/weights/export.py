"""``lightning export``: a checkpoint's network in a file that others can use, checked against the checkpoint."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from lightning_modules.networks import HCN, Network, VideoNetwork
from lightning_modules.networks.skeleton_network import NUM_ACTORS, NUM_JOINTS
from lightning_modules.weights.catalogue import locate
from lightning_modules.weights.files import CLASS_NAMES_KEY, WeightsFile, read_weights_file
from lightning_modules.weights.graph import require_onnx, run_onnx, run_torch_export, write_onnx, write_torch_export
from lightning_modules.weights.header import HEADER_KEY, Header, WeightsError, build_network, read_preprocessing
from lightning_modules.weights.importers.load import choose_importer, fill

ExportFormat = Literal["safetensors", "onnx", "torch_export"]

SUFFIXES: dict[ExportFormat, str] = {"safetensors": ".safetensors", "onnx": ".onnx", "torch_export": ".pt2"}

# Largest difference that passes, in shares of the largest output; rounding to 16 bits moves more.
_TOLERANCE, _HALF_TOLERANCE = 1e-4, 2e-2

# Where a header does not say how clips were prepared: the thesis' sizes.
_CLIP, _FRAMES = (16, 112, 112), 64


@dataclass(frozen=True)
class Exported:
    """What was written.

    Args:
        header: What the file says of itself.
        format: Its format.
        difference: Largest difference of an output from the source's, on random input.
        scale: Largest output of the source there.
        shape: Of one sample of that input.
        batches: Numbers of samples that were tried.
    """

    header: Header
    format: ExportFormat
    difference: float
    scale: float
    shape: tuple[int, ...]
    batches: tuple[int, ...]

    def __str__(self) -> str:
        """One line: how far the file is from its source."""
        batches = " and ".join(map(str, self.batches))
        if self.scale == 0:
            return f"not checked: on random input, {batches} x {'x'.join(map(str, self.shape))}, all outputs are 0"
        return (
            f"checked on random input, {batches} x {'x'.join(map(str, self.shape))}: outputs differ by at most "
            f"{self.difference:.1e}, the largest is {self.scale:.2g}"
        )


def export(
    source: str | Path,
    out: Path,
    format: ExportFormat | None = None,
    half: bool = False,
    classifier: bool = False,
    folder: Path | None = None,
) -> Exported:
    """Write the network of a checkpoint, with its header as JSON under ``zoo``, and check what was written.

    The file appears under its name only when it is complete and agrees with the source; one of that name is replaced.

    * ``safetensors``: the backbone's tensors; the header is in the metadata. torchvision's networks take a full-size
      R(2+1)D-18 or R3D-18 with ``load_state_dict(safetensors.torch.load_file(out), strict=False)``: only ``fc`` is
      missing. The classifier's are ``classifier.weight`` and ``classifier.bias``, the names of its classes are in the
      metadata under ``class_names``, as JSON.
    * ``torch_export``: ``torch.export.load(out).module()`` gives the network, without this project. The header is an
      extra file.
    * ``onnx``: ``input`` to ``features`` (``logits`` with the classifier); the header is in the metadata.

    The last two take any number of samples, of the size that the header states.

    Args:
        source: A checkpoint or export of this project, or a name in `lightning_modules.weights.catalogue`.
        out: File to write; folders on the way are made.
        format: ``None``: as the ending of ``out`` says.
        half: Of safetensors: keep what has two dimensions or more, which norms have not, as float16.
        classifier: Of safetensors: keep the checkpoint's classifier, too. Of the other formats: class scores (logits)
            by it instead of features.
        folder: Where files of the catalogue are kept; ``None``: ``~/.cache/video-efficient-zoo``.

    Returns:
        The header, and how far the file is from its source.

    Raises:
        WeightsError: The source cannot be read, has no header, or does not hold the network it names or a classifier of
            it; or the file cannot be written, a package is missing, or what was written differs from the source.
        ValueError: The ending of ``out``, or an argument, is not of the format.
    """
    format = _format_of(out, format)
    if half and format != "safetensors":
        raise ValueError(f"half is of safetensors, not of {format}: leave it out")
    if format == "onnx":
        require_onnx()
    path = locate(source, folder)
    file = read_weights_file(path)
    if file.header is None:
        raise WeightsError(
            f"{path} was not written by this project (it has no header); only its checkpoints are exported"
        )
    network = build_network(file.header, str(path))
    fill(network, file, choose_importer(file))
    linear = classifier_of(file, network) if classifier else None
    return write(network.eval(), linear, file.class_names, file.header, out, format, half)


def write(
    network: Network,
    classifier: nn.Linear | None,
    class_names: Sequence[str],
    header: Header,
    out: Path,
    format: ExportFormat,
    half: bool = False,
) -> Exported:
    """Write a network and check it, see `export`.

    Args:
        network: The backbone, in evaluation mode.
        classifier: Of its features; ``None``: is not written.
        class_names: Of the classes; empty where they are not known.
        header: Of the backbone.
        out: File to write.
        format: Its format.
        half: See `export`.

    Raises:
        WeightsError: See `export`.
    """
    # Beside the target, so that the last step is a rename; the process id keeps two exports apart.
    partial = out.with_name(f".{os.getpid()}.{out.name}")
    whole = network if classifier is None else nn.Sequential(network, classifier).eval()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial.touch()
        mode = partial.stat().st_mode
        shape = sample_shape(network, header)
        if format == "safetensors":
            tensors = {key: value.contiguous() for key, value in network.state_dict().items()}
            metadata = {"format": "pt", HEADER_KEY: json.dumps(header)}
            if classifier is not None:
                tensors |= {f"classifier.{key}": value.contiguous() for key, value in classifier.state_dict().items()}
                metadata[CLASS_NAMES_KEY] = json.dumps(list(class_names), ensure_ascii=False)
            if half:
                tensors = {key: value.half() if value.ndim > 1 else value for key, value in tensors.items()}
            save_file(tensors, partial, metadata=metadata)
            partial.chmod(mode)  # as any new file: safetensors leaves one that its owner alone can read
        else:
            save = write_onnx if format == "onnx" else write_torch_export
            with torch.no_grad():
                save(whole, torch.zeros(2, *shape), header, partial)
        exported = _check(network, whole, header, partial, format, shape, _HALF_TOLERANCE if half else _TOLERANCE)
        partial.replace(out)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{out} cannot be written: {error}; free space or choose another folder") from error
    finally:
        partial.unlink(missing_ok=True)
    return exported


def sample_shape(network: Network, header: Header) -> tuple[int, ...]:
    """Shape of one sample that a network takes: (C, T, H, W) of clips, (3, T, V, M) of skeletons."""
    if not isinstance(network, VideoNetwork):
        frames = network.num_frames if isinstance(network, HCN) else header["preprocessing"].get("num_frames", _FRAMES)
        return (3, frames, NUM_JOINTS, NUM_ACTORS)
    if not header["preprocessing"]:
        return (network.in_channels, *_CLIP)
    return (network.in_channels, *read_preprocessing(header["preprocessing"], "the header").shape[1:])


def _format_of(out: Path, format: ExportFormat | None) -> ExportFormat:
    if format is None:
        format = next((name for name, suffix in SUFFIXES.items() if suffix == out.suffix), None)
    if format is None:
        raise ValueError(f"the exported file must end in {', '.join(SUFFIXES.values())}, is {out}")
    if format not in get_args(ExportFormat):
        raise ValueError(f"format={format!r} must be one of {', '.join(SUFFIXES)}")
    if out.suffix != SUFFIXES[format]:
        raise ValueError(f"a file of {format} must end in {SUFFIXES[format]}, is {out}")
    return format


def classifier_of(file: WeightsFile, network: Network) -> nn.Linear:
    """The classifier that a file has on a network's features.

    Raises:
        WeightsError: It has none, or one on other features.
    """
    state = file.classifier(network.feature_dim)
    if state is None:
        raise WeightsError(f"{file.path} holds no classifier of one {type(network).__name__}: leave classifier out")
    linear = nn.Linear(network.feature_dim, len(state["bias"]))
    linear.load_state_dict(state)
    return linear


def _check(
    network: Network,
    whole: nn.Module,
    header: Header,
    path: Path,
    format: ExportFormat,
    shape: tuple[int, ...],
    tolerance: float,
) -> Exported:
    """Compare what was written with the source.

    Raises:
        WeightsError: They differ.
    """
    run: Callable[[Tensor], Tensor]
    if format == "safetensors":
        loaded, file = build_network(header, str(path)), read_weights_file(path)
        fill(loaded, file, choose_importer(file))
        run = (loaded if whole is network else nn.Sequential(loaded, classifier_of(file, loaded))).eval()
    elif format == "onnx":

        def run(input: Tensor) -> Tensor:
            return run_onnx(path, input)
    else:

        def run(input: Tensor) -> Tensor:
            return run_torch_export(path, input)

    generator = torch.Generator().manual_seed(0)
    batches = (1, 3)
    differences, expected = [], []
    with torch.no_grad():
        for batch in batches:
            input = torch.randn(batch, *shape, generator=generator)
            expected.append(whole(input))
            differences.append(run(input) - expected[-1])
    difference, scale = (float(torch.cat(outputs).abs().max()) for outputs in (differences, expected))
    if not difference <= tolerance * scale:  # nor where either is not a number
        raise WeightsError(
            f"what was written as {format} differs from its source by {difference:.1e} where the largest output is "
            f"{scale:.2g}, and is not kept; are the weights finite?"
        )
    return Exported(header, format, difference, scale, shape, batches)
