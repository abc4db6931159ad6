"""A small NTU RGB+D that the project writes itself: real ``.skeleton`` files with real names.

Fourteen actions, ten of one person and four of two, each with its reversal in time (``kinematic_body.py``). As in the
real one, performers differ, each acts in some of the setups, and three cameras record the same performance.
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
from datamodules.kinematic_body import CLASSES, Performer, perform
from datamodules.ntu import NTUSkeletonDataModule
from datamodules.ntu_protocol import Benchmark, Protocol, SampleName
from datamodules.prepare_ntu import Bodies, available_cores
from datamodules.sample_datamodule import START_METHOD, require_positive
from datamodules.writers.folder import content_key, write_folder
from datamodules.writers.skeleton import write_skeleton

NUM_SETUPS = 4
# The official lists of unusable samples name repetitions 1 and 2: ours are not taken for them.
FIRST_REPETITION = 3
VERSION = 1


class SyntheticNTUDataModule(NTUSkeletonDataModule):
    """Writes a synthetic NTU RGB+D once, then prepares and reads it like the real one.

    Several processes may start at once: each writes into a folder of its own and the first to finish gives it its name.
    """

    def __init__(
        self,
        cache: str | Path = "~/.cache/video-efficient-zoo/synthetic_ntu",
        performers: int = 16,
        repetitions: int = 2,
        content_seed: int = 0,
        noise: float = 1.0,
        protocol: Protocol = "xsub",
        bodies: Bodies = "listed",
        labelled_fraction: float = 1.0,
        labelled_seed: int | None = None,
        global_batch_size: int = 64,
        eval_batch_size: int = 64,
        probe_samples: int | None = None,
        num_workers: int = 2,
        seed: int = 0,
        on_device: bool = False,
    ) -> None:
        """Remember what to write; it is written in ``prepare_data``.

        Args:
            cache: folder that holds one folder per set of the next four arguments.
            performers: people, at most 40; ``xsub`` trains with those that NTU-60 trains with: 10 of the first 16.
            repetitions: of each action by each of them; three sequences each, one a camera.
            content_seed: of what they do.
            noise: factor of the sensor's errors; 0 for none.
            protocol: see ``NTUSkeletonDataModule``, as all that follow.
            bodies: see there.
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
        require_positive(performers=performers, repetitions=repetitions)
        if performers > 40 or noise < 0:
            raise ValueError(f"performers={performers} must be at most 40, and noise={noise} at least 0")
        self.content = Content(performers, repetitions, content_seed, noise)
        key = content_key([self.content, CLASSES, VERSION])
        folder = Path(cache).expanduser() / key
        super().__init__(
            root=folder / "skeletons",
            benchmark="ntu60",
            protocol=protocol,
            cache=folder / bodies,
            bodies=bodies,
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
        """Write the files unless they are there, and preprocess them."""
        if not self.root.is_dir():
            performances = list(self.content.performances())
            rank_zero_info(f"{type(self).__name__}: writing {3 * len(performances):,} .skeleton files to {self.root}")
            write_folder(self.root, partial(write_performances, self.content, performances))
        super().prepare_data()

    def _name_classes(self) -> Sequence[str]:
        return CLASSES

    def _official_counts(self, benchmark: Benchmark, protocol: Protocol) -> tuple[int, int] | None:
        return None


class Content(NamedTuple):
    """What is in a synthetic NTU RGB+D; the attributes are arguments of ``SyntheticNTUDataModule``."""

    performers: int
    repetitions: int
    content_seed: int
    noise: float

    def performances(self) -> Iterator[SampleName]:
        """Return the name of each performance as its first camera records it."""
        for subject in range(1, self.performers + 1):
            for number in range(self.repetitions):
                setup = 1 + (subject + number) % NUM_SETUPS
                for action in range(1, len(CLASSES) + 1):
                    yield SampleName(setup, 1, subject, FIRST_REPETITION + number, action)

    def performer(self, subject: int) -> Performer:
        """Return who has a number."""
        return Performer.draw(np.random.default_rng([self.content_seed, subject]))

    def perform(self, name: SampleName) -> np.ndarray:
        """Return a performance, float64 (M, T, 25, 3), metres in the world."""
        rng = np.random.default_rng([self.content_seed, *name._replace(camera=0)])
        partner = int(rng.integers(1, self.performers + 1))
        return perform(name.action - 1, (self.performer(name.subject), self.performer(partner)), rng)


def write_performances(content: Content, performances: list[SampleName], folder: Path) -> None:
    """Write what the three cameras see of some performances, on all cores."""
    write = partial(write_performance, folder, content)
    with ProcessPoolExecutor(available_cores(), get_context(START_METHOD)) as pool:
        list(pool.map(write, performances, chunksize=8))


def write_performance(folder: Path, content: Content, name: SampleName) -> None:
    """Write what the three cameras see of a performance."""
    bodies = content.perform(name)
    for number, camera in enumerate(cameras(name.setup), 1):
        view = name._replace(camera=number)
        rng = np.random.default_rng([content.content_seed, *view])
        write_skeleton(folder / f"{view}.skeleton", film(bodies, camera, rng, content.noise))
