"""NTU RGB+D (60 classes) and NTU RGB+D 120: people before three Kinect v2, one action a recording.

Home page: https://rose1.ntu.edu.sg/dataset/actionRecognition/, https://github.com/shahroudy/NTURGB-D
Papers: Shahroudy et al. 2016 (arXiv:1604.02808), Liu et al. 2019 (arXiv:1905.04757).
Licence: research only, on request; nothing of it is in this package but the names of samples without skeletons.

=======  =======  ========  ======  =======  ========================
dataset  classes  subjects  setups  samples  without usable skeletons
=======  =======  ========  ======  =======  ========================
NTU-60   60       40        17      56,880   302
NTU-120  120      106       32      114,480  535
=======  =======  ========  ======  =======  ========================

Training and test samples, those without usable skeletons left out: cross-subject (xsub) 40,091 / 16,487 and cross-view
(xview) 37,646 / 18,932 of NTU-60, cross-subject 63,026 / 50,919 and cross-setup (xsetup) 54,468 / 59,477 of NTU-120.
The thesis (3.4.1) gives the counts with them, 40,320 / 16,560 and 37,920 / 18,960 for NTU-60.

Tree: any folder of ``SsssCcccPpppRrrrAaaa.skeleton``, nested or flat: setup, camera, performer (subject), repetition,
action, each from 1; class = action - 1. NTU-60 is actions 1 to 60 in setups 1 to 17. Actions 50 to 60 and 106 to 120
are of two people. A left-right flip keeps the label: no class names a side.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

from pytorch_lightning.utilities import rank_zero_info

from datamodules.ntu_protocol import (
    LAST_SETUP,
    NUM_CLASSES,
    OFFICIAL_COUNTS,
    Benchmark,
    Protocol,
    file_split,
    is_training,
    missing_skeletons,
)
from datamodules.prepare_ntu import Bodies, find_recordings, prepare_aside, settings
from datamodules.skeleton_datamodule import SkeletonDataModule, counts, read_class_names
from datamodules.skeleton_dataset import Listed, is_cache, read_index
from datamodules.writers.folder import content_key


class NTUSkeletonDataModule(SkeletonDataModule):
    """Skeletons of NTU RGB+D, preprocessed as published (``transforms/skeleton.py``).

    A partial copy is counted and reported, not refused.

    Args:
        root: folder that ``lightning prepare ntu`` made, or of the ``.skeleton`` files, which are then prepared on
            first use.
        benchmark: ``ntu60`` takes the first 60 actions, ``ntu120`` all.
        protocol: ``xsub`` trains with half of the subjects, ``xview`` with cameras 2 and 3, ``xsetup`` with the even
            setups; ``file`` takes the split of the file that the cache was made from, where that has no names. Such a
            cache serves for another protocol, too, where its counts are the official ones.
        cache: where to prepare the files of ``root``; a folder in the user's cache by default.
        bodies: as of ``prepare_ntu.prepare``, for the files of ``root``.
        labelled_fraction: see ``SkeletonDataModule``, as all that follow.
        labelled_seed: see there.
        global_batch_size: see there.
        eval_batch_size: see there.
        probe_samples: see there.
        num_workers: see there.
        seed: see there.
        on_device: see ``SkeletonDataModule``.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(
        self,
        root: str | Path,
        benchmark: Benchmark = "ntu60",
        protocol: Protocol = "xsub",
        cache: str | Path | None = None,
        bodies: Bodies = "listed",
        labelled_fraction: float = 1.0,
        labelled_seed: int | None = None,
        global_batch_size: int = 64,
        eval_batch_size: int = 64,
        probe_samples: int | None = None,
        num_workers: int = 4,
        seed: int = 0,
        on_device: bool = False,
    ) -> None:
        super().__init__(
            labelled_fraction,
            labelled_seed,
            global_batch_size,
            eval_batch_size,
            probe_samples,
            num_workers,
            seed,
            on_device,
        )
        self.root = Path(root).expanduser()
        self.benchmark: Benchmark = benchmark
        self.protocol: Protocol = protocol
        self.cache = None if cache is None else Path(cache).expanduser()
        self.bodies: Bodies = bodies

    @cached_property
    def folder(self) -> Path:
        """Folder of the prepared sequences: ``root`` itself, or the cache of its files."""
        if is_cache(self.root):
            return self.root
        if self.cache is not None:
            return self.cache
        content = [str(self.root.resolve()), settings(find_recordings(self.root), self.bodies)]
        key = content_key(content)
        return Path("~/.cache/video-efficient-zoo/ntu").expanduser() / f"{self.root.name}-{key}"

    def prepare_data(self) -> None:
        """Preprocess the files of ``root``, unless that is done.

        Raises:
            ValueError: as of ``prepare_ntu.prepare``.
        """
        if not is_cache(self.root):
            prepare_aside(self.root, self.folder, self.bodies)

    def setup(self, stage: str) -> None:
        """List the sequences of the benchmark and part them.

        Raises:
            ValueError: the cache is damaged, or holds no sequence of the benchmark.
        """
        if hasattr(self, "train_samples"):
            return
        index = read_index(self.folder)
        unusable = missing_skeletons(self.benchmark)
        of_benchmark = [
            sample
            for sample in index
            if sample.action <= NUM_CLASSES[self.benchmark] and sample.setup <= LAST_SETUP[self.benchmark]
        ]
        usable = [sample for sample in of_benchmark if sample.frames and sample.name not in unusable]
        parts: dict[bool, list[Listed]] = {True: [], False: []}
        training = self._is_training(of_benchmark)
        for sample in usable:
            parts[training(sample)].append(sample)
        if not usable:
            raise ValueError(
                f"{self.folder}: none of its {len(index):,} samples is a usable one of {self.benchmark}; set benchmark,"
                f" or give another root"
            )
        self._part(parts[True], parts[False])
        self.class_names = self._name_classes()
        self.num_classes = len(self.class_names)
        broken = sum(not sample.frames for sample in of_benchmark)
        left_out = {
            "broken files are left out": broken,
            "without usable skeletons are left out": len(of_benchmark) - broken - len(usable),
        }
        official = self._official_counts(self.benchmark, self.protocol)
        found = counts(len(parts[True]), len(parts[False]), official, left_out)
        rank_zero_info(f"{type(self).__name__}: {self.benchmark} {self.protocol}, {found}")

    def _is_training(self, samples: list[Listed]) -> Callable[[Listed], bool]:
        """Choose what tells the samples to train with: what their names say, or the split of a file without names."""
        split = Counter(file_split(sample.name) for sample in samples)
        named, sizes = split[None] > 0, (split[True], split[False])
        if self.protocol == "file" and named:
            raise ValueError(f"{self.folder}: its samples have names and no split of their own; set another protocol")
        if not samples or named:
            benchmark, protocol = self.benchmark, self.protocol
            return lambda sample: is_training(sample.subject, sample.camera, sample.setup, benchmark, protocol)
        if self.protocol != "file" and sizes != OFFICIAL_COUNTS.get((self.benchmark, self.protocol)):
            raise ValueError(
                f"{self.folder}: was made from a file with a split of its own, {sizes[0]:,} and {sizes[1]:,} sequences"
                f" of {self.benchmark}, which is not the official {self.protocol}; set protocol=file to take it"
            )
        return lambda sample: bool(file_split(sample.name))

    def _name_classes(self) -> Sequence[str]:
        return read_class_names("ntu")[: NUM_CLASSES[self.benchmark]]

    def _official_counts(self, benchmark: Benchmark, protocol: Protocol) -> tuple[int, int] | None:
        return OFFICIAL_COUNTS.get((benchmark, protocol))
