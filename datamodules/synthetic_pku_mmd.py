"""A small PKU-MMD that the project writes itself: long videos, label files and split lists in the real formats.

The fourteen actions of ``kinematic_body.py``, numbered from 1. Somebody does all of one person one after another, at
rest in between; two people do each of theirs twice. Three cameras, left, middle and right, record each performance.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pytorch_lightning.utilities import rank_zero_info

from datamodules.depth_camera import cameras, film
from datamodules.kinematic_body import CLASSES, ONE_PERSON, Act, Performer, perform_in_a_row
from datamodules.pku_mmd import SPLIT_FILES, PKUMMDSkeletonDataModule
from datamodules.pku_mmd_detection import PKUMMDDetectionDataModule
from datamodules.pku_protocol import CAMERAS, PKUProtocol
from datamodules.prepare_ntu import available_cores
from datamodules.sample_datamodule import START_METHOD, require_positive
from datamodules.writers.folder import content_key, write_folder
from datamodules.writers.skeleton import write_pku

NUM_SETUPS = 4
FIRST_VIDEO = 2  # as the real ones
VERSION = 1
LABEL_FOLDER = "Train_Label_PKU_final"
CACHE = "~/.cache/video-efficient-zoo/synthetic_pku_mmd"


class SyntheticPKUMMDDataModule(PKUMMDSkeletonDataModule):
    """Writes a synthetic PKU-MMD once, then cuts and reads its actions like those of the real one.

    Several processes may start at once: each writes into a folder of its own and the first to finish gives it its name.

    Args:
        cache: folder that holds one folder per set of the next five arguments.
        performers: people, at least two; ``xsub`` tests with the last quarter of them.
        repetitions: videos that each of them makes alone, and with somebody else; three files each, one a camera.
        content_seed: of what they do.
        noise: factor of the sensor's errors; 0 for none.
        oddities: whether the label files of the first performer have what the real ones have here and there: an
            inverted segment, an action of confidence 0, and an end that equals the length of the video.
        protocol: see ``PKUMMDSkeletonDataModule``, as all that follow.
        labelled_fraction: see there.
        labelled_seed: see there.
        global_batch_size: see there.
        eval_batch_size: see there.
        probe_samples: see there.
        num_workers: see there.
        seed: see there.
        on_device: see there.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(
        self,
        cache: str | Path = CACHE,
        performers: int = 12,
        repetitions: int = 1,
        content_seed: int = 0,
        noise: float = 1.0,
        oddities: bool = False,
        protocol: PKUProtocol = "xsub",
        labelled_fraction: float = 1.0,
        labelled_seed: int | None = None,
        global_batch_size: int = 64,
        eval_batch_size: int = 64,
        probe_samples: int | None = None,
        num_workers: int = 2,
        seed: int = 0,
        on_device: bool = False,
    ) -> None:
        self.content = PKUContent(performers, repetitions, content_seed, noise, oddities)
        folder = self.content.folder(cache)
        super().__init__(
            root=folder / "videos",
            phase=1,
            protocol=protocol,
            cache=folder / "actions",
            labelled_fraction=labelled_fraction,
            labelled_seed=labelled_seed,
            global_batch_size=global_batch_size,
            eval_batch_size=eval_batch_size,
            probe_samples=probe_samples,
            num_workers=num_workers,
            seed=seed,
            on_device=on_device,
        )

    def prepare_data(self) -> None:
        """Write the files unless they are there, and cut and preprocess the actions."""
        write_once(self.content, self.root)
        super().prepare_data()

    def _name_classes(self) -> Sequence[str]:
        return CLASSES

    def _official_counts(self) -> tuple[int, int] | None:
        return None


class SyntheticPKUMMDDetectionDataModule(PKUMMDDetectionDataModule):
    """Writes the same synthetic PKU-MMD, and reads whole videos with their actions.

    Args:
        cache: see ``SyntheticPKUMMDDataModule``, as the next five.
        performers: see there.
        repetitions: see there.
        content_seed: see there.
        noise: see there.
        oddities: see there.
        protocol: see ``PKUMMDDetectionDataModule``, as all that follow.
        window: see there.
        global_batch_size: see there.
        eval_batch_size: see there.
        num_workers: see there.
        seed: see there.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(
        self,
        cache: str | Path = CACHE,
        performers: int = 12,
        repetitions: int = 1,
        content_seed: int = 0,
        noise: float = 1.0,
        oddities: bool = False,
        protocol: PKUProtocol = "xsub",
        window: int | None = None,
        global_batch_size: int = 8,
        eval_batch_size: int = 4,
        num_workers: int = 2,
        seed: int = 0,
    ) -> None:
        self.content = PKUContent(performers, repetitions, content_seed, noise, oddities)
        folder = self.content.folder(cache)
        super().__init__(
            root=folder / "videos",
            phase=1,
            protocol=protocol,
            cache=folder / "whole",
            window=window,
            global_batch_size=global_batch_size,
            eval_batch_size=eval_batch_size,
            num_workers=num_workers,
            seed=seed,
        )

    def prepare_data(self) -> None:
        """Write the files unless they are there, and preprocess the videos."""
        write_once(self.content, self.root)
        super().prepare_data()

    def _name_classes(self) -> Sequence[str]:
        return CLASSES


class Performance(NamedTuple):
    """What one video shows.

    Attributes:
        number: of the video.
        subject: who acts, or leads, from 1.
        labels: what is done, as indices into ``CLASSES``.
        partner: who acts with them.
    """

    number: int
    subject: int
    labels: tuple[int, ...]
    partner: int

    def views(self) -> list[str]:
        """Return the names of its three videos."""
        return [f"{self.number:04d}-{camera}" for camera in CAMERAS]


class PKUContent(NamedTuple):
    """What is in a synthetic PKU-MMD; the attributes are arguments of ``SyntheticPKUMMDDataModule``."""

    performers: int
    repetitions: int
    content_seed: int
    noise: float
    oddities: bool

    def folder(self, cache: str | Path) -> Path:
        """Return where it is kept.

        Raises:
            ValueError: a number is out of range.
        """
        require_positive(performers=self.performers, repetitions=self.repetitions)
        if self.performers < 2 or 2 * self.performers * self.repetitions > 9_000 or self.noise < 0:
            raise ValueError(
                f"performers={self.performers} must be at least 2, with repetitions={self.repetitions} at most 4,500"
                f" together, and noise={self.noise} at least 0"
            )
        key = content_key([self, CLASSES, VERSION])
        return Path(cache).expanduser() / key

    def performances(self) -> Iterator[Performance]:
        """Return what each video shows."""
        number = FIRST_VIDEO
        for subject in range(1, self.performers + 1):
            for _ in range(self.repetitions):
                for labels in (range(ONE_PERSON), 2 * list(range(ONE_PERSON, len(CLASSES)))):
                    rng = np.random.default_rng([self.content_seed, 0, number])
                    partner = 1 + (subject + int(rng.integers(self.performers - 1))) % self.performers
                    yield Performance(number, subject, tuple(rng.permutation(labels).tolist()), partner)
                    number += 1

    def performer(self, subject: int) -> Performer:
        """Return who has a number."""
        return Performer.draw(np.random.default_rng([self.content_seed, 1, subject]))

    def perform(self, performance: Performance) -> tuple[np.ndarray, list[Act]]:
        """Return a performance, float64 (M, T, 25, 3), metres in the world, and its actions."""
        rng = np.random.default_rng([self.content_seed, 2, performance.number])
        people = (self.performer(performance.subject), self.performer(performance.partner))
        return perform_in_a_row(performance.labels, people, rng)

    def is_training(self, subject: int) -> bool:
        """Tell whether a performer is one that ``xsub`` trains with."""
        return subject <= self.performers - max(1, self.performers // 4)


def write_once(content: PKUContent, root: Path) -> None:
    """Write a synthetic PKU-MMD, unless it is there.

    Raises:
        OSError: the folder cannot be written, such as for want of space.
    """
    if not root.is_dir():
        performances = list(content.performances())
        rank_zero_info(f"writing {3 * len(performances):,} videos of a synthetic PKU-MMD to {root}")
        write_folder(root, partial(write_dataset, content, performances))


def write_dataset(content: PKUContent, performances: list[Performance], folder: Path) -> None:
    """Write the videos of some performances, on all cores, their labels and both split lists."""
    for name in ("PKU_Skeleton_Renew", LABEL_FOLDER):
        (folder / name).mkdir()
    with ProcessPoolExecutor(available_cores(), get_context(START_METHOD)) as pool:
        list(pool.map(partial(write_video, folder, content), performances))
    write_splits(content, performances, folder)


def write_splits(content: PKUContent, performances: list[Performance], folder: Path) -> None:
    """Write the split lists of both protocols."""
    (folder / "Split").mkdir()
    subjects = {name: performance.subject for performance in performances for name in performance.views()}
    for protocol, files in SPLIT_FILES.items():
        parts: dict[bool, list[str]] = {True: [], False: []}
        for name, subject in subjects.items():
            # Cross-view tests with the left camera.
            parts[content.is_training(subject) if protocol == "xsub" else name[-1] != "L"].append(name)
        # The second title is spelt so.
        text = f"Training videos: \n{', '.join(parts[True])}\nValidataion videos: \n{', '.join(parts[False])}\n"
        (folder / "Split" / files[0]).write_text(text, encoding="ascii")


def write_video(folder: Path, content: PKUContent, performance: Performance) -> None:
    """Write what the three cameras see of a performance, and its labels, which are the same for all."""
    bodies, acts = content.perform(performance)
    labels = label_text(acts, bodies.shape[1], content.oddities and performance.subject == 1)
    setup = 1 + performance.subject % NUM_SETUPS
    for name, camera in zip(performance.views(), cameras(setup), strict=True):
        rng = np.random.default_rng([content.content_seed, 3, performance.number, CAMERAS[name[-1]]])
        write_pku(folder / "PKU_Skeleton_Renew" / f"{name}.txt", film(bodies, camera, rng, content.noise))
        (folder / LABEL_FOLDER / f"{name}.txt").write_text(labels, encoding="ascii")


def label_text(acts: list[Act], num_frames: int, oddities: bool) -> str:
    """Return lines ``class,start,end,confidence``; with oddities, the first, second and last have one."""
    lines = [[act.label + 1, act.start, act.end, 2] for act in acts]
    if oddities:
        lines[0][1:3] = lines[0][2], lines[0][1]
        lines[1][3] = 0
        lines[-1][2] = num_frames
    return "".join(f"{','.join(map(str, line))}\n" for line in lines)
