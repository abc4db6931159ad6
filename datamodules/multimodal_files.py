"""Which modalities of which samples of NTU RGB+D are in a folder, nested as they may be."""

import os
from pathlib import Path
from typing import Literal

from datamodules.ntu_protocol import parse_name
from datamodules.prepare_flow import SUFFIX as FLOW_SUFFIX
from datamodules.prepare_ntu import SUFFIX as SKELETON_SUFFIX
from datamodules.readers.depth import PREFIX, DepthKind
from datamodules.sample_list import VIDEO_SUFFIXES

Modality = Literal["rgb", "flow", "depth", "skeleton"]
MODALITIES: tuple[Modality, ...] = ("rgb", "flow", "depth", "skeleton")

_NAME_LENGTH = len("S001C002P003R002A013")


def find_modalities(root: Path, depth: DepthKind = "masked") -> dict[Modality, dict[str, str]]:
    """Find videos, flow, depth maps and skeletons in a folder and below it; hidden ones are left out.

    A folder with a sample's name is one of depth maps, and is not listed to its end: there are millions of them.

    Args:
        root: the folder. ``S001C001P001R001A001_rgb.avi`` is a video (of any suffix of videos),
            ``S001C001P001R001A001_rgb.flow.npy`` its flow, ``S001C001P001R001A001.skeleton`` a skeleton,
            ``S001C001P001R001A001/MDepth-00000001.png`` a depth map.
        depth: which pictures make a folder one of depth maps.

    Returns:
        For each modality the path of each sample, by name, in order of the names.

    Raises:
        ValueError: the folder is missing, cannot be listed, or holds a sample twice in a modality.
    """
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder; give the folder that the dataset was unpacked to")
    found: dict[Modality, dict[str, str]] = {modality: {} for modality in MODALITIES}

    def refuse(error: OSError) -> None:
        raise ValueError(f"{error.filename}: cannot be listed ({error.strerror}); make it readable or leave it out")

    def add(modality: Modality, name: str, path: str) -> None:
        other = found[modality].setdefault(name, path)
        if other != path:
            raise ValueError(f"{path}: is also at {other}; keep one of the two")

    visited: set[tuple[int, int]] = set()
    for folder, folders, files in os.walk(root, onerror=refuse, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in visited:  # by a link
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        below = []
        for name in sorted(folders):
            if is_sample(name):
                if _holds(os.path.join(folder, name), PREFIX[depth]):
                    add("depth", name, os.path.join(folder, name))
            elif not name.startswith("."):
                below.append(name)
        folders[:] = below
        for name in sorted(files):
            modality = _modality(name)
            if modality is not None and is_sample(name[:_NAME_LENGTH]):
                add(modality, name[:_NAME_LENGTH], os.path.join(folder, name))
    return {modality: dict(sorted(samples.items())) for modality, samples in found.items()}


def _modality(file: str) -> Modality | None:
    rest = file[_NAME_LENGTH:].lower()
    if rest == SKELETON_SUFFIX:
        return "skeleton"
    if rest in (f"_rgb{FLOW_SUFFIX}", FLOW_SUFFIX):
        return "flow"
    stem, suffix = os.path.splitext(rest)
    return "rgb" if stem in ("_rgb", "") and suffix in VIDEO_SUFFIXES else None


def is_sample(name: str) -> bool:
    """Tell whether a name is that of a sample, such as S001C002P003R002A013."""
    try:
        parse_name(name)
    except ValueError:
        return False
    return True


def _holds(folder: str, prefix: str) -> bool:
    with os.scandir(folder) as entries:
        return any(entry.name.startswith(prefix) for entry in entries)
