"""Inter-skeleton contrast (thesis chapter 3; Thoker, Doughty, Snoek, ACM MM 2021, arXiv:2108.03656)."""

import itertools
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from datamodules.batch import SkeletonBatch
from lightning_modules.compilation import compile_network, uncompiled
from lightning_modules.contrast import Contrast, check_negatives, unit
from lightning_modules.cuda_graph import CudaGraph
from lightning_modules.losses.gather import all_gather, world
from lightning_modules.losses.info_nce import InfoNCE
from lightning_modules.losses.key_queue import KeyQueue
from lightning_modules.networks.bigru import BiGRU
from lightning_modules.networks.heads import ProjectionHead
from lightning_modules.networks.momentum_encoder import MomentumEncoder, encoder
from lightning_modules.networks.skeleton_network import SkeletonNetwork
from lightning_modules.views.skeleton import SequenceCrop, SkeletonAugmentation
from lightning_modules.weights.header import describe
from lightning_modules.weights.importers import load_weights
from lightning_modules.weights.skeleton_input import input_of


class SkeletonContrast(Contrast):
    """Momentum contrast between two views of a sequence, each in one or several representations.

    Batch: ``SkeletonBatch``. What a representation is, its network decides: BiGRU the sequence-based one, HCN the
    image-based, A-GCN the graph-based. One network: intra-skeleton contrast (equation 3.5). Two: the query of each
    meets the key and the queue of the other (3.6 to 3.8), never its own. Three: all ordered pairs (table 3.6). The loss
    is the sum over the pairs.

    Follows fmthoker/skeleton-contrast; differs: the key encoders move after each optimizer step instead of before each
    forward pass, and any batch and queue size is taken. Dropout (of HCN) is drawn from (seed, number of the batch) on
    each rank.

    Args:
        representations: networks that learn together; (B, 3, T, V, M) to (B, feature_dim).
        weights: start from the weights of this file (a path or a catalogue name) instead of from scratch; each network
            finds its own in it.
        augmentation: how views are made; the published preset by default.
        crop: what the networks see when features are asked for.
        evaluated: which of the representations, counted from 0, gives the features for probes and predictions, and
            is described in the checkpoint.
        projection_dim: length of query and key (3.4.2).
        head_batch_norm: batch norm in the projection heads' hidden layer, which lets contrast begin in small networks.
        temperature: tau of equation 3.5.
        key_momentum: share of itself that a key encoder keeps at each step.
        queue_size: negatives of each representation: 16,384 for NTU RGB+D, 8,192 and 2,048 for PKU-MMD I and II.
        in_batch_negatives: also contrast with the other keys of the global batch. With a short queue they stop the
            networks from telling keys apart by their age.
        shuffle_keys: shuffle the keys over the devices, against batch norm's leak. The published code does not.
        optimizer: ``sgd`` (momentum 0.9, the thesis') or ``adamw``.
        learning_rate: at the global batch size of the config; never rescaled.
        weight_decay: of all parameters, as published.
        milestones: epochs after which the learning rate falls to a tenth; of 450 in the thesis. The published script
            trains an epoch longer, with its step an epoch later; for NTU-120 it has 251 and 351 of 351.
        warmup_steps: optimizer steps of linear growth at the start.
        compile: compile the training steps of the networks; on a GPU those of recurrent ones become CUDA graphs.
        seed: of views, shuffling and dropout.

    Raises:
        ValueError: there is no representation, no such ``evaluated`` one, or nothing to contrast with.
    """

    def __init__(
        self,
        representations: list[SkeletonNetwork],
        weights: str | None = None,
        augmentation: SkeletonAugmentation | None = None,
        crop: SequenceCrop | None = None,
        evaluated: int = 0,
        projection_dim: int = 128,
        head_batch_norm: bool = False,
        temperature: float = 0.07,
        key_momentum: float = 0.999,
        queue_size: int = 16384,
        in_batch_negatives: bool = False,
        shuffle_keys: bool = False,
        optimizer: Literal["sgd", "adamw"] = "sgd",
        learning_rate: float = 0.01,
        weight_decay: float = 1e-4,
        milestones: tuple[int, ...] = (350,),
        warmup_steps: int = 0,
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
        if not 0 <= evaluated < len(representations):
            raise ValueError(f"evaluated={evaluated} is none of {len(representations)} representations, counted from 0")
        if weights is not None:
            for network in representations:
                load_weights(network, weights)
        self.query_encoders = nn.ModuleList(
            encoder(network, ProjectionHead(network.feature_dim, out_dim=projection_dim, batch_norm=head_batch_norm))
            for network in representations
        )
        self.key_encoders = nn.ModuleList(MomentumEncoder(query, key_momentum) for query in self.query_encoders)
        self.queues = nn.ModuleList(KeyQueue(queue_size, projection_dim) for _ in representations)
        self.info_nce = InfoNCE(temperature)
        self.augmentation = augmentation or SkeletonAugmentation()
        self.crop = crop or SequenceCrop(num_frames=self.augmentation.num_frames)
        self.evaluated = evaluated
        self.milestones = tuple(milestones)
        self.compile_networks = compile
        self._graphs: dict[nn.Module, CudaGraph] = {}
        number = range(len(representations))
        # the query's and the key's representation
        self.pairs = list(itertools.permutations(number, 2)) if len(representations) > 1 else [(0, 0)]
        # The queues are the same on every rank by construction.
        self._ddp_params_and_buffers_to_ignore = [f"queues.{i}.{name}" for i in number for name in ("keys", "count")]

    @property
    def networks(self) -> list[SkeletonNetwork]:
        """The networks without their projection heads: what is kept after pretraining."""
        networks = [query.get_submodule("network") for query in self.query_encoders]
        return [network for network in networks if isinstance(network, SkeletonNetwork)]

    def configure_model(self) -> None:
        """Compile."""
        if self.compile_networks:
            for module in (*self.query_encoders, *self.key_encoders):
                network = module.get_submodule("network")
                if not isinstance(network, BiGRU):  # cuDNN's calls, which compiling would cut into single frames
                    compile_network(network)

    def on_fit_end(self) -> None:
        """Let the CUDA graphs go."""
        self._graphs.clear()

    def encode(self, encoder: nn.Module, view: Tensor) -> Tensor:
        """Queries or keys of a training step.

        Args:
            encoder: a query or a key encoder.
            view: float32 (B, 3, T, V, M).

        Returns:
            float (B, D).
        """
        network = encoder.get_submodule("network")
        if not (self.compile_networks and view.is_cuda and isinstance(network, BiGRU)):
            output: Tensor = encoder(view)
            return output
        if network not in self._graphs:
            self._graphs[network] = CudaGraph(network, view)
        output = encoder.get_submodule("head")(self._graphs[network](view))
        return output

    def queue(self, representation: int) -> KeyQueue:
        """Negatives of a representation."""
        queue = self.queues[representation]
        assert isinstance(queue, KeyQueue)
        return queue

    def views(self, skeleton: Tensor, num_frames: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Make the two views that shall agree (equation 3.4).

        Args:
            skeleton: float32 (B, 3, T, V, M), this rank's share of the global batch.
            num_frames: int64 (B,).
            generator: on the CPU, the same on every rank.

        Returns:
            Query and key sequences, float32 (B, 3, 64, V, M) each.
        """
        rank, size = world()
        share = len(skeleton)
        drawn = self.augmentation.draw(2 * share * size, generator)
        mine = torch.arange(rank * share, (rank + 1) * share)
        query, key = self.augmentation(skeleton, num_frames, drawn[torch.cat((mine, mine + share * size))]).chunk(2)
        return query, key

    @uncompiled
    def forward(self, skeleton: Tensor, num_frames: Tensor) -> Tensor:
        """Features of sequences by the evaluated representation.

        Args:
            skeleton: float32 (B, 3, T, V, M).
            num_frames: int64 (B,).

        Returns:
            float32 (B, feature_dim) of the centre crop.
        """
        features: Tensor = self.networks[self.evaluated](self.crop.centre(skeleton, num_frames))
        return features.float()

    def features(self, batch: SkeletonBatch) -> Tensor:
        """Features of a batch, float32 (B, feature_dim): what probes and predictions see."""
        features: Tensor = self(batch["skeleton"], batch["num_frames"])
        return features

    def training_step(self, batch: SkeletonBatch, batch_index: int) -> Tensor:
        """Contrast the two views of a batch in all pairs of representations (equations 3.5 to 3.8)."""
        done = self.batches_done()
        generator = self.generator(done)
        torch.manual_seed(self.seed_of(done, world()[0]))  # dropout too goes on as it was after a resume
        query_view, key_view = self.beside(lambda: self.views(batch["skeleton"], batch["num_frames"], generator))
        queries = [self.encode(query_encoder, query_view) for query_encoder in self.query_encoders]  # (B, D) each
        order = self.draw_order(len(key_view), generator)
        with torch.no_grad():
            keys = [
                self.encode_shuffled(partial(self.encode, key_encoder), key_view, order)
                for key_encoder in self.key_encoders
            ]
        gathered = [all_gather(unit(key), equal=True) for key in keys]  # (G, D) each
        first = world()[0] * len(query_view)
        losses, accuracies = [], []
        for query, key in self.pairs:
            others = gathered[key] if self.in_batch_negatives else None
            losses.append(self.info_nce(queries[query], keys[key], self.queue(key).snapshot(), others, first)[0])
            accuracies.append(self.pair_accuracy(queries[query], gathered[key], first))
        loss = torch.stack(losses).sum(0).mean()
        self.stop_unless_finite(loss, batch["name"])
        for representation, new in enumerate(gathered):
            self.queue(representation).push(new)
        accuracy = torch.stack(accuracies).mean()
        pairs = [f"pair_accuracy_{query}{key}" for query, key in self.pairs]
        each = dict(zip(pairs, accuracies, strict=True)) if len(self.pairs) > 1 else {}
        values = {"loss": loss, "pair_accuracy": accuracy, **each}
        self.log_training(values, self.queue(0), len(gathered[0]), len(query_view))
        return loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Lightning's own signature
        """Step, then let the key encoders follow: once per optimizer step, however many batches it gathered."""
        super().optimizer_step(*args, **kwargs)
        for key_encoder, query_encoder in zip(self.key_encoders, self.query_encoders, strict=True):
            assert isinstance(key_encoder, MomentumEncoder)
            key_encoder.update(query_encoder)

    def decay(self, step: int) -> float:
        """Share of the learning rate at an optimizer step: a tenth for each milestone that is behind."""
        steps = max(-(-int(self.trainer.num_training_batches) // self.trainer.accumulate_grad_batches), 1)
        return float(0.1 ** sum(step >= milestone * steps for milestone in self.milestones))

    def validation_step(self, batch: SkeletonBatch, batch_index: int) -> None:
        """Contrast within held-out batches, with the same views at every call."""
        self._contrast_held_out(batch, batch_index, "val")

    def test_step(self, batch: SkeletonBatch, batch_index: int) -> None:
        """Do the same on the test split."""
        self._contrast_held_out(batch, batch_index, "test")

    @uncompiled
    def _contrast_held_out(self, batch: SkeletonBatch, batch_index: int, split: str) -> None:
        if len(batch["skeleton"]) < 2:
            return
        views = self.views(batch["skeleton"], batch["num_frames"], self.generator(-1, batch_index))
        queries = [query_encoder(views[0]) for query_encoder in self.query_encoders]
        keys = [unit(key_encoder(views[1])) for key_encoder in self.key_encoders]
        losses = [self.info_nce(queries[a], keys[b], keys[b][:0], keys[b])[0] for a, b in self.pairs]
        accuracies = [self.pair_accuracy(queries[a], keys[b], 0) for a, b in self.pairs]
        self.log_held_out(split, torch.stack(losses).sum(0), torch.stack(accuracies).mean())

    def predict_step(self, batch: SkeletonBatch, batch_index: int) -> dict[str, Any]:
        """Features of a batch: ``feature`` float32 (B, feature_dim), ``label`` and ``sample`` int64 (B,), ``name``."""
        return {"feature": self.features(batch), **{name: batch[name] for name in ("label", "sample", "name")}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say inside the checkpoint what the evaluated network is, and where its data came from."""
        data = getattr(self.trainer, "datamodule", None)
        network = self.networks[self.evaluated]
        checkpoint["zoo"] = describe(network, type(self).__name__, type(data).__name__, input_of(self.crop))
