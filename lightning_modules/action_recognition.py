"""Action recognition of videos by fine-tuning or linear evaluation: the SEVERE benchmark (chapter 4, B.2, C.4)."""

from typing import Any, Literal

import torch
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor
from torch.nn import functional
from torchmetrics import MeanMetric

from lightning_modules.compilation import compile_network
from lightning_modules.features import rows_of
from lightning_modules.frozen_features import FrozenFeatures
from lightning_modules.metrics.video_scores import VideoScores
from lightning_modules.networks import VideoNetwork
from lightning_modules.recognition import Batch, logarithms
from lightning_modules.views.clip import IMAGENET_MEAN, IMAGENET_STD
from lightning_modules.views.video import VideoAugmentation


class ActionRecognition(FrozenFeatures):
    """Trains a linear classifier over the features of a pretrained network, and, in fine-tuning, the network too.

    Batch: ``ClipBatch``. Clips are cut while they are loaded, at random in training; they are flipped, jittered in
    colour and normalised here, each on its own, drawn for the global batch from (seed, number of the batch). A video's
    scores are the mean of its clips' probabilities (10 clips in chapter 4), wherever the clips were computed; a video
    that comes twice counts once. Sections 4.3 to 4.5 report ``top1``, on FineGym's parts ``mean_class_accuracy``.

    Follows fmthoker/SEVERE-BENCHMARK (``action_recognition``), whose classifier has no dropout. Differs: the classifier
    starts from N(0, 0.01) in both modes, published in linear evaluation alone; linear evaluation leaves batch norm's
    statistics as they were pretrained, where the published script lets them follow the data. Its configs multiply the
    rate by 0.3 at the milestones, the text by 0.1. It feeds TCLR with BGR in 0..1: ``mean`` 0 and ``std`` 1 here, as
    its importer turns the channels. It gives AVID-CMA ten times the rate on Gym-99 with 1,000 samples.

    Logs what ``Recognition`` does: ``train/loss``, ``train/top1``; ``loss``, ``top1``, ``top5`` (of more than 5
    classes) and ``mean_class_accuracy`` for ``val`` and ``test``, in 0..1.

    Args:
        network: (B, 3, T, H, W) to (B, feature_dim).
        weights: file (a path or a catalogue name) of pretrained weights; from scratch when None.
        mode: ``finetune`` trains all, ``linear`` the classifier on a network that stays in evaluation mode.
        num_classes: C; that of the data module when None.
        flip: whether half of the clips are flipped; unless that changes labels (``flip_keeps_labels`` of the data
            module) when None.
        colour_jitter: brightness, contrast, saturation and hue, see ``VideoAugmentation``, as the next two.
        mean: see there.
        std: see there.
        crops: of linear evaluation: random clips of a video, which the epochs go through in turn; another at each
            epoch when None.
        cache_features: of linear evaluation: compute the features of these clips once, before training; otherwise at
            each step. Training is the same. Kept are float32 (crops, N, D) and those of the evaluation's clips: 20 MB
            a crop for R(2+1)D-18 on UCF101 (9,537 x 512).
        optimizer: see ``Recognition``, as all that follow but one; Adam in B.2.1.
        learning_rate: see there; tables B.2 and C.4.
        weight_decay: see there.
        milestones: see there.
        gamma: see there.
        warmup_epochs: see there.
        channels_last: store activations channels-last, faster on GPUs with tensor cores.
        compile: compile the network's training steps, in fine-tuning.
        seed: see ``Recognition``.

    Raises:
        ValueError: as of ``Recognition`` and ``VideoAugmentation``, the mode is unknown, or a number of crops does not
            fit.
        WeightsError: weights do not fit.
    """

    def __init__(
        self,
        network: VideoNetwork,
        weights: str | None = None,
        mode: Literal["finetune", "linear"] = "finetune",
        num_classes: int | None = None,
        flip: bool | None = None,
        colour_jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.2),
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
        crops: int | None = None,
        cache_features: bool = False,
        optimizer: Literal["sgd", "adam", "adamw"] = "adam",
        learning_rate: float = 1e-4,
        weight_decay: float = 0.0,
        milestones: tuple[int, ...] = (60, 100, 140),
        gamma: float = 0.1,
        warmup_epochs: int = 0,
        channels_last: bool = False,
        compile: bool = False,
        seed: int = 0,
    ) -> None:
        if mode not in ("finetune", "linear"):
            raise ValueError(f"mode={mode!r} must be finetune or linear")
        if mode == "finetune" and (cache_features or crops is not None):
            raise ValueError("crops and cache_features are of linear evaluation: leave them out, or set mode=linear")
        super().__init__(
            networks=[network],
            weights=weights,
            crop=VideoAugmentation(0.0 if flip is False else 0.5, colour_jitter, mean, std),
            num_classes=num_classes,
            optimizer=optimizer,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            milestones=milestones,
            seed=seed,
            gamma=gamma,
            warmup_epochs=warmup_epochs,
        )
        self.mode = mode
        self.flip = flip
        self.channels_last = channels_last
        self.compile_network = compile and mode == "finetune"
        if mode == "linear":
            self.freeze_networks(crops, cache_features)
        if channels_last:
            self.to(memory_format=torch.channels_last_3d)

    def configure_model(self) -> None:
        """Compile."""
        if self.compile_network:
            compile_network(self.networks[0])

    def build(self, num_classes: int) -> None:
        """Make the classifier, the metrics, and what sums the scores of videos up."""
        super().build(num_classes)
        self._scores = VideoScores(num_classes)

    def setup(self, stage: str) -> None:
        """Take the number of classes from the data module, and whether a flip keeps the labels.

        Raises:
            ValueError: as of ``Recognition``.
        """
        super().setup(stage)
        data = getattr(self.trainer, "datamodule", None)
        harmless = getattr(data, "flip_keeps_labels", True)
        assert isinstance(self.crop, VideoAugmentation)
        self.crop.flip_probability = 0.5 if (harmless if self.flip is None else self.flip) else 0.0
        if self.flip and not harmless:
            rank_zero_warn(f"model.flip is true, and a flip changes labels of {type(data).__name__}")

    @property
    def preprocessing(self) -> dict[str, Any]:
        """How evaluation prepares a clip, for the header of exported weights."""
        facts = getattr(getattr(self.trainer, "datamodule", None), "preprocessing", {})
        assert isinstance(self.crop, VideoAugmentation)
        return facts and {**facts, "mean": list(self.crop.mean), "std": list(self.crop.std)}

    def _evaluate(self, batch: Batch) -> None:
        label = self.labels(batch)
        features, there = self.clip_features(batch)
        owner = there.nonzero()[:, 0]
        probabilities = self.classify(features).softmax(1)
        sums = probabilities.new_zeros(len(label), probabilities.shape[1]).index_add(0, owner, probabilities)
        self._scores.update(sums, there.sum(1), rows_of(batch), label)

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of all videos."""
        self._measure()
        super().on_validation_epoch_end()

    def on_test_epoch_end(self) -> None:
        """Do the same on the test split."""
        self._measure()
        super().on_test_epoch_end()

    def _measure(self) -> None:
        # Every process holds all videos, and the metrics are shares and means: joining them changes nothing.
        score, label = self._scores.compute(self.device)
        logits = logarithms(score)
        for metric in self._metrics.values():
            if isinstance(metric, MeanMetric):
                metric.update(functional.cross_entropy(logits, label, reduction="none"))
            else:
                metric.update(logits, label)

    def encode(self, views: Tensor) -> Tensor:
        """Features of clips: float32 (B, 3, T, H, W) to float (B, feature_dim)."""
        if self.channels_last:
            views = views.contiguous(memory_format=torch.channels_last_3d)
        return super().encode(views)
