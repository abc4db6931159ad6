"""A pretrained network, ready for features."""

from pathlib import Path

from lightning_modules import networks
from lightning_modules.networks import Network
from lightning_modules.weights import catalogue
from lightning_modules.weights.files import WeightsFile, read_weights_file
from lightning_modules.weights.header import WeightsError, build_network, read_preprocessing
from lightning_modules.weights.importers.architecture import architecture_of
from lightning_modules.weights.importers.load import Format, choose_importer, fill
from lightning_modules.weights.preprocessing import Preprocessing
from lightning_modules.weights.skeleton_input import SkeletonInput


def load_pretrained(
    source: str | Path, format: Format = "auto", folder: Path | None = None
) -> tuple[Network, Preprocessing | SkeletonInput]:
    """Build the network that a file holds, fill it, and say how to prepare clips for it.

    ::

        network, preprocessing = load_pretrained("model.safetensors")
        features = network(preprocessing(clip))  # uint8 (T, H, W, 3) to float (1, feature_dim)

    Args:
        source: A file, or a name in `lightning_modules.weights.catalogue`.
        format: The file's format, where it shall not be told from its keys.
        folder: Where files of the catalogue are kept; ``None``: ``~/.cache/video-efficient-zoo``.

    Returns:
        The network on the CPU in evaluation mode, and its preprocessing.

    Raises:
        WeightsError: The file is missing, damaged, of no known format or incomplete, or says not what network it holds
            or how its clips were prepared.
    """
    return build_pretrained(read_weights_file(catalogue.locate(source, folder)), format)


def build_pretrained(file: WeightsFile, format: Format = "auto") -> tuple[Network, Preprocessing | SkeletonInput]:
    """Do what `load_pretrained` does, with a file that is open.

    Raises:
        WeightsError: See `load_pretrained`.
    """
    importer = choose_importer(file, format)
    if file.header is not None:
        network = build_network(file.header, str(file.path))
        if not file.header["preprocessing"]:
            raise WeightsError(
                f"{file.path} does not say how clips are prepared; fill {type(network).__name__} with load_weights and "
                "use your own preprocessing"
            )
        preprocessing = read_preprocessing(file.header["preprocessing"], str(file.path))
    else:
        converted = importer.convert(file.tensors)[0]
        architecture = architecture_of(converted)
        published = importer.published(architecture, converted)
        if architecture is None or published is None or published.preprocessing is None:
            raise WeightsError(
                f"{file.path} does not say which network it holds or how clips are prepared; give what lightning export"
                " writes, or build the network and fill it with load_weights"
            )
        network = getattr(networks, architecture)(**published.arguments)
        preprocessing = published.preprocessing
    fill(network, file, importer)
    return network.eval(), preprocessing


def preprocessing_of(
    source: str | Path, network: Network, folder: Path | None = None
) -> Preprocessing | SkeletonInput | None:
    """How clips were prepared for the weights of a network, ``None`` where the file does not say.

    Args:
        source: A file, or a name in `lightning_modules.weights.catalogue`.
        network: What the file is loaded into.
        folder: Where files of the catalogue are kept; ``None``: ``~/.cache/video-efficient-zoo``.

    Raises:
        WeightsError: The file is missing, damaged or of no known format.
    """
    file = read_weights_file(catalogue.locate(source, folder))
    if file.header is not None:
        facts = file.header["preprocessing"]
        return read_preprocessing(facts, str(file.path)) if facts else None
    importer, architecture = choose_importer(file), type(network).__name__
    published = importer.published(architecture, importer.convert(file.tensors, architecture)[0])
    return published.preprocessing if published else None
