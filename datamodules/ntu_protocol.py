"""Names, splits and unusable samples of NTU RGB+D 60 and 120; ``ntu.py`` tells of the dataset."""

import re
from importlib.resources import files
from typing import Literal, NamedTuple

Benchmark = Literal["ntu60", "ntu120"]
Protocol = Literal["xsub", "xview", "xsetup", "file"]

NUM_CLASSES = {"ntu60": 60, "ntu120": 120}
LAST_SETUP = {"ntu60": 17, "ntu120": 32}

# Shahroudy et al. 2016, section 4.2, and Liu et al. 2019, section 4.1.
_TRAIN_SUBJECTS_60 = (1, 2, 4, 5, 8, 9, *range(13, 20), 25, 27, 28, 31, 34, 35, 38)
_TRAIN_SUBJECTS_MORE = (45, 46, 47, 49, 50, *range(52, 60), 70, 74, 78, *range(80, 87), 89, *range(91, 96), 97, 98)
TRAIN_SUBJECTS = {
    "ntu60": frozenset(_TRAIN_SUBJECTS_60),
    "ntu120": frozenset((*_TRAIN_SUBJECTS_60, *_TRAIN_SUBJECTS_MORE, 100, 103)),
}
TRAIN_CAMERAS = frozenset((2, 3))

# Training and test samples of a complete copy, those without usable skeletons left out. Cross-setup of NTU-60 and
# cross-view of NTU-120 can be had, but no paper defines them.
OFFICIAL_COUNTS = {
    ("ntu60", "xsub"): (40_091, 16_487),
    ("ntu60", "xview"): (37_646, 18_932),
    ("ntu120", "xsub"): (63_026, 50_919),
    ("ntu120", "xsetup"): (54_468, 59_477),
}

# The same with those without usable skeletons: their videos and depth maps are sound (thesis, 3.4.1 and appendix B).
ALL_COUNTS = {("ntu60", "xsub"): (40_320, 16_560), ("ntu60", "xview"): (37_920, 18_960)}

_NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})", re.ASCII)


class SampleName(NamedTuple):
    """What a sample's name says; all numbers from 1."""

    setup: int
    camera: int
    subject: int
    repetition: int
    action: int

    def __str__(self) -> str:
        """Return the name."""
        return "S{:03d}C{:03d}P{:03d}R{:03d}A{:03d}".format(*self)


def parse_name(name: str) -> SampleName:
    """Read a name such as S001C002P003R002A013.

    Raises:
        ValueError: it is none.
    """
    match = _NAME.fullmatch(name)
    if match is None or "000" in match.groups():
        raise ValueError(f"{name!r} is not a name such as S001C002P003R002A013; give the file its official name")
    return SampleName(*map(int, match.groups()))


def file_split(name: str) -> bool | None:
    """Tell whether a sample without an official name is one to train with; None where it has such a name.

    Args:
        name: ``train_`` or ``test_`` and a number, from a file of arrays that has no names but a split of its own.
    """
    part = name.partition("_")[0]
    return part == "train" if part in ("train", "test") else None


def is_training(subject: int, camera: int, setup: int, benchmark: Benchmark, protocol: Protocol) -> bool:
    """Tell whether a sample is one to train with: by its subject, its camera, or an even setup."""
    if protocol == "xsub":
        return subject in TRAIN_SUBJECTS[benchmark]
    if protocol == "xview":
        return camera in TRAIN_CAMERAS
    return setup % 2 == 0


def missing_skeletons(benchmark: Benchmark) -> frozenset[str]:
    """Return the names that the authors list as without usable skeletons (shahroudy/NTURGB-D, Matlab folder)."""
    file = files("datamodules") / "lists" / f"{benchmark}_missing_skeletons.txt"
    return frozenset(file.read_text(encoding="ascii").split())
