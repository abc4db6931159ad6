"""A small NTU RGB+D of colour, depth and skeletons that the project writes itself, in the real one's folders and names.

The recordings of ``ntu60`` are of the fourteen actions of ``kinematic_body.py``; those of ``ntu120_minus_60`` of the
fourteen of ``other_actions.py``, by other performers in other rooms, numbered from action 61, performer 41 and setup 18
on: the source dataset of a teacher. Performers, their clothes, rooms, light and cameras vary, and only motion tells the
class. Colour and depth are pictures of one geometry, seen through one lens; joints are those of the bodies in them.
"""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from pytorch_lightning.utilities import rank_zero_info

from datamodules import kinematic_body, other_actions
from datamodules.body_renderer import Clothes, Light, record
from datamodules.depth_camera import cameras, film
from datamodules.kinematic_body import FPS, Performer
from datamodules.multimodal_files import Modality
from datamodules.ntu_multimodal import SKELETON_FOLDER, NTUMultimodalDataModule, Split
from datamodules.ntu_protocol import SampleName
from datamodules.prepare_flow import prepare_flow
from datamodules.prepare_ntu import Bodies, available_cores
from datamodules.readers.depth import DepthKind
from datamodules.room_renderer import Lens, Room
from datamodules.sample_datamodule import START_METHOD, require_positive
from datamodules.synthetic_ntu import FIRST_REPETITION, NUM_SETUPS
from datamodules.writers.depth import write_depth
from datamodules.writers.folder import content_key, write_folder
from datamodules.writers.skeleton import write_skeleton
from datamodules.writers.video import write_video

Actions = Literal["ntu60", "ntu120_minus_60"]

VERSION = 1
MAX_PERFORMERS = 40
RGB_FOLDER = "nturgb+d_rgb"
DEPTH_FOLDERS: dict[DepthKind, str] = {"masked": "nturgb+d_depth_masked", "full": "nturgb+d_depth"}

_CLASSES = {"ntu60": kinematic_body.CLASSES, "ntu120_minus_60": other_actions.CLASSES}
# Numbers of the first action, performer and setup.
_FIRST = {"ntu60": (1, 1, 1), "ntu120_minus_60": (61, 41, 18)}


class SyntheticNTUMultimodalDataModule(NTUMultimodalDataModule):
    """Writes a synthetic NTU RGB+D of several modalities once, then reads it like the real one.

    Several processes may start at once: each writes into a folder of its own and the first to finish gives it its name.
    """

    def __init__(
        self,
        cache: str | Path = "~/.cache/video-efficient-zoo/synthetic_ntu_multimodal",
        performers: int = 13,
        repetitions: int = 2,
        content_seed: int = 0,
        noise: float = 1.0,
        height: int = 48,
        width: int = 64,
        fps: int = 15,
        modalities: tuple[Modality, ...] = ("rgb", "depth"),
        benchmark: Actions = "ntu60",
        protocol: Split = "xview",
        depth: DepthKind = "masked",
        bodies: Bodies = "listed",
        labels_per_class: int | None = None,
        labels_seed: int | None = None,
        clip_length: int = 16,
        num_clips: int = 1,
        frame_tolerance: int = 0,
        global_batch_size: int = 32,
        eval_batch_size: int = 32,
        probe_samples: int | None = None,
        num_workers: int = 2,
        seed: int = 0,
    ) -> None:
        """Remember what to write; it is written in ``prepare_data``.

        Args:
            cache: folder that holds one folder per set of the next seven arguments, actions and kind of depth maps.
            performers: people, at most 40.
            repetitions: of each action by each of them; three samples each, one a camera.
            content_seed: of what they do and how all looks.
            noise: factor of the sensors' errors; 0 for none.
            height: of all pictures, even.
            width: of all pictures, even.
            fps: frames a second, a divisor of 30; a sample lasts 1 to 2.5 seconds, and more frames move less.
            modalities: see ``NTUMultimodalDataModule``, as all that follow; flow is computed where it is asked for.
            benchmark: see there.
            protocol: see there.
            depth: see there.
            bodies: see there.
            labels_per_class: see there.
            labels_seed: see there.
            clip_length: see there.
            num_clips: see there.
            frame_tolerance: see there.
            global_batch_size: see there.
            eval_batch_size: see there.
            probe_samples: see there.
            num_workers: see there.
            seed: see there.

        Raises:
            ValueError: a number is out of range.
        """
        require_positive(performers=performers, repetitions=repetitions, height=height, width=width, fps=fps)
        if performers > MAX_PERFORMERS or noise < 0 or height % 2 or width % 2 or FPS % fps:
            raise ValueError(
                f"performers={performers} must be at most {MAX_PERFORMERS}, noise={noise} at least 0, height={height}"
                f" and width={width} even, and fps={fps} a divisor of {FPS}"
            )
        self.content = Content(benchmark, depth, performers, repetitions, content_seed, noise, height, width, fps)
        key = content_key([self.content, _CLASSES[benchmark], VERSION])
        folder = Path(cache).expanduser() / key
        super().__init__(
            root=folder / "recordings",
            modalities=modalities,
            benchmark=benchmark,
            protocol=protocol,
            depth=depth,
            flow=folder / "flow" if "flow" in modalities else None,
            skeletons=folder / "recordings" / SKELETON_FOLDER,
            cache=folder / bodies,
            bodies=bodies,
            labels_per_class=labels_per_class,
            labels_seed=labels_seed,
            clip_length=clip_length,
            num_clips=num_clips,
            rgb_size=(height, width),
            flow_size=(height, width),
            depth_size=(height, width),
            frame_tolerance=frame_tolerance,
            global_batch_size=global_batch_size,
            eval_batch_size=eval_batch_size,
            probe_samples=probe_samples,
            num_workers=num_workers,
            seed=seed,
        )

    def prepare_data(self) -> None:
        """Write the recordings unless they are there; compute flow and preprocess skeletons where asked for."""
        if not self.root.is_dir():
            performances = list(self.content.performances())
            rank_zero_info(
                f"{type(self).__name__}: writing {3 * len(performances):,} samples of {self.benchmark} to {self.root}"
            )
            write_folder(self.root, partial(write_performances, self.content, performances))
        if self.flow is not None:
            rank_zero_info(str(prepare_flow(self.root / RGB_FOLDER, self.flow)))
        super().prepare_data()

    def _count_classes(self) -> int:
        return len(_CLASSES[self.content.benchmark])

    def _official_counts(self) -> tuple[int, int] | None:
        return None


class Content(NamedTuple):
    """What is in a synthetic NTU RGB+D; the attributes are arguments of ``SyntheticNTUMultimodalDataModule``."""

    benchmark: Actions
    depth: DepthKind
    performers: int
    repetitions: int
    content_seed: int
    noise: float
    height: int
    width: int
    fps: int

    def performances(self) -> Iterator[SampleName]:
        """Return the name of each performance as its first camera records it."""
        first_action, first_subject, first_setup = _FIRST[self.benchmark]
        for subject in range(first_subject, first_subject + self.performers):
            for number in range(self.repetitions):
                setup = first_setup + (subject + number) % NUM_SETUPS
                for action in range(first_action, first_action + len(_CLASSES[self.benchmark])):
                    yield SampleName(setup, 1, subject, FIRST_REPETITION + number, action)

    def perform(self, name: SampleName) -> tuple[np.ndarray, list[Clothes]]:
        """Return a performance, float64 (M, T, 25, 3), metres in the world, and what the performers wear."""
        first_action, first_subject, _ = _FIRST[self.benchmark]
        rng = np.random.default_rng([self.content_seed, *name._replace(camera=0)])
        partner = first_subject + int(rng.integers(self.performers))
        people = [np.random.default_rng([self.content_seed, subject]) for subject in (name.subject, partner)]
        performers = (Performer.draw(people[0]), Performer.draw(people[1]))
        act = kinematic_body.perform if self.benchmark == "ntu60" else other_actions.perform
        bodies = act(name.action - first_action, performers, rng)[:, :: FPS // self.fps]
        return bodies, [Clothes.draw(person) for person in people][: len(bodies)]


def write_performances(content: Content, performances: list[SampleName], folder: Path) -> None:
    """Write what the three cameras record of some performances, on all cores."""
    for name in (RGB_FOLDER, SKELETON_FOLDER, DEPTH_FOLDERS[content.depth]):
        (folder / name).mkdir()
    write = partial(write_performance, folder, content)
    with ProcessPoolExecutor(available_cores(), get_context(START_METHOD)) as pool:
        list(pool.map(write, performances, chunksize=4))


def write_performance(folder: Path, content: Content, name: SampleName) -> None:
    """Write what the three cameras record of a performance: colour, depth maps, skeletons."""
    bodies, clothes = content.perform(name)
    lens = Lens(content.height, content.width)
    light = Light.draw(np.random.default_rng([content.content_seed, *name._replace(camera=0)]))
    for number, camera in enumerate(cameras(name.setup), 1):
        view = name._replace(camera=number)
        # Each performer comes on a day of their own, to a room that is decorated anew.
        room = Room.draw(np.random.default_rng([content.content_seed, name.setup, number, name.subject]))
        rng = np.random.default_rng([content.content_seed, *view])
        write_skeleton(folder / SKELETON_FOLDER / f"{view}.skeleton", film(bodies, camera, rng, content.noise))
        recording = record(bodies, clothes, room, light, camera, lens, rng, content.noise)
        write_video(folder / RGB_FOLDER / f"{view}_rgb.avi", recording.rgb, content.fps)
        depth = recording.masked_depth if content.depth == "masked" else recording.depth
        write_depth(folder / DEPTH_FOLDERS[content.depth] / str(view), depth, content.depth)
