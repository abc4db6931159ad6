"""EPIC-Kitchens-100: what people do in their kitchens, seen from their heads; segments of long videos.

Home page: https://epic-kitchens.github.io, https://github.com/epic-kitchens/epic-kitchens-100-annotations
Paper: Damen et al. 2022 (arXiv:2006.13256). Licence: CC BY-NC 4.0.

=======  ================================  ========  ========
target   classes                           training  to test
=======  ================================  ========  ========
verb     97                                67,217    9,668
noun     300                               67,217    9,668
action   the pairs of both that occur      67,217    9,668
=======  ================================  ========  ========

These are the official training and validation lists (thesis, B.2.1). In validation 78 verbs, 211 nouns and 1,352 pairs
occur.

Tree: videos ``P01_01.MP4`` anywhere below ``root``: in ``P01/videos``, as they are handed out, or flat. Lists
``EPIC_100_train.csv``, ``EPIC_100_validation.csv``, ``EPIC_100_verb_classes.csv`` and ``EPIC_100_noun_classes.csv`` in
``root`` or ``root/annotations``. ``lightning prepare epic`` cuts the actions out of the videos, a small file
``<narration id>.mp4`` each: reading one of half an hour in full HD at random takes some twenty times as long.

A segment is told by ``start_timestamp`` and ``stop_timestamp``. ``start_frame`` and ``stop_frame`` number the published
RGB frames, at 60 (50 in the later videos) for each second, not the frames of the videos: most of these have 59.94 a
second, some 29.97, 47.95 or 90 (EPIC_100_video_info.csv). A left-right flip keeps the label: no class names a side.
"""

import math
import re
from pathlib import Path
from typing import Literal, NamedTuple

from datamodules.listed_videos import ListedVideo, ListedVideoDataModule
from datamodules.readers.annotations import find_file, read_table

Target = Literal["verb", "noun", "action"]

OFFICIAL_COUNTS = (67_217, 9_668)
SPLITS = ("train", "validation")
COLUMNS = ("narration_id", "video_id", "start_timestamp", "stop_timestamp", "verb_class", "noun_class")

_REMEDY = "correct the line, or take the official file"
_TIME = re.compile(r"(\d+):([0-5]?\d):([0-5]?\d(?:\.\d+)?)", re.ASCII)
_VIDEO = re.compile(r"P\d+_\d+", re.ASCII)
_NARRATION = re.compile(rf"{_VIDEO.pattern}_\d+", re.ASCII)


class Narrated(NamedTuple):
    """One action of a list.

    Attributes:
        narration: its id, such as P01_11_0.
        video: such as P01_11.
        start: in seconds from the start of the video.
        stop: likewise.
        verb: class from 0.
        noun: class from 0.
    """

    narration: str
    video: str
    start: float
    stop: float
    verb: int
    noun: int


class EpicKitchensDataModule(ListedVideoDataModule):
    """Narrated actions of EPIC-Kitchens-100, decoded from the long videos or from files of their own.

    Attributes:
        pairs: verb and noun of each class, in their order, known after ``setup``; empty unless the target is actions.

    Args:
        root: folder of the videos, or of what ``lightning prepare epic`` made of them; nested or flat.
        target: what the classes are; actions are the pairs of verb and noun in either list, in order of both numbers.
        annotations: folder of the lists; ``root`` or ``root/annotations`` when None.
        trimmed: whether ``root`` holds a file for each action.
        num_frames: see ``ListedVideoDataModule``, as all that follow.
        num_clips: see there.
        strides: see there.
        temporal_jitter: see there.
        fps: see there.
        crop_size: see there.
        short_sides: see there.
        eval_clips: see there.
        random_resized_crop: see there.
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

    official_counts = OFFICIAL_COUNTS

    def __init__(
        self,
        root: str | Path,
        target: Target = "verb",
        annotations: str | Path | None = None,
        trimmed: bool = False,
        num_frames: int = 32,
        num_clips: int = 1,
        strides: tuple[int, ...] = (2,),
        temporal_jitter: bool = False,
        fps: float | None = 16,
        crop_size: int = 112,
        short_sides: tuple[int, ...] = (128,),
        eval_clips: int = 10,
        random_resized_crop: bool = True,
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
            samples=samples,
            samples_seed=samples_seed,
            global_batch_size=global_batch_size,
            eval_batch_size=eval_batch_size,
            probe_samples=probe_samples,
            num_workers=num_workers,
            seed=seed,
        )
        self.target: Target = target
        self.annotations = annotations
        self.trimmed = trimmed
        self.pairs: list[tuple[int, int]] = []

    def read_lists(self) -> tuple[list[ListedVideo], list[ListedVideo]]:
        """Read the lists and the names of the classes.

        Raises:
            ValueError: one is missing, or a line of it cannot be understood.
        """
        verbs, nouns = (read_class_keys(self._file(f"{part}_classes")) for part in ("verb", "noun"))
        train, val = (read_narrated(self._file(split), len(verbs), len(nouns)) for split in SPLITS)
        if self.target == "action":
            self.pairs = sorted({(row.verb, row.noun) for row in train + val})
            self.class_names = [f"{verbs[verb]} {nouns[noun]}" for verb, noun in self.pairs]
        else:
            self.class_names = verbs if self.target == "verb" else nouns
        numbers = {pair: number for number, pair in enumerate(self.pairs)}

        def listed(row: Narrated) -> ListedVideo:
            if self.target == "action":
                label = numbers[row.verb, row.noun]
            else:
                label = row.verb if self.target == "verb" else row.noun
            if self.trimmed:
                return ListedVideo(f"{row.narration}.mp4", label)
            return ListedVideo(f"{row.video}.MP4", label, (row.start, row.stop))

        return [listed(row) for row in train], [listed(row) for row in val]

    def _file(self, name: str) -> Path:
        return find_list(self.root, self.annotations, f"EPIC_100_{name}.csv")


def find_list(root: Path, annotations: str | Path | None, name: str) -> Path:
    """Return an official list, as of ``readers.annotations.find_file``."""
    return find_file(root, annotations, ("annotations",), (name,))


def is_video(name: str) -> bool:
    """Tell whether a name is one of a video: P01_01."""
    return _VIDEO.fullmatch(name) is not None


def read_class_keys(file: Path) -> list[str]:
    """Read the names of verbs or nouns: a table with the columns ``id``, from 0 up, and ``key``.

    Raises:
        ValueError: the table is empty or something else, or a number is out of order; with the line.
    """
    keys: list[str] = []
    for number, row in read_table(file, ("id", "key")):
        if row["id"].strip() != str(len(keys)):
            raise ValueError(f"{file}:{number}: class {row['id']!r} comes where {len(keys)} should; {_REMEDY}")
        keys.append(row["key"])
    if not keys:
        raise ValueError(f"{file}: is empty; take the official file")
    return keys


def read_narrated(file: Path, num_verbs: int | None = None, num_nouns: int | None = None) -> list[Narrated]:
    """Read a list of narrated actions.

    Args:
        file: the list, with the columns ``COLUMNS``.
        num_verbs: to check the classes against; not checked when None.
        num_nouns: likewise.

    Raises:
        ValueError: the list is empty or a row cannot be understood, with the line.
    """
    rows = []
    for number, row in read_table(file, COLUMNS):
        where = f"{file}:{number}: {row['narration_id']}:"
        if not _NARRATION.fullmatch(row["narration_id"]):
            raise ValueError(f"{file}:{number}: {row['narration_id']!r} is no narration such as P01_01_0; {_REMEDY}")
        if not is_video(row["video_id"]):
            raise ValueError(f"{where} {row['video_id']!r} is no video such as P01_01; {_REMEDY}")
        start, stop = (_seconds(row[column]) for column in ("start_timestamp", "stop_timestamp"))
        if not start < stop:
            raise ValueError(
                f"{where} {row['start_timestamp']!r} to {row['stop_timestamp']!r} is no time hh:mm:ss.ss and a later"
                f" one; {_REMEDY}"
            )
        classes = []
        for column, count in (("verb_class", num_verbs), ("noun_class", num_nouns)):
            text = row[column].strip()
            if not (text.isascii() and text.isdigit()) or (count is not None and int(text) >= count):
                wanted = "a number" if count is None else f"0 to {count - 1}"
                raise ValueError(f"{where} {column} {text!r} is not {wanted}; {_REMEDY}")
            classes.append(int(text))
        rows.append(Narrated(row["narration_id"], row["video_id"], start, stop, *classes))
    if not rows:
        raise ValueError(f"{file}: lists no actions; take the official file")
    return rows


def _seconds(text: str) -> float:
    """Return the seconds of a time hh:mm:ss.ss; NaN where it is none."""
    match = _TIME.fullmatch(text.strip())
    return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3]) if match else math.nan
