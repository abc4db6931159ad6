"""PKU-MMD's long videos of depth or RGB, in windows with the actions in them; ``pku_mmd.py`` tells of the dataset.

Its authors give out, in folders such as ``RGB_VIDEO`` and ``DEPTH_VIDEO``, an AVI file a video: ``0002-L.avi``, RGB of
1920x1080 and depth of 512x424, 30 frames a second. Depth in them has 8 bits, and what a grey level stands for is not
documented. Folders ``0002-L`` of 16-bit pictures ``Depth-00000001.png``, as NTU RGB+D has them, are read as well.
Cross-subject of phase I trains with 942 videos and tests with 132 (thesis 2.4.1).
"""

import math
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

from pytorch_lightning.utilities import rank_zero_info, rank_zero_warn

from datamodules.broken_samples import BrokenSamplesDataModule
from datamodules.pku_mmd import split_file
from datamodules.pku_protocol import Phase, PKUProtocol, Segment, is_video, read_labels, read_split
from datamodules.readers.depth import DepthError, DepthKind
from datamodules.readers.video import VideoError
from datamodules.sample_datamodule import require_positive
from datamodules.sample_list import VIDEO_SUFFIXES, SampleList
from datamodules.skeleton_datamodule import read_class_names
from datamodules.window_dataset import LongVideo, WindowDataset, WindowList, WindowModality, collate, count_frames

# Kinect v2 reaches 8 m.
MILLIMETRES_PER_LEVEL = 8000 / 255

_NAME_LENGTHS = {1: len("0002-L"), 2: len("A01N01-L")}


class PKUMMDWindowDataModule(BrokenSamplesDataModule):
    """Windows of the videos of PKU-MMD; batches are ``WindowBatch``.

    Training takes each window of a grid, moved on at random by up to ``train_hop``; evaluation takes those of a grid as
    they are, so that each frame is seen. Labels are those of ``pku_protocol.read_labels``; actions that overlap are
    kept. What is odd in the labels, and videos that cannot be read, are told in one line each.

    Args:
        root: holds a folder whose name holds ``depth`` (or ``rgb``), one whose name holds ``label``, and the split
            lists.
        modality: ``depth`` or ``rgb``.
        phase: see ``PKUMMDSkeletonDataModule``, as the next two.
        protocol: see there.
        split_list: see there.
        train_fraction: share of the training videos, rounded down: 1/4, 1/2 and 1 in table 2.6 (235, 471 and 942; the
            thesis says 470). A smaller part lies within a larger one.
        fraction_seed: of that choice; ``seed`` when None.
        window: frames of a window (T).
        step: frames of the video from one frame of a window to the next.
        train_hop: frames from one window of training to the next; half of what a window covers by default.
        eval_hop: the same of evaluation.
        size: height and width that frames are brought to.
        depth: ``full`` or ``masked`` depth maps, where they are folders of pictures.
        millimetres_per_level: of depth in video files.
        global_batch_size: see ``SampleDataModule``, as all that follow.
        eval_batch_size: see there.
        num_workers: see there.
        seed: see there.

    Raises:
        ValueError: a number is out of range.
    """

    noun = "windows"
    train_samples: WindowList
    val_samples: WindowList

    collate = staticmethod(collate)

    def __init__(
        self,
        root: str | Path,
        modality: WindowModality = "depth",
        phase: Phase = 1,
        protocol: PKUProtocol = "xsub",
        split_list: str | Path | None = None,
        train_fraction: float = 1.0,
        fraction_seed: int | None = None,
        window: int = 768,
        step: int = 1,
        train_hop: int | None = None,
        eval_hop: int | None = None,
        size: tuple[int, int] = (112, 135),
        depth: DepthKind = "full",
        millimetres_per_level: float = MILLIMETRES_PER_LEVEL,
        global_batch_size: int = 4,
        eval_batch_size: int = 4,
        num_workers: int = 4,
        seed: int = 0,
    ) -> None:
        super().__init__(global_batch_size, eval_batch_size, None, num_workers, seed)
        half = max(window * step // 2, 1)
        self.train_hop = half if train_hop is None else train_hop
        self.eval_hop = half if eval_hop is None else eval_hop
        require_positive(window=window, step=step, train_hop=self.train_hop, eval_hop=self.eval_hop)
        require_positive(height=size[0], width=size[1])
        if not 0 < train_fraction <= 1 or millimetres_per_level <= 0:
            raise ValueError(
                f"train_fraction={train_fraction} must be a share, above 0 and at most 1, and "
                f"millimetres_per_level={millimetres_per_level} above 0"
            )
        self.root = Path(root).expanduser()
        self.modality: WindowModality = modality
        self.phase: Phase = phase
        self.protocol: PKUProtocol = protocol
        self.split_list = None if split_list is None else Path(split_list).expanduser()
        self.train_fraction = train_fraction
        self.fraction_seed = seed if fraction_seed is None else fraction_seed
        self.window = window
        self.step = step
        self.size = (size[0], size[1])
        self.depth: DepthKind = depth
        self.millimetres_per_level = millimetres_per_level

    def setup(self, stage: str) -> None:
        """List the videos, part them, and read their actions.

        Raises:
            ValueError: a folder or the split list is missing or damaged, or no video is in the list.
        """
        if hasattr(self, "train_samples"):
            return
        split = split_file(self.root, self.protocol, self.split_list)
        train, val = read_split(split)
        files = find_videos(self.root, self.modality, self.phase)
        if not files.keys() & (train | val):
            raise ValueError(f"{split}: none of the videos in {self.root} is in this list; set split_list")
        parts = [sorted(files.keys() & names) for names in (train, val)]
        parts[0] = self._share(parts[0])
        broken: list[str] = []
        odd: dict[str, list[str]] = {}
        labels = find_folder(self.root, "label")
        videos = [[self._video(name, files[name], labels, broken, odd) for name in names] for names in parts]
        listed = [[video for video in part if video is not None] for part in videos]
        if not listed[0] or not listed[1]:
            reason = f", such as {broken[0]}" if broken else ""
            raise ValueError(
                f"{self.root}: {len(listed[0])} videos to train and {len(listed[1])} to test with can be read{reason}"
            )
        reach = self.window * self.step
        self.train_samples = WindowList(listed[0], reach, self.train_hop)
        self.val_samples = WindowList(listed[1], reach, self.eval_hop)
        self.class_names = self._name_classes()
        self.num_classes = len(self.class_names)
        missing = len((train | val) - files.keys())
        self._report(listed, missing, broken, odd)

    def dataset(self, samples: SampleList, training: bool) -> WindowDataset:
        """Return the windows of a list, in training each moved on at random."""
        assert isinstance(samples, WindowList)
        return WindowDataset(
            samples,
            self.modality,
            self.window,
            self.step,
            self.size,
            self.train_hop - 1 if training else 0,
            self.depth,
            self.millimetres_per_level,
        )

    def _share(self, names: list[str]) -> list[str]:
        """Choose some of the training videos, by their names and the seed alone."""
        count = max(math.floor(self.train_fraction * len(names) + 1e-9), 1)
        order = sorted(names, key=lambda name: blake2b(f"{self.fraction_seed} {name}".encode(), digest_size=8).digest())
        return sorted(order[:count])

    def _video(
        self, name: str, path: Path, labels: Path, broken: list[str], odd: dict[str, list[str]]
    ) -> LongVideo | None:
        """Look into a video and its labels; what is wrong is added to ``broken`` and ``odd``."""
        file = labels / f"{name}.txt"
        if not file.is_file():
            broken.append(f"{file}:1: is missing, so that {name} is left out; copy it from the dataset")
            return None
        try:
            frames = count_frames(path, self.depth)
            segments = [segment for segment in read_labels(file, frames, odd) if segment.start < segment.end]
        except (VideoError, DepthError, ValueError) as error:
            broken.append(str(error))
            return None
        for segment in overlapping(segments):
            odd.setdefault("overlapping (both are kept)", []).append(f"{file}:{segment.line}")
        return LongVideo(name, str(path), frames, segments)

    def _report(
        self, listed: list[list[LongVideo]], missing: int, broken: list[str], odd: dict[str, list[str]]
    ) -> None:
        """Say what there is, and what is wrong with the rest."""
        counts = [f"{len(part):,} with {sum(len(video.segments) for video in part):,} actions" for part in listed]
        line = f"{counts[0]} to train, {counts[1]} to test"
        line += f"; {missing:,} listed videos are not there" if missing else ""
        rank_zero_info(f"{type(self).__name__}: phase {self.phase} {self.protocol}, {self.modality} videos: {line}")
        if odd:
            told = ", ".join(f"{len(places)} {rule} (first: {places[0]})" for rule, places in sorted(odd.items()))
            rank_zero_warn(f"{self.root}: labels that a rule was applied to (pku_protocol.read_labels): {told}")
        self._report_left_out(broken)

    def _name_classes(self) -> Sequence[str]:
        return read_class_names("pku_mmd")


def overlapping(segments: Sequence[Segment]) -> list[Segment]:
    """Return the actions that begin before an earlier one has ended."""
    found, end = [], 0
    for segment in sorted(segments, key=lambda segment: segment.start):
        if segment.start < end:
            found.append(segment)
        end = max(end, segment.end)
    return found


def find_folder(root: Path, word: str) -> Path:
    """Find the folder in ``root`` whose name holds a word.

    Raises:
        ValueError: there is none, or several.
    """
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder; give the folder that holds those of videos and labels")
    found = sorted(path for path in root.iterdir() if path.is_dir() and word in path.name.lower())
    if len(found) != 1:
        raise ValueError(f"{root}: holds {len(found)} folders whose name holds {word!r}; it has to hold one")
    return found[0]


def find_videos(root: Path, modality: WindowModality, phase: Phase) -> dict[str, Path]:
    """Find the videos of a phase: files or folders called by their name, to which more may be added (0002-L-depth.avi).

    Raises:
        ValueError: the folder is missing, holds no video, or one twice.
    """
    folder = find_folder(root, modality)
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        name, rest = path.stem[: _NAME_LENGTHS[phase]], path.stem[_NAME_LENGTHS[phase] :]
        known = path.suffix.lower() in VIDEO_SUFFIXES or (modality == "depth" and path.is_dir())
        if not known or not is_video(name, phase) or (rest and rest[0].isalnum()):
            continue
        if name in found:
            raise ValueError(f"{path}: is also at {found[name]}; keep one of the two")
        found[name] = path
    if not found:
        example = "0002-L.avi" if phase == 1 else "A01N01-L.avi"
        raise ValueError(f"{folder}: holds no video of phase {phase}, such as {example}; set phase, or another root")
    return found
