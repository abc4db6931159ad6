"""Networks by name."""

import difflib
import fnmatch
import inspect
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from lightning_modules.networks import Network, VideoNetwork
from lightning_modules.views.multimodal import DEFAULTS
from lightning_modules.weights import catalogue
from lightning_modules.weights.files import read_weights_file
from lightning_modules.weights.importers.load import choose_importer, fill
from lightning_modules.weights.preprocessing import Preprocessing
from lightning_modules.weights.pretrained import preprocessing_of
from lightning_modules.weights.skeleton_input import SkeletonInput
from lightning_modules.zoo.models import MODELS, Model
from lightning_modules.zoo.provenance import provenance_of

if TYPE_CHECKING:
    from lightning_modules.zoo.zoo_network import ZooNetwork


def list_networks(pattern: str = "*") -> list[str]:
    """Names that `create_network` takes.

    Args:
        pattern: Shell pattern, as ``skeleton*``.
    """
    return fnmatch.filter((model.name for model in MODELS), pattern)


def create_network(
    name: str,
    pretrained: str | Path | bool | None = None,
    num_classes: int | None = None,
    in_channels: int | None = None,
    folder: Path | None = None,
) -> "ZooNetwork":
    """Build a network, fill it, and put a classifier on it.

    ::

        network = create_network("r2plus1d_embedded", pretrained=True)
        features = network(network.preprocessing(clip))  # uint8 (T, H, W, 3) to float (1, 64)

    Args:
        name: One of `list_networks`.
        pretrained: A file (a checkpoint of ours, an export, or any format that `load_weights` understands), a name in
            `lightning_modules.weights.catalogue`, or ``True`` for the network's own entry there. Nothing is
            downloaded. The network is random without.
        num_classes: Of the classifier: the file's, where it has one of as many classes, else a fresh one. ``None`` or
            0: none, and the network gives features.
        in_channels: Of the clips: 3 for RGB and depth, 2 for optical flow; the network's own when ``None``. Weights
            for other channels are adapted as `load_weights` does it.
        folder: Where files of the catalogue are kept; ``None``: ``~/.cache/video-efficient-zoo``.

    Returns:
        The network on the CPU in evaluation mode.

    Raises:
        WeightsError: The weights are missing, damaged or of another network.
        ValueError: There is no such name or entry, or the network does not take these channels.
    """
    from lightning_modules.zoo.zoo_network import ZooNetwork  # huggingface_hub takes its time

    model = _find(name)
    with torch.device("meta"):  # for its arguments alone
        like = _build(model, in_channels)
    source = _source(model, pretrained)
    prepared = _preprocessing(model, like, source, folder)
    network = ZooNetwork(
        architecture=type(like).__name__,
        arguments=like.arguments,
        preprocessing=asdict(prepared),
        provenance={} if source is None else provenance_of(source, folder),
    )
    if num_classes:
        network.reset_classifier(num_classes)
    if source is not None:
        file = read_weights_file(catalogue.locate(source, folder))
        fill(network.network, file, choose_importer(file), adapt_input=in_channels is not None)
        classifier = file.classifier(network.feature_dim)
        if num_classes and classifier is not None and len(classifier["bias"]) == num_classes:
            names = [names for names in (file.class_names, file.actions) if len(names) == num_classes]
            network.reset_classifier(num_classes, names[0] if names else ())
            network.classifier.load_state_dict(classifier)
    return network.eval()


def _find(name: str) -> Model:
    for model in MODELS:
        if model.name == name:
            return model
    near = difflib.get_close_matches(name, list_networks(), n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else "list_networks() has the names"
    raise ValueError(f"there is no network {name!r}; {hint}")


def _build(model: Model, in_channels: int | None) -> Network:
    if in_channels is None:
        return model.build()
    if "in_channels" not in inspect.signature(model.build).parameters:
        raise ValueError(f"{model.name} takes the three coordinates of joints: leave in_channels out")
    if in_channels not in (2, 3):
        raise ValueError(f"in_channels={in_channels} must be 3 (RGB, depth) or 2 (optical flow)")
    return model.build(in_channels=in_channels)


def _source(model: Model, pretrained: str | Path | bool | None) -> str | Path | None:
    if pretrained is None or pretrained is False:
        return None
    if pretrained is not True:
        return pretrained
    if model.weights is None:
        raise ValueError(f"no weights of {model.name} are published: give pretrained a file")
    return model.weights


def _preprocessing(
    model: Model, network: Network, source: str | Path | None, folder: Path | None
) -> Preprocessing | SkeletonInput:
    """What the weights were trained with, or else what the network is listed with; of as many channels as it has."""
    known = None if source is None else preprocessing_of(source, network, folder)
    if not isinstance(network, VideoNetwork):
        return model.input if known is None else known
    choices = [choice for choice in (known, model.input) if isinstance(choice, Preprocessing)]
    fitting = [choice for choice in choices if len(choice.mean) == network.in_channels]
    return fitting[0] if fitting else DEFAULTS["flow" if network.in_channels == 2 else "rgb"]
