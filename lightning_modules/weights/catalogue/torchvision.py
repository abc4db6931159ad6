"""torchvision's supervised networks: top-1 of its own weights' metadata; tables 4.4 and B.3 for R(2+1)D-18."""

from collections.abc import Mapping

from lightning_modules.weights.catalogue.entry import Entry
from lightning_modules.weights.catalogue.severe import reported
from lightning_modules.weights.importers.torchvision import TORCHVISION


def _entry(file_name: str, architecture: str, sha256: str, numbers: Mapping[str, float]) -> Entry:
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
        reported=numbers,
    )


ENTRIES: Mapping[str, Entry] = {
    "torchvision/r2plus1d_18": _entry(
        "r2plus1d_18-91a641e6.pth",
        "R2Plus1D",
        "91a641e6",
        {"Kinetics-400": 67.463, **reported(93.9, 68.5, 60.8, 92.1, 86.6, 51.3, 79.0, 87.1, 0.132, 23.5)},
    ),
    "torchvision/r3d_18": _entry("r3d_18-b3b3357e.pth", "R3D", "b3b3357e", {"Kinetics-400": 63.200}),
}
