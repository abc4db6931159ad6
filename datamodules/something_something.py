"""Something-Something v2: 174 things that people do with objects, named by templates such as "Pushing [something]".

Home page: https://www.qualcomm.com/developer/software/something-something-v-2-dataset
Paper: Goyal et al. 2017 (arXiv:1706.04261). Licence: research only, on request.

========  ===============  ==============
classes   training videos  to test with
========  ===============  ==============
174       168,913          24,777
========  ===============  ==============

These are the official training and validation lists (thesis, B.2.1); the 27,157 test videos have no public labels.

Tree: videos ``<id>.webm`` (or .mp4, .avi: re-encoded copies) anywhere below ``root``, such as in
``20bn-something-something-v2``; lists ``labels.json``, ``train.json`` and ``validation.json``, or with the prefix
``something-something-v2-``, in ``root``, or in a folder ``annotations`` or ``labels`` in or beside it. A list is an
array of ``{id, label, template, placeholders}``; the class is what ``labels.json`` gives for the template without
brackets.

A left-right flip changes labels: "Pushing something from left to right", "Turning the camera left while filming
something" and their opposites are classes.
"""

from pathlib import Path
from typing import Any

import torch

from datamodules.listed_videos import ListedVideo, ListedVideoDataModule
from datamodules.readers.annotations import find_file, read_json

NUM_CLASSES = 174
OFFICIAL_COUNTS = (168_913, 24_777)
FOLDERS = ("annotations", "labels")


class SomethingSomethingDataModule(ListedVideoDataModule):
    """Something-Something v2.

    Attributes:
        flip_keeps_labels: False: left and right are classes.

    Args:
        root: folder of the videos, nested or flat.
        lists: folder of the lists; ``root`` or a folder as above when None.
        suffix: of a video to take where there are several of one id.
        subset: share of the training list, drawn at random: 0.25 for SSv2-Sub (appendix C.4). The thesis says 25 % and
            34,409 videos, which are 20.4 % of 168,913; the share is followed, 42,228 videos.
        subset_seed: of that choice alone.
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

    flip_keeps_labels = False

    def __init__(
        self,
        root: str | Path,
        lists: str | Path | None = None,
        suffix: str = ".webm",
        subset: float = 1.0,
        subset_seed: int = 0,
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
        if not 0 < subset <= 1:
            raise ValueError(f"subset={subset} is not a share of the videos; give a number in (0, 1], such as 0.25")
        self.lists = lists
        self.suffix = f".{suffix.removeprefix('.')}"
        self.subset = subset
        self.subset_seed = subset_seed

    @property
    def official_counts(self) -> tuple[int, int] | None:
        """Videos of the official lists, to train and to test with."""
        return round(self.subset * OFFICIAL_COUNTS[0]), OFFICIAL_COUNTS[1]

    def read_lists(self) -> tuple[list[ListedVideo], list[ListedVideo]]:
        """Read the lists, and draw the part of the training list that is used.

        Raises:
            ValueError: a list is missing, or an entry of it cannot be understood.
        """
        labels = read_labels(self._file("labels"))
        self.class_names = list(labels)
        train = read_videos(self._file("train"), labels, self.suffix)
        if self.subset < 1:
            rows = torch.randperm(len(train), generator=torch.Generator().manual_seed(self.subset_seed))
            train = [train[row] for row in sorted(rows[: max(1, round(self.subset * len(train)))].tolist())]
        return train, read_videos(self._file("validation"), labels, self.suffix)

    def _file(self, name: str) -> Path:
        names = (f"something-something-v2-{name}.json", f"{name}.json")
        return find_file(self.root, self.lists, FOLDERS, names)


def read_labels(file: Path) -> dict[str, int]:
    """Read the classes: ``{"Approaching something with your camera": "0", ...}``.

    Returns:
        Number of each class by its name, in order of the numbers.

    Raises:
        ValueError: the file is something else, or numbers are missing or doubled.
    """
    content = read_json(file)
    numbers = list(content.values()) if isinstance(content, dict) else []
    if not numbers or sorted(map(str, numbers)) != sorted(map(str, range(len(numbers)))):
        raise ValueError(f"{file}: holds no names numbered from 0 up, each once; take the official labels.json")
    return {name: int(number) for name, number in sorted(content.items(), key=lambda item: int(item[1]))}


def read_videos(file: Path, labels: dict[str, int], suffix: str = ".webm") -> list[ListedVideo]:
    """Read a list of videos: an array of ``{"id": "74225", "template": "Spinning [something] ...", ...}``.

    Args:
        file: the list.
        labels: as of ``read_labels``.
        suffix: what to add to an id for the name.

    Raises:
        ValueError: the list is empty or an entry is something else; entries are counted from 1.
    """
    content = read_json(file)
    if not isinstance(content, list) or not content:
        raise ValueError(f"{file}: is not an array of videos; take the official list")
    return [_video(entry, f"{file}: entry {number}", labels, suffix) for number, entry in enumerate(content, 1)]


def _video(entry: Any, where: str, labels: dict[str, int], suffix: str) -> ListedVideo:  # noqa: ANN401 - of JSON
    entry = entry if isinstance(entry, dict) else {}
    name, template = str(entry.get("id", "")), entry.get("template")
    if not name or not name.isascii() or not name.isdigit():
        raise ValueError(f"{where} has no id such as 74225; correct it, or take the official list")
    if not isinstance(template, str):
        raise ValueError(f"{where} (id {name}) has no template; take the training or the validation list")
    label = labels.get(template.replace("[", "").replace("]", ""))
    if label is None:
        raise ValueError(f"{where} (id {name}): {template!r} is no class of the labels; take both from one release")
    return ListedVideo(f"{name}{suffix}", label)
