"""Momentum contrast between two views of a batch: what tubelet contrast and its baseline share."""

from abc import abstractmethod
from typing import Any, Literal

import torch
from einops import rearrange, reduce
from torch import Tensor, nn

from datamodules.batch import ClipBatch
from lightning_modules.compilation import compile_network, uncompiled
from lightning_modules.contrast import Contrast, check_negatives, unit
from lightning_modules.losses.gather import all_gather, world
from lightning_modules.losses.info_nce import InfoNCE
from lightning_modules.losses.key_queue import KeyQueue
from lightning_modules.networks.heads import ProjectionHead
from lightning_modules.networks.momentum_encoder import MomentumEncoder, encoder
from lightning_modules.networks.video_network import VideoNetwork
from lightning_modules.views.clip import normalise
from lightning_modules.weights.header import describe
from lightning_modules.weights.importers import load_weights


class MomentumContrast(Contrast):
    """MoCo on clips (He et al. 2020, arXiv:1911.05722), with the two views left to the method.

    Batch: ``ClipBatch``. Follows facebookresearch/moco and fmthoker/tubelet-contrast; differs: the key encoder moves
    after each optimizer step instead of before each forward pass (the same keys, also under gradient accumulation),
    keys are shuffled as uint8, ragged batches and any queue size are taken.
    All randomness of a step is drawn for the global batch from (seed, number of the batch): the same views on any
    number of devices, and after a resume.

    Args:
        network: what learns; (B, 3, T, H, W) to (B, feature_dim).
        weights: start from these weights (a path or a catalogue name) instead of from scratch.
        projection_dim: length of query and key.
        head_batch_norm: batch norm in the projection head's hidden layer, over the global batch: the few numbers of a
            group of ``samples_per_norm`` would drown the features in the noise of their statistics.
        temperature: tau of equation 5.1.
        key_momentum: share of itself that the key encoder keeps at each step.
        queue_size: K, negatives kept from earlier batches.
        in_batch_negatives: also contrast with the other keys of the global batch. With a short queue they stop the
            network from telling keys apart by their age.
        shuffle_keys: shuffle the keys over the devices (and over the groups of ``samples_per_norm``) so that batch
            norm does not tell which keys belong to which queries.
        optimizer: ``sgd`` (momentum 0.9, the thesis') or ``adamw``.
        learning_rate: at the global batch size of the config; never rescaled.
        weight_decay: of all parameters, as published.
        warmup_steps: optimizer steps of linear growth before the cosine decay.
        channels_last: store activations channels-last, faster on GPUs with tensor cores.
        compile: compile the network's training steps.
        seed: of the views and the shuffling.
    """

    def __init__(
        self,
        network: VideoNetwork,
        weights: str | None = None,
        projection_dim: int = 128,
        head_batch_norm: bool = False,
        temperature: float = 0.2,
        key_momentum: float = 0.999,
        queue_size: int = 16384,
        in_batch_negatives: bool = False,
        shuffle_keys: bool = True,
        optimizer: Literal["sgd", "adamw"] = "sgd",
        learning_rate: float = 0.01,
        weight_decay: float = 1e-4,
        warmup_steps: int = 0,
        channels_last: bool = False,
        compile: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(
            in_batch_negatives=in_batch_negatives,
            shuffle_keys=shuffle_keys,
            optimizer=optimizer,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            warmup_steps=warmup_steps,
            seed=seed,
        )
        check_negatives(queue_size, in_batch_negatives)
        if weights is not None:
            load_weights(network, weights)
        head = ProjectionHead(network.feature_dim, out_dim=projection_dim, batch_norm=head_batch_norm)
        self.query_encoder = encoder(network, head)
        self.key_encoder = MomentumEncoder(self.query_encoder, key_momentum)
        self.queue = KeyQueue(queue_size, projection_dim)
        self.info_nce = InfoNCE(temperature)
        self.channels_last = channels_last
        self.compile_network = compile
        # The queue is the same on every rank by construction; broadcasting it at each step would cost 32 MB.
        self._ddp_params_and_buffers_to_ignore = ["queue.keys", "queue.count"]

    @property
    def network(self) -> VideoNetwork:
        """The network without its projection head: what is kept after pretraining."""
        network = self.query_encoder.get_submodule("network")
        assert isinstance(network, VideoNetwork)
        return network

    @abstractmethod
    def views(self, clip: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Make the two views that shall agree.

        Args:
            clip: uint8 (B, N, T, H, W, 3), this rank's share of the global batch.
            generator: on the CPU, the same on every rank: draw for the global batch, use this rank's rows.

        Returns:
            Query and key clips, uint8 (P, T, H, W, 3) each, for P pairs.
        """

    def configure_model(self) -> None:
        """Apply the memory format and compile, once the module is on its device."""
        if self.channels_last:
            self.to(memory_format=torch.channels_last_3d)
        if self.compile_network:
            for module in (self.query_encoder, self.key_encoder):
                compile_network(module.get_submodule("network"))

    def on_fit_start(self) -> None:
        """Refuse two ways of normalising at once."""
        if any(isinstance(module, nn.SyncBatchNorm) for module in self.modules()) and self.network.arguments.get(
            "samples_per_norm"
        ):
            raise ValueError("trainer.sync_batchnorm undoes the network's samples_per_norm: set one of them")

    @uncompiled
    def forward(self, clip: Tensor) -> Tensor:
        """Features of clips.

        Args:
            clip: uint8 (B, N, T, H, W, 3).

        Returns:
            float32 (B, feature_dim), the mean over a video's N clips.
        """
        features = self.network(self.prepare(rearrange(clip, "B N T H W C -> (B N) T H W C")))
        mean: Tensor = reduce(features.float(), "(B N) D -> B D", "mean", B=len(clip))
        return mean

    def features(self, batch: ClipBatch) -> Tensor:
        """Features of a batch, float32 (B, feature_dim): what probes and predictions see."""
        features: Tensor = self(batch["clip"])
        return features

    def prepare(self, clip: Tensor) -> Tensor:
        """uint8 (B, T, H, W, 3) to the network's float32 (B, 3, T, H, W), with ImageNet's mean and deviation."""
        clip = normalise(clip)
        return clip.contiguous(memory_format=torch.channels_last_3d) if self.channels_last else clip

    def encode_keys(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        """Keys of clips, normalised with other neighbours than their queries had.

        Args:
            clip: uint8 (P, T, H, W, 3).
            generator: the same on every rank.

        Returns:
            float (P, D), without gradient.
        """
        order = self.draw_order(len(clip), generator)
        return self.encode_shuffled(lambda rows: self.key_encoder(self.prepare(rows)), clip, order)

    def training_step(self, batch: ClipBatch, batch_index: int) -> Tensor:
        """Contrast the two views of a batch (equation 5.1)."""
        generator = self.generator(self.batches_done())
        query_clip, key_clip = self.beside(lambda: self.views(batch["clip"], generator))
        query = self.query_encoder(self.prepare(query_clip))  # (P, D)
        key = self.encode_keys(key_clip, generator)  # (P, D), no gradient
        keys = all_gather(unit(key), equal=True)  # (G, D)
        first = world()[0] * len(query)
        others = keys if self.in_batch_negatives else None
        losses, _ = self.info_nce(query, key, self.queue.snapshot(), others, first)
        loss: Tensor = losses.mean()
        self.stop_unless_finite(loss, batch["path"])
        self.queue.push(keys)
        values = {"loss": loss, "pair_accuracy": self.pair_accuracy(query, keys, first)}
        self.log_training(values, self.queue, len(keys), len(query))
        return loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Lightning's own signature
        """Step, then let the key encoder follow: once per optimizer step, however many batches it gathered."""
        super().optimizer_step(*args, **kwargs)
        self.key_encoder.update(self.query_encoder)

    def validation_step(self, batch: ClipBatch, batch_index: int) -> None:
        """Contrast within held-out batches, with the same views at every call."""
        self._contrast_held_out(batch, batch_index, "val")

    def test_step(self, batch: ClipBatch, batch_index: int) -> None:
        """Do the same on the test split."""
        self._contrast_held_out(batch, batch_index, "test")

    @uncompiled
    def _contrast_held_out(self, batch: ClipBatch, batch_index: int, split: str) -> None:
        if len(batch["clip"]) < 2:
            return
        query_clip, key_clip = self.views(batch["clip"], self.generator(-1, batch_index))
        query, key = self.query_encoder(self.prepare(query_clip)), self.key_encoder(self.prepare(key_clip))
        keys = unit(key)
        losses, _ = self.info_nce(query, key, keys[:0], keys)
        self.log_held_out(split, losses, self.pair_accuracy(query, keys, 0))

    def predict_step(self, batch: ClipBatch, batch_index: int) -> dict[str, Any]:
        """Features of a batch: ``feature`` float32 (B, feature_dim), ``label`` and ``video`` int64 (B,), ``path``."""
        return {"feature": self.features(batch), **{name: batch[name] for name in ("label", "video", "path")}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say inside the checkpoint what network it holds and what it was fed with."""
        data = getattr(self.trainer, "datamodule", None)
        checkpoint["zoo"] = describe(
            self.network, type(self).__name__, type(data).__name__, getattr(data, "preprocessing", {})
        )
