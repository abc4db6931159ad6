"""AVA: 430 films, 15 minutes of each, persons in boxes and what they do, once a second.

Home page: https://research.google.com/ava/
Paper: Gu et al. 2018 (arXiv:1705.08421).
Licence: annotations CC BY 4.0; the films belong to who made them.

=======  ======  =======================
split    films   keyframes (902..1798 s)
=======  ======  =======================
train    235     897 a film
val      64      897 a film
=======  ======  =======================

80 actions, of which 60 are evaluated: those of the label map for the challenge. Version 2.2 (B.2.4) has the boxes of
2.1 and more labels. A person does several actions at once. Excluded timestamps take no part in the evaluation, which is
on persons that a detector found, with a score each.

Tree: ``root/annotations`` with ``ava_{train,val}_v2.2.csv``, ``ava_action_list_v2.2_for_activitynet_2019.pbtxt``,
``ava_val_excluded_timestamps_v2.2.csv`` and the detector's boxes, ``ava_val_predicted_boxes.csv`` or
``person_box_67091280_iou90/ava_detection_val_boxes_and_labels.csv``; ``root/frames/VIDEO/VIDEO_000001.jpg``, 30 a
second from second 900 on, as the field's scripts take them, or files ``root/videos/VIDEO.mp4``, cut or whole.
A left-right flip keeps the labels: no action names a side.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pytorch_lightning.utilities import rank_zero_info, rank_zero_warn

from datamodules.ava_lists import BoxTable, read_boxes, read_exclusions, read_label_map
from datamodules.batch import BoxBatch
from datamodules.broken_samples import BrokenSamplesDataModule
from datamodules.keyframe_dataset import KeyframeDataset, KeyframeList, KeyframeSample, collate
from datamodules.listed_videos import stem_of
from datamodules.readers.annotations import find_file
from datamodules.sample_datamodule import require_positive
from datamodules.sample_list import VIDEO_SUFFIXES, SampleList

_FOLDERS = ("frames", "videos", "trainval", "videos_15min", "")
_GIVEN = ("ava_val_predicted_boxes.csv", "person_box_67091280_iou90/ava_detection_val_boxes_and_labels.csv")


class AVADataModule(BrokenSamplesDataModule):
    """AVA's keyframes with persons in boxes; evaluation on given boxes.

    The defaults are those of the thesis (B.2.4): 32 frames, every other one, of which a square of 112 pixels is cropped
    at random; tests see 8 frames, every eighth, of the whole picture. The text gives no sizes to scale to: those of
    fmthoker/SEVERE-BENCHMARK's configs are taken, 256 to 320 pixels in training and 112 in tests. These configs test
    with 32 frames, every other one, too.

    Attributes:
        class_names: of all actions; ``action 2`` where the label map has none.
        evaluated_classes: classes from 0 that the label map names.
        class_frequencies: float32 (C,), share of the training boxes that have each action.

    Args:
        root: folder of frames or videos, and annotations.
        version: of the annotations.
        lists: folder of the annotations; ``annotations`` in ``root`` or beside it, or ``root``, when None.
        videos: folder of videos or of folders of frames; one of the usual names in ``root``, or ``root``, when None.
        boxes: the detector's list for evaluation, in the same folder; looked for when None.
        train_boxes: a detector's list with actions, to train with beside the annotated boxes; a box without an action
            is one that does nothing.
        score_threshold: least score of a detector's box, 0.9 in fmthoker/SEVERE-BENCHMARK's configs.
        num_classes: actions are 1 .. num_classes.
        video_start: time in the film that frames and files start at, seconds; 900 when None, and 0 for a file of more
            than 1798 s, which is a whole film.
        num_frames: of a clip in training.
        stride: frames of 30 a second from one of the clip to the next.
        eval_num_frames: of a clip in evaluation.
        eval_stride: likewise.
        crop_size: side of the square crop in training, pixels.
        short_side: smallest and largest size of the short side in training, pixels.
        eval_short_side: size of the short side in evaluation, pixels.
        global_batch_size: keyframes per optimizer step, over all processes and accumulated batches.
        eval_batch_size: keyframes per batch and process in evaluation.
        num_workers: loading processes per training process; 0 loads in the training process.
        seed: of the order of keyframes and of all that is drawn while loading.

    Raises:
        ValueError: a number is out of range.
    """

    noun = "keyframes"
    flip_keeps_labels: bool = True

    def __init__(
        self,
        root: str | Path,
        version: Literal["2.1", "2.2"] = "2.2",
        lists: str | Path | None = None,
        videos: str | Path | None = None,
        boxes: str | None = None,
        train_boxes: str | None = None,
        score_threshold: float = 0.9,
        num_classes: int = 80,
        video_start: float | None = None,
        num_frames: int = 32,
        stride: int = 2,
        eval_num_frames: int = 8,
        eval_stride: int = 8,
        crop_size: int = 112,
        short_side: tuple[int, int] = (256, 320),
        eval_short_side: int = 112,
        global_batch_size: int = 32,
        eval_batch_size: int = 8,
        num_workers: int = 4,
        seed: int = 0,
    ) -> None:
        super().__init__(global_batch_size, eval_batch_size, None, num_workers, seed)
        require_positive(
            num_classes=num_classes,
            num_frames=num_frames,
            stride=stride,
            eval_num_frames=eval_num_frames,
            eval_stride=eval_stride,
            crop_size=crop_size,
            eval_short_side=eval_short_side,
        )
        if version not in ("2.1", "2.2"):
            raise ValueError(f"version={version!r} must be 2.1 or 2.2")
        if len(short_side) != 2 or not crop_size <= short_side[0] <= short_side[1]:
            raise ValueError(
                f"short_side={tuple(short_side)} must be a smallest and a largest size, not below {crop_size=}"
            )
        if not 0 <= score_threshold <= 1:
            raise ValueError(f"score_threshold={score_threshold} must lie in 0..1")
        self.root = Path(root).expanduser()
        self.version: str = version
        self.lists = lists
        self.videos = videos
        self.boxes = boxes
        self.train_boxes = train_boxes
        self.score_threshold = score_threshold
        self.num_classes = num_classes
        self.video_start = video_start
        self.num_frames = num_frames
        self.stride = stride
        self.eval_num_frames = eval_num_frames
        self.eval_stride = eval_stride
        self.crop_size = crop_size
        self.short_side = (short_side[0], short_side[1])
        self.eval_short_side = eval_short_side

    @property
    def preprocessing(self) -> dict[str, object]:
        """How evaluation prepares a clip, in plain JSON types, for the header of exported weights."""
        return {
            "num_frames": self.eval_num_frames,
            "stride": self.eval_stride,
            "fps": None,
            "short_side": self.eval_short_side,
            "crop_size": self.eval_short_side,
        }

    def setup(self, stage: str) -> None:
        """Read the lists, and note which of their videos are there.

        Raises:
            ValueError: a list is missing or cannot be used, or no video of one is there.
        """
        if hasattr(self, "train_samples"):
            return
        version = self.version
        maps = (f"ava_action_list_v{version}_for_activitynet_*.pbtxt*", f"ava_action_list_v{version}*.pbtxt*")
        assert self.num_classes is not None
        names = read_label_map(self._list(*maps, "*label_map*"), self.num_classes)
        self.evaluated_classes = tuple(names)
        self.class_names = [names.get(label, f"action {label + 1}") for label in range(self.num_classes)]
        train = self._read(self._list(f"ava_train_v{version}.csv"))
        val = self._read(self._list(f"ava_val_v{version}.csv"))
        films = {_film(name) for name in val.names}
        given = self._read(self._list(*((self.boxes,) if self.boxes else _GIVEN)), self.score_threshold, films)
        more = [self._read(self._list(self.train_boxes), self.score_threshold)] if self.train_boxes else []
        excluded = read_exclusions(self._list(f"ava_val_excluded_timestamps_v{version}.csv"))
        paths = self._paths()
        missing: list[str] = []
        train_names = self._present(
            dict.fromkeys(name for table in (train, *more) for name in table.names), paths, missing
        )
        val_names = self._present(dict.fromkeys([*val.names, *given.names]), paths, missing)
        val_names = [name for name in val_names if name not in excluded]
        if not val_names:
            raise ValueError(f"{self.root}: all {len(val.names):,} keyframes to evaluate are excluded; check the lists")
        self.train_samples: KeyframeList = KeyframeList(paths, train_names, [train, *more], self.num_classes)
        self.val_samples: KeyframeList = KeyframeList(paths, val_names, [given], self.num_classes, val)
        target = self.train_samples.target
        self.class_frequencies = target.sum(0) / max(len(target), 1)
        self._tell(missing)

    def _list(self, *names: str) -> Path:
        return find_file(self.root, self.lists, ("annotations",), names)

    def _read(self, file: Path, least_score: float | None = None, videos: set[str] | None = None) -> BoxTable:
        assert self.num_classes is not None
        table = read_boxes(file, self.num_classes, least_score, videos)
        if table.odd.counts:
            rank_zero_warn(f"rows that a rule was applied to: {table.odd}")
        return table

    def _paths(self) -> dict[str, str]:
        """Paths of the videos' files or folders of frames by name.

        Raises:
            ValueError: there is no such folder.
        """
        places = [self.root / folder for folder in _FOLDERS]
        if self.videos is not None:
            given = Path(self.videos).expanduser()
            places = [self.root / given, given]
        folder = next((place for place in places if place.is_dir()), None)
        if folder is None:
            raise ValueError(f"{places[0]}: no such folder; set videos to that of the videos or of their frames")
        found: dict[str, str] = {}
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.is_dir() or os.path.splitext(entry.name)[1].lower() in VIDEO_SUFFIXES:
                    found.setdefault(stem_of(entry.name), entry.path)
        self._folder = folder
        return found

    def _present(self, names: Iterable[str], paths: dict[str, str], missing: list[str]) -> list[str]:
        """Return the keyframes whose videos are there; add the other videos to ``missing``."""
        listed = list(names)
        films = dict.fromkeys(_film(name) for name in listed)
        absent = {film for film in films if film not in paths}
        if len(absent) == len(films):
            raise ValueError(
                f"{self._folder}: holds none of the {len(films):,} listed videos, such as {next(iter(films))}, neither"
                f" as a file nor as a folder of frames; set videos to their folder"
            )
        missing += [film for film in films if film in absent]
        return [name for name in listed if _film(name) not in absent]

    def _tell(self, missing: list[str]) -> None:
        """Log one line on what was found; list the missing videos in the run folder."""
        train, val = self.train_samples, self.val_samples
        line = (
            f"{type(self).__name__}: {len(train):,} training keyframes with {len(train.box):,} boxes, {len(val):,} for"
            f" evaluation with {len(val.box):,} given boxes and {len(val.true_label):,} annotated actions,"
            f" {len(self.evaluated_classes)} of {self.num_classes} classes evaluated"
        )
        if missing:
            line += f"; {len(missing):,} listed videos are missing, such as {missing[0]}"
            folder = self._record_folder()
            if folder is not None and self._processes()[1] == 0:
                file = folder / "missing.txt"
                file.write_text("".join(f"{name}\n" for name in missing), encoding="utf-8")
                line += f" (all in {file})"
        rank_zero_info(line)

    def dataset(self, samples: SampleList, training: bool) -> KeyframeDataset:
        """Return clips around keyframes, cropped at random in training."""
        assert isinstance(samples, KeyframeList)
        if training:
            return KeyframeDataset(
                samples, self.num_frames, self.stride, self.short_side, self.crop_size, self.video_start
            )
        sides = (self.eval_short_side, self.eval_short_side)
        return KeyframeDataset(samples, self.eval_num_frames, self.eval_stride, sides, None, self.video_start)

    def collate(self, samples: list[KeyframeSample]) -> BoxBatch:
        """Put keyframes into a batch."""
        return collate(samples)


def _film(name: str) -> str:
    """Video of a keyframe's name."""
    return name.rpartition(",")[0]
