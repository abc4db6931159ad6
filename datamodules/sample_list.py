"""Which videos there are: found below a folder, and held flat in memory."""

import copy
import os
import sys
from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

# Of names of files, as in os.fsencode, which takes twice as long.
ENCODING, ERRORS = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
VIDEO_SUFFIXES = frozenset(
    (".avi", ".mp4", ".mkv", ".webm", ".mov", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".ts")
)


def find_videos(root: Path, suffixes: Collection[str] = VIDEO_SUFFIXES) -> Iterator[str]:
    """List the videos in a folder and below it, in sorted order.

    Hidden files and folders are left out. Links to folders are followed; a folder that can be reached twice is listed
    once. A link that leads nowhere is listed, so that it is counted as missing or broken.

    Args:
        root: the folder.
        suffixes: ends of the files' names, in small letters.

    Yields:
        Paths relative to ``root``, with ``/`` between the parts.

    Raises:
        ValueError: ``root`` is missing or is not a folder, or a folder cannot be listed.
    """
    if not root.exists():
        raise ValueError(f"{root}: no such folder; give the folder that holds the videos")
    if not root.is_dir():
        raise ValueError(f"{root}: is a file; give the folder that holds the videos")
    yield from _videos_below(str(root), "", suffixes, set())


def _videos_below(folder: str, prefix: str, suffixes: Collection[str], seen: set[tuple[int, int]]) -> Iterator[str]:
    status = os.stat(folder)
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    try:
        with os.scandir(folder) as scan:
            entries = sorted((entry for entry in scan if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        raise ValueError(f"{folder}: cannot be listed ({error.strerror}); make it readable or leave it out") from error
    for entry in entries:
        if entry.is_dir():
            yield from _videos_below(entry.path, f"{prefix}{entry.name}/", suffixes, seen)
        elif os.path.splitext(entry.name)[1].lower() in suffixes:
            yield prefix + entry.name


class Texts(Sequence[str]):
    """Strings in one array of bytes: 8 bytes each beside their text, where a list takes 57, and no garbage to collect.

    Args:
        texts: the first ones.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self.text, self.ends = bytearray(), array("q", [0])
        for text in texts:
            self.append(text)

    def append(self, text: str) -> None:
        """Put a string at the end."""
        self.text += text.encode(ENCODING, ERRORS)
        self.ends.append(len(self.text))

    def __len__(self) -> int:
        """Return the number of strings."""
        return len(self.ends) - 1

    def __getitem__(self, row: int) -> str:  # type: ignore[override]  # no slices
        """Return a string by its row, 0 <= row < N."""
        return self.text[self.ends[row] : self.ends[row + 1]].decode(ENCODING, ERRORS)

    def __iter__(self) -> Iterator[str]:
        """Return the strings in order."""
        return map(self.__getitem__, range(len(self)))


class SampleList:
    """Paths and labels of N videos in three tensors.

    Python lists of strings are copied page by page into every worker, because reading them changes their reference
    counts (pytorch/pytorch#13246). Tensors stay shared, whether workers are forked or spawned.

    Attributes:
        labels: int64 (N,), class from 0; -1 where a video has none.
        bounds: float64 (N, 2), start and end (exclusive) of each sample in its video, seconds from the first frame;
            None where all samples are whole videos.

    Args:
        samples: path and label of each video, in order.
        segments: start and end of each in seconds; the end may be infinite, which means that of the video.

    Raises:
        ValueError: a segment starts before 0 or is empty, or there is not one for each sample.
    """

    def __init__(
        self, samples: Iterable[tuple[str, int]], segments: Iterable[tuple[float, float]] | None = None
    ) -> None:
        paths, labels = Texts(), array("q")
        for path, label in samples:
            paths.append(path)
            labels.append(label)
        self._text = torch.frombuffer(paths.text, dtype=torch.uint8) if paths.text else torch.empty(0).byte()
        self._ends = torch.frombuffer(paths.ends, dtype=torch.int64)
        self.labels: Tensor = torch.frombuffer(labels, dtype=torch.int64) if labels else torch.empty(0).long()
        self.bounds = None if segments is None else self._checked(segments)

    def _checked(self, segments: Iterable[tuple[float, float]]) -> Tensor:
        table = torch.tensor(list(segments), dtype=torch.float64).reshape(-1, 2)
        if len(table) != len(self):
            raise ValueError(f"{len(table)} segments for {len(self)} samples; give one for each")
        empty = ((table[:, 0] < 0) | ~(table[:, 0] < table[:, 1])).nonzero()[:, 0].tolist()
        if empty:
            start, end = table[empty[0]].tolist()
            raise ValueError(f"{self.path(empty[0])}: {start:g} to {end:g} s is no segment; correct the list")
        return table

    def __len__(self) -> int:
        """Return the number of videos."""
        return len(self.labels)

    def path(self, row: int) -> str:
        """Return the path of a video, by its row from 0."""
        start, end = self._ends[row : row + 2].tolist()
        return os.fsdecode(self._text[start:end].numpy().tobytes())

    def label(self, row: int) -> int:
        """Return the class of a video from 0, or -1, by its row from 0."""
        return int(self.labels[row])

    def segment(self, row: int) -> tuple[float, float] | None:
        """Return start and end of a sample in seconds, by its row from 0; None where it is a whole video."""
        if self.bounds is None:
            return None
        start, end = self.bounds[row].tolist()
        return start, end

    def select(self, keep: Tensor) -> Self:
        """Return the marked videos, in order.

        Args:
            keep: bool (N,).
        """
        lengths = self._ends.diff()
        part = copy.copy(self)
        part._text = self._text[keep.repeat_interleave(lengths)]
        part._ends = torch.cat([torch.zeros(1, dtype=torch.int64), lengths[keep].cumsum(0)])
        part.labels = self.labels[keep]
        part.bounds = None if self.bounds is None else self.bounds[keep]
        return part

    def subset(self, fraction: float, seed: int) -> Self:
        """Return a random part, in order: the video-efficiency experiment of figure 5.6.

        Args:
            fraction: share of the videos, 0 < fraction <= 1; at least one is kept.
            seed: of this choice alone.

        Raises:
            ValueError: ``fraction`` is not in (0, 1].
        """
        if not 0 < fraction <= 1:
            raise ValueError(f"subset={fraction} is not a share of the videos; give a number in (0, 1], such as 0.25")
        rows = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        keep = torch.zeros(len(self), dtype=torch.bool)
        keep[rows[: max(1, round(fraction * len(self)))]] = True
        return self.select(keep)

    def labelled_subset(self, fraction: float, seed: int) -> Self:
        """Return a random part with the same share of each class, in order: semi-supervised learning (table 3.3).

        With one seed a smaller part lies within a larger one.

        Args:
            fraction: share of each class' samples, 0 < fraction <= 1, rounded; at least one is kept. Samples without a
                label are left out.
            seed: of this choice alone.

        Raises:
            ValueError: ``fraction`` is not in (0, 1].
        """
        if not 0 < fraction <= 1:
            raise ValueError(
                f"labelled_fraction={fraction} is not a share of the samples; give a number in (0, 1], such as 0.05"
            )
        rows = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        keep = torch.zeros(len(self), dtype=torch.bool)
        for label in range(int(self.labels.max()) + 1 if len(self) else 0):
            of_class = rows[self.labels[rows] == label]
            keep[of_class[: max(1, round(fraction * len(of_class)))]] = True
        return self.select(keep)
