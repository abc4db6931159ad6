"""NTU RGB+D 60 and 120 in several modalities of the same recordings: colour, its flow, depth maps, skeletons.

``ntu.py`` tells of the dataset. The folders that its authors give out, of which any subset will do, nested or flat:

=========================  ==============================================  =================================
folder                     files                                           what
=========================  ==============================================  =================================
``nturgb+d_rgb``           ``S001C001P001R001A001_rgb.avi``                1920x1080, 30 frames a second
``nturgb+d_depth_masked``  ``S001C001P001R001A001/MDepth-00000001.png``    512x424, millimetres, bodies alone
``nturgb+d_depth``         ``S001C001P001R001A001/Depth-00000001.png``     512x424, millimetres
``nturgb+d_skeletons``     ``S001C001P001R001A001.skeleton``               25 joints of each body
=========================  ==============================================  =================================

Flow is computed by ``lightning prepare flow``. ``ntu120_minus_60`` is the source dataset of chapter 2 (2.4.2): the
recordings of NTU-120 whose actions are not among the first 60. Cross-view of NTU-60 has 37,920 training and 18,960 test
samples (2.4.1); where skeletons are asked for, those without usable ones are left out.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pytorch_lightning.utilities import rank_zero_info
from torch.utils.data import DataLoader

from datamodules.broken_samples import BrokenSamplesDataModule
from datamodules.multimodal_dataset import MultimodalDataset, MultimodalList, Sample, collate
from datamodules.multimodal_files import MODALITIES, Modality, find_modalities, is_sample
from datamodules.ntu import NTUSkeletonDataModule
from datamodules.ntu_protocol import (
    ALL_COUNTS,
    LAST_SETUP,
    NUM_CLASSES,
    OFFICIAL_COUNTS,
    Benchmark,
    is_training,
    missing_skeletons,
    parse_name,
)
from datamodules.prepare_ntu import Bodies
from datamodules.readers.depth import DepthKind
from datamodules.sample_datamodule import Loader, require_positive
from datamodules.sample_list import SampleList
from datamodules.sampling.few_labels import labelled
from datamodules.sampling.resumable_sampler import EvaluationSampler
from datamodules.skeleton_datamodule import counts
from datamodules.skeleton_dataset import Listed, is_cache, read_index

Recordings = Literal["ntu60", "ntu120", "ntu120_minus_60"]
Split = Literal["xsub", "xview", "xsetup"]

SKELETON_FOLDER = "nturgb+d_skeletons"
_VERSION = 1


class NTUMultimodalDataModule(BrokenSamplesDataModule):
    """Recordings of NTU RGB+D in the modalities asked for; batches are ``MultimodalBatch``.

    Only samples with all of the modalities are taken; the others are counted, reported, and listed in the run folder.
    Training draws clips of a sample's grid at random, evaluation takes all of them. A partial copy is not refused.

    Attributes:
        folder: of the prepared skeletons.

    Args:
        root: folder that holds the modalities, however nested.
        modalities: some of ``rgb``, ``flow``, ``depth`` and ``skeleton``.
        benchmark: which actions; class = action - 1, of ``ntu120_minus_60`` action - 61.
        protocol: ``xview`` trains with cameras 2 and 3, ``xsub`` with half of the subjects, ``xsetup`` with the even
            setups.
        depth: ``masked`` depth maps, of the bodies alone, or ``full`` ones.
        flow: folder that ``lightning prepare flow`` made; ``root`` by default.
        skeletons: folder that ``lightning prepare ntu`` made, or of the ``.skeleton`` files, which are then prepared on
            first use; ``nturgb+d_skeletons`` in ``root``, or ``root``, by default.
        cache: where to prepare those files; a folder in the user's cache by default.
        bodies: as of ``prepare_ntu.prepare``.
        labels_per_class: training samples of each class, the others being left out; None takes all.
        labels_seed: of that choice, which is the same for all modalities; 20 labels are among the 50. ``seed`` when
            None, so that repeated runs with other seeds have other labels.
        clip_length: frames of a clip (T).
        num_clips: clips of a sample in training (N).
        rgb_size: height and width that frames are brought to.
        flow_size: the same of flow.
        depth_size: the same of depth maps.
        frame_tolerance: most frames that the modalities of a sample may differ by; the longer ones are cut.
        global_batch_size: see ``SampleDataModule``, as all that follow.
        eval_batch_size: see there.
        probe_samples: see there.
        num_workers: see there.
        seed: see there.

    Raises:
        ValueError: a number is out of range, or there is no modality, or one twice.
    """

    noun = "samples"
    train_samples: MultimodalList
    val_samples: MultimodalList

    collate = staticmethod(collate)

    def __init__(
        self,
        root: str | Path,
        modalities: tuple[Modality, ...] = ("rgb", "depth"),
        benchmark: Recordings = "ntu60",
        protocol: Split = "xview",
        depth: DepthKind = "masked",
        flow: str | Path | None = None,
        skeletons: str | Path | None = None,
        cache: str | Path | None = None,
        bodies: Bodies = "listed",
        labels_per_class: int | None = None,
        labels_seed: int | None = None,
        clip_length: int = 16,
        num_clips: int = 1,
        rgb_size: tuple[int, int] = (128, 171),
        flow_size: tuple[int, int] = (128, 171),
        depth_size: tuple[int, int] = (128, 155),
        frame_tolerance: int = 2,
        global_batch_size: int = 128,
        eval_batch_size: int = 8,
        probe_samples: int | None = None,
        num_workers: int = 4,
        seed: int = 0,
    ) -> None:
        super().__init__(global_batch_size, eval_batch_size, probe_samples, num_workers, seed)
        require_positive(clip_length=clip_length, num_clips=num_clips)
        if labels_per_class is not None:
            require_positive(labels_per_class=labels_per_class)
        sizes = {"rgb_size": rgb_size, "flow_size": flow_size, "depth_size": depth_size}
        if min(min(size) for size in sizes.values()) < 1 or frame_tolerance < 0:
            raise ValueError(f"frame_tolerance={frame_tolerance} must be at least 0, and sizes at least 1: {sizes}")
        if not modalities or len(set(modalities)) < len(modalities) or not set(modalities) <= set(MODALITIES):
            raise ValueError(f"modalities={modalities} must be some of {', '.join(MODALITIES)}, each once")
        self.root = Path(root).expanduser()
        self.modalities: tuple[Modality, ...] = tuple(modalities)
        self.benchmark: Recordings = benchmark
        self.protocol: Split = protocol
        self.depth: DepthKind = depth
        self.flow = None if flow is None else Path(flow).expanduser()
        self.skeletons = None if skeletons is None else Path(skeletons).expanduser()
        self.cache = cache
        self.bodies: Bodies = bodies
        self.labels_per_class = labels_per_class
        self.labels_seed = seed if labels_seed is None else labels_seed
        self.clip_length = clip_length
        self.num_clips = num_clips
        self.sizes: dict[Modality, tuple[int, int] | None] = {
            "rgb": (rgb_size[0], rgb_size[1]),
            "flow": (flow_size[0], flow_size[1]),
            "depth": (depth_size[0], depth_size[1]),
        }
        self.frame_tolerance = frame_tolerance
        self._read = self.modalities

    @property
    def preprocessing(self) -> dict[str, object]:
        """How evaluation prepares a sample, in plain JSON types, for the header of exported weights."""
        sizes = {modality: list(self.sizes[modality] or ()) for modality in self.modalities if modality in self.sizes}
        return {"clip_length": self.clip_length, "sizes": sizes, "depth": self.depth, "bodies": self.bodies}

    @cached_property
    def _skeleton_source(self) -> NTUSkeletonDataModule:
        root = self.skeletons
        if root is None:
            root = self.root / SKELETON_FOLDER
            root = root if root.is_dir() else self.root
        return NTUSkeletonDataModule(root, "ntu120", cache=self.cache, bodies=self.bodies)

    @property
    def folder(self) -> Path:
        """Folder of the prepared skeletons."""
        return self._skeleton_source.folder

    def prepare_data(self) -> None:
        """Preprocess the skeletons, where they are asked for, unless that is done.

        Raises:
            ValueError: as of ``prepare_ntu.prepare``.
        """
        if "skeleton" in self.modalities:
            self._skeleton_source.prepare_data()

    def setup(self, stage: str) -> None:
        """List the samples that have all modalities, and part them.

        Raises:
            ValueError: ``root`` is missing or holds a sample twice, no sample of the benchmark has all modalities, or
                a class has fewer samples than ``labels_per_class``.
        """
        if hasattr(self, "train_samples"):
            return
        files, prepared = self._find()
        names = {modality: {name for name in files[modality] if self._is_listed(name)} for modality in self.modalities}
        if "skeleton" in names:
            unusable = missing_skeletons(self._numbering)
            names["skeleton"] = {name for name in names["skeleton"] if name in prepared} - unusable
        every = sorted(set().union(*names.values()))
        incomplete = {name: [of for of in self.modalities if name not in names[of]] for name in every}
        complete = [name for name in every if not incomplete[name]]
        found = ", ".join(f"{len(names[of]):,} with {of}" for of in self.modalities)
        if not complete:
            raise ValueError(
                f"{self.root}: no sample of {self.benchmark} has all of {', '.join(self.modalities)} ({found});"
                f" set modalities or benchmark, or give another root"
            )
        parts: dict[bool, list[Sample]] = {True: [], False: []}
        for name in complete:
            of = parse_name(name)
            training = is_training(of.subject, of.camera, of.setup, self._numbering, self.protocol)
            row, frames = prepared.get(name, (-1, 0))
            paths: dict[Modality, str] = {modality: files[modality][name] for modality in self.modalities}
            parts[training].append(Sample(name, self._label(of.action), paths, row, frames))
        self._part(parts[True], parts[False])
        self.num_classes = self._count_classes()
        self._report(found, {name: missing for name, missing in incomplete.items() if missing})

    def dataset(self, samples: SampleList, training: bool) -> MultimodalDataset:
        """Return the samples of a list: clips at random in training, whole grids in evaluation."""
        return self._dataset(samples, self._read, self.num_clips if training else None)

    def _dataset(
        self, samples: SampleList, modalities: tuple[Modality, ...], num_clips: int | None
    ) -> MultimodalDataset:
        assert isinstance(samples, MultimodalList)
        return MultimodalDataset(
            samples,
            modalities,
            self.clip_length,
            num_clips,
            self.sizes,
            self.frame_tolerance,
            self.depth,
            self.folder if "skeleton" in modalities else None,
        )

    def read_only(self, modalities: Sequence[Modality]) -> None:
        """Give no more than these modalities from the next loader on; the samples and their grids stay.

        Raises:
            ValueError: one was not asked for.
        """
        for modality in modalities:
            self._require(modality)
        self._read = tuple(modalities)

    def sample_names(self) -> list[str]:
        """Return the names of the training samples, then those held out, each once."""
        lists = [self.train_samples]
        if self._parted[0] and self._parted[1]:
            lists.append(self.val_samples)
        return [samples.path(row) for samples in lists for row in range(len(samples))]

    @property
    def actions(self) -> list[str]:
        """The actions of the training samples, such as A001: a teacher's must be others."""
        return sorted({self.train_samples.path(row)[-4:] for row in range(len(self.train_samples))})

    def modality_dataloader(self, modality: Modality, names: Sequence[str]) -> Loader:
        """Return all clips of some samples in one modality, in order, as in evaluation; for this process alone.

        Args:
            modality: one of those asked for.
            names: of ``sample_names``.

        Raises:
            ValueError: the modality was not asked for.
        """
        self._require(modality)
        listed = {
            samples.path(row): samples.sample(row)
            for samples in (self.train_samples, self.val_samples)
            for row in range(len(samples))
        }
        chosen = MultimodalList((listed[name] for name in names), self.modalities)
        dataset = self._dataset(chosen, (modality,), None)
        sampler = EvaluationSampler(len(chosen))
        return DataLoader(dataset, batch_size=self.eval_batch_size, sampler=sampler, **self._loading(persistent=False))

    def _require(self, modality: Modality) -> None:
        if modality not in self.modalities:
            raise ValueError(f"{modality} is not among the modalities {', '.join(self.modalities)}; add it")

    def describe_modality(self, modality: Modality) -> str:
        """Tell what the content of evaluation's clips of one modality depends on, as JSON: a key for cached features.

        Args:
            modality: one of those asked for; colour, flow or depth.

        Returns:
            Folder, samples, size and sampling; of the samples a digest, of names and files with their sizes and times.

        Raises:
            ValueError: the modality was not asked for.
        """
        self._require(modality)
        self.setup("fit")
        digest = hashlib.sha256()
        # All modalities count: the shortest decides how many clips a sample has.
        for samples in (self.train_samples, self.val_samples):
            for row in range(len(samples)):
                paths = [samples.files[of].path(row) for of in self.modalities]
                stamps = [_stamp(path) for path in paths]
                digest.update(json.dumps([samples.path(row), paths, stamps]).encode())
        content: dict[str, Any] = {
            "version": _VERSION,
            "modality": modality,
            "modalities": sorted(self.modalities),
            "root": str(self.root.resolve()),
            "samples": digest.hexdigest(),
            "size": self.sizes.get(modality),
            "depth": self.depth,
            "clip_length": self.clip_length,
            "frame_tolerance": self.frame_tolerance,
        }
        return json.dumps(content, sort_keys=True)

    def _find(self) -> tuple[dict[Modality, dict[str, str]], dict[str, tuple[int, int]]]:
        """Return the path of each modality of each sample; and row and frames of each prepared skeleton."""
        files = find_modalities(self.root, self.depth)
        if self.flow is not None:
            files["flow"] = find_modalities(self.flow)["flow"]
        prepared: dict[str, tuple[int, int]] = {}
        if "skeleton" in self.modalities:
            index: list[Listed] = read_index(self.folder)
            usable = [sample for sample in index if sample.frames and is_sample(sample.name)]
            prepared = {sample.name: (sample.row, sample.frames) for sample in usable}
            raw = self._skeleton_source.root
            if is_cache(raw):
                files["skeleton"] = dict.fromkeys(prepared, "")
            elif raw != self.root:
                files["skeleton"] = find_modalities(raw)["skeleton"]
        return files, prepared

    @property
    def _numbering(self) -> Benchmark:
        return "ntu60" if self.benchmark == "ntu60" else "ntu120"

    def _is_listed(self, name: str) -> bool:
        of, last = parse_name(name), self._numbering
        if self.benchmark == "ntu120_minus_60" and of.action <= NUM_CLASSES["ntu60"]:
            return False
        return of.action <= NUM_CLASSES[last] and of.setup <= LAST_SETUP[last]

    def _label(self, action: int) -> int:
        return action - 1 - (NUM_CLASSES["ntu60"] if self.benchmark == "ntu120_minus_60" else 0)

    def _count_classes(self) -> int:
        return NUM_CLASSES["ntu60"] if self.benchmark == "ntu120_minus_60" else NUM_CLASSES[self._numbering]

    def _part(self, train: list[Sample], val: list[Sample]) -> None:
        """Set the two lists; where one is empty the other serves for both."""
        parts = [MultimodalList(part, self.modalities) for part in (train, val)]
        training, self.val_samples = (part if len(part) else parts[1 - i] for i, part in enumerate(parts))
        if self.labels_per_class is not None:
            kept = training.select(labelled(training, self.labels_per_class, self.labels_seed))
            training = kept
        self.train_samples = training
        self._parted = (len(train), len(val))

    def _official_counts(self) -> tuple[int, int] | None:
        if self.benchmark == "ntu120_minus_60":
            return None
        official = OFFICIAL_COUNTS if "skeleton" in self.modalities else ALL_COUNTS
        return official.get((self.benchmark, self.protocol))

    def _report(self, found: str, incomplete: dict[str, list[Modality]]) -> None:
        """Log one line on what was found; list the incomplete samples in the run folder."""
        line = f"{type(self).__name__}: {self.benchmark} {self.protocol}, {found}; "
        line += counts(*self._parted, self._official_counts(), {}).replace("sequences", "samples")
        if self.labels_per_class is not None:
            line += f"; {len(self.train_samples):,} keep their labels, {self.labels_per_class} of each class"
        if incomplete:
            lines = [f"{name}: no {', no '.join(missing)}" for name, missing in incomplete.items()]
            line += f"; {len(lines):,} samples are incomplete and left out, such as {lines[0]}"
            folder = self._record_folder()
            if folder is not None and self._processes()[1] == 0:
                (folder / "incomplete.txt").write_text("".join(f"{text}\n" for text in lines))
                line += f" (all in {folder / 'incomplete.txt'})"
        rank_zero_info(line)


def _stamp(path: str) -> tuple[int, int]:
    """Return size and time of change of a file or folder; zeros where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns
