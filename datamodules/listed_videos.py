"""What the data modules of officially listed videos share: lists found on the disk, and said what is missing."""

import os
from abc import abstractmethod
from array import array
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from datamodules.sample_list import VIDEO_SUFFIXES, SampleList, Texts, find_videos
from datamodules.video_datamodule import VideoDataModule


class ListedVideo(NamedTuple):
    """One row of an official list.

    Attributes:
        name: path or file name, with or without folders and extension.
        label: class from 0.
        segment: start and end (exclusive) in seconds from the video's first frame; None means the whole video.
        actions: class from 0, start and end in seconds of each action, where a video has any number of them.
    """

    name: str
    label: int
    segment: tuple[float, float] | None = None
    actions: tuple[tuple[int, float, float], ...] = ()


class VideoFiles:
    """The videos below a folder, found again by the names in lists: one scan instead of a look-up per row.

    Attributes:
        paths: of the videos, relative to the folder, in order.
        count: number of videos.

    Args:
        root: the folder.

    Raises:
        ValueError: it is missing, is a file, or holds no video.
    """

    def __init__(self, root: Path) -> None:
        self.paths = Texts(find_videos(root))
        self.count = len(self.paths)
        if not self.count:
            raise ValueError(f"{root}: holds no videos; give the folder that holds them, as root/<class>/<file>")
        self._by_stem = PathIndex(self.paths, stem_of)

    def find(self, name: str) -> str | None:
        """Return the path of a listed video relative to the folder, or None.

        The file name decides, the extension is free, and so is the case unless two files differ in it alone. Of several
        files of that name it is the one whose folders, from the nearest on, and then whose extension are the list's.
        """
        paths = self._by_stem.find(stem_of(name)) or self._of_any_case(stem_of(name))
        if len(paths) < 2 or name in paths:
            return name if name in paths else next(iter(paths), None)
        wanted = folders_of(name)
        suffix = os.path.splitext(name)[1]
        return max(paths, key=lambda path: (agreement(wanted, folders_of(path)), path.endswith(suffix)))

    def _of_any_case(self, stem: str) -> list[str]:
        """Return the videos of a stem but for its case; none where that means several stems."""
        paths = self._by_folded_stem.find(stem.casefold())
        return paths if len(set(map(stem_of, paths))) == 1 else []

    @cached_property
    def _by_folded_stem(self) -> "PathIndex":
        return PathIndex(self.paths, lambda path: stem_of(path).casefold())


class PathIndex:
    """Finds paths by a part of theirs, in 16 bytes a path: a dictionary of lists of strings takes hundreds.

    Args:
        paths: kept as they are.
        key: of a path; None where it shall not be found.
    """

    def __init__(self, paths: Sequence[str], key: Callable[[str], str | None]) -> None:
        self.paths, self.key = paths, key
        hashes = np.fromiter((hash(key(path)) for path in paths), np.int64, len(paths))
        order = np.argsort(hashes, kind="stable")
        # Single numbers are read from Python's arrays several times as fast as from NumPy's.
        self._hashes, self._rows = array("q", hashes[order].tobytes()), array("q", order.tobytes())

    def find(self, key: str) -> list[str]:
        """Return the paths of a key, in their order."""
        found, place = [], bisect_left(self._hashes, hash(key))
        while place < len(self._hashes) and self._hashes[place] == hash(key):
            path = self.paths[self._rows[place]]
            if self.key(path) == key:
                found.append(path)
            place += 1
        return found


def stem_of(path: str) -> str:
    """Return a file's name without the extension of a video."""
    name = path.rpartition("/")[2]
    first, dot, suffix = name.rpartition(".")
    return first if dot and f".{suffix}".lower() in VIDEO_SUFFIXES else name


def folders_of(path: str) -> list[str]:
    """Return the folders of a path, the nearest first, with spaces for underscores."""
    parts = [part for part in PurePosixPath(path).parts[:-1] if part not in ("/", ".")]
    return [part.replace("_", " ") for part in reversed(parts)]


def agreement(wanted: list[str], found: list[str]) -> int:
    """Return how many folders agree, from the nearest on."""
    depth = 0
    while depth < min(len(wanted), len(found)) and wanted[depth] == found[depth]:
        depth += 1
    return depth


class ListedVideoDataModule(VideoDataModule):
    """Base of the data modules whose official lists give each video a class and a split.

    A subclass reads its lists; the rest is here: which of the videos are on the disk, and one line that says so. The
    defaults are the protocol of chapter 4: 32 frames at 16 a second, random resized crops, ten clips in evaluation.

    Args:
        root: folder of the videos, nested or flat.
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

    @abstractmethod
    def read_lists(self) -> tuple[list[ListedVideo], list[ListedVideo]]:
        """Read the official lists and set ``class_names``; ``num_classes`` is their number.

        Returns:
            The training videos and those to test with, whether they are on the disk or not.

        Raises:
            ValueError: a list is missing, or a line of it cannot be understood: file, line number, what to do.
        """

    @property
    @abstractmethod
    def official_counts(self) -> tuple[int, int] | None:
        """Videos of the official lists, to train and to test with; None where there is no such number."""

    def setup(self, stage: str) -> None:
        """List the videos that are on the disk.

        Raises:
            ValueError: as of ``read_lists``, the folder holds no videos or none of the listed ones, or fewer than
                ``samples``.
        """
        if hasattr(self, "train_samples"):
            return
        files = VideoFiles(self.root)
        train, val = self.read_lists()
        self.num_classes = len(self.class_names)
        missing: list[str] = []
        found = self._found(files, train, missing)
        self.val_samples = self._found(files, val, missing)
        self.train_samples = self._few(found)
        self._report(missing, self._note((len(train), len(val)), found))

    def _found(self, files: VideoFiles, rows: list[ListedVideo], missing: list[str]) -> SampleList:
        """Return the listed videos that are on the disk; add the names of the others, each once, to ``missing``."""
        paths = {row.name: files.find(row.name) for row in rows}
        absent = [name for name, path in paths.items() if path is None]
        if rows and len(absent) == len(paths):
            raise ValueError(
                f"{self.root}: none of the {len(paths):,} listed videos is in this folder or below it ({files.count:,}"
                f" videos are); looked for names such as {absent[0]}; set root to their folder"
            )
        missing += absent
        return self._samples(
            [(os.path.join(self.root, path), row) for row in rows if (path := paths[row.name]) is not None]
        )

    def _samples(self, present: list[tuple[str, ListedVideo]]) -> SampleList:
        """Return the list of the videos that are on the disk, from their paths and rows."""
        segments = None
        if any(row.segment for _, row in present):
            segments = [row.segment or (0.0, float("inf")) for _, row in present]
        return SampleList(((path, row.label) for path, row in present), segments)

    def _seen_classes(self, samples: SampleList) -> set[int]:
        """Return the classes that occur."""
        return set(samples.labels.tolist())

    def _note(self, listed: tuple[int, int], train: SampleList) -> str:
        """Say whether the lists are the official ones, which classes have no video, and how few are used."""
        notes = []
        of = self.official_counts
        if of is not None and of != listed:
            notes.append(f"listed are {listed[0]:,} and {listed[1]:,}, official are {of[0]:,} and {of[1]:,}")
        empty = sorted(set(range(len(self.class_names))) - self._seen_classes(train))
        if empty:
            notes.append(f"{len(empty)} of the classes have no training video, such as {self.class_names[empty[0]]}")
        if self.samples is not None:
            notes.append(f"these are chosen from {len(train):,}, seed {self.samples_seed}")
        return "; ".join(notes)
