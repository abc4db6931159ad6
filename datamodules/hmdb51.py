"""HMDB51: 6,766 short clips of 51 human actions from films and YouTube.

Home page: https://serre-lab.clps.brown.edu/resource/hmdb-a-large-human-motion-database/
Paper: Kuehne et al. 2011, "HMDB: a large video database for human motion recognition" (ICCV).
Licence: CC BY 4.0, as its home page says; the footage belongs to others.

51 classes; three splits of 3,570 training and 1,530 test videos each (70 and 30 of a class), the rest unused. The
thesis uses split 1 (table 5.1).

Tree: ``root/<class>/<file>.avi``, and the lists of ``testTrainMulti_7030_splits`` or ``test_train_splits``, in ``root``
or beside it: ``<class>_test_split1.txt`` with a line ``<file>.avi <0|1|2> `` per video; 1 trains, 2 tests, 0 is unused.
File names hold characters such as ``! ( ) & ; # [ ] @ = +``.
A left-right flip keeps the label: no class names a side.
"""

from pathlib import Path
from typing import Literal

from datamodules.listed_videos import ListedVideo, ListedVideoDataModule
from datamodules.readers.annotations import find_file, read_lines

OFFICIAL_COUNTS = (3_570, 1_530)
FOLDER = "testTrainMulti_7030_splits"

_TRAIN, _TEST = 1, 2


class HMDB51DataModule(ListedVideoDataModule):
    """HMDB51 by one of its three official splits.

    Args:
        root: folder of the videos.
        split: number of the split.
        lists: folder of the lists; ``testTrainMulti_7030_splits`` in ``root`` or beside it, or ``root``, when None.
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
        if split not in (1, 2, 3):
            raise ValueError(f"split={split} must be 1, 2 or 3")
        self.split = split
        self.lists = lists

    @property
    def official_counts(self) -> tuple[int, int] | None:
        """Videos of the official lists, to train and to test with."""
        return OFFICIAL_COUNTS

    def read_lists(self) -> tuple[list[ListedVideo], list[ListedVideo]]:
        """Read the list of each class; see ``ListedVideoDataModule``."""
        ending = f"_test_split{self.split}.txt"
        files = sorted(find_file(self.root, self.lists, (FOLDER,), (f"*{ending}",)).parent.glob(f"*{ending}"))
        self.class_names = sorted(file.name.removesuffix(ending) for file in files)
        parts: dict[int, list[ListedVideo]] = {0: [], _TRAIN: [], _TEST: []}
        for label, name in enumerate(self.class_names):
            for file, part in read_class(files[0].with_name(f"{name}{ending}")):
                parts[part].append(ListedVideo(f"{name}/{file}", label))
        if not parts[_TRAIN] or not parts[_TEST]:
            raise ValueError(f"{files[0].parent}: the lists of split {self.split} lack videos to train or to test with")
        return parts[_TRAIN], parts[_TEST]


def read_class(file: Path) -> list[tuple[str, int]]:
    """Read ``<class>_test_splitN.txt``.

    Returns:
        File name of each video, and 1 where it trains, 2 where it tests, 0 where it is unused.

    Raises:
        ValueError: the list is missing, or a line is not of a file and one of these numbers.
    """
    rows = []
    for number, line in read_lines(file):
        name, _, part = line.rpartition(" ")
        if not name.strip() or part not in ("0", "1", "2"):
            raise ValueError(f"{file}:{number}: `{line}` is not `<file> <0, 1 or 2>`; correct the line")
        rows.append((name.strip(), int(part)))
    return rows
