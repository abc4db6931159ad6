"""A frozen network whose features others learn from."""

import dataclasses
import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from datamodules.batch import MultimodalBatch
from lightning_modules.feature_cache import CacheError, FeatureCache, VideoFeatures, digest_of_weights
from lightning_modules.losses.gather import world
from lightning_modules.networks.video_network import VideoNetwork
from lightning_modules.networks.video_resnet import VideoResNet
from lightning_modules.views.multimodal import DEFAULTS
from lightning_modules.weights import catalogue
from lightning_modules.weights.files import read_weights_file
from lightning_modules.weights.importers import load_weights
from lightning_modules.weights.preprocessing import Preprocessing
from lightning_modules.weights.pretrained import preprocessing_of

_log = logging.getLogger(__name__)


class PairedData(Protocol):
    """What a data module of pairs offers beside its loaders."""

    def sample_names(self) -> Sequence[str]:
        """Names of the samples of the training and the evaluation list, each once."""

    def describe_modality(self, modality: str) -> str:
        """What the content of evaluation's clips of a modality depends on: samples, files, size, sampling."""

    def modality_dataloader(self, modality: str, names: Sequence[str]) -> Iterable[MultimodalBatch]:
        """All clips of the named samples in one modality, for this process alone."""

    def read_only(self, modalities: Sequence[str]) -> None:
        """Give no more than these modalities from here on; the samples stay."""

    def on_before_batch_transfer(self, batch: MultimodalBatch, dataloader_idx: int) -> MultimodalBatch:
        """Count broken samples, as under a Trainer."""


class Teacher:
    """A network in evaluation mode, without gradients. It is no module, so that no module can hold it.

    Args:
        network: filled from ``weights``.
        weights: a path or a catalogue name.
        modality: ``rgb`` or ``flow``.
        stages: names of earlier stages whose features are wanted as well.
        preprocessing: of clips; what the weights' file says when None, else that of the published networks.
        batch_size: clips at once.

    Raises:
        ValueError: the network takes other channels than the modality has, or the preprocessing is of another one.
        WeightsError: the weights do not fit.
    """

    def __init__(
        self,
        network: VideoNetwork,
        weights: str,
        modality: Literal["rgb", "flow"],
        stages: Sequence[str] = (),
        preprocessing: Preprocessing | None = None,
        batch_size: int = 32,
    ) -> None:
        channels = {"rgb": 3, "flow": 2}[modality]
        if network.in_channels != channels:
            raise ValueError(
                f"teacher_modality={modality} has {channels} channels, the teacher takes {network.in_channels}: set "
                f"its in_channels, or the modality"
            )
        if batch_size < 1:
            raise ValueError(f"teacher_batch_size={batch_size} must be at least 1")
        load_weights(network, weights)
        self.network = network.eval().requires_grad_(False)
        self.modality = modality
        self.stages = list(stages)
        prepared = preprocessing or preprocessing_of(weights, network) or DEFAULTS[modality]
        if not isinstance(prepared, Preprocessing) or prepared.modality != modality:
            raise ValueError(f"the teacher's preprocessing is of {prepared.modality}, teacher_modality is {modality}")
        self.preprocessing = prepared
        self.batch_size = batch_size
        self.actions = read_weights_file(catalogue.locate(weights)).actions
        self.dims = [*(stage_width(network, stage) for stage in stages), network.feature_dim]
        self.digest = digest_of_weights(network)

    @torch.no_grad()
    def features(self, prepared: Tensor) -> Tensor:
        """Features of prepared clips, in float32 whatever the precision.

        Args:
            prepared: float32 (K, C, T, H, W).

        Returns:
            float32 (K, D), those of the stages and the network's side by side.
        """
        with torch.autocast(prepared.device.type, enabled=False):
            parts = [
                torch.cat(self.network.stage_features(part, self.stages), dim=1)
                for part in torch.split(prepared, self.batch_size)
            ]
        return torch.cat(parts) if parts else prepared.new_zeros(0, sum(self.dims))

    def cached(self, root: Path, data: PairedData, device: torch.device, barrier: Callable[[], object]) -> FeatureCache:
        """Features of all clips of a data module, from disk, and computed where they are not there.

        Args:
            root: folder of all caches, on a disk that all processes see.
            data: the videos.
            device: to compute on.
            barrier: waits for all processes.

        Raises:
            ValueError: the data module has no pairs.
            CacheError: the cache cannot be read just after it was written.
        """
        needed = ("sample_names", "describe_modality", "modality_dataloader", "read_only")
        lacking = [name for name in needed if not hasattr(data, name)]
        if lacking:
            raise ValueError(
                f"{type(data).__name__} holds no pairs (no {lacking[0]}): take data such as NTUMultimodalDataModule"
            )
        facts = {
            "weights": self.digest,
            "stages": json.dumps(self.stages),
            "preprocessing": json.dumps(dataclasses.asdict(self.preprocessing), sort_keys=True),
            "data": data.describe_modality(self.modality),
        }
        names = list(data.sample_names())
        cache = FeatureCache(root, facts, sum(self.dims))
        rank, size = world()
        if rank == 0:
            cache.open(names)  # reads it all once, and removes it where it is damaged
        barrier()
        if cache.open(names, check=False):
            return cache
        done = cache.done()
        barrier()  # all have listed the same parts
        missing = [name for name in names if name not in done]
        self._compute(cache, data, missing[rank::size], device, len(missing), rank == 0)
        barrier()
        if rank == 0:
            unreadable = cache.merge(names)
            if unreadable:
                _log.warning(
                    "%d samples have no readable %s and teach nothing, such as %s",
                    len(unreadable),
                    self.modality,
                    ", ".join(unreadable[:3]),
                )
        barrier()
        if not cache.open(names, check=False):
            raise CacheError(f"{cache.folder}: features were written and cannot be read; is its disk full or shared?")
        return cache

    def _compute(
        self, cache: FeatureCache, data: PairedData, names: list[str], device: torch.device, total: int, leads: bool
    ) -> None:
        """Compute the features of some videos, this process' share, and show how far that is."""
        what = f"features of {total:,} videos by the {self.modality} teacher"
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            auto_refresh=False,
            disable=not (leads and sys.stderr.isatty()),
        )
        task = bar.add_task(what, total=len(names))
        if leads:
            _log.info("computing %s, into %s", what, cache.folder)
        step = max(len(names) // 10, 1)

        def report(count: int) -> None:
            bar.update(task, completed=count, refresh=True)
            if bar.disable and leads and count % step == 0:
                _log.info("%s: %d of %d", what, count, len(names))

        self.network.to(device)
        with bar:
            cache.write_parts(self._videos(data, names, device), report)
        self.network.cpu()  # nothing needs it any more

    def _videos(self, data: PairedData, names: list[str], device: torch.device) -> Iterator[VideoFeatures]:
        wanted = set(names)
        for batch in data.modality_dataloader(self.modality, names) if names else ():
            batch = data.on_before_batch_transfer(batch, 0)
            clips, there = _clips(batch, self.modality), batch["clip"] >= 0
            parts = torch.split(clips[there], self.batch_size)
            rows = torch.cat([self.features(self.preprocessing(part.to(device))) for part in parts]).cpu()
            counts = there.sum(1).tolist()
            for name, features in zip(batch["name"], torch.split(rows, counts), strict=True):
                if name in wanted:  # a sample that stands in for a broken one comes twice
                    wanted.remove(name)
                    yield VideoFeatures(name, features.numpy())


def stage_width(network: VideoNetwork, stage: str) -> int:
    """Channels that ``layer1``, ``layer2``, ... of a residual network give."""
    assert isinstance(network, VideoResNet)
    return network.expansion * network.widths[int(stage.removeprefix("layer")) - 1]


def _clips(batch: MultimodalBatch, modality: str) -> Tensor:
    clips = batch.get(modality)
    assert isinstance(clips, Tensor)
    return clips
