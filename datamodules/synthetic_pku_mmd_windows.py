"""The synthetic PKU-MMD as videos of RGB and depth; ``synthetic_pku_mmd.py`` tells what happens in them.

``RGB_VIDEO/0002-L.avi``, ``DEPTH_VIDEO/0002-L/Depth-00000001.png`` (16 bits, millimetres) and the label files in the
real format. Rooms, clothes and light vary as in ``synthetic_ntu_multimodal.py``, through the same lens.
"""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from pytorch_lightning.utilities import rank_zero_info

from datamodules.body_renderer import Clothes, Light, record
from datamodules.depth_camera import cameras
from datamodules.kinematic_body import CLASSES, FPS
from datamodules.pku_mmd_windows import PKUMMDWindowDataModule
from datamodules.pku_protocol import CAMERAS, PKUProtocol
from datamodules.prepare_ntu import available_cores
from datamodules.readers.depth import DepthKind
from datamodules.room_renderer import Lens, Room
from datamodules.sample_datamodule import START_METHOD, require_positive
from datamodules.synthetic_pku_mmd import LABEL_FOLDER, NUM_SETUPS, Performance, PKUContent, label_text, write_splits
from datamodules.window_dataset import WindowModality
from datamodules.writers.depth import write_depth
from datamodules.writers.folder import content_key, write_folder
from datamodules.writers.video import write_video

VERSION = 1
RGB_FOLDER, DEPTH_FOLDER = "RGB_VIDEO", "DEPTH_VIDEO"


class SyntheticPKUMMDWindowDataModule(PKUMMDWindowDataModule):
    """Writes videos of a synthetic PKU-MMD once, then reads windows of them like those of the real one.

    Several processes may start at once: each writes into a folder of its own and the first to finish gives it its name.
    """

    def __init__(
        self,
        cache: str | Path = "~/.cache/video-efficient-zoo/synthetic_pku_mmd_videos",
        performers: int = 12,
        repetitions: int = 1,
        content_seed: int = 0,
        noise: float = 1.0,
        oddities: bool = False,
        height: int = 48,
        width: int = 64,
        fps: int = 15,
        modality: WindowModality = "depth",
        protocol: PKUProtocol = "xsub",
        train_fraction: float = 1.0,
        fraction_seed: int | None = None,
        window: int = 128,
        step: int = 1,
        train_hop: int | None = None,
        eval_hop: int | None = None,
        depth: DepthKind = "masked",
        global_batch_size: int = 4,
        eval_batch_size: int = 4,
        num_workers: int = 2,
        seed: int = 0,
    ) -> None:
        """Remember what to write; it is written in ``prepare_data``.

        Args:
            cache: folder that holds one folder per set of the next eight arguments and kind of depth maps.
            performers: see ``SyntheticPKUMMDDataModule``, as the next four.
            repetitions: see there.
            content_seed: see there.
            noise: see there.
            oddities: see there.
            height: of all pictures, even.
            width: of all pictures, even.
            fps: frames a second, a divisor of 30.
            modality: see ``PKUMMDWindowDataModule``, as all that follow.
            protocol: see there.
            train_fraction: see there.
            fraction_seed: see there.
            window: see there.
            step: see there.
            train_hop: see there.
            eval_hop: see there.
            depth: see there.
            global_batch_size: see there.
            eval_batch_size: see there.
            num_workers: see there.
            seed: see there.

        Raises:
            ValueError: a number is out of range.
        """
        require_positive(height=height, width=width, fps=fps)
        if height % 2 or width % 2 or FPS % fps:
            raise ValueError(f"height={height} and width={width} must be even, and fps={fps} a divisor of {FPS}")
        self.content = PKUContent(performers, repetitions, content_seed, noise, oddities)
        self.lens, self.fps = Lens(height, width), fps
        facts = [self.content.folder(".").name, height, width, fps, depth, VERSION]
        key = content_key(facts)
        super().__init__(
            root=Path(cache).expanduser() / key,
            modality=modality,
            phase=1,
            protocol=protocol,
            train_fraction=train_fraction,
            fraction_seed=fraction_seed,
            window=window,
            step=step,
            train_hop=train_hop,
            eval_hop=eval_hop,
            size=(height, width),
            depth=depth,
            global_batch_size=global_batch_size,
            eval_batch_size=eval_batch_size,
            num_workers=num_workers,
            seed=seed,
        )

    def prepare_data(self) -> None:
        """Write the videos unless they are there.

        Raises:
            OSError: the folder cannot be written, such as for want of space.
        """
        if self.root.is_dir():
            return
        performances = list(self.content.performances())
        rank_zero_info(f"{type(self).__name__}: writing {3 * len(performances):,} long videos to {self.root}")
        write = partial(write_videos, self.content, self.lens, self.fps, self.depth, performances)
        write_folder(self.root, write)

    def _name_classes(self) -> Sequence[str]:
        return CLASSES


def write_videos(
    content: PKUContent, lens: Lens, fps: int, depth: DepthKind, performances: list[Performance], folder: Path
) -> None:
    """Write the videos of some performances, on all cores, their labels and both split lists."""
    for name in (RGB_FOLDER, DEPTH_FOLDER, LABEL_FOLDER):
        (folder / name).mkdir()
    write = partial(write_performance, folder, content, lens, fps, depth)
    with ProcessPoolExecutor(available_cores(), get_context(START_METHOD)) as pool:
        list(pool.map(write, performances))
    write_splits(content, performances, folder)


def write_performance(
    folder: Path, content: PKUContent, lens: Lens, fps: int, depth: DepthKind, performance: Performance
) -> None:
    """Write what the three cameras see of a performance, and its labels, which are the same for all."""
    bodies, acts = content.perform(performance)
    every = FPS // fps
    bodies = bodies[:, ::every]
    acts = [act._replace(start=act.start // every, end=-(-act.end // every)) for act in acts]
    labels = label_text(acts, bodies.shape[1], content.oddities and performance.subject == 1)
    people = (performance.subject, performance.partner)
    clothes = [Clothes.draw(np.random.default_rng([content.content_seed, 4, person])) for person in people]
    light = Light.draw(np.random.default_rng([content.content_seed, 5, performance.number]))
    setup = 1 + performance.subject % NUM_SETUPS
    for name, camera in zip(performance.views(), cameras(setup), strict=True):
        number = CAMERAS[name[-1]]
        room = Room.draw(np.random.default_rng([content.content_seed, 6, setup, number, performance.subject]))
        rng = np.random.default_rng([content.content_seed, 7, performance.number, number])
        recording = record(bodies, clothes[: len(bodies)], room, light, camera, lens, rng, content.noise)
        write_video(folder / RGB_FOLDER / f"{name}.avi", recording.rgb, fps)
        pictures = recording.masked_depth if depth == "masked" else recording.depth
        write_depth(folder / DEPTH_FOLDER / name, pictures, depth)
        (folder / LABEL_FOLDER / f"{name}.txt").write_text(labels, encoding="ascii")
