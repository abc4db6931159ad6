"""Nearest neighbours of frozen features (thesis 3.4.3.2, A.1; table 3.2)."""

import csv
import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor, nn

from datamodules.batch import SkeletonBatch
from lightning_modules.features import Features, collect_features
from lightning_modules.losses.gather import all_gather, world
from lightning_modules.metrics.nearest_neighbours import MAX_BYTES, nearest_neighbours, vote
from lightning_modules.networks.skeleton_network import SkeletonNetwork
from lightning_modules.views.skeleton import SequenceCrop
from lightning_modules.weights.importers import load_each

LISTED = 5


class Neighbours(NamedTuple):
    """What was retrieved for Q queries from a bank of N samples.

    Attributes:
        bank: features of the training list.
        queries: features of the test list.
        nearest: int64 (Q, k), places in ``bank``, from the nearest.
        similarity: float32 (Q, k), cosines.
    """

    bank: Features
    queries: Features
    nearest: Tensor
    similarity: Tensor


class Retrieval(LightningModule):
    """Actions by the nearest neighbour of a sequence's features: no training, no classifier.

    Batch: ``SkeletonBatch``. The training list is searched, exactly and by cosine, for the neighbours of each sample of
    the test list. Logs ``test/top1``, the share that gets its class from its ``k`` nearest, and ``test/recall5``, the
    share whose class is among that of the five nearest; writes ``retrieval.csv`` and ``retrieval.npz`` in the run
    folder. Each process searches for its share of the queries.

    Args:
        networks: encoders without their projection heads; (B, 3, T, V, M) to (B, feature_dim). Several are brought to
            unit length and put together: the cosine is the mean of theirs.
        weights: file (a path or a catalogue name) that each network finds its own in, or one file, or None, for each
            of them; None leaves them as initialised.
        crop: of which the networks see the centre.
        k: neighbours that vote for the class, each with weight exp(similarity / 0.07); 1 in A.1.

    Raises:
        ValueError: there is no network, or a number does not fit.
    """

    def __init__(
        self,
        networks: list[SkeletonNetwork],
        weights: str | list[str | None] | None = None,
        crop: SequenceCrop | None = None,
        k: int = 1,
    ) -> None:
        super().__init__()
        if not networks or k < 1:
            raise ValueError(f"retrieval needs a network, and k at least 1: got {len(networks)} networks and k={k}")
        load_each(networks, weights)
        self.networks = nn.ModuleList(networks)
        self.crop = crop or SequenceCrop()
        self.k = k
        self.neighbours: Neighbours | None = None
        self._queries: list[Features] = []
        self._bank: Features | None = None

    def forward(self, skeleton: Tensor, num_frames: Tensor) -> Tensor:
        """Features of sequences.

        Args:
            skeleton: float32 (B, 3, T, V, M).
            num_frames: int64 (B,).

        Returns:
            float32 (B, D) of the centre crop, D the sum of the networks' ``feature_dim``.
        """
        centre = self.crop.centre(skeleton, num_frames)
        features: list[Tensor] = [network(centre).float() for network in self.networks]
        if len(features) == 1:
            return features[0]
        return torch.cat([nn.functional.normalize(feature, dim=1) for feature in features], dim=1)

    def features(self, batch: SkeletonBatch) -> Tensor:
        """Features of a batch, float32 (B, D)."""
        features: Tensor = self(batch["skeleton"], batch["num_frames"])
        return features

    def on_test_start(self) -> None:
        """Compute the features of the training list.

        Raises:
            ValueError: no labelled samples are held out, or there are fewer than processes.
        """
        data = getattr(self.trainer, "datamodule", None)
        loaders = data.probe_dataloaders() if data is not None and hasattr(data, "probe_dataloaders") else None
        if loaders is None:
            raise ValueError(
                "retrieval needs labelled training samples and test samples apart from them: give a data module that "
                "has both, or another protocol of it"
            )
        queries = len(self.trainer.test_dataloaders.dataset)  # type: ignore[union-attr]  # declared to hold anything
        if queries < self.trainer.world_size:  # Lightning lets a process without batches skip the test
            raise ValueError(
                f"{queries} test samples for {self.trainer.world_size} processes: set fewer trainer.devices"
            )
        self.neighbours, self._queries = None, []
        self._bank = collect_features(self.trainer, self, loaders[0])
        rank_zero_info(f"retrieval among {len(self._bank.name):,} training samples")

    def test_step(self, batch: SkeletonBatch, batch_index: int) -> None:
        """Compute the features of queries."""
        self._queries.append(Features.of_batch(self.features(batch), batch))

    def on_test_epoch_end(self) -> None:
        """Search, log, and write down what was found."""
        assert self._bank is not None
        queries = Features.gather(self._queries, self.device)
        rank, size = world()
        share = range(rank, len(queries.name), size)
        nearest, similarity = self._search(self._bank, queries, torch.tensor(share, device=self.device))
        self.neighbours = Neighbours(self._bank, queries, nearest, similarity)
        self._queries, self._bank = [], None
        top1, recall = accuracies(self.neighbours, self.k)
        self.log("test/top1", top1, rank_zero_only=True)
        self.log(f"test/recall{LISTED}", recall, rank_zero_only=True)
        if self.trainer.is_global_zero:
            write(self.neighbours, self.k, Path(self.trainer.default_root_dir))

    def _search(self, bank: Features, queries: Features, share: Tensor) -> tuple[Tensor, Tensor]:
        """Nearest and similarity of all queries, of which this process searches its share, int64 (S,), for."""
        k = min(max(self.k, LISTED), len(bank.name))
        nearest = torch.empty((0, k), dtype=torch.int64, device=share.device)
        similarity = torch.empty((0, k), device=share.device)
        if len(share):
            nearest, similarity = nearest_neighbours(bank.feature, queries.feature[share], k, MAX_BYTES)
        order = all_gather(share).argsort()
        return all_gather(nearest)[order], all_gather(similarity)[order]

    def predict_step(self, batch: SkeletonBatch, batch_index: int) -> dict[str, Any]:
        """Features of a batch: ``feature`` float32 (B, D), ``label`` and ``sample`` int64 (B,), ``name``."""
        return {"feature": self.features(batch), **{name: batch[name] for name in ("label", "sample", "name")}}


def accuracies(found: Neighbours, k: int) -> tuple[float, float]:
    """Shares of the labelled queries.

    Args:
        found: what was retrieved.
        k: neighbours that vote.

    Returns:
        In 0..1: those that get their class, and those whose class is among the five nearest.

    Raises:
        ValueError: no query has a label.
    """
    known = found.queries.label >= 0
    if not known.any():
        raise ValueError(f"none of the {len(known)} test samples has a label: there is nothing to compare with")
    label, neighbours = found.queries.label[known], found.bank.label[found.nearest[known]]
    predicted = vote(neighbours[:, :k], found.similarity[known, :k])
    right = (neighbours[:, :LISTED] == label.unsqueeze(1)).any(1)
    return float((predicted == label).float().mean()), float(right.float().mean())


def write(found: Neighbours, k: int, folder: Path) -> None:
    """Write ``retrieval.csv``, one row a query, and the same as arrays in ``retrieval.npz``.

    Args:
        found: what was retrieved.
        k: neighbours that vote.
        folder: of the run.

    Raises:
        OSError: a file cannot be written.
    """
    nearest, similarity = found.nearest.cpu().numpy(), found.similarity.cpu().numpy()
    arrays = {
        "query": np.array(found.queries.name),
        "label": found.queries.label.cpu().numpy(),
        "predicted": vote(found.bank.label[found.nearest[:, :k]], found.similarity[:, :k]).cpu().numpy(),
        "nearest": np.array(found.bank.name)[nearest],
        "nearest_label": found.bank.label.cpu().numpy()[nearest],
        "similarity": similarity,
    }
    packed = io.BytesIO()
    np.savez(packed, **arrays)
    text = io.StringIO(newline="")
    table = csv.writer(text)
    places = range(1, similarity.shape[1] + 1)
    names = [f"{name}_{place}" for place in places for name in ("nearest", "label", "similarity")]
    table.writerow(["query", "label", "predicted", *names])
    columns = zip(arrays["nearest"], arrays["nearest_label"], similarity, strict=True)
    for query, label, predicted, row in zip(
        arrays["query"], arrays["label"], arrays["predicted"], columns, strict=True
    ):
        cells = [cell for name, other, cosine in zip(*row, strict=True) for cell in (name, other, f"{cosine:.6f}")]
        table.writerow([query, label, predicted, *cells])
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (("retrieval.npz", packed.getvalue()), ("retrieval.csv", text.getvalue().encode())):
        part = folder / f"{name}.part"
        part.write_bytes(content)
        part.replace(folder / name)
    rank_zero_info(f"wrote {folder / 'retrieval.csv'} and .npz: {len(nearest):,} queries")
