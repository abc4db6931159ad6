"""PKU-MMD: long videos of daily actions before three Kinect v2, about 20 actions a video.

Home page: https://www.icst.pku.edu.cn/struct/Projects/PKUMMD.html, https://github.com/ECHO960/PKU-MMD
Paper: Liu et al. 2017 (arXiv:1703.07475). Licence: research only, on request.

Phase I has 1,076 videos, 51 classes and 66 subjects. Actions to train and to test with, cross-subject (thesis 3.4.1):
18,841 / 2,704 of phase I, 5,332 / 1,613 of phase II.

Tree: in ``root``, a folder whose name holds ``skeleton`` and one whose name holds ``label``, each with a text file per
video, and the split lists. Phase I has videos ``0002-L`` (left, middle, right camera), phase II ``A01N01-L``; classes
keep their numbers 1 to 51 in both. Joints are those of NTU RGB+D. Classes 12, 14, 16, 18, 21, 24, 26 and 27 are of two
people. A left-right flip keeps the label: no class names a side.
"""

from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pytorch_lightning.utilities import rank_zero_info, rank_zero_warn

from datamodules.pku_protocol import (
    CAMERAS,
    Phase,
    PKUProtocol,
    Segment,
    is_video,
    read_labels,
    read_split,
)
from datamodules.prepare_arrays import Row, write_cache
from datamodules.prepare_ntu import VERSION, Prepared, file_size, finished
from datamodules.readers.skeleton import read_pku
from datamodules.skeleton_datamodule import SkeletonDataModule, counts, read_class_names
from datamodules.skeleton_dataset import Listed, read_index
from datamodules.transforms.skeleton import preprocess
from datamodules.writers.folder import content_key

OFFICIAL_COUNTS = {(1, "xsub"): (18_841, 2_704), (2, "xsub"): (5_332, 1_613)}
# Of phase I, and of phase II, where it has the same name or another.
SPLIT_FILES = {
    "xsub": ("cross-subject.txt", "cross_subject.txt", "cross_subject_v2.txt", "cross-subject_v2.txt"),
    "xview": ("cross-view.txt", "cross_view.txt", "cross_view_v2.txt", "cross-view_v2.txt"),
}


class PKUMMDSkeletonDataModule(SkeletonDataModule):
    """The actions of PKU-MMD, cut from its videos and preprocessed as those of NTU RGB+D.

    The first 300 frames of an action are kept. Videos without a label file, of either list or of none, are counted and
    reported. Labels are those of ``pku_protocol.read_labels``.

    Args:
        root: folder as above.
        phase: 1 or 2.
        protocol: ``xsub`` or ``xview``: which split list to look for in ``root`` and its folders.
        split_list: the list itself, where it is elsewhere.
        cache: where to write the preprocessed actions; a folder in the user's cache by default.
        labelled_fraction: see ``SkeletonDataModule``, as all that follow.
        labelled_seed: see there.
        global_batch_size: see there.
        eval_batch_size: see there.
        probe_samples: see there.
        num_workers: see there.
        seed: see there.
        on_device: see ``SkeletonDataModule``.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(
        self,
        root: str | Path,
        phase: Phase = 1,
        protocol: PKUProtocol = "xsub",
        split_list: str | Path | None = None,
        cache: str | Path | None = None,
        labelled_fraction: float = 1.0,
        labelled_seed: int | None = None,
        global_batch_size: int = 64,
        eval_batch_size: int = 64,
        probe_samples: int | None = None,
        num_workers: int = 4,
        seed: int = 0,
        on_device: bool = False,
    ) -> None:
        super().__init__(
            labelled_fraction,
            labelled_seed,
            global_batch_size,
            eval_batch_size,
            probe_samples,
            num_workers,
            seed,
            on_device,
        )
        self.root = Path(root).expanduser()
        self.phase: Phase = phase
        self.protocol: PKUProtocol = protocol
        self.split_list = None if split_list is None else Path(split_list).expanduser()
        self.cache = None if cache is None else Path(cache).expanduser()

    @cached_property
    def folder(self) -> Path:
        """Folder of the prepared actions."""
        if self.cache is not None:
            return self.cache
        content = [str(self.root.resolve()), settings(self.root, self.phase)]
        key = content_key(content)
        return Path("~/.cache/video-efficient-zoo/pku_mmd").expanduser() / f"{self.root.name}-{self.phase}-{key}"

    def prepare_data(self) -> None:
        """Cut out and preprocess the actions, unless that is done.

        Raises:
            ValueError: as of ``prepare_pku``.
        """
        rank_zero_info(str(prepare_pku(self.root, self.folder, self.phase)))

    def setup(self, stage: str) -> None:
        """List the actions and part them.

        Raises:
            ValueError: the split list is missing or damaged, the cache is damaged, or no video is in the list.
        """
        if hasattr(self, "train_samples"):
            return
        split = split_file(self.root, self.protocol, self.split_list)
        train_videos, val_videos = read_split(split)
        index = read_index(self.folder)
        usable = [sample for sample in index if sample.frames]
        parts = [[s for s in usable if s.name[:-4] in videos] for videos in (train_videos, val_videos)]
        if not any(parts):
            raise ValueError(f"{split}: none of the videos in {self.root} is in this list; set split_list")
        self._part(parts[0], parts[1])
        self.class_names = self._name_classes()
        self.num_classes = len(self.class_names)
        missing = (train_videos | val_videos) - {sample.name[:-4] for sample in index}
        left_out = {
            "listed videos are not there": len(missing),
            "without a frame or broken are left out": len(index) - len(usable),
            "of videos in neither list are left out": len(usable) - len(parts[0]) - len(parts[1]),
        }
        found = counts(len(parts[0]), len(parts[1]), self._official_counts(), left_out)
        rank_zero_info(f"{type(self).__name__}: phase {self.phase} {self.protocol}, {found}")

    def _name_classes(self) -> Sequence[str]:
        return read_class_names("pku_mmd")

    def _official_counts(self) -> tuple[int, int] | None:
        return OFFICIAL_COUNTS.get((self.phase, self.protocol))


def split_file(root: Path, protocol: PKUProtocol, given: Path | None) -> Path:
    """Find the split list of a protocol in a folder and the folders in it, unless one is given.

    Raises:
        ValueError: there is none.
    """
    if given is not None:
        return given
    names = SPLIT_FILES[protocol]
    for folder in (root, *sorted(path for path in root.iterdir() if path.is_dir())):
        for name in names:
            if (folder / name).is_file():
                return folder / name
    raise ValueError(f"{root}: holds no split list {names[0]}; put it there, or set split_list")


def settings(root: Path, phase: Phase) -> dict[str, object]:
    """Return what decides the content of a cache, in plain JSON types.

    Raises:
        ValueError: a folder or all files are missing.
    """
    files = [(video, labels) for _, video, labels in _videos(root, phase)]
    described = [[video.name, file_size(video), file_size(labels)] for video, labels in files]
    return {"version": VERSION, "phase": phase, "files": described, "left_out": 0}


def prepare_pku(root: Path, out: Path, phase: Phase, progress: bool = True) -> Prepared:
    """Cut the actions from the videos of a phase, and preprocess them into a cache.

    An action is named after its video and its place there: ``0002-L:001`` is the first.

    Args:
        root: as of ``PKUMMDSkeletonDataModule``.
        out: as of ``prepare_ntu.prepare``.
        phase: 1 or 2.
        progress: whether to draw a bar on stderr.

    Raises:
        ValueError: a folder or all files are missing, a label file is damaged, or as of ``write_cache``.
    """
    wanted = settings(root, phase)
    done = finished(out, wanted)
    if done is not None:
        return done
    rows: list[Row] = []
    read = lru_cache(1)(read_pku)  # the actions of a video follow each other
    videos, broken = labelled_videos(root, phase, read)
    for video in videos:
        for number, segment in enumerate(video.segments, 1):
            line = Listed(len(rows), f"{video.name}:{number:03d}", 0, CAMERAS[video.name[-1]], 0, segment.action, 0)
            rows.append(Row(line, partial(_cut, read, video, segment)))
    return write_cache(out, wanted, rows, broken, str(root), progress)


class LabelledVideo(NamedTuple):
    """One video.

    Attributes:
        name: such as 0002-L.
        file: of the skeletons.
        labels: file of the actions.
        segments: the actions.
    """

    name: str
    file: Path
    labels: Path
    segments: list[Segment]


def labelled_videos(
    root: Path, phase: Phase, read: Callable[[Path], np.ndarray]
) -> tuple[list[LabelledVideo], list[str]]:
    """Read the actions of each video of a phase, and warn of labels that needed a rule.

    Args:
        root: as of ``PKUMMDSkeletonDataModule``.
        phase: 1 or 2.
        read: as ``read_pku``.

    Returns:
        The videos, in order; and a line on each one that is broken, or on a file that belongs to none.

    Raises:
        ValueError: a folder or all files are missing.
    """
    videos: list[LabelledVideo] = []
    broken = _unpaired(root, phase)
    odd: dict[str, list[str]] = {}
    for name, video, labels in _videos(root, phase):
        if not labels.is_file():
            broken.append(f"{labels}:1: is missing, so that {name} is left out; copy it from the dataset")
            continue
        try:
            videos.append(LabelledVideo(name, video, labels, read_labels(labels, read(video).shape[1], odd)))
        except ValueError as error:
            broken.append(str(error))
    if odd:
        told = ", ".join(f"{len(places)} {rule} (first: {places[0]})" for rule, places in sorted(odd.items()))
        rank_zero_warn(f"{root}: labels that a rule was applied to (pku_protocol.read_labels): {told}")
    return videos, broken


def _cut(read: Callable[[Path], np.ndarray], video: LabelledVideo, segment: Segment) -> tuple[np.ndarray, int]:
    try:
        return preprocess(read(video.file)[:, segment.start : segment.end])
    except ValueError as error:
        raise ValueError(f"{video.labels}:{segment.line}: {error}; leave the action out") from error


def _folders(root: Path) -> tuple[Path, Path]:
    """Return the folders of skeletons and of labels."""
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder; give the folder that holds those of skeletons and labels")
    folders = sorted(path for path in root.iterdir() if path.is_dir())
    found = [[path for path in folders if word in path.name.lower()] for word in ("skeleton", "label")]
    if len(found[0]) != 1 or len(found[1]) != 1:
        raise ValueError(
            f"{root}: holds {len(found[0])} folders named after skeletons and {len(found[1])} after labels;"
            f" it has to hold one of each, such as skeletons and labels"
        )
    return found[0][0], found[1][0]


def _videos(root: Path, phase: Phase) -> list[tuple[str, Path, Path]]:
    """Return name, skeleton file and label file of each video, in order."""
    skeletons, labels = _folders(root)
    videos = [
        (path.stem, path, labels / path.name) for path in sorted(skeletons.glob("*.txt")) if is_video(path.stem, phase)
    ]
    if not videos:
        example = "0002-L.txt" if phase == 1 else "A01N01-L.txt"
        raise ValueError(f"{skeletons}: holds no video of phase {phase}, such as {example}; set phase, or another root")
    return videos


def _unpaired(root: Path, phase: Phase) -> list[str]:
    """Return a line on each skeleton file with a name of no phase, and on each label file without skeletons."""
    skeletons, labels = _folders(root)
    lines = [
        f"{path}:1: {path.stem!r} is no name such as 0002-L or A01N01-L; give the file its official name"
        for path in sorted(skeletons.glob("*.txt"))
        if not (is_video(path.stem, 1) or is_video(path.stem, 2))
    ]
    return lines + [
        f"{skeletons / path.name}:1: is missing, though its labels are there; copy it from the dataset"
        for path in sorted(labels.glob("*.txt"))
        if is_video(path.stem, phase) and not (skeletons / path.name).is_file()
    ]
