"""Feature-supervised action modality transfer (thesis chapter 2; Thoker, Snoek, ICPR 2020)."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pytorch_lightning.utilities import rank_zero_warn
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torchmetrics import MeanMetric

from datamodules.batch import MultimodalBatch
from lightning_modules.feature_cache import FeatureCache
from lightning_modules.losses.feature_distance import Distance, feature_distance
from lightning_modules.losses.gather import world
from lightning_modules.networks.network import Network
from lightning_modules.networks.skeleton_network import SkeletonNetwork
from lightning_modules.networks.video_network import VideoNetwork
from lightning_modules.networks.video_resnet import VideoResNet
from lightning_modules.reproducible import Reproducible
from lightning_modules.teacher import Teacher, stage_width
from lightning_modules.views.memory import upload
from lightning_modules.views.multimodal import DEFAULTS, CornerCrop, crop_clips, mean_over_clips
from lightning_modules.views.skeleton import SequenceCrop
from lightning_modules.weights.header import describe
from lightning_modules.weights.importers import load_weights
from lightning_modules.weights.preprocessing import Preprocessing
from lightning_modules.weights.skeleton_input import SkeletonInput, input_of

Granularity = Literal["clip_to_clip", "video_to_clip", "combined", "video_to_video"]


class FeatureTransfer(Reproducible):
    """A student of another modality learns to give the features of a frozen teacher, on pairs without labels.

    Batch: ``MultimodalBatch``. The student's features of a clip match the teacher's of the paired clip (equation 2.1),
    of the whole video, which are the mean over its clips (2.2, 2.3), or both (2.4); a student that takes whole
    sequences matches those of the video (2.5). Loss and similarity are in float32.

    The teacher never changes, so its features are computed once, on centre crops of all clips, and kept in
    `FeatureCache`; training then reads the student's modality alone. It stays outside of this module's tree, so that
    no optimizer, checkpoint or training mode reaches it.

    Logs ``loss`` and ``cosine``, the mean cosine of matched features, for ``train``, ``val`` and ``test``; of the
    held-out pairs all clips count.

    The thesis says nothing of the learning rate's schedule but that 0.1 is the initial one (2.4.3): here it falls by a
    cosine to zero, or by steps. The defaults are those of the depth student, 400 epochs at a batch of 128; skeletons
    take weight_decay 1e-5, 120 epochs and a batch of 100.

    Args:
        teacher: gives the features to match.
        teacher_weights: of the teacher: a path or a catalogue name.
        student: learns; a ``SkeletonNetwork`` for skeletons, a ``VideoNetwork`` for depth.
        weights: start the student from these weights (a path or a catalogue name) instead of from scratch.
        teacher_modality: ``rgb`` or ``flow``; flow is the better teacher (table 2.1).
        student_modality: ``depth`` or ``skeleton``.
        granularity: which features are matched. ``combined`` is the best for depth (table 2.3); tables 2.1, 2.2 and
            the last row of 2.4 have the numbers of ``video_to_clip``. Skeletons take ``video_to_video``.
        loss: ``cosine`` distance, or ``mse`` (table 2.2).
        blocks: numbers of earlier stages (``layer1`` is 1) whose features, means over time and space, are matched as
            well (2.5.1.4); their losses are added.
        teacher_preprocessing: how clips are prepared for the teacher; as its weights say when None, and where they say
            nothing as for the published networks.
        student_preprocessing: how depth is prepared.
        augmentation: crops and flips of the student's clips in training.
        crop: frames of a sequence that a skeleton student sees, always the centre; the whole sequence when None, as in
            the thesis.
        teacher_features: ``cached``, or ``recomputed`` at each step from the same crop as the student sees; this needs
            ``clip_to_clip``, as a batch does not hold whole videos.
        cache: folder of all caches.
        teacher_batch_size: clips that the teacher takes at once.
        teacher_actions: classes that the teacher was trained on, as the data module names them, to warn of those that
            the student shall recognise: the thesis demands disjoint ones (2.3.1). A teacher that was trained here says
            them itself.
        optimizer: ``sgd`` (momentum 0.9, the thesis') or ``adamw``.
        learning_rate: at the global batch size of the config; never rescaled.
        weight_decay: of all parameters of the student.
        schedule: ``cosine`` to zero over the run, ``step`` at the milestones, or ``constant``.
        milestones: epochs after which ``step`` divides the rate by ten.
        seed: of crops, flips and dropout.

    Raises:
        ValueError: arguments that do not go together.
        WeightsError: weights do not fit.
    """

    def __init__(
        self,
        teacher: VideoNetwork,
        teacher_weights: str,
        student: Network,
        weights: str | None = None,
        teacher_modality: Literal["rgb", "flow"] = "flow",
        student_modality: Literal["depth", "skeleton"] = "depth",
        granularity: Granularity = "combined",
        loss: Distance = "cosine",
        blocks: tuple[int, ...] = (),
        teacher_preprocessing: Preprocessing | None = None,
        student_preprocessing: Preprocessing | None = None,
        augmentation: CornerCrop | None = None,
        crop: SequenceCrop | None = None,
        teacher_features: Literal["cached", "recomputed"] = "cached",
        cache: str = "~/.cache/video-efficient-zoo/features",
        teacher_batch_size: int = 32,
        teacher_actions: tuple[str, ...] = (),
        optimizer: Literal["sgd", "adamw"] = "sgd",
        learning_rate: float = 0.1,
        weight_decay: float = 1e-3,
        schedule: Literal["cosine", "step", "constant"] = "cosine",
        milestones: tuple[int, ...] = (200, 300),
        seed: int = 0,
    ) -> None:
        super().__init__(seed)
        _check(student, student_modality, granularity, tuple(blocks), teacher_features)
        stages = [f"layer{number}" for number in blocks]
        for network in (teacher, student) if stages else ():
            _check_stages(network, stages)
        if weights is not None:
            load_weights(student, weights)
        self._teacher = Teacher(
            teacher, teacher_weights, teacher_modality, stages, teacher_preprocessing, teacher_batch_size
        )
        self.student = student
        self.student_modality = student_modality
        self.granularity = granularity
        self.loss = loss
        self.stages = stages
        self.student_preprocessing = student_preprocessing or DEFAULTS["depth"]
        if self.student_preprocessing.modality != "depth":
            raise ValueError("student_preprocessing must say the depth_range")
        self.augmentation = augmentation or CornerCrop()
        self.crop = crop
        self.teacher_features = teacher_features
        self.cache_root = Path(cache)
        self.teacher_actions = tuple(teacher_actions) or self._teacher.actions
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.milestones = tuple(milestones)
        dims = [*(_width(student, stage) for stage in stages), student.feature_dim]
        # Only where the lengths differ; left out of what is exported.
        self.projection = nn.ModuleList(
            nn.Identity() if dim == wanted else nn.Linear(dim, wanted)
            for dim, wanted in zip(dims, self._teacher.dims, strict=True)
        )
        self.held_out = nn.ModuleDict({"loss": MeanMetric(), "cosine": MeanMetric()})
        self._cache: FeatureCache | None = None

    @property
    def teacher(self) -> VideoNetwork:
        """The frozen network."""
        return self._teacher.network

    def forward(self, batch: MultimodalBatch) -> Tensor:
        """The student's own features, not projected, float32 (B, feature_dim): of sequences, or means over clips."""
        if self.student_modality == "skeleton":
            features: Tensor = self.student(self._sequences(batch)).float()
            return features
        clips = self._modality(batch)
        there = batch["clip"] >= 0  # (B, N)
        features = self.student(self.student_preprocessing(clips[there])).float()
        return mean_over_clips(features, there)

    def features(self, batch: MultimodalBatch) -> Tensor:
        """The same: what probes and predictions see."""
        features: Tensor = self(batch)
        return features

    def on_fit_start(self) -> None:
        """Have the teacher's features at hand, and the data module read no more than is needed."""
        self._prepare()
        self._warn_of_shared_actions()

    def on_validation_start(self) -> None:
        """Have the teacher's features at hand, also where there was no training."""
        self._prepare()

    def on_test_start(self) -> None:
        """Have the teacher's features at hand."""
        self._prepare()

    def _prepare(self) -> None:
        if self.teacher_features == "recomputed":
            self._teacher.network.to(self.device)
        elif self._cache is None:
            data: Any = getattr(self.trainer, "datamodule", None)
            self._cache = self._teacher.cached(self.cache_root, data, self.device, self.trainer.strategy.barrier)
            data.read_only([self.student_modality])

    def _warn_of_shared_actions(self) -> None:
        own = [str(action) for action in getattr(getattr(self.trainer, "datamodule", None), "actions", None) or ()]
        shared = [action for action in map(str, self.teacher_actions) if action in own]
        if shared:
            rank_zero_warn(
                f"the teacher was trained on {len(shared)} of the student's actions, such as {shared[0]}: the thesis "
                f"(2.3.1) demands disjoint ones; train it on others, or say so beside the numbers"
            )

    def training_step(self, batch: MultimodalBatch, batch_index: int) -> Tensor:
        """Match the student's features with the teacher's."""
        done = self.batches_done()
        torch.manual_seed(self.seed_of(done, world()[0]))  # dropout goes on as it was after a resume
        if self.student_modality == "skeleton":
            students = self._student_features(self._sequences(batch))
            clips, videos, known = self._cached(batch)
        else:
            students, clips, videos, known = self._match_crops(batch, self.generator(done))
        losses, cosines = self.match(students, clips, videos)
        # Pairs without a readable teacher's half do not count; without any the loss is zero, with its gradient.
        loss = (losses * known).sum() / known.sum().clamp(min=1)
        cosine = (cosines * known).sum() / known.sum().clamp(min=1)
        self.stop_unless_finite(loss, batch["name"])
        # Processes hold equal shares of a training batch, so the mean of their means is that of the global batch.
        self.log_step({"loss": loss, "cosine": cosine}, len(batch["name"]), shown=("loss", "cosine"))
        return loss

    def _match_crops(
        self, batch: MultimodalBatch, generator: torch.Generator
    ) -> tuple[list[Tensor], Tensor, Tensor, Tensor]:
        """Features of random crops of a batch's clips, K in all, and what they shall match.

        Returns:
            The student's, as of `match`; the teacher's of the clips and of their videos, float32 (K, D); and whether
            there are any, bool (K,).
        """
        depth = self._modality(batch)
        rank, size = world()
        share, num_clips, _, height, width = depth.shape
        drawn = self.augmentation.draw(share * size, height, width, generator)
        owner = torch.arange(share).repeat_interleave(num_clips)
        boxes = drawn[rank * share + owner]  # the clips of a video alike
        prepared = self.beside(lambda: crop_clips(depth.flatten(0, 1), boxes, self.student_preprocessing))
        students = self._student_features(prepared)
        if self.teacher_features == "recomputed":
            paired = self._modality(batch, self._teacher.modality).flatten(0, 1)
            clips = self._teacher.features(self.beside(lambda: crop_clips(paired, boxes, self._teacher.preprocessing)))
            return students, clips, clips, torch.ones(len(clips), dtype=torch.bool, device=clips.device)
        clips, videos, known = self._cached(batch)
        owner = upload(owner, videos.device)
        return students, clips.flatten(0, 1), videos[owner], known[owner]

    def match(self, students: list[Tensor], clips: Tensor, videos: Tensor) -> tuple[Tensor, Tensor]:
        """Distances between student and teacher (equations 2.1, 2.2, 2.4 and 2.5).

        Args:
            students: float (K, d) of each matched stage, the last the features; projected to the teacher's lengths.
            clips: float32 (K, D), the teacher's features of the paired clips, stages side by side; not looked at for
                video-level granularities.
            videos: float32 (K, D), those of the videos.

        Returns:
            The loss of each row, float32 (K,), summed over stages and terms; and the cosine of the last stage, float32
            (K,), its mean over the terms.
        """
        targets = {
            "clip_to_clip": [clips],
            "video_to_clip": [videos],
            "combined": [clips, videos],
            "video_to_video": [videos],
        }[self.granularity]
        losses, cosines = [], []
        for target in targets:
            parts = torch.split(target, self._teacher.dims, dim=1)
            losses += [feature_distance(own, part, self.loss) for own, part in zip(students, parts, strict=True)]
            cosines.append(1 - feature_distance(students[-1].detach(), parts[-1], "cosine"))
        return torch.stack(losses).sum(0), torch.stack(cosines).mean(0)

    def validation_step(self, batch: MultimodalBatch, batch_index: int) -> None:
        """Match held-out pairs: centre crops of all clips of a video."""
        self._match_held_out(batch)

    def test_step(self, batch: MultimodalBatch, batch_index: int) -> None:
        """Do the same on the test split."""
        self._match_held_out(batch)

    def _match_held_out(self, batch: MultimodalBatch) -> None:
        there = batch["clip"] >= 0
        if self.teacher_features == "recomputed":
            paired = self._modality(batch, self._teacher.modality)[there]
            clips = videos = self._teacher.features(self._teacher.preprocessing(paired))
        else:
            clips, videos, known = self._cached(batch)
            if not known.any():
                return
            there &= known[:, None]
            if self.student_modality == "skeleton":
                videos = videos[known]
            else:
                clips, videos = clips[there], videos[there.nonzero()[:, 0]]
        if self.student_modality == "skeleton":
            prepared = self._sequences(batch)[known]
        else:
            prepared = self.student_preprocessing(self._modality(batch)[there])
        losses, cosines = self.match(self._student_features(prepared), clips, videos)
        self._metric("loss").update(losses)
        self._metric("cosine").update(cosines)

    def on_validation_epoch_end(self) -> None:
        """Log the held-out pairs of all processes."""
        self._log_held_out("val")

    def on_test_epoch_end(self) -> None:
        """Do the same on the test split."""
        self._log_held_out("test")

    def _log_held_out(self, split: str) -> None:
        for name in self.held_out:
            self.log(f"{split}/{name}", self._metric(name), prog_bar=True)

    def _metric(self, name: str) -> MeanMetric:
        metric = self.held_out[name]
        assert isinstance(metric, MeanMetric)
        return metric

    def predict_step(self, batch: MultimodalBatch, batch_index: int) -> dict[str, Any]:
        """Features of a batch: ``feature`` float32 (B, feature_dim), ``label`` and ``sample`` int64 (B,), ``name``."""
        rows = {"label": batch["label"], "sample": batch["sample"], "name": batch["name"]}
        return {"feature": self.features(batch), **rows}

    def _cached(self, batch: MultimodalBatch) -> tuple[Tensor, Tensor, Tensor]:
        """The teacher's features of a batch: of its clips, of its videos, and whether there are any."""
        assert self._cache is not None
        clip = batch["clip"]
        if self.granularity == "video_to_video":
            clip = clip[:, :0]
        cache, device = self._cache, self.device
        clips, videos, known = self.beside(lambda: [rows.to(device) for rows in cache.look_up(batch["name"], clip)])
        return clips, videos, known

    def _student_features(self, prepared: Tensor) -> list[Tensor]:
        """Features after the matched stages, as long as the teacher's."""
        if isinstance(self.student, VideoNetwork):
            features = self.student.stage_features(prepared, self.stages)
        else:
            features = [self.student(prepared)]
        return [project(feature) for project, feature in zip(self.projection, features, strict=True)]

    def _sequences(self, batch: MultimodalBatch) -> Tensor:
        skeleton = self._modality(batch)
        return skeleton if self.crop is None else self.crop.centre(skeleton, batch["num_frames"])

    def _modality(self, batch: MultimodalBatch, modality: str | None = None) -> Tensor:
        name = modality or self.student_modality
        value = batch.get(name)
        if not isinstance(value, Tensor):
            raise ValueError(f"the batch has no {name}: add it to data.modalities")
        return value

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Optimizer of the student; its rate changes step by step."""
        parameters = list(self.parameters())
        optimizer: torch.optim.Optimizer
        if self.optimizer == "sgd":
            optimizer = torch.optim.SGD(parameters, self.learning_rate, momentum=0.9, weight_decay=self.weight_decay)
        else:
            optimizer = torch.optim.AdamW(parameters, self.learning_rate, weight_decay=self.weight_decay)
        # The first step does not ask for the run's length: Lightning would start the loader to count its batches,
        # before a resumed run knows where to go on.
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.decay(step) if step else 1.0)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def decay(self, step: int) -> float:
        """Share of the learning rate at an optimizer step."""
        if self.schedule == "cosine":
            done = step / max(int(self.trainer.estimated_stepping_batches), 1)
            return (1 + math.cos(math.pi * min(done, 1.0))) / 2
        if self.schedule == "constant":
            return 1.0
        steps = max(-(-int(self.trainer.num_training_batches) // self.trainer.accumulate_grad_batches), 1)
        return float(0.1 ** sum(step >= milestone * steps for milestone in self.milestones))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say inside the checkpoint what the student is and was fed with, and who its teacher was."""
        data = getattr(self.trainer, "datamodule", None)
        preprocessing: Preprocessing | SkeletonInput | dict[str, Any] = self.student_preprocessing
        if self.student_modality == "skeleton":
            preprocessing = input_of(self.crop)
        checkpoint["zoo"] = describe(self.student, type(self).__name__, type(data).__name__, preprocessing)
        checkpoint["teacher"] = self._teacher.digest

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the same teacher only.

        Raises:
            ValueError: the checkpoint's student had another.
        """
        if checkpoint.get("teacher", "") not in ("", self._teacher.digest):
            raise ValueError(
                "the checkpoint's student had another teacher: give its weights as model.teacher_weights, or start a "
                "new run from it by model.weights"
            )


def _check(
    student: Network, student_modality: str, granularity: str, blocks: tuple[int, ...], teacher_features: str
) -> None:
    """Check arguments that must go together.

    Raises:
        ValueError: they do not.
    """
    skeleton = student_modality == "skeleton"
    if skeleton != (granularity == "video_to_video"):
        takes = "whole sequences: it must be" if skeleton else "clips: it cannot be"
        raise ValueError(f"granularity={granularity}: a {student_modality} student takes {takes} video_to_video")
    if not isinstance(student, SkeletonNetwork if skeleton else VideoNetwork):
        wanted = "a skeleton network, such as STGCN" if skeleton else "a video network, such as ResNet3D"
        raise ValueError(f"student_modality={student_modality} needs {wanted}, the student is {type(student).__name__}")
    if skeleton and blocks:
        raise ValueError(f"blocks={blocks}: a skeleton network has no stages that correspond to the teacher's")
    if teacher_features == "recomputed" and granularity != "clip_to_clip":
        raise ValueError(
            f"granularity={granularity}: with teacher_features=recomputed it must be clip_to_clip, as a batch holds no "
            f"whole videos"
        )


def _check_stages(network: Network, stages: Sequence[str]) -> None:
    """Check that a network has stages, the last of which gives its features.

    Raises:
        ValueError: it has not, or one is its last.
    """
    count = len(network.widths) if isinstance(network, VideoResNet) else 0
    known = [f"layer{number}" for number in range(1, count)]
    if not set(stages) <= set(known) or sorted(set(stages)) != list(stages):
        numbers = ", ".join(str(number) for number in range(1, count)) or "none"
        raise ValueError(
            f"blocks must be rising numbers of {type(network).__name__}'s stages before the last, whose features are "
            f"matched anyway; it has {numbers}"
        )


def _width(network: Network, stage: str) -> int:
    assert isinstance(network, VideoNetwork)
    return stage_width(network, stage)
