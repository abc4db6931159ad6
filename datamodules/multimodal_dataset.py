"""From a list of samples to clips of several modalities, in step: opens, reads and closes the files of one sample."""

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Self, TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from datamodules.batch import MultimodalBatch
from datamodules.multimodal_files import Modality
from datamodules.readers.depth import DepthError, DepthKind, DepthReader
from datamodules.readers.flow import FlowError, FlowReader
from datamodules.readers.skeleton import read_num_frames
from datamodules.readers.video import VideoError, VideoReader
from datamodules.sample_list import SampleList
from datamodules.sampling.clip_grid import grid_frames, grid_size
from datamodules.sampling.resumable_sampler import Draw
from datamodules.skeleton_dataset import ARRAY_FILE
from datamodules.video_dataset import MAX_TRIES, UnreadableVideosError, broken_line


class LengthError(ValueError):
    """Modalities of a sample that are of different length, as ``path: what is wrong``."""


class Sample(NamedTuple):
    """One sample of a dataset.

    Attributes:
        name: such as S001C001P001R001A001.
        label: class from 0.
        files: path of each modality; a skeleton that is prepared has none.
        row: of the prepared skeleton, -1 where there is none.
        frames: of the prepared skeleton, before it repeats.
    """

    name: str
    label: int
    files: dict[Modality, str]
    row: int
    frames: int


class MultimodalList(SampleList):
    """Names and labels of samples, and where their modalities are.

    Attributes:
        files: the paths of each modality, in the order of the samples; an empty one where there is no file.
        skeletons: int64 (N, 2), row in the array of prepared skeletons, and frames before the sequence repeats.
        num_frames: int64 (N,), frames that all modalities of a sample have; 0 until a dataset has looked. In memory
            that all processes of a machine share: what one has found the others know.

    Args:
        samples: in order.
        modalities: those of ``files``.
    """

    def __init__(self, samples: Iterable[Sample], modalities: Iterable[Modality]) -> None:
        listed = list(samples)
        super().__init__((sample.name, sample.label) for sample in listed)
        self.files = {
            modality: SampleList((sample.files.get(modality, ""), -1) for sample in listed) for modality in modalities
        }
        self.skeletons = torch.tensor([(sample.row, sample.frames) for sample in listed]).reshape(-1, 2)
        self.num_frames = _shared(torch.zeros(len(listed), dtype=torch.int64))

    def sample(self, row: int) -> Sample:
        """Return a sample by its row."""
        files = {modality: paths.path(row) for modality, paths in self.files.items()}
        place, frames = self.skeletons[row].tolist()
        return Sample(self.path(row), self.label(row), files, place, frames)

    def select(self, keep: Tensor) -> Self:
        """Return the marked samples, in order.

        Args:
            keep: bool (N,).
        """
        part = super().select(keep)
        part.files = {modality: paths.select(keep) for modality, paths in self.files.items()}
        part.skeletons = self.skeletons[keep]
        part.num_frames = _shared(self.num_frames[keep])
        return part


def _shared(tensor: Tensor) -> Tensor:
    """Move a tensor to memory that all processes of a machine share."""
    return tensor.share_memory_()  # type: ignore[no-any-return, no-untyped-call]


class MultimodalSample(TypedDict, total=False):
    """One sample: the keys of ``MultimodalBatch`` without the batch axis."""

    rgb: Tensor
    flow: Tensor
    depth: Tensor
    skeleton: Tensor
    num_frames: int
    clip: Tensor
    label: int
    sample: int
    name: str
    broken: list[str]


class MultimodalDataset(Dataset[MultimodalSample]):
    """Clips of listed samples, the same frames of all modalities; skeletons whole.

    Frame i of one modality is frame i of the others. Real recordings differ by a frame or two: what the longer ones
    have more is left out. A sample that cannot be read, or whose modalities differ by more, is named in ``broken`` and
    replaced by the next one of the list, as a broken video is.

    Args:
        samples: which. All of their modalities count where their length and so their grid is found.
        modalities: which of them to give.
        clip_length: frames of a clip (T).
        num_clips: clips to draw from the grid of a sample; None takes the whole grid.
        sizes: height and width of each modality that is pictures; None as stored.
        tolerance: most frames that the modalities of a sample may differ by.
        depth: which depth maps.
        skeletons: folder of prepared skeletons, where they are asked for.
    """

    def __init__(
        self,
        samples: MultimodalList,
        modalities: tuple[Modality, ...],
        clip_length: int,
        num_clips: int | None,
        sizes: dict[Modality, tuple[int, int] | None],
        tolerance: int,
        depth: DepthKind = "masked",
        skeletons: Path | None = None,
    ) -> None:
        self.samples = samples
        self.modalities = modalities
        self.clip_length = clip_length
        self.num_clips = num_clips
        self.sizes = sizes
        self.tolerance = tolerance
        self.depth: DepthKind = depth
        self.skeletons = None if skeletons is None else skeletons / ARRAY_FILE
        self._sequences: np.ndarray | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the map of skeletons: pickled, it would be all of the data."""
        return {**self.__dict__, "_sequences": None}

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.samples)

    def __getitem__(self, draw: Draw) -> MultimodalSample:
        """Read one sample.

        Returns:
            ``rgb``, ``flow`` and ``depth`` are (N, T, H, W, ...) as in ``MultimodalBatch``, as the rest.

        Raises:
            UnreadableVideosError: neither the sample nor the next ones can be read.
        """
        broken: list[str] = []
        for row in range(draw.row, draw.row + min(MAX_TRIES, len(self))):
            row %= len(self)
            try:
                sample = self._read(row, torch.Generator().manual_seed(draw.seed))
            except (VideoError, FlowError, DepthError, LengthError) as error:
                path, _, reason = str(error).partition(": ")
                broken.append(broken_line(path, reason))
                continue
            sample["label"], sample["sample"] = self.samples.label(row), row
            sample["name"], sample["broken"] = self.samples.path(row), broken
            return sample
        raise UnreadableVideosError(
            f"{broken[0]} (nor can the {len(broken) - 1} samples after it be read; check the folder and its files)"
        )

    def _read(self, row: int, generator: torch.Generator) -> MultimodalSample:
        paths = {modality: files.path(row) for modality, files in self.samples.files.items()}
        num_frames = int(self.samples.num_frames[row])
        sample = MultimodalSample()
        with ExitStack() as stack:
            readers: dict[Modality, VideoReader | FlowReader | DepthReader] = {}
            for modality, path in paths.items():
                # Others are looked into until the length that all have is known.
                if modality in self.modalities or not num_frames:
                    if modality == "rgb":
                        readers[modality] = stack.enter_context(VideoReader(path))
                    elif modality == "flow":
                        readers[modality] = FlowReader(path)
                    elif modality == "depth":
                        readers[modality] = DepthReader(path, self.depth)
            if not num_frames:
                lengths = {paths[modality]: reader.num_frames for modality, reader in readers.items()}
                num_frames = self._common_length(row, lengths, paths.get("skeleton"))
                self.samples.num_frames[row] = num_frames
            clips = self._clips(grid_size(num_frames, self.clip_length), generator)
            frames = grid_frames(clips, self.clip_length, num_frames)
            wanted = [modality for modality in readers if modality in self.modalities]
            for modality in wanted:
                pictures = readers[modality].read(frames.reshape(-1), size=self.sizes[modality])
                sample[modality] = torch.from_numpy(pictures.reshape(*frames.shape, *pictures.shape[1:]))
        sample["clip"] = torch.from_numpy(clips if wanted else clips[:0])
        if "skeleton" in self.modalities:
            assert self.skeletons is not None
            if self._sequences is None:
                self._sequences = np.load(self.skeletons, mmap_mode="r")
            place, length = self.samples.skeletons[row].tolist()
            sample["skeleton"] = torch.from_numpy(np.array(self._sequences[place]))
            sample["num_frames"] = length
        return sample

    def _clips(self, count: int, generator: torch.Generator) -> np.ndarray:
        if self.num_clips is None:
            return np.arange(count)
        return torch.randint(count, (self.num_clips,), generator=generator).numpy()

    def _common_length(self, row: int, lengths: dict[str, int], skeleton: str | None) -> int:
        """Return how many frames all modalities of a sample have.

        Args:
            row: of the sample.
            lengths: frames of each modality that is pictures, by path.
            skeleton: path of the skeleton's file, where it is known.

        Raises:
            LengthError: they differ by more than the tolerance.
        """
        if skeleton:
            try:
                lengths = {**lengths, skeleton: read_num_frames(skeleton)}
            except ValueError as error:
                raise LengthError(str(error)) from error
        # A prepared skeleton lacks the frames in which no body was seen, and those after the first 300.
        prepared = int(self.samples.skeletons[row, 1])
        if not lengths:
            return prepared
        (short, fewest), (long, most) = (choose(lengths.items(), key=lambda item: item[1]) for choose in (min, max))
        remedy = "the two are no pair: copy them again from the dataset, or leave the sample out"
        if most - fewest > self.tolerance:
            raise LengthError(
                f"{short}: has {fewest} frames, and {long} has {most}, more than {self.tolerance} apart; {remedy}"
            )
        if prepared > fewest + self.tolerance:
            raise LengthError(
                f"{short}: has {fewest} frames, and its prepared skeleton {prepared}, more than {self.tolerance} apart;"
                f" {remedy}"
            )
        return fewest


def collate(samples: list[MultimodalSample]) -> MultimodalBatch:
    """Put samples into a batch, in shared memory when a worker does it.

    Where samples have different numbers of clips, zeros follow the shorter ones' and their ``clip`` is -1.
    """
    batch: MultimodalBatch = {
        "clip": _padded([sample["clip"] for sample in samples], -1),
        "label": torch.tensor([sample["label"] for sample in samples]),
        "sample": torch.tensor([sample["sample"] for sample in samples]),
        "name": [sample["name"] for sample in samples],
        "broken": [line for sample in samples for line in sample["broken"]],
    }
    for key in ("rgb", "flow", "depth"):
        if key in samples[0]:
            batch[key] = _padded([sample[key] for sample in samples], 0)
    if "skeleton" in samples[0]:
        batch["skeleton"] = default_collate([sample["skeleton"] for sample in samples])
        batch["num_frames"] = torch.tensor([sample["num_frames"] for sample in samples])
    return batch


def _padded(clips: list[Tensor], value: int) -> Tensor:
    """Stack (N, ...) tensors of different N."""
    most = max(map(len, clips))
    longer = [
        clip if len(clip) == most else torch.cat([clip, clip.new_full((most - len(clip), *clip.shape[1:]), value)])
        for clip in clips
    ]
    stacked: Tensor = default_collate(longer)
    return stacked
