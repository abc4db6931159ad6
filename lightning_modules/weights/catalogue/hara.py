"""Supervised networks of kenshohara/3D-ResNets-PyTorch and craston/MARS."""

from collections.abc import Mapping

from lightning_modules.weights.catalogue.entry import Entry
from lightning_modules.weights.importers.hara import HARA_2017, HARA_2020, HARA_RESNEXT
from lightning_modules.weights.importers.importer import PublishedNetwork

_HARA = "https://github.com/kenshohara/3D-ResNets-PyTorch"
_HARA_2017 = "https://drive.google.com/drive/folders/1zvl89AgFAApbH0At-gMuZSeQB_LpNP-M"
_HARA_2020 = "https://drive.google.com/open?id=1xbYbZ7rpyjftI_KCk6YuL-XrfQDz7Yd4"
_MARS = "https://github.com/craston/MARS"
_MARS_FILES = "https://drive.google.com/drive/folders/1OVhBnZ_FmqMSj6gw9yyrxJJR8yRINb_G"


def _entry(
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


ENTRIES: Mapping[str, Entry] = {
    "hara/resnet18_kinetics400": _entry(
        "resnet-18-kinetics.pth",
        "ResNet3D",
        "Kinetics-400",
        HARA_2017.networks["ResNet3D"],
        _HARA_2017,
        _HARA,
        {"Kinetics-400, mean of top-1 and top-5": 66.1},
    ),
    "hara/resnet18_kinetics700": _entry(
        "r3d18_K_200ep.pth", "ResNet3D", "Kinetics-700", HARA_2020.networks["ResNet3D"], _HARA_2020, _HARA
    ),
    "hara/resnext101_kinetics400": _entry(
        "resnext-101-kinetics.pth",
        "ResNeXt3D",
        "Kinetics-400",
        HARA_RESNEXT.networks["ResNeXt3D"],
        _HARA_2017,
        _HARA,
        {"Kinetics-400, mean of top-1 and top-5": 75.4},
    ),
    "hara/mars_resnext101_rgb_kinetics400": _entry(
        "RGB_Kinetics_16f.pth", "ResNeXt3D", "Kinetics-400", HARA_RESNEXT.networks["ResNeXt3D"], _MARS_FILES, _MARS
    ),
    "hara/mars_resnext101_flow_kinetics400": _entry(
        "Flow_Kinetics_16f.pth",
        "ResNeXt3D",
        "Kinetics-400",
        HARA_RESNEXT.flow_networks["ResNeXt3D"],
        _MARS_FILES,
        _MARS,
    ),
}
