"""PKU-MMD's whole videos with the actions in them, for detection; ``pku_mmd.py`` tells of the dataset."""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from pytorch_lightning.utilities import rank_zero_info
from rich.progress import Progress

from datamodules.pku_mmd import LabelledVideo, labelled_videos, settings, split_file
from datamodules.pku_protocol import Phase, PKUProtocol, Segment, read_split
from datamodules.prepare_ntu import BROKEN_FILE, SETTINGS_FILE, Prepared, made_before, progress_bar
from datamodules.readers.skeleton import read_pku
from datamodules.sample_datamodule import SampleDataModule, require_positive
from datamodules.sample_list import SampleList
from datamodules.skeleton_datamodule import read_class_names
from datamodules.transforms.skeleton import preprocess_video
from datamodules.video_sequences import (
    VideoSequenceDataset,
    VideoSequenceList,
    collate,
    is_video_cache,
    read_videos,
    write_videos,
)
from datamodules.writers.folder import content_key, write_folder


class PKUMMDDetectionDataModule(SampleDataModule):
    """The videos of PKU-MMD; batches are ``DetectionBatch``.

    Preprocessed like the actions alone, but that no gap is closed and nothing repeated (``preprocess_video``): the
    labels tell frames by their number. Labels are those of ``pku_protocol.read_labels``.

    Args:
        root: see ``PKUMMDSkeletonDataModule``.
        phase: see there.
        protocol: see there.
        split_list: see there.
        cache: where to write the preprocessed videos; a folder in the user's cache by default.
        window: frames of a window, at a place drawn anew each time, that training takes of each video; None for whole
            videos. Evaluation has whole videos.
        global_batch_size: see ``SampleDataModule``, as all that follow.
        eval_batch_size: see there.
        num_workers: see there.
        seed: see there.

    Raises:
        ValueError: a number is out of range.
    """

    noun = "videos"
    train_samples: VideoSequenceList
    val_samples: VideoSequenceList

    collate = staticmethod(collate)

    def __init__(
        self,
        root: str | Path,
        phase: Phase = 1,
        protocol: PKUProtocol = "xsub",
        split_list: str | Path | None = None,
        cache: str | Path | None = None,
        window: int | None = None,
        global_batch_size: int = 8,
        eval_batch_size: int = 4,
        num_workers: int = 4,
        seed: int = 0,
    ) -> None:
        super().__init__(global_batch_size, eval_batch_size, None, num_workers, seed)
        if window is not None:
            require_positive(window=window)
        self.root = Path(root).expanduser()
        self.phase: Phase = phase
        self.protocol: PKUProtocol = protocol
        self.split_list = None if split_list is None else Path(split_list).expanduser()
        self.cache = None if cache is None else Path(cache).expanduser()
        self.window = window

    @cached_property
    def folder(self) -> Path:
        """Folder of the prepared videos."""
        if self.cache is not None:
            return self.cache
        content = [str(self.root.resolve()), settings(self.root, self.phase)]
        key = content_key(content)
        return Path("~/.cache/video-efficient-zoo/pku_mmd_videos").expanduser() / f"{self.root.name}-{self.phase}-{key}"

    def prepare_data(self) -> None:
        """Preprocess the videos, unless that is done.

        Raises:
            ValueError: as of ``prepare_pku_videos``.
        """
        done = prepare_pku_videos(self.root, self.folder, self.phase)
        rank_zero_info(str(done).replace("samples", "videos", 1))

    def setup(self, stage: str) -> None:
        """List the videos and part them.

        Raises:
            ValueError: the split list is missing or damaged, the cache is damaged, or no video is in the list.
        """
        if hasattr(self, "train_samples"):
            return
        split = split_file(self.root, self.protocol, self.split_list)
        index = read_videos(self.folder)
        train, val = read_split(split)
        parts = [[video for video in index if video.name in names] for names in (train, val)]
        if not any(parts):
            raise ValueError(f"{split}: none of the videos in {self.root} is in this list; set split_list")
        lists = [VideoSequenceList(part) for part in parts]
        self.train_samples, self.val_samples = (part if len(part) else lists[1 - i] for i, part in enumerate(lists))
        self.class_names = self._name_classes()
        self.num_classes = len(self.class_names)
        line = ", ".join(
            f"{len(part):,} {what} with {len(part.segments):,} actions"
            for part, what in zip(lists, ("training videos", "to test"), strict=True)
        )
        line += "; nothing is held out" if not all(parts) else ""
        missing = len((train | val) - {video.name for video in index})
        line += f"; {missing:,} listed videos are not there" if missing else ""
        neither = len(index) - len(parts[0]) - len(parts[1])
        line += f"; {neither:,} videos in neither list are left out" if neither else ""
        rank_zero_info(f"{type(self).__name__}: phase {self.phase} {self.protocol}, {line}")

    def dataset(self, samples: SampleList, training: bool) -> VideoSequenceDataset:
        """Return the videos of a list; in training a window of each, where one is asked for."""
        assert isinstance(samples, VideoSequenceList)
        return VideoSequenceDataset(self.folder, samples, self.window if training else None)

    def _name_classes(self) -> Sequence[str]:
        return read_class_names("pku_mmd")


def prepare_pku_videos(root: Path, out: Path, phase: Phase, progress: bool = True) -> Prepared:
    """Preprocess the videos of a phase into a cache.

    Args:
        root: as of ``PKUMMDSkeletonDataModule``.
        out: folder to make: ``video_sequences.read_videos`` tells what it holds, and ``broken.txt`` what is wrong with
            each broken video.
        phase: 1 or 2.
        progress: whether to draw a bar on stderr.

    Raises:
        ValueError: a folder or all files are missing, all videos are broken, or ``out`` is something else or cannot be
            written.
    """
    wanted = {**settings(root, phase), "unit": "videos"}
    read = 0
    if not made_before(out, wanted, is_video_cache):
        read_video = lru_cache(1)(read_pku)
        videos, broken = labelled_videos(root, phase, read_video)

        def write(folder: Path) -> None:
            with progress_bar(progress) as bar:
                made = write_videos(folder, _preprocessed(videos, read_video, broken, bar))
            if not made:
                raise ValueError(f"{root}: all {len(broken):,} videos are broken, such as {broken[0]}")
            (folder / BROKEN_FILE).write_text("".join(f"{line}\n" for line in broken))
            (folder / SETTINGS_FILE).write_text(json.dumps(wanted))

        try:
            write_folder(out, write)
        except OSError as error:
            raise ValueError(f"{out}: cannot be written ({error.strerror}); make room, or give another") from error
        read = len(videos)
    return Prepared(out, len(read_videos(out)), (out / BROKEN_FILE).read_text().splitlines(), 0, read)


def _preprocessed(
    videos: list[LabelledVideo], read: Callable[[Path], np.ndarray], broken: list[str], bar: Progress
) -> Iterator[tuple[str, np.ndarray, list[Segment]]]:
    """Read videos one by one; what is wrong with one, or with an action in it, is added to ``broken``."""
    task: Any = bar.add_task("videos", total=len(videos))
    for video in videos:
        try:
            sequence = preprocess_video(read(video.file))
        except ValueError as error:
            broken.append(f"{video.file}:1: {error}; leave the video out")
        else:
            broken += [
                f"{video.labels}:{segment.line}: the action has no frame; leave it out"
                for segment in video.segments
                if segment.start >= segment.end
            ]
            yield video.name, sequence, [segment for segment in video.segments if segment.start < segment.end]
        bar.update(task, advance=1, refresh=True)
