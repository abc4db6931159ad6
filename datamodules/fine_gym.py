"""FineGym: elements of gymnastics, cut from competitions on YouTube, in a hierarchy of event, set and element.

Home page: https://sdolivia.github.io/FineGym/
Paper: Shao et al. 2020 (arXiv:2004.06704). Licence: CC BY-NC 4.0 (annotations); the videos belong to who uploaded them.

=======  =======  ======  =======  =======================================================
subset   classes  train   to test  what
=======  =======  ======  =======  =======================================================
gym99    99       20,484  8,521    Gym99 v1.0, fairly balanced
gym288   288      22,671  9,646    Gym288 v1.0, long-tailed: some classes have one element
vault    6        1,074   446      classes 0 to 5 of Gym99
floor    35       5,385   2,226    classes 6 to 40: floor exercise
fx_s1    11       1,882   777      classes 6 to 16: leaps, jumps and hops of the floor
ub_s1    15       3,511   1,471    classes 74 to 88: circles of the uneven bars
=======  =======  ======  =======  =======================================================

The subsets are those of the thesis (B.2.3) and of fmthoker/SEVERE-BENCHMARK; their labels are counted from 0 anew. The
measure is mean class accuracy.

Tree: an element is a file ``<YouTube id>_E_<start>_<end>_A_<start>_<end>.mp4`` (any extension of videos), anywhere
below ``root``; ``lightning prepare finegym`` cuts them out of the raw videos. Lists and ``gym99_categories.txt`` lie in
``root``, or in a folder ``annotations`` in or beside it. A left-right flip keeps the label: no class names a side.
"""

from pathlib import Path
from typing import Literal

from datamodules.fine_gym_lists import Category, read_categories, read_elements
from datamodules.listed_videos import ListedVideo, ListedVideoDataModule
from datamodules.readers.annotations import find_file

Subset = Literal["gym99", "gym288", "vault", "floor", "fx_s1", "ub_s1"]

NUM_CLASSES = {"gym99": 99, "gym288": 288}
# The list that a subset is of, its first class there, and the one after its last.
CLASSES: dict[Subset, tuple[str, int, int]] = {
    "gym99": ("gym99", 0, 99),
    "gym288": ("gym288", 0, 288),
    "vault": ("gym99", 0, 6),
    "floor": ("gym99", 6, 41),
    "fx_s1": ("gym99", 6, 17),
    "ub_s1": ("gym99", 74, 89),
}
OFFICIAL_COUNTS: dict[Subset, tuple[int, int]] = {
    "gym99": (20_484, 8_521),
    "gym288": (22_671, 9_646),
    "vault": (1_074, 446),
    "floor": (5_385, 2_226),
    "fx_s1": (1_882, 777),
    "ub_s1": (3_511, 1_471),
}
# Of the home page, and of fmthoker/SEVERE-BENCHMARK. The thesis uses version 1.0.
TRAIN_LISTS = ("{}_train_element_v1.0.txt", "{}_train_org.txt", "{}_train.txt", "{}_train_element_v1.1.txt")
VAL_LISTS = ("{}_val_element.txt", "{}_val_org.txt", "{}_val.txt")


class FineGymDataModule(ListedVideoDataModule):
    """Elements of FineGym, trimmed.

    Attributes:
        categories: event, set and element of each class, in their order, known after ``setup``.

    Args:
        root: folder of the elements' files, nested or flat.
        subset: which classes, as above.
        lists: folder of the lists and categories; ``root``, or a folder ``annotations`` in or beside it, when None.
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
        subset: Subset = "gym99",
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
        self.subset: Subset = subset
        self.lists = lists
        self.categories: list[Category] = []

    @property
    def official_counts(self) -> tuple[int, int] | None:
        """Elements of the subset in the lists of version 1.0, to train and to test with."""
        return OFFICIAL_COUNTS[self.subset]

    def read_lists(self) -> tuple[list[ListedVideo], list[ListedVideo]]:
        """Read the lists and the categories.

        Raises:
            ValueError: one is missing, or a line of it cannot be understood.
        """
        of, first, end = CLASSES[self.subset]
        file = self._file((f"{of}_categories.txt",))
        categories = read_categories(file)
        if len(categories) != NUM_CLASSES[of]:
            raise ValueError(f"{file}: has {len(categories)} classes, not {NUM_CLASSES[of]}; take the official file")
        self.categories = categories[first:end]
        self.class_names = [category.name for category in self.categories]
        return self._read(TRAIN_LISTS), self._read(VAL_LISTS)

    def _read(self, names: tuple[str, ...]) -> list[ListedVideo]:
        of, first, end = CLASSES[self.subset]
        elements = read_elements(self._file(tuple(name.format(of) for name in names)), NUM_CLASSES[of])
        return [ListedVideo(name, label - first) for name, label in elements if first <= label < end]

    def _file(self, names: tuple[str, ...]) -> Path:
        return find_file(self.root, self.lists, ("annotations",), names)
