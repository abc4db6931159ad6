"""What of a file fits a network."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from lightning_modules.networks import Network, VideoNetwork
from lightning_modules.weights.files import WeightsFile, shorten
from lightning_modules.weights.importers.architecture import architecture_of
from lightning_modules.weights.importers.importer import Importer

# What a network may do otherwise than in the run that its weights come from; all else changes its features.
_FREE_ARGUMENTS = {"samples_per_norm", "motion_stem", "batch_norm_eps", "dropout"}


@dataclass(frozen=True)
class Comparison:
    """What of a file fits a network.

    Args:
        tensors: Of the file's backbone, by the network's names.
        source: Arguments of the network that the file's weights come from, as far as they are known.
        dropped: Keys of the file that the backbone does not need.
        fresh: Tensors of the network that the file may lack.
        problems: Why the file cannot be loaded; empty where it can.
    """

    tensors: Mapping[str, Tensor]
    source: Mapping[str, Any]
    dropped: tuple[str, ...]
    fresh: tuple[str, ...]
    problems: tuple[str, ...]


def compare(network: Network, file: WeightsFile, importer: Importer, adapt_input: bool = False) -> Comparison:
    """Find out what of an open file fits a network, which stays as it is and may be on the device ``meta``."""
    architecture = type(network).__name__
    tensors, dropped, unknown = importer.convert(file.tensors, architecture)
    own = network.state_dict()
    source = _source_arguments(file, importer, architecture, tensors)
    if adapt_input and isinstance(network, VideoNetwork):
        tensors, source = _with_channels(network, tensors), {**source, "in_channels": network.in_channels}
    absent = [key for key in own if key not in tensors]
    fresh = [key for key in absent if key.endswith(".num_batches_tracked")]
    problems = (
        _listed("missing", [key for key in absent if key not in fresh]),
        _listed("unexpected", [key for key in tensors if key not in own] + unknown),
        _listed("of another shape", _misshapen(tensors, own)),
        _listed("set otherwise", _changed(source, network)),
    )
    return Comparison(tensors, source, tuple(dropped), tuple(fresh), tuple(filter(None, problems)))


def _with_channels(network: VideoNetwork, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the first convolution the network's channels: means over the file's, of the same sum."""
    stem = next(f"{name}.weight" for name, module in network.named_modules() if isinstance(module, nn.Conv3d))
    kernel = tensors.get(stem)
    if kernel is None or kernel.ndim != 5 or kernel.shape[1] == network.in_channels:
        return dict(tensors)
    shared = kernel.float().sum(1, keepdim=True) / network.in_channels
    return {**tensors, stem: shared.expand(-1, network.in_channels, -1, -1, -1).clone()}


def _misshapen(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[str]:
    return [
        f"{key} ({'x'.join(map(str, tensor.shape))} in the file, {'x'.join(map(str, own[key].shape))} in the network)"
        for key, tensor in tensors.items()
        if key in own and tensor.shape != own[key].shape
    ]


def _source_arguments(
    file: WeightsFile, importer: Importer, architecture: str, tensors: Mapping[str, Tensor]
) -> Mapping[str, Any]:
    """Arguments of the network of an architecture that a file holds, as far as they are known."""
    if file.header is not None:
        return file.header["arguments"] if file.header["architecture"] == architecture else {}
    published = importer.published(architecture, tensors)
    return published.arguments if published else {}


def _changed(source: Mapping[str, Any], network: Network) -> list[str]:
    """Arguments that leave all shapes alone and yet make another network, such as strides."""
    arguments = network.arguments
    return [
        f"{name} ({value} in the file, {arguments.get(name)} in the network)"
        for name, value in source.items()
        if name not in _FREE_ARGUMENTS and arguments.get(name) != value
    ]


def remedy(file: WeightsFile, importer: Importer, tensors: Mapping[str, Tensor], architecture: str) -> str:
    """What to do about a file that does not fit.

    Args:
        file: The file.
        importer: What reads it.
        tensors: Its backbone's, by our names.
        architecture: Class of the network that it does not fit.
    """
    if file.header is not None:
        held = ", ".join(f"{name}={value}" for name, value in file.header["arguments"].items())
        return f"It holds {file.header['architecture']}({held}): configure the network like that"
    found = architecture_of(tensors)
    if found is not None and found != architecture:
        return f"It looks like a {found}: set the network to lightning_modules.networks.{found}"
    advice = (
        "Set the network's widths, blocks and norm (hidden_dim, channels) to those of the file, or take another file"
    )
    arguments = _source_arguments(file, importer, architecture, tensors)
    needed = [f"{name}={value}" for name, value in arguments.items() if name not in _FREE_ARGUMENTS]
    return f"{importer.name} needs {architecture}({', '.join(needed)}). {advice}" if needed else advice


def _listed(what: str, names: list[str]) -> str:
    return f"{len(names)} {what} ({shorten(names)})" if names else ""
