"""What the protocols of recognition have in common (thesis 2.4.3, A.1, A.2, A.4): networks under a classifier."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import MeanMetric, Metric

from datamodules.batch import ClipBatch, MultimodalBatch, SkeletonBatch
from lightning_modules.compilation import uncompiled
from lightning_modules.features import names_of, rows_of
from lightning_modules.losses.gather import world
from lightning_modules.metrics.class_accuracy import ClassAccuracy
from lightning_modules.networks import Network, VideoNetwork
from lightning_modules.networks.skeleton_network import SkeletonNetwork
from lightning_modules.optimization import OptimizerName, multi_step
from lightning_modules.reproducible import Reproducible
from lightning_modules.views.multimodal import ClipCrop, CropBoxes, mean_over_clips
from lightning_modules.views.rows import Rows
from lightning_modules.views.skeleton import CropParameters, SequenceCrop
from lightning_modules.views.video import VideoAugmentation, VideoChanges
from lightning_modules.weights.files import ACTIONS_KEY, CLASS_NAMES_KEY
from lightning_modules.weights.header import describe
from lightning_modules.weights.importers import load_each
from lightning_modules.weights.preprocessing import Preprocessing
from lightning_modules.weights.skeleton_input import SkeletonInput, input_of

CLASSIFIER = "classifier.weight"

Batch = SkeletonBatch | MultimodalBatch | ClipBatch
Crop = SequenceCrop | ClipCrop | VideoAugmentation

# Bounds the memory that the clips of long videos take in evaluation.
_CLIPS_AT_ONCE = 64


class Recognition(Reproducible):
    """Base of linear evaluation and fine-tuning: a linear classifier over the features of one or several networks.

    Batch: ``SkeletonBatch``, ``MultimodalBatch`` for clips of RGB, flow or depth, or ``ClipBatch``. Training sees a
    random crop of each sequence or clip, evaluation the centre (A.1); of a video it averages the probabilities of all
    clips (2.4.3, B.2.1).
    Crops are drawn for the global batch from (seed, number of the batch), dropout from these and the rank. Several
    networks see the same crop, and their features are put side by side (A.4). Loss and scores are in float32.

    Logs ``loss``, ``top1``, ``top5`` where there are more than 5 classes, and ``mean_class_accuracy``, for ``val`` and
    ``test``; the first two for ``train``.

    Args:
        networks: (B, 3, T, V, M) to (B, feature_dim) each, or (B, C, T, H, W) for clips.
        weights: file (a path or a catalogue name) of pretrained weights: one for all networks, each of which finds its
            own in it; or one for each, None for a network that starts from scratch. All do when None.
        crop: what the networks see: a ``SequenceCrop``, a ``ClipCrop``, which names the modality, or a
            ``VideoAugmentation``.
        num_classes: C; that of the data module when None.
        optimizer: of all that trains; ``sgd`` has momentum 0.9.
        learning_rate: at the global batch size of the config; never rescaled.
        weight_decay: of all that trains.
        milestones: epochs after which the learning rate falls.
        seed: of the crops, dropout and the classifier's first weights.
        adapt_input: whether weights of a video network for other channels, as flow's two, are taken too, see
            `load_weights`.
        gamma: what the learning rate is multiplied with at the milestones.
        warmup_epochs: epochs over which the learning rate rises to its value, in equal steps of one epoch; none in the
            thesis.

    Raises:
        ValueError: there is no network, or not one file for each, or networks and crop are of different data.
        WeightsError: weights do not fit.
    """

    def __init__(
        self,
        networks: list[Network],
        weights: str | list[str | None] | None,
        crop: Crop | None,
        num_classes: int | None,
        optimizer: OptimizerName,
        learning_rate: float,
        weight_decay: float,
        milestones: tuple[int, ...],
        seed: int,
        adapt_input: bool = False,
        gamma: float = 0.1,
        warmup_epochs: int = 0,
    ) -> None:
        super().__init__(seed)
        if not networks:
            raise ValueError("networks is empty: give at least one")
        self.crop = crop or (ClipCrop() if isinstance(networks[0], VideoNetwork) else SequenceCrop())
        for network in networks:
            _check_input(network, self.crop)
        load_each(networks, weights, adapt_input)
        self.networks = nn.ModuleList(networks)
        self.feature_dim = sum(network.feature_dim for network in networks)
        self.num_classes = num_classes
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.milestones = tuple(milestones)
        self.gamma = gamma
        self.warmup_epochs = warmup_epochs
        if num_classes is not None:
            self.build(num_classes)

    def build(self, num_classes: int) -> None:
        """Make what depends on the number of classes: the classifier, from N(0, 0.01) as published, and the metrics."""
        self.num_classes = num_classes
        self.classifier = nn.Linear(self.feature_dim, num_classes)
        nn.init.normal_(self.classifier.weight, std=0.01, generator=self.generator(-2))
        nn.init.zeros_(self.classifier.bias)
        self.held_out = nn.ModuleDict(
            {
                "loss": MeanMetric(),
                "top1": ClassAccuracy(num_classes),
                "mean_class_accuracy": ClassAccuracy(num_classes, mean_over_classes=True),
            }
        )
        if num_classes > 5:
            self.held_out["top5"] = ClassAccuracy(num_classes, 5)

    @property
    def _metrics(self) -> dict[str, Metric]:
        return {name: metric for name, metric in self.held_out.items() if isinstance(metric, Metric)}

    def setup(self, stage: str) -> None:
        """Take the number of classes from the data module.

        Raises:
            ValueError: nobody knows it, or the data have more classes than the classifier.
        """
        warnings.filterwarnings("ignore", message=r"Found \d+ module\(s\) in eval mode")  # what is frozen, on purpose
        in_data = getattr(getattr(self.trainer, "datamodule", None), "num_classes", None)
        if self.num_classes is None:
            if not in_data:
                raise ValueError("the number of classes is unknown: the data have no labels; set model.num_classes")
            self.build(in_data)
        elif in_data is not None and in_data > self.num_classes:
            raise ValueError(
                f"the data have {in_data} classes, the classifier {self.num_classes}: set model.num_classes={in_data}, "
                f"or take other data"
            )

    def encode(self, views: Tensor) -> Tensor:
        """Features of crops by all networks, side by side: float32 (B, ...), their input, to float (B, feature_dim)."""
        return torch.cat([network(views) for network in self.networks], dim=1)

    def classify(self, features: Tensor) -> Tensor:
        """Logits: float (B, feature_dim) to float32 (B, C)."""
        logits: Tensor = self.classifier(features)
        return logits.float()

    def draw(self, batch: Batch, num_samples: int, generator: torch.Generator) -> Rows:
        """Draw a random crop of each of a number of samples that are like those of a batch."""
        if isinstance(self.crop, ClipCrop):
            height, width = self.crop.clips(batch).shape[3:5]
            return self.crop.draw(num_samples, height, width, generator)
        if isinstance(self.crop, VideoAugmentation):
            return self.crop.draw(num_samples, self.crop.clips(batch).shape[1], generator)
        return self.crop.draw(num_samples, generator)

    def cut(self, batch: Batch, crops: Rows) -> Tensor:
        """Crops of a batch, the networks' input; N of each sample one after the other, where it has N clips."""
        if isinstance(self.crop, ClipCrop):
            assert isinstance(crops, CropBoxes)
            return self.crop.random(self.crop.clips(batch), crops)
        if isinstance(self.crop, VideoAugmentation):
            assert isinstance(crops, VideoChanges)
            return self.crop.random(self.crop.clips(batch), crops)
        assert isinstance(crops, CropParameters)
        return self.crop.random(*self.sequences(batch), crops)

    @staticmethod
    def sequences(batch: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """Skeletons of a batch, float32 (B, 3, T, V, M), and their numbers of frames, int64 (B,).

        Raises:
            ValueError: the batch has no skeletons.
        """
        if "skeleton" not in batch:
            raise ValueError("the batch has no skeletons: take a data module of skeletons, or set crop")
        return batch["skeleton"], batch["num_frames"]

    def features(self, batch: Batch) -> Tensor:
        """Features of the centre crops, means over a video's clips, float32 (B, feature_dim): what probes see."""
        if isinstance(self.crop, SequenceCrop):
            return self.encode(self.crop.centre(*self.sequences(batch))).float()
        return mean_over_clips(*self.clip_features(batch))

    @uncompiled
    def clip_features(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Features of the centre crops of all clips that there are.

        Returns:
            float32 (K, feature_dim), video by video, and which of the batch's clips these are, bool (B, N).
        """
        assert not isinstance(self.crop, SequenceCrop)
        there = self.crop.there(batch)
        clips = self.crop.clips(batch)[there]
        parts = [self.encode(self.crop.centre(part)).float() for part in torch.split(clips, _CLIPS_AT_ONCE)]
        return torch.cat(parts), there

    def training_features(self, batch: Batch) -> Tensor:
        """Features of random crops of this rank's share of a global batch, float (B, feature_dim); of N clips B * N."""
        rank, size = world()
        share = len(batch["label"])
        crops = self.draw(batch, share * size, self.generator(self.batches_done()))
        return self.encode(self.beside(lambda: self.cut(batch, crops[rank * share : (rank + 1) * share])))

    def forward(self, batch: Batch) -> Tensor:
        """Logits of the centre crops of a batch, float32 (B, C); of clips, logarithms of the mean probabilities."""
        if isinstance(self.crop, SequenceCrop):
            return self.classify(self.features(batch))
        features, there = self.clip_features(batch)
        return logarithms(mean_over_clips(self.classify(features).softmax(1), there))

    def labels(self, batch: Batch) -> Tensor:
        """Labels of a batch, int64 (B,).

        Raises:
            ValueError: one of them is no class.
        """
        label = batch["label"]
        assert self.num_classes is not None
        outside = (label < 0) | (label >= self.num_classes)
        if outside.any():
            first = int(outside.nonzero()[0])
            what = "has no label" if label[first] < 0 else f"has label {int(label[first])}"
            raise ValueError(
                f"{names_of(batch)[first]}: {what}, and the classes are 0 to {self.num_classes - 1}; "
                f"take labelled data, or set model.num_classes"
            )
        return label

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Classify random crops."""
        label = self.beside(lambda: self.labels(batch))
        torch.manual_seed(self.seed_of(self.batches_done(), world()[0]))  # dropout goes on as it was after a resume
        logits = self.classify(self.training_features(batch))
        label = label.repeat_interleave(len(logits) // len(label))
        loss = functional.cross_entropy(logits, label)
        self.stop_unless_finite(loss, names_of(batch))
        top1 = (logits.detach().argmax(1) == label).float().mean()
        # Processes hold equal shares of a training batch, so the mean of their means is that of the global batch.
        self.log_step({"loss": loss, "top1": top1}, len(label), shown=("loss", "top1"))
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Classify centre crops."""
        self._evaluate(batch)

    def test_step(self, batch: Batch, batch_index: int) -> None:
        """Do the same on the test split."""
        self._evaluate(batch)

    def _evaluate(self, batch: Batch) -> None:
        label, logits = self.labels(batch), self(batch)
        for name, metric in self._metrics.items():
            if name == "loss":
                metric.update(functional.cross_entropy(logits, label, reduction="none"))
            else:
                metric.update(logits, label)

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of all processes, also of those that had no sample."""
        self._log_held_out("val")

    def on_test_epoch_end(self) -> None:
        """Do the same on the test split."""
        self._log_held_out("test")

    def _log_held_out(self, split: str) -> None:
        for name, metric in self._metrics.items():
            self.log(f"{split}/{name}", metric, prog_bar=name == "top1")

    def predict_step(self, batch: Batch, batch_index: int) -> dict[str, Any]:
        """Scores of a batch.

        Returns:
            ``score``, float32 (B, C), probabilities of the classes; ``label`` and ``sample``, int64 (B,), and ``name``.
        """
        sample, name = rows_of(batch), names_of(batch)
        return {"score": self(batch).softmax(1), "label": batch["label"], "sample": sample, "name": name}

    def trainable(self) -> Sequence[nn.Parameter]:
        """Parameters that the optimizer moves."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Optimizer of what trains; its rate falls at the milestones."""
        return multi_step(
            self.trainable(),
            self.optimizer,
            self.learning_rate,
            self.weight_decay,
            self.milestones,
            self.gamma,
            self.warmup_epochs,
            self.fused(),
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say inside the checkpoint what the first network is, where its data came from, and what its classes were."""
        data = getattr(self.trainer, "datamodule", None)
        network = self.networks[0]
        assert isinstance(network, Network)
        checkpoint["zoo"] = describe(network, type(self).__name__, type(data).__name__, self.preprocessing)
        checkpoint[ACTIONS_KEY] = [str(action) for action in getattr(data, "actions", None) or ()]
        checkpoint[CLASS_NAMES_KEY] = [str(name) for name in getattr(data, "class_names", None) or ()]

    @property
    def preprocessing(self) -> Preprocessing | SkeletonInput | dict[str, Any]:
        """How evaluation prepares a clip or a sequence, for the header of exported weights."""
        if isinstance(self.crop, SequenceCrop):
            return input_of(self.crop)
        return self.crop.preprocessing if isinstance(self.crop, ClipCrop) else {}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the number of classes from the checkpoint where nothing else tells it.

        Raises:
            ValueError: the checkpoint has another number of classes.
        """
        if CLASSIFIER not in checkpoint["state_dict"]:
            return  # of another method; loading it strictly says so
        classes = len(checkpoint["state_dict"][CLASSIFIER])
        if self.num_classes is None:
            self.build(classes)
        elif classes != self.num_classes:
            raise ValueError(
                f"the checkpoint has {classes} classes, this run {self.num_classes}: give another --run_dir, or start "
                f"a new run from it by model.weights"
            )


def logarithms(probabilities: Tensor) -> Tensor:
    """Logarithms of float32 probabilities, finite."""
    return probabilities.clamp(min=torch.finfo(torch.float32).tiny).log()


def _check_input(network: Network, crop: Crop) -> None:
    """Check that a network takes what is cut out for it.

    Raises:
        ValueError: it does not.
    """
    name = type(network).__name__
    if isinstance(crop, SequenceCrop):
        if not isinstance(network, SkeletonNetwork):
            raise ValueError(f"networks: {name} takes clips: set crop to a ClipCrop")
    elif not isinstance(network, VideoNetwork):
        raise ValueError(f"networks: {name} takes skeletons: set crop to a SequenceCrop, or take a video network")
    elif network.in_channels != crop.channels:
        raise ValueError(
            f"networks: {name} takes {network.in_channels} channels, {crop.modality} has "
            f"{crop.channels}: set its in_channels, or crop.modality"
        )
