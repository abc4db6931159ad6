"""Charades: videos of everyday activities at home, about 30 seconds each, with any number of actions in them.

Home page: https://prior.allenai.org/projects/charades. Paper: Sigurdsson et al. 2016 (arXiv:1604.01753).
Licence: non-commercial use, ``license.txt`` of the data set.

157 actions; 7,985 videos to train and 1,863 to test with (table 5.1). Some videos have no action.

Tree: videos ``46GP8.mp4`` (``Charades_v1``, or the smaller ``Charades_v1_480``) anywhere below ``root``; and, in
``root`` or in a folder ``Charades`` in or beside it, ``Charades_v1_train.csv``, ``Charades_v1_test.csv`` and
``Charades_v1_classes.txt`` (``c000 Holding some clothes``). The tables have the columns id, subject, scene, quality,
relevance, verified, script, objects, descriptions, actions and length; an action is ``c092 11.90 21.20``: class, start
and end in seconds, several are parted by ``;``. A left-right flip keeps the labels: no class names a side.
"""

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor

from datamodules.batch import MultiLabelBatch
from datamodules.listed_videos import ListedVideo, ListedVideoDataModule
from datamodules.readers.annotations import find_file, read_lines, read_table
from datamodules.readers.video import VideoError
from datamodules.sample_datamodule import require_positive
from datamodules.sample_list import SampleList
from datamodules.sampling.clips import ClipSampler
from datamodules.video_dataset import ClipSample, Cut, VideoDataset, collate

OFFICIAL_COUNTS = (7_985, 1_863)
COLUMNS = ("id", "actions")

# The published training draws 1 / side uniformly from 1/340 to 1/256; these are as far apart.
SHORT_SIDES = (256, 264, 273, 282, 292, 303, 314, 327, 340)

_REMEDY = "correct the file, or take the official one"
_CLASS = re.compile(r"c(\d{3,}) (\S.*)", re.ASCII)
_ACTION = re.compile(r"c(\d{3,}) +(\d+(?:\.\d+)?) +(\d+(?:\.\d+)?)", re.ASCII)

Odd = dict[str, list[str]]


class ActionList(SampleList):
    """Videos with their actions, in tensors.

    Attributes:
        action_classes: int64 (S,), class from 0 of all actions, video by video.
        action_times: float64 (S, 2), start and end of each in seconds.
        first_action: int64 (N + 1,), where those of each video start.

    Args:
        samples: path and row of each video.
    """

    def __init__(self, samples: Iterable[tuple[str, ListedVideo]]) -> None:
        listed = list(samples)
        super().__init__((path, -1) for path, _ in listed)
        actions = [action for _, row in listed for action in row.actions]
        self.action_classes = torch.tensor([label for label, _, _ in actions]).long()
        self.action_times = torch.tensor([times for _, *times in actions], dtype=torch.float64).reshape(-1, 2)
        self.first_action = torch.tensor([0, *(len(row.actions) for _, row in listed)]).cumsum(0)

    def present(self, row: int, num_classes: int, spans: np.ndarray | None = None) -> Tensor:
        """Return which classes a video has, or stretches of it.

        Args:
            row: of the video.
            num_classes: C.
            spans: float (N, 2), first and last moment of each stretch in seconds; None means the whole video.

        Returns:
            bool (N, C); (1, C) for the whole video.
        """
        first, end = self.first_action[row : row + 2].tolist()
        classes, times = self.action_classes[first:end], self.action_times[first:end]
        if spans is None:
            seen = torch.ones(1, len(classes), dtype=torch.bool)
        else:
            seen = torch.from_numpy((times[:, 0].numpy() <= spans[:, 1:]) & (times[:, 1].numpy() >= spans[:, :1]))
        counts = torch.zeros(len(seen), num_classes, dtype=torch.int64).index_add(1, classes, seen.long())
        return counts > 0

    def select(self, keep: Tensor) -> Self:
        """Return the marked videos, in order.

        Args:
            keep: bool (N,).
        """
        part = super().select(keep)
        lengths = self.first_action.diff()
        chosen = keep.repeat_interleave(lengths)
        part.action_classes, part.action_times = self.action_classes[chosen], self.action_times[chosen]
        part.first_action = torch.cat([torch.zeros(1, dtype=torch.int64), lengths[keep].cumsum(0)])
        return part


class MultiLabelSample(ClipSample):
    """One video: the keys of ``MultiLabelBatch`` without the batch axis."""

    present: Tensor


class CharadesDataModule(ListedVideoDataModule):
    """Charades for recognition of any number of actions; batches are ``MultiLabelBatch``.

    A training clip has the labels of the actions that are seen in it, evaluation those of the whole video: the
    convention of Wu et al. 2019 (arXiv:1812.05038) and of facebookresearch/SlowFast, whose configuration the thesis
    took over (B.2.4). It reads frames that were stored at 24 a second: ``fps=3`` takes 32 of them with a stride of 8
    from videos of any frame rate.

    Args:
        root: folder of the videos.
        lists: folder of the lists; ``root``, or a folder ``Charades`` in or beside it, when None.
        training_labels: ``clip`` or ``video``: what a training clip is labelled with.
        num_frames: see ``ListedVideoDataModule``, as the next five.
        num_clips: see there.
        strides: see there; of the frames of the video.
        temporal_jitter: see there.
        fps: see there.
        crop_size: see there.
        short_sides: of training, one drawn for each video; published is 256 to 340 for crops of 112.
        eval_short_side: of evaluation.
        eval_clips: evenly spaced clips of a video in evaluation.
        eval_crops: crops of each of them, from one end of the longer side to the other; 3 published, in B.2.4 not
            mentioned.
        random_resized_crop: see ``ListedVideoDataModule``, as all that follow.
        global_batch_size: see there.
        eval_batch_size: see there.
        probe_samples: see there.
        num_workers: see there.
        seed: see there.

    Raises:
        ValueError: a number is out of range.
    """

    official_counts: tuple[int, int] | None = OFFICIAL_COUNTS

    def __init__(
        self,
        root: str | Path,
        lists: str | Path | None = None,
        training_labels: Literal["clip", "video"] = "clip",
        num_frames: int = 32,
        num_clips: int = 1,
        strides: tuple[int, ...] = (8,),
        temporal_jitter: bool = False,
        fps: float | None = None,
        crop_size: int = 112,
        short_sides: tuple[int, ...] = SHORT_SIDES,
        eval_short_side: int = 112,
        eval_clips: int = 10,
        eval_crops: int = 3,
        random_resized_crop: bool = False,
        global_batch_size: int = 16,
        eval_batch_size: int = 2,
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
            global_batch_size=global_batch_size,
            eval_batch_size=eval_batch_size,
            probe_samples=probe_samples,
            num_workers=num_workers,
            seed=seed,
        )
        require_positive(eval_crops=eval_crops)
        if eval_short_side < crop_size:
            raise ValueError(f"eval_short_side={eval_short_side} must not be smaller than crop_size={crop_size}")
        if training_labels not in ("clip", "video"):
            raise ValueError(f"training_labels={training_labels!r} must be clip or video")
        self.lists = lists
        self.training_labels = training_labels
        self.eval_short_side = eval_short_side
        self.eval_crops = eval_crops
        self.odd: Odd = {}

    @property
    def preprocessing(self) -> dict[str, object]:
        """How evaluation prepares a clip; see ``VideoDataModule``."""
        return {**super().preprocessing, "short_side": self.eval_short_side}

    def read_lists(self) -> tuple[list[ListedVideo], list[ListedVideo]]:
        """Read the classes and both tables; see ``ListedVideoDataModule``."""
        classes, *tables = (
            find_file(self.root, self.lists, ("Charades",), (f"Charades_v1_{name}",))
            for name in ("classes.txt", "train.csv", "test.csv")
        )
        self.class_names = read_classes(classes)
        self.odd = {}
        train, test = (read_videos(file, len(self.class_names), self.odd) for file in tables)
        return train, test

    def dataset(self, samples: SampleList, training: bool) -> "CharadesDataset":
        """Return the videos, clips drawn at random in training and evenly spaced in evaluation."""
        assert isinstance(samples, ActionList)
        return CharadesDataset(
            samples,
            len(self.class_names),
            ClipSampler(
                self.num_frames,
                self.num_clips if training else self.eval_clips,
                self.strides,
                self.temporal_jitter and training,
                self.fps,
            ),
            self.short_sides if training else (self.eval_short_side,),
            self.crop_size,
            training,
            self.random_resized_crop,
            self.eval_crops,
            self.training_labels == "clip" and training,
        )

    def collate(self, samples: list[Any]) -> MultiLabelBatch:
        """Put samples into a batch."""
        return {**collate(samples), "present": torch.stack([sample["present"] for sample in samples])}

    def _samples(self, present: list[tuple[str, ListedVideo]]) -> ActionList:
        return ActionList(present)

    def _seen_classes(self, samples: SampleList) -> set[int]:
        assert isinstance(samples, ActionList)
        return set(samples.action_classes.tolist())

    def _note(self, listed: tuple[int, int], train: SampleList) -> str:
        odd = [f"{len(places)} actions {what}, such as {places[0]}" for what, places in sorted(self.odd.items())]
        return "; ".join(filter(None, [super()._note(listed, train), *odd]))


class CharadesDataset(VideoDataset):
    """Clips of videos with the classes that are seen in them.

    Args:
        samples: the videos.
        num_classes: C.
        clips: see ``VideoDataset``, as the next six.
        short_sides: see there.
        crop_size: see there.
        training: see there.
        random_resized_crop: see there.
        eval_crops: see there.
        label_clips: whether a clip has the labels of what is seen in it, or those of the whole video.
    """

    samples: ActionList

    def __init__(
        self,
        samples: ActionList,
        num_classes: int,
        clips: ClipSampler,
        short_sides: tuple[int, ...],
        crop_size: int,
        training: bool,
        random_resized_crop: bool,
        eval_crops: int,
        label_clips: bool,
    ) -> None:
        super().__init__(samples, clips, short_sides, crop_size, training, random_resized_crop, eval_crops)
        self.num_classes = num_classes
        self.label_clips = label_clips

    def _read(self, row: int, path: str, generator: torch.Generator) -> Cut:
        cut = super()._read(row, path, generator)
        if self.label_clips and not cut.fps > 0:
            raise VideoError(f"{path}: its frame rate is unknown, so that no action is found in it; encode it anew")
        return cut

    def _sample(self, row: int, path: str, cut: Cut, broken: list[str]) -> MultiLabelSample:
        spans = cut.frames[:, [0, -1]] / cut.fps if self.label_clips else None
        present = self.samples.present(row, self.num_classes, spans)
        crops = len(cut.clip) // len(present)
        return {**super()._sample(row, path, cut, broken), "present": present.repeat_interleave(crops, 0)}


def read_classes(file: Path) -> list[str]:
    """Read ``Charades_v1_classes.txt``: a line ``c000 <name>`` for each class, from c000 on.

    Raises:
        ValueError: the list is missing or empty, or a line is another; with the line.
    """
    names: list[str] = []
    for number, line in read_lines(file):
        match = _CLASS.fullmatch(line)
        if match is None or int(match[1]) != len(names):
            raise ValueError(f"{file}:{number}: `{line}` is not `c{len(names):03d} <class>`; {_REMEDY}")
        names.append(match[2])
    if not names:
        raise ValueError(f"{file}: is empty; take the official file")
    return names


def read_videos(file: Path, num_classes: int, odd: Odd) -> list[ListedVideo]:
    """Read a table of videos and their actions.

    An action that ends before it starts has both exchanged; one that starts after the end of its video counts for the
    video, and no clip shows it. Both are counted.

    Args:
        file: the table, with the columns ``COLUMNS``, and ``length`` where it is known.
        num_classes: to check the classes against.
        odd: by what is odd, the lines that it was found in; more are added.

    Raises:
        ValueError: columns are missing, no video is listed, one is listed twice, or an action is none; with the first
            line and the number of lines.
    """
    rows: dict[str, ListedVideo] = {}
    wrong: list[str] = []
    for number, row in read_table(file, COLUMNS):
        place, name = f"{file}:{number}", row["id"].strip()
        if not name or name in rows:
            wrong.append(f"{place}: video {name!r} is listed before" if name else f"{place}: has no id")
            continue
        actions = []
        for text in filter(None, map(str.strip, row["actions"].split(";"))):
            match = _ACTION.fullmatch(text)
            if match is None or int(match[1]) >= num_classes:
                wrong.append(
                    f"{place}: action `{text}` of {name} is not `class start end` in seconds, with a class from c000 "
                    f"to c{num_classes - 1:03d}"
                )
                break
            start, end = float(match[2]), float(match[3])
            if end < start:
                odd.setdefault("end before they start (both are exchanged)", []).append(place)
            if min(start, end) > _length(row):
                odd.setdefault("start after the end of their video", []).append(place)
            actions.append((int(match[1]), min(start, end), max(start, end)))
        rows[name] = ListedVideo(f"{name}.mp4", -1, actions=tuple(actions))
    if wrong:
        more = f" ({len(wrong)} lines of this file are wrong)" if len(wrong) > 1 else ""
        raise ValueError(f"{wrong[0]}{more}; {_REMEDY}")
    if not rows:
        raise ValueError(f"{file}: lists no videos; take the official file")
    return list(rows.values())


def _length(row: dict[str, str]) -> float:
    """Return the length of a video in seconds; infinite where the table does not tell."""
    try:
        return float(row.get("length", ""))
    except ValueError:
        return math.inf
