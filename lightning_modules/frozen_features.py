"""Recognition with frozen networks: the same features at each epoch, so that they can be computed once and kept."""

from typing import Any, Self

import torch
from pytorch_lightning.utilities import rank_zero_info
from rich.console import Console
from rich.progress import track
from torch import Tensor, distributed

from lightning_modules.features import rows_of
from lightning_modules.losses.gather import world
from lightning_modules.recognition import Batch, Recognition
from lightning_modules.views.rows import Rows
from lightning_modules.views.skeleton import SequenceCrop


class FrozenFeatures(Recognition):
    """Base of methods that may freeze their networks, see ``freeze_networks``; until then it is ``Recognition``.

    Attributes:
        frozen: whether the networks stay in evaluation mode: neither their weights nor their batch norm statistics
            change.
        crops: random views of a sample, drawn from (seed, number of the view, sample), which the epochs go through in
            turn; each epoch draws its own, as ``Recognition`` does, when None.
        cache_features: whether the features of these views are computed once, before training; otherwise at each
            step. Training is the same. What stands in for an unreadable video has, kept, its own views.
    """

    frozen = False
    crops: int | None = None
    cache_features = False

    # Of the training list, (crops, N, D), and of the evaluation list, (clips of a video, N, D).
    _kept_training: Tensor | None = None
    _kept_evaluation: Tensor | None = None

    def freeze_networks(self, crops: int | None, cache_features: bool) -> None:
        """Freeze the networks.

        Args:
            crops: see the attributes.
            cache_features: see there.

        Raises:
            ValueError: there is no crop.
        """
        if crops is not None and crops < 1:
            raise ValueError(f"crops={crops} must be at least 1")
        if cache_features and crops is None:
            raise ValueError("cache_features needs a number of crops to keep the features of: set model.crops, as to 5")
        self.frozen, self.crops, self.cache_features = True, crops, cache_features
        self.networks.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all but frozen networks."""
        super().train(mode)
        if self.frozen:
            self.networks.eval()
        return self

    def random_crops(self, batch: Batch, number: int) -> Rows:
        """Draw the crops of one number: a row for each sample of a batch."""
        rows = rows_of(batch).tolist()
        return Rows.join([self.draw(batch, 1, self.generator(number, row)) for row in rows])

    def features(self, batch: Batch) -> Tensor:
        """Features of the centre crops of a batch, float32 (B, feature_dim), looked up in training."""
        if self._kept_evaluation is not None and "skeleton" not in batch and isinstance(self.crop, SequenceCrop):
            return self._kept_evaluation[0, rows_of(batch)]
        return super().features(batch)

    def clip_features(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Features of the clips of a batch, see ``Recognition``, looked up in training."""
        if self._kept_evaluation is None or "clip" in batch:
            return super().clip_features(batch)
        kept = self._kept_evaluation[:, rows_of(batch)].transpose(0, 1)  # (B, N, D)
        return kept.flatten(0, 1), torch.ones(kept.shape[:2], dtype=torch.bool, device=kept.device)

    def training_features(self, batch: Batch) -> Tensor:
        """Features of this epoch's crops, float (B, feature_dim)."""
        if self.crops is None:
            return super().training_features(batch)
        number = self.trainer.current_epoch % self.crops
        if self._kept_training is not None:
            return self._kept_training[number, rows_of(batch)]
        return self._features_of_crop(batch, number)

    def _features_of_crop(self, batch: Batch, number: int) -> Tensor:
        return self.encode(self.cut(batch, self.random_crops(batch, number))).float()

    def on_fit_start(self) -> None:
        """Compute the features of all samples, and ask the data module for rows alone.

        Raises:
            ValueError: the data module cannot do without its samples.
        """
        data: Any = getattr(self.trainer, "datamodule", None)
        can_keep = hasattr(data, "rows_only")
        if can_keep and self.crops is not None:
            data.views = self.crops
        if not self.cache_features:
            return
        if not can_keep:
            raise ValueError(
                f"{type(data).__name__} cannot give samples without reading them: set model.cache_features=false"
            )
        assert self.crops is not None
        kept = _Kept(self, len(data.train_samples), "training")
        for numbers, loader in data.training_views(self.crops):
            kept.add(data, loader, numbers)
        self._kept_training, missing = kept.joined(self.crops)
        unreadable = [missing, frozenset()]
        if self.trainer.enable_validation:
            kept = _Kept(self, len(data.val_samples), "evaluation")
            kept.add(data, data.whole_dataloaders()[1], None)
            self._kept_evaluation, unreadable[1] = kept.joined(1)
        data.unreadable = tuple(unreadable)
        data.rows_only = True

    def on_fit_end(self) -> None:
        """Let the features go."""
        data: Any = getattr(self.trainer, "datamodule", None)
        if self.crops is not None and hasattr(data, "rows_only"):
            data.rows_only, data.views, data.unreadable = False, None, (frozenset(), frozenset())
        self._kept_training = self._kept_evaluation = None


class _Kept:
    """Features of all samples of a list, while they are computed: each process computes its share."""

    def __init__(self, module: FrozenFeatures, num_samples: int, split: str) -> None:
        self.module, self.split = module, split
        self.features: list[Tensor] = []  # (N, D) for each number
        self.empty = torch.zeros(num_samples, module.feature_dim, device=module.device)
        self.seen = torch.zeros(num_samples, dtype=torch.bool, device=module.device)

    @torch.no_grad()
    def add(self, data: Any, loader: Any, numbers: Any) -> None:  # noqa: ANN401 - a data module and one of its loaders
        """Go through the samples once.

        Args:
            data: the data module.
            loader: of all samples, in order, dealt out over the processes.
            numbers: of the random crops to keep; None for the centre crops.
        """
        module = self.module
        first = len(self.features)
        rank, size = world()
        shown = module.trainer.is_global_zero and module.trainer.progress_bar_callback is not None
        done, title, console = 0, f"features of the {self.split} list", Console(stderr=True)
        for batch in track(loader, title, console=console, disable=not shown):
            batch = data.on_before_batch_transfer(batch, 0)
            batch = data.on_after_batch_transfer(module.transfer_batch_to_device(batch, module.device, 0), 0)
            rows = rows_of(batch)
            due = torch.arange(done, done + len(rows), device=rows.device) * size + rank
            done += len(rows)
            read = rows == due  # the rest stands in for what cannot be read
            with module.trainer.precision_plugin.forward_context():
                if numbers is None:
                    features = self._centre(batch)
                else:
                    features = torch.stack([module._features_of_crop(batch, number) for number in numbers])
            while len(self.features) < first + len(features):
                self.features.append(self.empty.clone())
            for number, values in enumerate(features, first):
                self.features[number][rows[read]] = values[read]
            self.seen[rows[read]] = True

    def _centre(self, batch: Batch) -> Tensor:
        """Features of the centre crops, float32 (clips of a video, B, D)."""
        if isinstance(self.module.crop, SequenceCrop):
            return self.module.features(batch)[None]
        features, there = self.module.clip_features(batch)
        assert there.all()
        return features.view(*there.shape, -1).transpose(0, 1)

    def joined(self, least: int) -> tuple[Tensor, frozenset[int]]:
        """Exchange the shares.

        Args:
            least: numbers that there are at least, for a process without samples.

        Returns:
            float32 (numbers, N, D), and the rows that could not be read.
        """
        count = torch.tensor(max(len(self.features), least), device=self.seen.device)
        seen = self.seen.long()
        if world()[1] > 1:
            distributed.all_reduce(count, distributed.ReduceOp.MAX)
            distributed.all_reduce(seen)
        while len(self.features) < int(count):
            self.features.append(self.empty.clone())
        kept = torch.stack(self.features)
        self.features.clear()
        if world()[1] > 1:
            distributed.all_reduce(kept)  # zero where another process has the sample
        rank_zero_info(
            f"{type(self.module).__name__}: keeps the features of {len(seen):,} {self.split} samples, {len(kept)} "
            f"crop{'s' if len(kept) > 1 else ''} each, {kept.nbytes / 1e6:,.0f} MB"
        )
        return kept, frozenset((seen == 0).nonzero().squeeze(1).tolist())
