"""Fills a network from any file that is understood: strictly, and saying what was left out."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from lightning_modules.networks import Network, VideoNetwork
from lightning_modules.weights import catalogue
from lightning_modules.weights.files import WeightsFile, read_weights_file, shorten
from lightning_modules.weights.header import WeightsError
from lightning_modules.weights.importers.architecture import architecture_of
from lightning_modules.weights.importers.ctp import CTP
from lightning_modules.weights.importers.hara import HARA_2017, HARA_2020, HARA_RESNEXT
from lightning_modules.weights.importers.importer import Importer
from lightning_modules.weights.importers.skeleton_contrast import SKELETON_CONTRAST
from lightning_modules.weights.importers.torchvision import TORCHVISION
from lightning_modules.weights.importers.tubelet_contrast import TUBELET_CONTRAST
from lightning_modules.weights.importers.zoo import (
    CHECKPOINT,
    DETECTOR,
    RECOGNITION,
    REPRESENTATIONS,
    SAFETENSORS,
    TRANSFER,
)

Format = Literal[
    "auto", "checkpoint", "safetensors", "tubelet_contrast", "skeleton_contrast", "ctp", "torchvision", "hara"
]

# The first that recognises a file reads it: from the most to the least particular.
IMPORTERS = (
    CHECKPOINT,
    REPRESENTATIONS,
    RECOGNITION,
    TRANSFER,
    DETECTOR,
    SAFETENSORS,
    TUBELET_CONTRAST,
    SKELETON_CONTRAST,
    CTP,
    TORCHVISION,
    HARA_RESNEXT,
    HARA_2020,
    HARA_2017,
)

# What a network may do otherwise than in the run that its weights come from; all else changes its features.
_FREE_ARGUMENTS = {"samples_per_norm", "motion_stem", "batch_norm_eps", "dropout"}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadReport:
    """What `load_weights` did; as a string, one line.

    Args:
        path: The file.
        format: Its format.
        architecture: Class of the network.
        loaded: Number of the backbone's tensors that came from the file: all but the fresh ones.
        dropped: Keys of the file that the backbone does not need: heads, momentum copies, queues.
        fresh: Tensors of the network that the file lacks; only batch norm's batch counters may be.
        batch_norm_eps: What the batch norms now add to the variance, where the file's source fixes it.
    """

    path: Path
    format: str
    architecture: str
    loaded: int
    dropped: tuple[str, ...]
    fresh: tuple[str, ...]
    batch_norm_eps: float | None

    def __str__(self) -> str:
        """One line; keys are grouped by their first part."""
        line = f"{self.architecture} filled from {self.path} ({self.format}, {self.loaded} tensors)"
        line += f"; dropped {_grouped(self.dropped)}; fresh {_grouped(self.fresh)}"
        return line if self.batch_norm_eps is None else f"{line}; batch norm eps {self.batch_norm_eps:g}"


def load_each(networks: Sequence[Network], sources: str | list[str | None] | None, adapt_input: bool = False) -> None:
    """Fill several networks.

    Args:
        networks: To fill, in place.
        sources: A file that each network finds its own weights in; or one for each, None for a network that stays as
            it is. All do when None.
        adapt_input: See `load_weights`.

    Raises:
        ValueError: There is not one file for each network.
        WeightsError: See `load_weights`.
    """
    files = sources if isinstance(sources, list) else [sources] * len(networks)
    if len(files) != len(networks):
        raise ValueError(f"weights: {len(files)} files for {len(networks)} networks: give one for each, or one for all")
    for network, file in zip(networks, files, strict=True):
        if file is not None:
            load_weights(network, file, adapt_input=adapt_input)


def load_weights(
    network: Network,
    source: str | Path,
    format: Format = "auto",
    folder: Path | None = None,
    adapt_input: bool = False,
) -> LoadReport:
    """Fill a network from a file, in place.

    Understood are this project's checkpoints and safetensors files, torchvision's, microsoft/CtP's,
    kenshohara/3D-ResNets-PyTorch's (and craston/MARS'), fmthoker/tubelet-contrast's and fmthoker/skeleton-contrast's;
    they are told apart by their keys. Of a file with
    several networks the one of this network's class is taken. Every key of the file is used, or dropped by name; every
    tensor of the network is found (batch norm's batch counters, which old files lack, excepted). Batch norm's eps is
    set to that of the source. Nothing is downloaded.

    Args:
        network: Backbone to fill.
        source: A file, or a name in `lightning_modules.weights.catalogue`.
        format: The file's format, where it shall not be told from its keys.
        folder: Where files of the catalogue are kept; ``None``: ``~/.cache/video-efficient-zoo``.
        adapt_input: Whether weights for clips of other channels, as flow's two, are taken too: each channel of the
            first convolution then gets the mean over the file's, scaled so that their sum stays.

    Returns:
        What was loaded, dropped and left fresh; also logged.

    Raises:
        WeightsError: The file is missing, damaged or of no known format, or does not fit the network.
    """
    file = read_weights_file(catalogue.locate(source, folder))
    return fill(network, file, choose_importer(file, format), adapt_input)


def choose_importer(file: WeightsFile, format: Format = "auto") -> Importer:
    """The importer of a file.

    Raises:
        WeightsError: None, or not the one asked for, knows the file's keys.
    """
    names = list(dict.fromkeys(importer.name for importer in IMPORTERS))
    if format not in ("auto", *names):
        raise WeightsError(f"format {format!r} is unknown; it is auto or one of {', '.join(names)}")
    for importer in IMPORTERS:
        if format in ("auto", importer.name) and importer.recognises(file.tensors, file.header is not None):
            return importer
    wanted = f"one of {', '.join(names)}" if format == "auto" else f"a {format} file"
    raise WeightsError(f"{file.path} is not {wanted}; its keys are {shorten(list(file.tensors))}")


def fill(network: Network, file: WeightsFile, importer: Importer, adapt_input: bool = False) -> LoadReport:
    """Fill a network from an open file, see `load_weights`.

    Raises:
        WeightsError: The file does not fit the network.
    """
    architecture = type(network).__name__
    tensors, dropped, unknown = importer.convert(file.tensors, architecture)
    own = network.state_dict()
    source = _source_arguments(file, importer, architecture, tensors)
    if adapt_input and isinstance(network, VideoNetwork):
        tensors, source = _with_channels(network, tensors), {**source, "in_channels": network.in_channels}
    absent = [key for key in own if key not in tensors]
    fresh = [key for key in absent if key.endswith(".num_batches_tracked")]
    problems = [
        _listed("missing", [key for key in absent if key not in fresh]),
        _listed("unexpected", [key for key in tensors if key not in own] + unknown),
        _listed("of another shape", _misshapen(tensors, own)),
        _listed("set otherwise", _changed(source, network)),
    ]
    if any(problems):
        raise WeightsError(
            f"{file.path} ({importer.name}) does not fit {architecture}: {'; '.join(filter(None, problems))}. "
            f"{_remedy(file, tensors, architecture)}"
        )
    network.load_state_dict(tensors, strict=False)
    eps = source.get("batch_norm_eps")
    if eps is not None and isinstance(network, VideoNetwork):
        network.set_batch_norm_eps(eps)
    report = LoadReport(
        file.path, importer.name, architecture, len(own) - len(fresh), tuple(dropped), tuple(fresh), eps
    )
    _log.info("%s", report)
    return report


def _with_channels(network: VideoNetwork, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the first convolution the network's channels: means over the file's, of the same sum."""
    stem = next(f"{name}.weight" for name, module in network.named_modules() if isinstance(module, nn.Conv3d))
    kernel = tensors.get(stem)
    if kernel is None or kernel.ndim != 5 or kernel.shape[1] == network.in_channels:
        return dict(tensors)
    shared = kernel.sum(1, keepdim=True) / network.in_channels
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


def _remedy(file: WeightsFile, tensors: Mapping[str, Tensor], architecture: str) -> str:
    if file.header is not None:
        arguments = ", ".join(f"{name}={value}" for name, value in file.header["arguments"].items())
        return f"It holds {file.header['architecture']}({arguments}): configure the network like that"
    found = architecture_of(tensors)
    if found is not None and found != architecture:
        return f"It looks like a {found}: set the network to lightning_modules.networks.{found}"
    return "Set the network's widths, blocks and norm (hidden_dim, channels) to those of the file, or take another file"


def _listed(what: str, names: list[str]) -> str:
    return f"{len(names)} {what} ({shorten(names)})" if names else ""


def _grouped(keys: tuple[str, ...]) -> str:
    counts = Counter(key.split(".")[0] + (".*" if "." in key else "") for key in keys)
    return ", ".join(f"{name} ({count})" if count > 1 else name for name, count in counts.items()) or "none"
