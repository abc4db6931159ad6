"""Kinetics-400, -600, -700 and Mini-Kinetics-200: ten-second clips of human actions from YouTube.

Home page: https://github.com/cvdfoundation/kinetics-dataset
Papers: Kay et al. 2017 (arXiv:1705.06950), Carreira et al. 2018 (arXiv:1808.01340), 2019 (arXiv:1907.06987);
    Mini-Kinetics-200: Xie et al. 2018 (arXiv:1712.04851), https://github.com/s9xie/Mini-Kinetics-200.
Licence: the annotations are CC BY 4.0 (Google); the videos belong to who uploaded them.

============  =======  ===============================  ==========================
dataset       classes  training videos                  validation videos
============  =======  ===============================  ==========================
Kinetics-400  400      about 250,000 (thesis 5.4.1)     19,906 in the official list
Kinetics-600  600      about 390,000                    50 of each class
Kinetics-700  700      about 545,000                    50 of each class
Mini-200      200      80,000 (77,266 in the thesis)    5,000 (4,907)
============  =======  ===============================  ==========================

The figures are of the published lists; videos vanish from YouTube, so every copy holds fewer. Missing ones are counted.

Trees: ``root/train/<class>/<file>`` (and ``val``), ``root/<class>/<file>``, ``root/<file>``; class folders with spaces
or underscores; files are named ``<YouTube id>_<start:06d>_<end:06d>`` and are .mp4, .mkv, .webm, .avi or the like.
A left-right flip keeps the label: no class of Kinetics-400 names a side.
"""

import csv
import os
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

from datamodules.listed_videos import PathIndex, VideoFiles, agreement, folders_of, stem_of
from datamodules.sample_list import SampleList, Texts
from datamodules.video_datamodule import VideoDataModule

SIZES = (200, 400, 600, 700)
COLUMNS = ("label", "youtube_id", "time_start", "time_end")
SPLITS = {"train": ("train",), "val": ("val", "validate", "validation")}
FOLDERS = {"train": ("train", "videos_train"), "val": ("val", "validate", "validation", "videos_val", "test")}

_CLIP_NAME = re.compile(r"[\w-]{11}_\d{6}_\d{6}", re.ASCII)
_YOUTUBE_ID = re.compile(r"[\w-]{11}", re.ASCII)
_NUMBER = re.compile(r"-?\d{1,18}", re.ASCII)  # longer ones are part of a name

Split = Literal["train", "val"]


class Listed(NamedTuple):
    """One row of a list.

    Attributes:
        name: path or file name, with or without an extension.
        label: class name, class number from 0, or None where the list has no labels.
    """

    name: str
    label: str | int | None


class ListedRows(Sequence[Listed]):
    """The rows of a list, held flat.

    Attributes:
        labels: each one that occurs, once.

    Args:
        rows: read once.
    """

    def __init__(self, rows: Iterable[Listed]) -> None:
        self._names, self._codes = Texts(), array("q")
        codes: dict[str | int | None, int] = {}
        for name, label in rows:
            self._names.append(name)
            self._codes.append(codes.setdefault(label, len(codes)))
        self.labels = list(codes)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._codes)

    def __getitem__(self, row: int) -> Listed:  # type: ignore[override]  # no slices
        """Return a row by its number, 0 <= row < N."""
        return Listed(self._names[row], self.labels[self._codes[row]])

    def __iter__(self) -> Iterator[Listed]:
        """Return the rows in order."""
        return map(self.__getitem__, range(len(self)))


class KineticsDataModule(VideoDataModule):
    """Kinetics in any of its usual trees, listed by the official CSV, by list files, or by the tree itself.

    Args:
        root: folder of the videos.
        train_list: an official ``.csv``, or a text file with a line ``path label``, ``path frames label``, or only
            a path or YouTube id, per video. Looked for in ``root``, then as given. When neither list is given:
            the CSVs in ``root``, if there is one for each split, else the folder tree.
        val_list: the same for evaluation. Where only one list is given, it serves for both.
        subset: share of the training videos that are on the disk, drawn at random (figure 5.6).
        subset_seed: of that choice.
        label_base: number of the first class in list files; the lists of Mini-Kinetics-200 count from 1.
        num_classes: number of classes, to check the lists against; taken from them when None.
        num_frames: see ``VideoDataModule``, as all that follow.
        num_clips: see there.
        strides: see there.
        temporal_jitter: see there.
        fps: see there.
        crop_size: see there.
        short_sides: see there.
        eval_clips: see there.
        random_resized_crop: see there.
        clip_cache: see there.
        samples: see there; of those that ``subset`` leaves.
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
        train_list: str | Path | None = None,
        val_list: str | Path | None = None,
        subset: float = 1.0,
        subset_seed: int = 0,
        label_base: Literal[0, 1] = 0,
        num_classes: int | None = None,
        num_frames: int = 16,
        num_clips: int = 1,
        strides: tuple[int, ...] = (1, 2, 3, 4),
        temporal_jitter: bool = True,
        fps: float | None = None,
        crop_size: int = 112,
        short_sides: tuple[int, ...] = (112, 128, 144),
        eval_clips: int = 10,
        random_resized_crop: bool = False,
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
        self.root = Path(root).expanduser()
        self.train_list = train_list
        self.val_list = val_list
        self.subset = subset
        self.subset_seed = subset_seed
        self.label_base = label_base
        self.num_classes = num_classes

    def setup(self, stage: str) -> None:
        """List the videos that are on the disk.

        Raises:
            ValueError: a folder or list is missing or empty, a list cannot be understood, a label is out of range, the
                lists disagree on the classes, or none of the listed videos is on the disk.
        """
        if hasattr(self, "train_samples"):
            return
        videos = VideoIndex(self.root)
        lists = self._lists()
        if lists:
            listed = {split: self._read(file, split) for split, file in lists.items()}
        else:
            listed = {split: videos.listed(split) for split in ("train", "val")}
            listed = {split: rows for split, rows in listed.items() if rows} or {"train": videos.listed(None)}
        self.class_names = self._class_names(listed, videos)
        numbers = {name: number for number, name in enumerate(self.class_names)}

        missing: list[str] = []
        samples = {}
        for split, rows in listed.items():
            absent: list[str] = []
            samples[split] = SampleList(self._found(rows, split, videos, numbers, absent))
            if rows and not len(samples[split]):
                raise ValueError(
                    f"{self.root}: none of the {len(rows):,} videos of {lists[split]} is in this folder or below it"
                    f" ({videos.count:,} videos are); looked for names such as {absent[0]}; set root to their folder"
                )
            missing += absent
        train, val = samples.get("train"), samples.get("val")
        if train is None:
            assert val is not None
            train = val
        self.train_samples = self._few(train if self.subset == 1 else train.subset(self.subset, self.subset_seed))
        self.val_samples = self.train_samples if val is None or val is train else val
        if self.num_classes is None:
            listed_numbers = (label for rows in listed.values() for label in rows.labels if isinstance(label, int))
            self.num_classes = len(self.class_names) or max(listed_numbers, default=-1) + 1
        self._report(missing)

    def _lists(self) -> dict[Split, Path]:
        """Return the list file of each split that has one."""
        given: dict[Split, str | Path | None] = {"train": self.train_list, "val": self.val_list}
        lists = {split: self._list_file(file) for split, file in given.items() if file is not None}
        if lists:
            return lists
        for split, words in SPLITS.items():
            pattern = re.compile(rf"(?<![a-z])({'|'.join(words)})(?![a-z])")
            files = [file for file in sorted(self.root.glob("*.csv")) if pattern.search(file.stem.lower())]
            if len(files) != 1:
                return {}
            lists["train" if split == "train" else "val"] = files[0]
        return lists

    def _list_file(self, file: str | Path) -> Path:
        path = Path(file).expanduser()
        for candidate in (self.root / path, path):
            if candidate.is_file():
                return candidate
        raise ValueError(f"{path}: no such list, in {self.root} or here; give the path of a .csv or list file")

    def _read(self, file: Path, split: Split) -> ListedRows:
        if file.suffix.lower() == ".csv":
            return read_csv(file, split)
        return read_list(file, self.label_base, self.num_classes)

    def _class_names(self, listed: dict[Split, ListedRows], videos: "VideoIndex") -> list[str]:
        """Number the classes by their sorted names; empty where lists give numbers."""
        named = {split: {label for label in rows.labels if isinstance(label, str)} for split, rows in listed.items()}
        names: set[str] = set().union(*named.values())
        if any(None in rows.labels for rows in listed.values()):
            names |= videos.class_names
        train, val = named.get("train", set()), named.get("val", set())
        # The releases of Kinetics renamed classes: a part of one release is contained in it, another release is not.
        if train - val and val - train and {len(train), len(val)} & set(SIZES):
            raise ValueError(
                f"the training list has {len(train)} classes and the evaluation list {len(val)}, but each lacks some of"
                f" the other's, such as {min(val - train)!r}; give lists of the same release of Kinetics"
            )
        if names and self.num_classes is not None and len(names) != self.num_classes:
            raise ValueError(
                f"num_classes={self.num_classes}, but the lists name {len(names)} classes; correct one of the two"
            )
        return sorted(names)

    def _found(
        self,
        rows: Iterable[Listed],
        split: Split,
        videos: "VideoIndex",
        numbers: dict[str, int],
        absent: list[str],
    ) -> Iterator[tuple[str, int]]:
        for name, label in rows:
            path = videos.find_in(name, split)
            if path is None:
                absent.append(name)
                continue
            if label is None:
                label = videos.class_name(path)
            yield os.path.join(self.root, path), label if isinstance(label, int) else numbers.get(label or "", -1)


class VideoIndex(VideoFiles):
    """The videos below a folder, found again by the names in lists of Kinetics.

    Attributes:
        class_names: names of the class folders, of those in split folders where there are any.

    Args:
        root: the folder.

    Raises:
        ValueError: it is missing, is a file, or holds no video.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        folders = {path.rpartition("/")[0] for path in self.paths}
        of_splits = {folder for folder in folders if folder.partition("/")[0] in FOLDERS["train"] + FOLDERS["val"]}
        names = (self.class_name(f"{folder}/") for folder in of_splits or folders if folder)
        self.class_names = {name for name in names if name is not None}

    @cached_property
    def _by_id(self) -> PathIndex:
        return PathIndex(self.paths, _youtube_id)

    def listed(self, split: Split | None) -> ListedRows:
        """Return the videos of the split's folder, the first of its usual names that is there; None: all videos."""
        start: str | None = ""
        if split is not None:
            folders = {path.partition("/")[0] for path in self.paths if "/" in path}
            start = next((f"{name}/" for name in FOLDERS[split] if name in folders), None)
        paths = [path for path in self.paths if start is not None and path.startswith(start)]
        return ListedRows(Listed(path, self.class_name(path)) for path in sorted(paths))

    def class_name(self, path: str) -> str | None:
        """Return the name of a video's class folder, written with spaces; None where there is none."""
        folders = path.split("/")[:-1]
        if folders and folders[0] in FOLDERS["train"] + FOLDERS["val"]:
            folders = folders[1:]
        return folders[0].replace("_", " ") if folders else None

    def find_in(self, name: str, split: Split) -> str | None:
        """Return the path of a listed video relative to the folder, or None.

        The file name decides; extensions are free. Folders must agree as far as both have them, spaces and underscores
        being equal, unless the name is one of Kinetics, which is unique. A clip may be kept under its bare YouTube id,
        and an id stands for any clip of that video.
        """
        stem = stem_of(name)
        paths = self._by_stem.find(stem)
        if not paths and _CLIP_NAME.fullmatch(stem):
            paths = self._by_stem.find(stem[:11])
        if not paths and _YOUTUBE_ID.fullmatch(stem):
            paths = self._by_id.find(stem)
        is_unique = _CLIP_NAME.fullmatch(stem) or _YOUTUBE_ID.fullmatch(stem)
        if not paths or name in paths:
            return name if paths else None
        if is_unique and len(paths) == 1:
            return paths[0]
        wanted = folders_of(name)
        depths = {path: agreement(wanted, folders_of(path)) for path in paths}
        if not is_unique:
            depths = {path: depth for path, depth in depths.items() if depth == min(len(wanted), len(folders_of(path)))}
        return max(depths, key=lambda path: (depths[path], path.partition("/")[0] in FOLDERS[split]), default=None)


def _youtube_id(path: str) -> str | None:
    """Return the id that a Kinetics clip is named after, None of other files."""
    stem = stem_of(path)
    return stem[:11] if _CLIP_NAME.fullmatch(stem) else None


def read_csv(file: Path, split: Split) -> ListedRows:
    """Read an official list: ``label,youtube_id,time_start,time_end,split,is_cc``.

    Args:
        file: the list.
        split: whose rows to take, where the file holds more than one split; else all are taken.

    Returns:
        ``<label>/<youtube_id>_<start:06d>_<end:06d>`` and the class name of each row.

    Raises:
        ValueError: columns are missing, a row cannot be understood, or there is none.
    """
    splits = array("q")
    numbers: dict[str, int] = {}
    rows = ListedRows(_csv_rows(file, splits, numbers))
    if len(numbers) > 1:
        wanted = {numbers[name] for name in SPLITS[split] if name in numbers}
        rows = ListedRows(row for row, of in zip(rows, splits, strict=True) if of in wanted)
    if not rows:
        raise ValueError(f"{file}: lists no videos of split {split}; give a list that has some")
    return rows


def _csv_rows(file: Path, splits: "array[int]", numbers: dict[str, int]) -> Iterator[Listed]:
    """Read the rows of an official list; add the number of each row's split, and each new split's name."""
    with file.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as stream:
        reader = csv.reader(stream)
        header = next(reader, [])
        absent = [name for name in COLUMNS if name not in header]
        if absent:
            raise ValueError(
                f"{file}: columns {', '.join(absent)} are missing; an official list starts with the line"
                f" {','.join(COLUMNS)},split,is_cc (a list of lines `path label` must not be named .csv)"
            )
        of_label, of_id, of_start, of_end = (header.index(name) for name in COLUMNS)
        of_split = header.index("split") if "split" in header else None
        for row in reader:
            if not row:
                continue
            try:
                label = row[of_label].strip()
                name = f"{label}/{row[of_id]}_{int(row[of_start]):06d}_{int(row[of_end]):06d}"
            except (IndexError, ValueError):
                label = name = ""
            if not label:
                raise ValueError(
                    f"{file}:{reader.line_num}: `{','.join(row)}` has no label or no whole seconds; mend or remove the"
                    f" line"
                )
            split = row[of_split].strip().lower() if of_split is not None and of_split < len(row) else ""
            splits.append(numbers.setdefault(split, len(numbers)))
            yield Listed(name, label)


def read_list(file: Path, label_base: int, num_classes: int | None) -> ListedRows:
    """Read a list with a line ``path label``, ``path frames label`` or ``path`` per video; paths may hold spaces.

    Which of the three it is holds for the whole file: every line ends in two whole numbers, in one, or none does.

    Args:
        file: the list.
        label_base: number of the first class.
        num_classes: number of classes, None when unknown.

    Returns:
        Path and class number from 0 of each line; the label is None in a list without labels.

    Raises:
        ValueError: the list is empty, some lines lack a label, or a label is out of range.
    """
    names, labels = Texts(), array("q")
    top = None if num_classes is None else label_base + num_classes - 1
    bare: str | None = None
    outside: str | None = None
    framed = True
    with file.open(encoding="utf-8-sig", errors="surrogateescape") as stream:
        for number, line in enumerate(map(str.strip, stream), 1):
            if not line:
                continue
            parts = _part_number(line)
            if parts is None:
                bare = bare or f"{file}:{number}: `{line}`"
                names.append(line)
                continue
            name, label = parts
            if outside is None and (label < label_base or (top is not None and label > top)):
                outside = f"{file}:{number}: label {label}"
            framed = framed and _part_number(name) is not None
            names.append(name)
            labels.append(label)
    if not len(names):
        raise ValueError(f"{file}: is empty; give a list with a line `path label` per video")
    if not labels:
        return ListedRows(Listed(_unquoted(line), None) for line in names)
    if bare is not None:
        raise ValueError(f"{bare} has no label, others have; give all lines one or none")
    if outside is not None:
        raise ValueError(
            f"{outside} is out of range {label_base} to {'the last' if top is None else top};"
            f" set label_base (now {label_base}) and num_classes, or correct the line"
        )
    present = set(labels)
    if label_base == 0 and min(present) == 1 and len(present) == max(present) and len(present) in SIZES:
        raise ValueError(f"{file}: labels run from 1 to {max(present)}; set label_base=1")
    paths = (parts[0] for name in names if (parts := _part_number(name))) if framed else names
    return ListedRows(Listed(_unquoted(path), label - label_base) for path, label in zip(paths, labels, strict=True))


def _part_number(text: str) -> tuple[str, int] | None:
    """Part a text from the whole number it ends in; None where there is none."""
    parts = text.rsplit(maxsplit=1)
    return (parts[0], int(parts[1])) if len(parts) == 2 and _NUMBER.fullmatch(parts[1]) else None


def _unquoted(name: str) -> str:
    return name[1:-1] if len(name) > 2 and name[0] == name[-1] == '"' else name
