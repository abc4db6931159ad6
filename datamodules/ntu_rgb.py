"""NTU RGB+D as RGB videos: one person or two before three cameras; ``ntu.py`` tells of the dataset.

Papers: Shahroudy et al. 2016 (arXiv:1604.02808), Liu et al. 2019 (arXiv:1905.04757).
Licence: research only, on request.

==========================  =======  ================  ============
benchmark and protocol      classes  training videos   test videos
==========================  =======  ================  ============
NTU-60 cross-subject        60       40,320            16,560
NTU-60 cross-view           60       37,920            18,960
==========================  =======  ================  ============

The thesis takes NTU-60 cross-subject (appendix B). The recordings without usable skeletons are among them: their videos
are sound. NTU-120 has 114,480 videos.

Tree: any folder of ``SsssCcccPpppRrrrAaaa_rgb.avi`` (1920x1080, 30 frames a second), nested or flat; the name tells
class and split. ``lists`` may hold those of the published code (fmthoker/SEVERE-BENCHMARK): ``trainlist01.txt`` and
``testlist01.txt`` with a line ``<class>/<name>_rgb.avi `` per video; videos of them that are missing are then named.
A left-right flip keeps the label: no class names a side.
"""

from pathlib import Path
from typing import Literal

from datamodules.listed_videos import ListedVideo, ListedVideoDataModule, stem_of
from datamodules.ntu_protocol import ALL_COUNTS, LAST_SETUP, NUM_CLASSES, Benchmark, is_training, parse_name
from datamodules.readers.annotations import find_file, read_lines
from datamodules.sample_list import find_videos
from datamodules.skeleton_datamodule import read_class_names


class NTURGBDataModule(ListedVideoDataModule):
    """RGB videos of NTU RGB+D.

    Args:
        root: folder of the videos.
        benchmark: ``ntu60`` takes the first 60 actions, ``ntu120`` all.
        protocol: ``xsub`` trains with half of the subjects, ``xview`` with cameras 2 and 3, ``xsetup`` with the even
            setups.
        lists: folder of lists that part the videos instead of ``protocol``; in ``root`` or as it is.
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
        benchmark: Benchmark = "ntu60",
        protocol: Literal["xsub", "xview", "xsetup"] = "xsub",
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
        self.benchmark: Benchmark = benchmark
        self.protocol: Literal["xsub", "xview", "xsetup"] = protocol
        self.lists = lists

    @property
    def official_counts(self) -> tuple[int, int] | None:
        """Videos of a complete copy, to train and to test with; None where no paper defines the protocol."""
        return ALL_COUNTS.get((self.benchmark, self.protocol))

    def read_lists(self) -> tuple[list[ListedVideo], list[ListedVideo]]:
        """Part the videos by their names, or read the two lists; see ``ListedVideoDataModule``."""
        self.class_names = list(read_class_names("ntu")[: NUM_CLASSES[self.benchmark]])
        if self.lists is not None:
            folder = find_file(self.root, self.lists, (), ("trainlist01.txt",)).parent
            train, test = (
                read_split(folder / f"{name}list01.txt", NUM_CLASSES[self.benchmark]) for name in ("train", "test")
            )
            return train, test
        parts: dict[bool, list[ListedVideo]] = {True: [], False: []}
        seen: dict[str, str] = {}
        for path in find_videos(self.root):
            name = stem_of(path).removesuffix("_rgb")
            try:
                of = parse_name(name)
            except ValueError:
                continue
            if of.action > NUM_CLASSES[self.benchmark] or of.setup > LAST_SETUP[self.benchmark]:
                continue
            if seen.setdefault(name, path) != path:
                raise ValueError(f"{self.root / path}: is also at {self.root / seen[name]}; keep one of the two")
            training = is_training(of.subject, of.camera, of.setup, self.benchmark, self.protocol)
            parts[training].append(ListedVideo(path, of.action - 1))
        for training, use in ((True, "train"), (False, "test")):
            if not parts[training]:
                raise ValueError(
                    f"{self.root}: holds no videos of {self.benchmark} to {use} with by {self.protocol}; give a folder"
                    f" of files such as S001C001P001R001A001_rgb.avi, or another protocol"
                )
        return parts[True], parts[False]


def read_split(file: Path, num_classes: int) -> list[ListedVideo]:
    """Read a list with a line ``<class>/<name>_rgb.avi`` per video; the action in the name is the class.

    Args:
        file: the list.
        num_classes: the last action that may occur.

    Raises:
        ValueError: the list is missing or empty, or a line holds no name such as S001C001P001R001A001, or a later
            action.
    """
    rows = []
    for number, line in read_lines(file):
        try:
            action = parse_name(stem_of(line).removesuffix("_rgb")).action
        except ValueError as error:
            raise ValueError(f"{file}:{number}: {error}") from None
        if action > num_classes:
            raise ValueError(
                f"{file}:{number}: action {action} is none of the first {num_classes}; set benchmark=ntu120"
            )
        rows.append(ListedVideo(line, action - 1))
    if not rows:
        raise ValueError(f"{file}: is empty; give a list with a line `class/S001C001P001R001A001_rgb.avi` per video")
    return rows
