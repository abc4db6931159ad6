"""Tubelet contrast (chapter 5): fine-tuned top-1 of tables 5.7, C.1 and C.2; table 5.8."""

from collections.abc import Mapping

from lightning_modules.weights.catalogue.entry import Entry
from lightning_modules.weights.catalogue.severe import reported
from lightning_modules.weights.importers.tubelet_contrast import TUBELET_CONTRAST


def _entry(file_name: str, architecture: str, data: str, numbers: Mapping[str, float], url: str | None = None) -> Entry:
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
        reported=numbers,
    )


ENTRIES: Mapping[str, Entry] = {
    "tubelet_contrast/r2plus1d_18_mini_kinetics": _entry(
        "tubelet_contrast_r2plus1d_18_mini_kinetics.pth",
        "R2Plus1D",
        "Mini-Kinetics",
        {**reported(90.7, 65.0, 59.4, 92.2, 65.5, 48.0, 78.3, 90.9, 0.150, 9.0), "Diving48": 89.4},
    ),
    "tubelet_contrast/r3d_18_mini_kinetics": _entry(
        "tubelet_contrast_r3d_18_mini_kinetics.pth",
        "R3D",
        "Mini-Kinetics",
        {"UCF101": 88.8, "HMDB51": 62.0},
        url="https://drive.google.com/file/d/1ccIZSLSAtvFY2zThCbPXFy2j3bkge6tz/view",
    ),
    "tubelet_contrast/i3d_mini_kinetics": _entry(
        "tubelet_contrast_i3d_mini_kinetics.pth", "I3D", "Mini-Kinetics", {"UCF101": 89.5, "HMDB51": 64.0}
    ),
    "tubelet_contrast/r2plus1d_18_kinetics400": _entry(
        "tubelet_contrast_r2plus1d_18_kinetics400.pth",
        "R2Plus1D",
        "Kinetics-400",
        {**reported(91.0, 64.1, 60.2, 92.8, 65.7, 47.0, 80.1, 91.0, 0.150, 10.3), "Diving48": 89.0},
    ),
    "tubelet_contrast/r3d_18_kinetics400": _entry(
        "tubelet_contrast_r3d_18_kinetics400.pth", "R3D", "Kinetics-400", {"UCF101": 90.1, "HMDB51": 63.3}
    ),
    "tubelet_contrast/i3d_kinetics400": _entry(
        "tubelet_contrast_i3d_kinetics400.pth", "I3D", "Kinetics-400", {"UCF101": 89.7, "HMDB51": 63.9}
    ),
}
