"""Fills a network from any file that is understood: strictly, and saying what was left out."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lightning_modules.networks import Network, VideoNetwork
from lightning_modules.weights import catalogue
from lightning_modules.weights.files import WeightsFile, read_weights_file, shorten
from lightning_modules.weights.header import WeightsError
from lightning_modules.weights.importers.avid_cma import AVID_CMA
from lightning_modules.weights.importers.comparison import compare, remedy
from lightning_modules.weights.importers.ctp import CTP
from lightning_modules.weights.importers.gdt import GDT
from lightning_modules.weights.importers.hara import HARA_2017, HARA_2020, HARA_RESNEXT
from lightning_modules.weights.importers.importer import Importer
from lightning_modules.weights.importers.moco import MOCO
from lightning_modules.weights.importers.pretext_contrast import PRETEXT_CONTRAST
from lightning_modules.weights.importers.rspnet import RSPNET
from lightning_modules.weights.importers.selavi import SELAVI
from lightning_modules.weights.importers.skeleton_contrast import SKELETON_CONTRAST
from lightning_modules.weights.importers.tclr import TCLR
from lightning_modules.weights.importers.torchvision import TORCHVISION
from lightning_modules.weights.importers.tubelet_contrast import TUBELET_CONTRAST
from lightning_modules.weights.importers.zoo import (
    CHECKPOINT,
    COUNTER,
    DETECTOR,
    RECOGNITION,
    REPRESENTATIONS,
    SAFETENSORS,
    TRANSFER,
    TUBES,
)

Format = Literal[
    "auto",
    "checkpoint",
    "safetensors",
    "tubelet_contrast",
    "skeleton_contrast",
    "moco",
    "selavi",
    "pretext_contrast",
    "rspnet",
    "avid_cma",
    "ctp",
    "tclr",
    "gdt",
    "torchvision",
    "hara",
]

# The first that recognises a file reads it: from the most to the least particular.
IMPORTERS = (
    CHECKPOINT,
    REPRESENTATIONS,
    RECOGNITION,
    TRANSFER,
    COUNTER,
    DETECTOR,
    TUBES,
    SAFETENSORS,
    TUBELET_CONTRAST,
    SKELETON_CONTRAST,
    MOCO,
    SELAVI,
    PRETEXT_CONTRAST,
    RSPNET,
    AVID_CMA,
    CTP,
    TCLR,
    GDT,
    TORCHVISION,
    HARA_RESNEXT,
    HARA_2020,
    HARA_2017,
)

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
        turned: Whether the first convolution was turned from colours with blue first to red first.
    """

    path: Path
    format: str
    architecture: str
    loaded: int
    dropped: tuple[str, ...]
    fresh: tuple[str, ...]
    batch_norm_eps: float | None
    turned: bool = False

    def __str__(self) -> str:
        """One line; keys are grouped by their first part."""
        line = f"{self.architecture} filled from {self.path} ({self.format}, {self.loaded} tensors)"
        line += f"; dropped {grouped(self.dropped)}; fresh {grouped(self.fresh)}"
        line += "; first convolution turned from BGR to RGB" if self.turned else ""
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

    Understood are this project's checkpoints and safetensors files, torchvision's, those of the SEVERE benchmark's
    nine methods (MoCo, VideoMoCo, SeLaVi, Pretext-Contrast, RSPNet, AVID-CMA, CtP, TCLR, GDT),
    kenshohara/3D-ResNets-PyTorch's (and craston/MARS'), fmthoker/tubelet-contrast's and fmthoker/skeleton-contrast's;
    they are told apart by their keys. Of a file with several networks the one of this network's class is taken. Every
    key of the file is used, or dropped by name; every tensor of the network is found (batch norm's batch counters,
    which old files lack, excepted). Batch norm's eps is set to that of the source. Nothing is downloaded.

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
    compared = compare(network, file, importer, adapt_input)
    architecture = type(network).__name__
    if compared.problems:
        raise WeightsError(
            f"{file.path} ({importer.name}) does not fit {architecture}: {'; '.join(compared.problems)}. "
            f"{remedy(file, importer, compared.tensors, architecture)}"
        )
    network.load_state_dict(compared.tensors, strict=False)  # compared above: batch norm's counters alone may lack
    eps = compared.source.get("batch_norm_eps")
    if eps is not None and isinstance(network, VideoNetwork):
        network.set_batch_norm_eps(eps)
    loaded = len(network.state_dict()) - len(compared.fresh)
    report = LoadReport(
        file.path, importer.name, architecture, loaded, compared.dropped, compared.fresh, eps, importer.bgr
    )
    _log.info("%s", report)
    return report


def grouped(keys: tuple[str, ...]) -> str:
    """Keys by their first part, with their numbers; ``none`` where there are none."""
    counts = Counter(key.split(".")[0] + (".*" if "." in key else "") for key in keys)
    return ", ".join(f"{name} ({count})" if count > 1 else name for name, count in counts.items()) or "none"
