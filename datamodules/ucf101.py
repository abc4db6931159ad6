"""UCF101: 13,320 short clips of 101 human actions from YouTube.

Home page: https://www.crcv.ucf.edu/data/UCF101.php
Paper: Soomro et al. 2012 (arXiv:1212.0402).
Licence: none is stated; the videos belong to who uploaded them.

=====  ===============  ===========
split  training videos  test videos
=====  ===============  ===========
1      9,537            3,783
2      9,586            3,734
3      9,624            3,696
=====  ===============  ===========

101 classes in each. The thesis uses split 1 (appendix B, table 5.1).

Tree: ``root/<class>/v_<class>_gXX_cYY.avi`` (``UCF-101`` of the archive), and the lists of ``ucfTrainTestlist``, in
``root`` or beside it: ``classInd.txt`` (``1 ApplyEyeMakeup``), ``trainlist01.txt`` (``class/file 1``) and
``testlist01.txt`` (``class/file``), with Windows line ends. One class is written ``HandstandPushups`` in folders and
``HandStandPushups`` in files; some copies write one of them everywhere, so upper and lower case do not matter here.
A left-right flip keeps the label: no class names a side.
"""

from pathlib import Path
from typing import Literal

from datamodules.listed_videos import ListedVideo, ListedVideoDataModule
from datamodules.readers.annotations import find_file, read_lines

OFFICIAL_COUNTS = {1: (9_537, 3_783), 2: (9_586, 3_734), 3: (9_624, 3_696)}


class UCF101DataModule(ListedVideoDataModule):
    """UCF101 by one of its three official splits.

    Args:
        root: folder of the videos.
        split: number of the split.
        lists: folder of the lists; ``ucfTrainTestlist`` in ``root`` or beside it, or ``root``, when None.
        num_frames: see ``ListedVideoDataModule``, as all that follow.
        num_clips: see there.
        strides: see there.
        temporal_jitter: see there.
        fps: see there.
        crop_size: see there.
        short_sides: see there.
        eval_clips: see there.
        random_resized_crop: see there.
        clip_cache: see there.
        samples: see there.
        samples_seed: see there.
        global_batch_size: see there.
        eval_batch_size: see there.
        probe_samples: see there.
        num_workers: see there.
        seed: see there.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(
        self,
        root: str | Path,
        split: Literal[1, 2, 3] = 1,
        lists: str | Path | None = None,
        num_frames: int = 32,
        num_clips: int = 1,
        strides: tuple[int, ...] = (2,),
        temporal_jitter: bool = False,
        fps: float | None = 16,
        crop_size: int = 112,
        short_sides: tuple[int, ...] = (128,),
        eval_clips: int = 10,
        random_resized_crop: bool = True,
        clip_cache: str | Path | None = None,
        samples: int | None = None,
        samples_seed: int = 0,
        global_batch_size: int = 32,
        eval_batch_size: int = 8,
        probe_samples: int | None = None,
        num_workers: int = 4,
        seed: int = 0,
    ) -> None:
        super().__init__(
            root,
            num_frames=num_frames,
            num_clips=num_clips,
            strides=strides,
            temporal_jitter=temporal_jitter,
            fps=fps,
            crop_size=crop_size,
            short_sides=short_sides,
            eval_clips=eval_clips,
            random_resized_crop=random_resized_crop,
            clip_cache=clip_cache,
            samples=samples,
            samples_seed=samples_seed,
            global_batch_size=global_batch_size,
            eval_batch_size=eval_batch_size,
            probe_samples=probe_samples,
            num_workers=num_workers,
            seed=seed,
        )
        if split not in OFFICIAL_COUNTS:
            raise ValueError(f"split={split} must be 1, 2 or 3")
        self.split = split
        self.lists = lists

    @property
    def official_counts(self) -> tuple[int, int] | None:
        """Videos of the official lists, to train and to test with."""
        return OFFICIAL_COUNTS[self.split]

    def read_lists(self) -> tuple[list[ListedVideo], list[ListedVideo]]:
        """Read the three lists; see ``ListedVideoDataModule``."""
        classes = find_file(self.root, self.lists, ("ucfTrainTestlist",), ("classInd.txt",))
        self.class_names = read_classes(classes)
        train, test = (
            read_split(classes.parent / f"{name}list{self.split:02d}.txt", self.class_names)
            for name in ("train", "test")
        )
        return train, test


def read_classes(file: Path) -> list[str]:
    """Read ``classInd.txt``: a line ``<number from 1> <name>`` for each class, in order.

    Raises:
        ValueError: the list is missing or empty, or a line is another.
    """
    names: list[str] = []
    for number, line in read_lines(file):
        first, _, name = line.partition(" ")
        if first != str(len(names) + 1) or not name.strip():
            raise ValueError(f"{file}:{number}: `{line}` is not `{len(names) + 1} <class>`; correct the line")
        names.append(name.strip())
    if not names:
        raise ValueError(f"{file}: is empty; give a list with a line `1 ApplyEyeMakeup` per class")
    return names


def read_split(file: Path, class_names: list[str]) -> list[ListedVideo]:
    """Read ``trainlistNN.txt`` or ``testlistNN.txt``: a line ``<class>/<file> <label from 1>``, or without the label.

    Args:
        file: the list.
        class_names: of all classes, in order.

    Raises:
        ValueError: the list is missing or empty, or a line names no class, one that is not there, or two.
    """
    labels = {name.casefold(): label for label, name in enumerate(class_names)}
    rows = []
    for number, line in read_lines(file):
        name, _, last = line.rpartition(" ")
        if not (name and last.isdecimal()):
            name, last = line, ""
        name = name.strip()
        label = labels.get(name.rpartition("/")[0].rpartition("/")[2].casefold())
        if label is None:
            raise ValueError(f"{file}:{number}: `{line}` is not in the folder of a class of classInd.txt; correct it")
        if last and int(last) != label + 1:
            raise ValueError(
                f"{file}:{number}: `{line}` has label {last}, but the class of its folder is {label + 1} in"
                f" classInd.txt; correct one of the two"
            )
        rows.append(ListedVideo(name, label))
    if not rows:
        raise ValueError(f"{file}: is empty; give a list with a line `class/file` per video")
    return rows
