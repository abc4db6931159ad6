"""Recognition of any number of actions in a video by fine-tuning: Charades of the SEVERE benchmark (B.2.4, C.4)."""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor, nn
from torch.nn import functional

from lightning_modules.features import names_of, rows_of
from lightning_modules.losses.gather import world
from lightning_modules.metrics.multi_label import charades_map, frequency_map
from lightning_modules.metrics.video_scores import VideoScores
from lightning_modules.networks import VideoNetwork
from lightning_modules.recognition import Batch, Recognition
from lightning_modules.views.video import VideoAugmentation


class MultiLabelRecognition(Recognition):
    """Trains a pretrained network with a sigmoid for each class over its features.

    Batch: ``MultiLabelBatch``. Clips are cut while they are loaded; they are flipped and normalised here. A video's
    scores are the maxima over its clips and their crops (10 and 3 in B.2.4), wherever they were computed; a video that
    comes twice counts once. The loss is the mean binary cross-entropy of all classes.

    Follows the configurations of fmthoker/SEVERE-BENCHMARK for facebookresearch/SlowFast: dropout, weight decay, four
    epochs of warm-up and the means and deviations are theirs, the text does not tell them. Differs: the rate rises in
    steps of an epoch, momentum is not Nesterov's, and the mean average precision is the official one
    (``metrics.multi_label``), which leaves videos without actions out.

    Logs ``train/loss``; for ``val`` and ``test`` ``loss``, ``map`` and, what it is to be measured against,
    ``map_of_class_frequencies``, in 0..1.

    Args:
        network: (B, 3, T, H, W) to (B, feature_dim).
        weights: file (a path or a catalogue name) of pretrained weights; from scratch when None.
        num_classes: C; that of the data module when None.
        dropout: of the features, in training.
        flip: whether half of the clips are flipped; unless that changes labels (``flip_keeps_labels`` of the data
            module) when None.
        colour_jitter: brightness, contrast, saturation and hue, see ``VideoAugmentation``, as the next two; none
            published.
        mean: see there.
        std: see there.
        optimizer: see ``Recognition``, as all that follow but one.
        learning_rate: see there; table C.4.
        weight_decay: see there.
        milestones: see there; table C.4.
        gamma: see there.
        warmup_epochs: see there.
        channels_last: store activations channels-last, faster on GPUs with tensor cores.
        seed: see ``Recognition``.

    Raises:
        ValueError: as of ``Recognition`` and ``VideoAugmentation``, or dropout is outside 0..1.
        WeightsError: weights do not fit.
    """

    def __init__(
        self,
        network: VideoNetwork,
        weights: str | None = None,
        num_classes: int | None = None,
        dropout: float = 0.5,
        flip: bool | None = None,
        colour_jitter: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0),
        mean: tuple[float, float, float] = (0.45, 0.45, 0.45),
        std: tuple[float, float, float] = (0.225, 0.225, 0.225),
        optimizer: Literal["sgd", "adam", "adamw"] = "sgd",
        learning_rate: float = 0.0375,
        weight_decay: float = 1e-4,
        milestones: tuple[int, ...] = (41, 49),
        gamma: float = 0.1,
        warmup_epochs: int = 4,
        channels_last: bool = False,
        seed: int = 0,
    ) -> None:
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout={dropout} must lie from 0 to below 1")
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
        self.dropout = nn.Dropout(dropout)
        self.flip = flip
        self.channels_last = channels_last
        if channels_last:
            self.to(memory_format=torch.channels_last_3d)

    def build(self, num_classes: int) -> None:
        """Make the classifier, and what pools the scores of videos."""
        super().build(num_classes)
        self.held_out = nn.ModuleDict()
        self._scores = VideoScores(num_classes, "max", (num_classes,))

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

    def present(self, batch: Mapping[str, Any]) -> Tensor:
        """Classes of the clips of a batch, bool (B, N, C).

        Raises:
            ValueError: the batch has none, or of another number of classes.
        """
        present = batch.get("present")
        if not isinstance(present, Tensor):
            raise ValueError("the batch has one class for each video: take data of several, such as CharadesDataModule")
        if present.shape[2] != self.num_classes:
            raise ValueError(
                f"the data have {present.shape[2]} classes, the classifier {self.num_classes}: "
                f"set model.num_classes={present.shape[2]}, or take other data"
            )
        return present

    def encode(self, views: Tensor) -> Tensor:
        """Features of clips: float32 (B, 3, T, H, W) to float (B, feature_dim)."""
        if self.channels_last:
            views = views.contiguous(memory_format=torch.channels_last_3d)
        return super().encode(views)

    def classify(self, features: Tensor) -> Tensor:
        """Logits: float (B, feature_dim) to float32 (B, C)."""
        return super().classify(self.dropout(features))

    def forward(self, batch: Batch) -> Tensor:
        """Logits of videos, the maxima over their clips, float32 (B, C)."""
        features, there = self.clip_features(batch)
        return self.classify(features).view(*there.shape, -1).amax(1)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Tell for each class whether it is seen in random clips."""
        present = self.present(batch).flatten(0, 1)
        torch.manual_seed(self.seed_of(self.batches_done(), world()[0]))  # dropout goes on as it was after a resume
        logits = self.classify(self.training_features(batch))
        loss = functional.binary_cross_entropy_with_logits(logits, present.float())
        self.stop_unless_finite(loss, names_of(batch))
        self.log_step({"loss": loss}, len(batch["label"]))
        return loss

    def _evaluate(self, batch: Batch) -> None:
        present, logits = self.present(batch), self(batch)
        video = rows_of(batch)
        self._scores.update(logits, torch.ones_like(video), video, present.any(1).long())

    def on_validation_epoch_end(self) -> None:
        """Log the measures of all videos."""
        self._log_held_out("val")

    def on_test_epoch_end(self) -> None:
        """Do the same on the test split."""
        self._log_held_out("test")

    def _log_held_out(self, split: str) -> None:
        logits, label = self._scores.compute(self.device)
        present = label.bool()
        measures = {
            "loss": functional.binary_cross_entropy_with_logits(logits, label.float()),
            "map": charades_map(logits, present).float(),
            "map_of_class_frequencies": frequency_map(present).float(),
        }
        for name, value in measures.items():
            # Every process holds all videos.
            self.log(f"{split}/{name}", value, prog_bar=name == "map", sync_dist=True)

    def predict_step(self, batch: Batch, batch_index: int) -> dict[str, Any]:
        """Scores of a batch.

        Returns:
            ``score``, float32 (B, C), probabilities of the classes; ``present``, bool (B, C), the classes that the
            videos have; ``sample``, int64 (B,), and ``name``.
        """
        present = self.present(batch).any(1)
        return {"score": self(batch).sigmoid(), "present": present, "sample": rows_of(batch), "name": names_of(batch)}
