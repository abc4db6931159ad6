"""Linear evaluation of frozen networks (thesis A.1; tables 3.1, 3.5, 3.6, A.2 to A.4)."""

from typing import Any, Self

import torch
from pytorch_lightning.utilities import rank_zero_info
from rich.console import Console
from rich.progress import track
from torch import Tensor, distributed
from torch.utils.data import DataLoader

from lightning_modules.losses.gather import world
from lightning_modules.networks.network import Network
from lightning_modules.recognition import Batch, Recognition
from lightning_modules.views.multimodal import ClipCrop
from lightning_modules.views.rows import Rows
from lightning_modules.views.skeleton import SequenceCrop


class LinearProbe(Recognition):
    """Trains a linear classifier on the features of frozen networks.

    The networks stay in evaluation mode: neither their weights nor their batch norm statistics change. Each sequence
    has ``crops`` random crops, drawn from (seed, number of the crop, sample), which the epochs go through in turn. So
    their features can be computed once, before training, and kept: training with and without is the same.

    Kept features are float32 (crops, N, D) on the device of each process: 330 MB a crop for BiGRU on NTU-60 (40,091 x
    2048), and those of the centre crops of the evaluation list, which validation uses. They are in no checkpoint: a run
    that goes on computes them again.

    Args:
        networks: see ``Recognition``, as the next three.
        weights: see there.
        crop: see there.
        num_classes: see there.
        cache_features: compute the features once; otherwise at each step.
        crops: random crops of a sequence. The published script draws one at each epoch, which are 80.
        learning_rate: see ``Recognition``, as all that follow; of SGD.
        weight_decay: see there.
        milestones: see there; of 80 epochs in A.1.
        seed: see there.

    Raises:
        ValueError: as of ``Recognition``, or there is no crop.
    """

    def __init__(
        self,
        networks: list[Network],
        weights: str | list[str | None] | None = None,
        crop: SequenceCrop | ClipCrop | None = None,
        num_classes: int | None = None,
        cache_features: bool = True,
        crops: int = 5,
        learning_rate: float = 0.1,
        weight_decay: float = 0.0,
        milestones: tuple[int, ...] = (50, 70),
        seed: int = 0,
    ) -> None:
        super().__init__(
            networks=networks,
            weights=weights,
            crop=crop,
            num_classes=num_classes,
            optimizer="sgd",
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            milestones=milestones,
            seed=seed,
        )
        if crops < 1:
            raise ValueError(f"crops={crops} must be at least 1")
        self.networks.requires_grad_(False).eval()
        self.cache_features = cache_features
        self.crops = crops
        # Of the training list, (crops, N, D), and of the evaluation list, (1, N, D).
        self._kept_training: Tensor | None = None
        self._kept_evaluation: Tensor | None = None

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all but the networks."""
        super().train(mode)
        self.networks.eval()
        return self

    def random_crops(self, batch: Batch, number: int) -> Rows:
        """Draw the crops of one number: a row for each sample of a batch."""
        rows = [self.draw(batch, 1, self.generator(number, sample)) for sample in batch["sample"].tolist()]
        return Rows.join(rows)

    def features(self, batch: Batch) -> Tensor:
        """Features of the centre crops of a batch, float32 (B, feature_dim), looked up in training."""
        if self._kept_evaluation is not None and "skeleton" not in batch:
            return self._kept_evaluation[0, batch["sample"]]
        return super().features(batch)

    def training_features(self, batch: Batch) -> Tensor:
        """Features of this epoch's crops, float32 (B, feature_dim)."""
        number = self.trainer.current_epoch % self.crops
        if self._kept_training is not None:
            return self._kept_training[number, batch["sample"]]
        with torch.no_grad():
            return self._features_of_crop(batch, number)

    def _features_of_crop(self, batch: Batch, number: int) -> Tensor:
        return self.encode(self.cut(batch, self.random_crops(batch, number))).float()

    def on_fit_start(self) -> None:
        """Compute the features of all samples, and ask the data module for rows alone.

        Raises:
            ValueError: the data module cannot do without its sequences.
        """
        if not self.cache_features:
            return
        data: Any = getattr(self.trainer, "datamodule", None)
        if not hasattr(data, "rows_only"):
            raise ValueError(
                f"{type(data).__name__} cannot give samples without reading them: set model.cache_features=false"
            )
        training, evaluation = data.whole_dataloaders()
        self._kept_training = self._keep(data, training, "training")
        if self.trainer.enable_validation:
            self._kept_evaluation = self._keep(data, evaluation, "evaluation")
        data.rows_only = True

    def on_fit_end(self) -> None:
        """Let the features go."""
        if self.cache_features:
            self.trainer.datamodule.rows_only = False  # type: ignore[attr-defined]
            self._kept_training = self._kept_evaluation = None

    @torch.no_grad()
    def _keep(self, data: Any, loader: "DataLoader[Any]", split: str) -> Tensor:  # noqa: ANN401 - a data module
        """Features of all samples of a loader, float32 (crops, N, D): each process computes its share."""
        number_of_crops = self.crops if split == "training" else 1
        num_samples = len(loader.dataset)  # type: ignore[arg-type]
        kept = torch.zeros(number_of_crops, num_samples, self.feature_dim, device=self.device)
        shown = self.trainer.is_global_zero and self.trainer.progress_bar_callback is not None
        console = Console(stderr=True)
        for batch in track(loader, f"features of the {split} list", console=console, disable=not shown):
            batch = data.on_before_batch_transfer(batch, 0)
            batch = data.on_after_batch_transfer(self.transfer_batch_to_device(batch, self.device, 0), 0)
            with self.trainer.precision_plugin.forward_context():
                for number in range(number_of_crops):
                    features = self._features_of_crop(batch, number) if split == "training" else self.features(batch)
                    kept[number, batch["sample"]] = features
        if world()[1] > 1:
            distributed.all_reduce(kept)  # zero where another process has the sample
        rank_zero_info(
            f"{type(self).__name__}: keeps the features of {num_samples:,} {split} samples, {number_of_crops} "
            f"crop{'s' if number_of_crops > 1 else ''} each, {kept.nbytes / 1e6:,.0f} MB"
        )
        return kept
