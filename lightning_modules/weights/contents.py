"""``lightning weights``: what a file is and what of it would load, and what is published."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import torch

from lightning_modules import networks
from lightning_modules.weights.catalogue import CATALOGUE, locate, place
from lightning_modules.weights.files import read_weights_file, shorten
from lightning_modules.weights.header import Header, WeightsError, network_class_of, read_preprocessing
from lightning_modules.weights.importers.architecture import architecture_of
from lightning_modules.weights.importers.comparison import Comparison, compare, remedy
from lightning_modules.weights.importers.load import Format, choose_importer, grouped
from lightning_modules.weights.preprocessing import Preprocessing
from lightning_modules.weights.skeleton_input import SkeletonInput


@dataclass(frozen=True)
class Contents:
    """What a weights file holds; as a string, aligned lines.

    Args:
        path: The file.
        format: Its format, a name that `load_weights` takes.
        header: What it says of itself.
        classes: That a checkpoint of recognition, or an export with its classifier, was trained on.
        architecture: Class of the network in it, or of the one that was asked about; ``None``: none of ours.
        arguments: Of that class, as far as the file or its source fixes them.
        preprocessing: How clips are prepared; ``None``: not known.
        bgr: Whether its clips have blue first, which loading it accounts for.
        comparison: What of it fits that network; ``None`` without a network of ours.
        remedy: What to do where it does not fit.
    """

    path: Path
    format: str
    header: Header | None
    classes: tuple[str, ...]
    architecture: str | None
    arguments: Mapping[str, Any]
    preprocessing: Preprocessing | SkeletonInput | None
    bgr: bool
    comparison: Comparison | None
    remedy: str

    def __str__(self) -> str:
        """A line for each fact, and for what would load and what would not."""
        rows = [("file", f"{self.path} ({self.path.stat().st_size / 2**20:.1f} MiB)"), ("format", self.format)]
        if self.header is not None:
            rows += [("method", self.header["method"]), ("data", self.header["data"])]
            rows += [("written by", f"version {self.header['version']}, PyTorch {self.header['torch']}")]
        if self.classes:
            rows += [("classes", f"{len(self.classes)} ({shorten(list(self.classes))})")]
        settings = ", ".join(f"{name}={value}" for name, value in self.arguments.items())
        rows += [("network", f"{self.architecture}({settings})" if self.architecture else "none of ours")]
        rows += [("clips", _clips(self.preprocessing) if self.preprocessing else "how they are prepared is not known")]
        if self.bgr:
            rows += [("colours", "trained with blue first; the first convolution is turned to take red first")]
        return columns(rows + self._loads())

    def _loads(self) -> list[tuple[str, str]]:
        compared = self.comparison
        if compared is None:
            return [("loads", "no: lightning_modules.networks has no such network")]
        dropped = ("dropped", grouped(compared.dropped))
        if compared.problems:
            why = [("" if number else "because", problem) for number, problem in enumerate(compared.problems)]
            return [("loads", f"no: it does not fit {self.architecture}"), *why, ("remedy", self.remedy), dropped]
        numbers = sum(tensor.numel() for tensor in compared.tensors.values())
        loaded = ("loads", f"yes: {len(compared.tensors)} tensors, {numbers:,} numbers")
        return [loaded, dropped, ("fresh", grouped(compared.fresh))]


def inspect(
    source: str | Path, architecture: str | None = None, format: Format = "auto", folder: Path | None = None
) -> Contents:
    """Find out what a file holds. No network is filled or even drawn, so that it takes no time.

    Args:
        source: A file, or a name in `lightning_modules.weights.catalogue`.
        architecture: Class in `lightning_modules.networks` that is to be filled; ``None``: what the file holds.
        format: The file's format, where it shall not be told from its keys.
        folder: Where files of the catalogue are kept; ``None``: ``~/.cache/video-efficient-zoo``.

    Raises:
        WeightsError: The file is missing, damaged or of no known format, its header does not fit, or there is no such
            class.
    """
    if architecture is not None and architecture not in (names := _network_names()):
        raise WeightsError(f"there is no network {architecture}; take one of {', '.join(names)}")
    file = read_weights_file(locate(source, folder))
    importer = choose_importer(file, format)
    tensors = importer.convert(file.tensors, architecture)[0]
    header = file.header
    if architecture is None:
        architecture = architecture_of(tensors) if header is None else header["architecture"]
    published = importer.published(architecture, tensors)
    arguments: Mapping[str, Any] = published.arguments if published else {}
    preprocessing: Preprocessing | SkeletonInput | None = published.preprocessing if published else None
    if header is not None:
        arguments = header["arguments"] if header["architecture"] == architecture else {}
        preprocessing = read_preprocessing(header["preprocessing"], str(file.path)) if header["preprocessing"] else None
    compared, advice = None, ""
    if architecture is not None and (network_class := network_class_of(architecture)) is not None:
        try:
            with torch.device("meta"):
                network = network_class(**arguments)
        except (TypeError, ValueError) as error:
            raise WeightsError(f"{file.path}: its header's arguments do not fit {architecture}: {error}") from error
        compared = compare(network, file, importer)
        advice = remedy(file, importer, compared.tensors, architecture)
    return Contents(
        file.path,
        importer.name,
        header,
        file.class_names or file.actions,
        architecture,
        arguments,
        preprocessing,
        importer.bgr,
        compared,
        advice,
    )


def show(source: str, architecture: str | None = None, folder: Path | None = None) -> str:
    """What the catalogue says of a name, if it is one, and what the file holds, if it is there.

    Args:
        source: See `inspect`.
        architecture: See `inspect`.
        folder: See `inspect`.

    Raises:
        WeightsError: See `inspect`.
    """
    entry = None if Path(source).expanduser().exists() else CATALOGUE.get(source)
    if entry is None:
        return str(inspect(source, architecture, folder=folder))
    path = place(entry, folder)
    if not path.is_file():
        return columns([*entry.rows(), ("on disk", f"no: nothing is downloaded; save it as {path}")])
    return f"{columns(entry.rows())}\n\n{inspect(source, architecture, folder=folder)}"


def listing(folder: Path | None = None) -> str:
    """The catalogue, a line for each file.

    Args:
        folder: Where files of the catalogue are kept; ``None``: ``~/.cache/video-efficient-zoo``.
    """
    rows = [("name", "network", "method", "data", "licence", "on disk", "where")]
    for name, entry in CATALOGUE.items():
        on_disk = "yes" if place(entry, folder).is_file() else "no"
        where = entry.origin or f"not published, see {entry.page}"
        rows.append((name, entry.architecture, entry.method, entry.data, entry.licence, on_disk, where))
    return columns(rows)


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Lines of aligned cells; all rows have as many."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _network_names() -> list[str]:
    """Classes that can be built; what they are derived from cannot, without saying more."""
    classes = {name: network_class_of(name) for name in networks.__all__}
    return [
        name
        for name, found in classes.items()
        if found and all(argument.default is not argument.empty for argument in signature(found).parameters.values())
    ]


def _clips(preprocessing: Preprocessing | SkeletonInput) -> str:
    if isinstance(preprocessing, SkeletonInput):
        return f"skeletons, {preprocessing.num_frames} frames"
    rate = "" if preprocessing.fps is None else f" at {preprocessing.fps:g} a second"
    every = "" if preprocessing.stride in (None, 1) else f", every {preprocessing.stride}th"
    mean, std = (" ".join(f"{value:.4g}" for value in values) for values in (preprocessing.mean, preprocessing.std))
    return (
        f"{preprocessing.modality}, {preprocessing.num_frames} frames{rate}{every}, short side "
        f"{preprocessing.short_side}, crop {preprocessing.crop_size}, mean {mean}, std {std}"
    )
