"""Diving48: 16,997 clips of competitive dives, which differ in take-off, somersaults, twists and position.

Home page: http://www.svcl.ucsd.edu/projects/resound/dataset.html
Paper: Li et al. 2018, "RESOUND: Towards Action Recognition without Representation Bias" (ECCV).
Licence: none is stated; the footage belongs to the broadcasters.

48 classes. Version 2 of the lists (2020, corrected labels): 15,027 training and 1,970 test videos; class 30 never
occurs, so that 47 are used. Table C.1 of the thesis.

Tree: ``root/rgb/<video>.mp4`` or any other, nested or flat, and in ``root``, beside it or in ``lists``:
``Diving48_V2_train.json`` and ``Diving48_V2_test.json``, lists of ``{"vid_name": "-mmq0PT-u8k_00155", "label": 0,
"start_frame": 0, "end_frame": 48}``, and ``Diving48_vocab.json`` with the four parts of each class' name. A dive is a
whole file: ``start_frame`` is 0 and ``end_frame`` the number of frames.
A left-right flip keeps the label: no class names a side.
"""

import json
from pathlib import Path
from typing import Any

from datamodules.listed_videos import ListedVideo, ListedVideoDataModule
from datamodules.readers.annotations import find_file, read_json

OFFICIAL_COUNTS = (15_027, 1_970)


class Diving48DataModule(ListedVideoDataModule):
    """Diving48 by version 2 of its lists.

    Args:
        root: folder of the videos.
        lists: folder of the lists; ``root``, or ``annotations`` in it or beside it, when None.
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
        self.lists = lists

    @property
    def official_counts(self) -> tuple[int, int] | None:
        """Videos of the official lists, to train and to test with."""
        return OFFICIAL_COUNTS

    def read_lists(self) -> tuple[list[ListedVideo], list[ListedVideo]]:
        """Read the lists and the names; see ``ListedVideoDataModule``."""
        names = find_file(self.root, self.lists, ("annotations",), ("Diving48_vocab.json",))
        self.class_names = read_vocabulary(names)
        train, test = (
            read_split(names.parent / f"Diving48_V2_{name}.json", len(self.class_names)) for name in ("train", "test")
        )
        return train, test


def read_vocabulary(file: Path) -> list[str]:
    """Read the classes' names, such as ``Back 15som 05Twis FREE``.

    Raises:
        ValueError: the file is missing, or is not a list of lists of words.
    """
    classes = _read_entries(file)
    for number, parts in enumerate(classes, 1):
        if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
            raise ValueError(f"{file}: entry {number}, {json.dumps(parts)}, is not a list of words; correct it")
    return [" ".join(parts) for parts in classes]


def read_split(file: Path, num_classes: int) -> list[ListedVideo]:
    """Read a list of videos.

    Args:
        file: the list.
        num_classes: of the vocabulary.

    Raises:
        ValueError: the file is missing, or an entry has no name or no label of the vocabulary.
    """
    rows = []
    for number, entry in enumerate(_read_entries(file), 1):
        name, label = (entry.get("vid_name"), entry.get("label")) if isinstance(entry, dict) else (None, None)
        if not isinstance(name, str) or not name or type(label) is not int or not 0 <= label < num_classes:
            raise ValueError(
                f"{file}: entry {number}, {json.dumps(entry)}, has no vid_name or no label of 0..{num_classes - 1};"
                f" correct it"
            )
        rows.append(ListedVideo(name, label))
    return rows


def _read_entries(file: Path) -> list[Any]:
    entries = read_json(file)
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{file}: holds no list of entries; get the official file again")
    return entries
