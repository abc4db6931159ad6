"""Published weights: where they come from and what was reported of them. Nothing here is downloaded."""

import difflib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lightning_modules.weights.header import WeightsError
from lightning_modules.weights.importers.hara import HARA_2017, HARA_2020, HARA_RESNEXT
from lightning_modules.weights.importers.importer import PublishedNetwork
from lightning_modules.weights.importers.torchvision import TORCHVISION
from lightning_modules.weights.importers.tubelet_contrast import TUBELET_CONTRAST


@dataclass(frozen=True)
class Entry:
    """A published file.

    Args:
        file_name: What the file is called in the catalogue's folder.
        architecture: Class in `lightning_modules.networks`.
        network: Its arguments, and the preprocessing.
        method: What trained it.
        data: What it was trained on.
        page: Where the source describes it.
        url: Link to the file; ``None`` where the source has not published it.
        sha256: The file's digest or the leading digits that its source states; ``None``: unknown.
        licence: As the source states it.
        format: Importer that reads it.
        reported: Numbers that the source reports, percent, by data set; none is rerun here.
    """

    file_name: str
    architecture: str
    network: PublishedNetwork
    method: str
    data: str
    page: str
    url: str | None
    sha256: str | None
    licence: str
    format: str
    reported: Mapping[str, float] = field(default_factory=dict)


def _tubelet_contrast(
    file_name: str, architecture: str, data: str, reported: Mapping[str, float], url: str | None = None
) -> Entry:
    return Entry(
        file_name,
        architecture,
        TUBELET_CONTRAST.networks[architecture],
        method="TubeletContrast",
        data=data,
        page="https://github.com/fmthoker/tubelet-contrast/blob/main/MODEL_ZOO.md",
        url=url,
        sha256=None,
        licence="none stated",
        format=TUBELET_CONTRAST.name,
        reported=reported,
    )


def _torchvision(file_name: str, architecture: str, top1: float, sha256: str) -> Entry:
    return Entry(
        file_name,
        architecture,
        TORCHVISION.networks[architecture],
        method="supervised",
        data="Kinetics-400",
        page="https://docs.pytorch.org/vision/stable/models.html#video-classification",
        url=f"https://download.pytorch.org/models/{file_name}",
        sha256=sha256,
        licence="BSD-3-Clause (torchvision)",
        format=TORCHVISION.name,
        reported={"Kinetics-400": top1},
    )


def _hara(
    file_name: str,
    architecture: str,
    data: str,
    network: PublishedNetwork,
    url: str,
    page: str,
    reported: Mapping[str, float] | None = None,
) -> Entry:
    return Entry(
        file_name,
        architecture,
        network,
        method="supervised",
        data=data,
        page=page,
        url=url,
        sha256=None,
        licence="MIT (kenshohara/3D-ResNets-PyTorch)" if "kenshohara" in page else "none stated",
        format=HARA_RESNEXT.name,
        reported=reported or {},
    )


_HARA = "https://github.com/kenshohara/3D-ResNets-PyTorch"
_HARA_2017 = "https://drive.google.com/drive/folders/1zvl89AgFAApbH0At-gMuZSeQB_LpNP-M"
_HARA_2020 = "https://drive.google.com/open?id=1xbYbZ7rpyjftI_KCk6YuL-XrfQDz7Yd4"
_MARS = "https://github.com/craston/MARS"
_MARS_FILES = "https://drive.google.com/drive/folders/1OVhBnZ_FmqMSj6gw9yyrxJJR8yRINb_G"

# Tubelet contrast: fine-tuned top-1 of tables 5.7, C.1 and C.2. torchvision: top-1 of its own weights' metadata.
CATALOGUE: Mapping[str, Entry] = {
    "tubelet_contrast/r2plus1d_18_mini_kinetics": _tubelet_contrast(
        "tubelet_contrast_r2plus1d_18_mini_kinetics.pth",
        "R2Plus1D",
        "Mini-Kinetics",
        {"UCF101": 90.7, "HMDB51": 65.0, "Diving48": 89.4},
    ),
    "tubelet_contrast/r3d_18_mini_kinetics": _tubelet_contrast(
        "tubelet_contrast_r3d_18_mini_kinetics.pth",
        "R3D",
        "Mini-Kinetics",
        {"UCF101": 88.8, "HMDB51": 62.0},
        url="https://drive.google.com/file/d/1ccIZSLSAtvFY2zThCbPXFy2j3bkge6tz/view",
    ),
    "tubelet_contrast/i3d_mini_kinetics": _tubelet_contrast(
        "tubelet_contrast_i3d_mini_kinetics.pth", "I3D", "Mini-Kinetics", {"UCF101": 89.5, "HMDB51": 64.0}
    ),
    "tubelet_contrast/r2plus1d_18_kinetics400": _tubelet_contrast(
        "tubelet_contrast_r2plus1d_18_kinetics400.pth",
        "R2Plus1D",
        "Kinetics-400",
        {"UCF101": 91.0, "HMDB51": 64.1, "Diving48": 89.0},
    ),
    "tubelet_contrast/r3d_18_kinetics400": _tubelet_contrast(
        "tubelet_contrast_r3d_18_kinetics400.pth", "R3D", "Kinetics-400", {"UCF101": 90.1, "HMDB51": 63.3}
    ),
    "tubelet_contrast/i3d_kinetics400": _tubelet_contrast(
        "tubelet_contrast_i3d_kinetics400.pth", "I3D", "Kinetics-400", {"UCF101": 89.7, "HMDB51": 63.9}
    ),
    "torchvision/r2plus1d_18": _torchvision("r2plus1d_18-91a641e6.pth", "R2Plus1D", 67.463, "91a641e6"),
    "torchvision/r3d_18": _torchvision("r3d_18-b3b3357e.pth", "R3D", 63.200, "b3b3357e"),
    "hara/resnet18_kinetics400": _hara(
        "resnet-18-kinetics.pth",
        "ResNet3D",
        "Kinetics-400",
        HARA_2017.networks["ResNet3D"],
        _HARA_2017,
        _HARA,
        {"Kinetics-400, mean of top-1 and top-5": 66.1},
    ),
    "hara/resnet18_kinetics700": _hara(
        "r3d18_K_200ep.pth", "ResNet3D", "Kinetics-700", HARA_2020.networks["ResNet3D"], _HARA_2020, _HARA
    ),
    "hara/resnext101_kinetics400": _hara(
        "resnext-101-kinetics.pth",
        "ResNeXt3D",
        "Kinetics-400",
        HARA_RESNEXT.networks["ResNeXt3D"],
        _HARA_2017,
        _HARA,
        {"Kinetics-400, mean of top-1 and top-5": 75.4},
    ),
    "hara/mars_resnext101_rgb_kinetics400": _hara(
        "RGB_Kinetics_16f.pth", "ResNeXt3D", "Kinetics-400", HARA_RESNEXT.networks["ResNeXt3D"], _MARS_FILES, _MARS
    ),
    "hara/mars_resnext101_flow_kinetics400": _hara(
        "Flow_Kinetics_16f.pth",
        "ResNeXt3D",
        "Kinetics-400",
        HARA_RESNEXT.flow_networks["ResNeXt3D"],
        _MARS_FILES,
        _MARS,
    ),
}


def locate(source: str | Path, folder: Path | None = None) -> Path:
    """The file that a path or a catalogue name means.

    Args:
        source: A path, or a name in `CATALOGUE`.
        folder: Where files of the catalogue are kept; ``None``: ``~/.cache/video-efficient-zoo``.

    Raises:
        WeightsError: No such file or name, the catalogue's file is not there (the message says where to get it and
            where to put it), or its digest is another.
    """
    path = Path(source).expanduser()
    if path.exists():
        return path
    entry = CATALOGUE.get(str(source))
    if entry is None:
        near = difflib.get_close_matches(str(source), CATALOGUE, n=3, cutoff=0.3) or list(CATALOGUE)
        raise WeightsError(f"{source} is neither a file nor a name in the catalogue; near names: {', '.join(near)}")
    path = (folder or Path("~/.cache/video-efficient-zoo").expanduser()) / entry.file_name
    if not path.is_file():
        origin = (
            f"fetch it from {entry.url}"
            if entry.url
            else f"its source has not published it ({entry.page}); with a copy"
        )
        raise WeightsError(
            f"{source} is not on this machine, and nothing is downloaded: {origin}, save it as {path} or give its path"
        )
    if entry.sha256 is not None:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if not digest.startswith(entry.sha256):
            raise WeightsError(
                f"{path} is not {source}: its SHA-256 is {digest}, not {entry.sha256}...; fetch {entry.url} again"
            )
    return path
