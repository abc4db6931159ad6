"""What a weights file says of itself: network, method, data and preprocessing."""

import importlib.metadata
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TypedDict, cast

import torch

from lightning_modules import networks
from lightning_modules.networks import Network
from lightning_modules.weights.preprocessing import Preprocessing
from lightning_modules.weights.skeleton_input import SkeletonInput

FORMAT = "video-efficient-zoo/1"

HEADER_KEY = "zoo"
"""Where a checkpoint, and a safetensors file's metadata (as JSON), keep the header."""


class WeightsError(ValueError):
    """A weights file cannot be used; the message says which file, why, and what to do."""


class Header(TypedDict):
    """Plain JSON types, so that a checkpoint with it loads without unpickling code."""

    format: str
    architecture: str
    arguments: dict[str, Any]
    method: str
    data: str
    preprocessing: dict[str, Any]
    version: str
    torch: str


def describe(
    network: Network, method: str, data: str, preprocessing: Preprocessing | SkeletonInput | Mapping[str, Any]
) -> Header:
    """Header of a network's weights.

    Args:
        network: The backbone.
        method: Class name of the method, e.g. ``TubeletContrast``.
        data: Class name of the datamodule, e.g. ``KineticsDataModule``.
        preprocessing: What prepares a clip or a sequence, or its facts by the names of `Preprocessing`'s or
            `SkeletonInput`'s arguments; empty where they are unknown.

    Raises:
        WeightsError: The facts of the preprocessing are incomplete or impossible.
    """
    facts: dict[str, Any] = {}
    if preprocessing:
        if not isinstance(preprocessing, Preprocessing | SkeletonInput):
            preprocessing = read_preprocessing(preprocessing, "the header")
        values = asdict(preprocessing)
        facts = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
    return Header(
        format=FORMAT,
        architecture=type(network).__name__,
        arguments=network.arguments,
        method=method,
        data=data,
        preprocessing=facts,
        version=_version(),
        torch=str(torch.__version__),
    )


def read_header(value: object, source: str) -> Header:
    """Check a header as found in a file.

    Args:
        value: What the file holds.
        source: The file, for messages.

    Raises:
        WeightsError: Not a header, of another format version, or with a field missing, unknown or of another type.
    """
    if not isinstance(value, dict) or not isinstance(value.get("format"), str):
        raise WeightsError(f"{source}: its header is damaged (no format); export the weights again")
    if value["format"] != FORMAT:
        raise WeightsError(
            f"{source}: its header is {value['format']!r}, this version reads {FORMAT!r}; update or export again"
        )
    types: dict[str, type] = {name: str for name in Header.__annotations__} | {"arguments": dict, "preprocessing": dict}
    wrong = [name for name, kind in types.items() if not isinstance(value.get(name), kind)]
    wrong += [str(name) for name in value if name not in types]
    if wrong:
        raise WeightsError(f"{source}: its header lacks or has wrong {', '.join(wrong)}; export the weights again")
    if value["preprocessing"]:
        read_preprocessing(value["preprocessing"], source)
    return cast(Header, value)


def read_preprocessing(facts: Mapping[str, Any], source: str) -> Preprocessing | SkeletonInput:
    """Preprocessing from its facts; of skeletons, where the number of frames is all that there is.

    Raises:
        WeightsError: A fact is missing, unknown or impossible.
    """
    try:
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()
        }
        return SkeletonInput(**values) if set(values) == {"num_frames"} else Preprocessing(**values)
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{source}: its preprocessing {dict(facts)} does not fit: {error}") from error


def build_network(header: Header, source: str) -> Network:
    """Network that a header describes, freshly initialised.

    Raises:
        WeightsError: An architecture that `lightning_modules.networks` lacks, or arguments that it does not take.
    """
    network_class = network_class_of(header["architecture"])
    if network_class is None:
        raise WeightsError(
            f"{source} holds a {header['architecture']}, which lightning_modules.networks lacks; build the network "
            "yourself and fill it with load_weights"
        )
    try:
        return network_class(**header["arguments"])
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{source}: its header's arguments do not fit {header['architecture']}: {error}") from error


def network_class_of(architecture: str) -> type[Network] | None:
    """Class in `lightning_modules.networks` of a name, ``None`` where there is no such network."""
    found = getattr(networks, architecture, None)
    return found if isinstance(found, type) and issubclass(found, Network) else None


def _version() -> str:
    try:
        return importlib.metadata.version("video-efficient-zoo")
    except importlib.metadata.PackageNotFoundError:  # run from a folder without being installed
        return "unknown"
