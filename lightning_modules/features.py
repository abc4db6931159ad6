"""Features of labelled samples, of all processes together."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Self

import torch
from pytorch_lightning import Trainer
from torch import Tensor, distributed

from lightning_modules.losses.gather import all_gather, world


class Features(NamedTuple):
    """Features of N samples, each sample once, in the order of their list.

    Attributes:
        feature: float32 (N, D).
        label: int64 (N,), class from 0, -1 where unknown.
        row: int64 (N,), of the sample in its list.
        name: N names.
    """

    feature: Tensor
    label: Tensor
    row: Tensor
    name: list[str]

    @classmethod
    def of_batch(cls, feature: Tensor, batch: Mapping[str, Any]) -> Self:
        """Features of a batch of skeletons or clips."""
        return cls(feature.detach().float(), batch["label"], rows_of(batch), names_of(batch))

    @classmethod
    def gather(cls, parts: list["Features"], device: torch.device) -> Self:
        """Join the batches of all processes; some may have none.

        A sample that several batches hold, as one that stood in for a broken one, is taken once.
        """
        width = int(all_gather(torch.tensor([parts[0].feature.shape[1] if parts else 0], device=device)).max())
        none = torch.empty(0, dtype=torch.int64, device=device)
        parts = [Features(torch.empty(0, width, device=device), none, none, []), *parts]
        features, labels, rows, own = zip(*parts, strict=True)
        joined = [all_gather(torch.cat(column)) for column in (features, labels, rows)]
        names = [[name for part in own for name in part]] * world()[1]
        if len(names) > 1:
            distributed.all_gather_object(names, names[0])
        place = {row: number for number, row in enumerate(joined[2].tolist())}
        order = torch.tensor([place[row] for row in sorted(place)], dtype=torch.int64, device=device)
        name = [name for part in names for name in part]
        feature, label, row = (column[order] for column in joined)
        return cls(feature, label, row, [name[number] for number in order.tolist()])


def rows_of(batch: Mapping[str, Any]) -> Tensor:
    """Row in its list of each sample of a batch of skeletons or clips, int64 (B,)."""
    rows: Tensor = batch["sample" if "sample" in batch else "video"]
    return rows


def names_of(batch: Mapping[str, Any]) -> list[str]:
    """Name of each sample of a batch of skeletons or clips."""
    names: list[str] = batch["name" if "name" in batch else "path"]
    return names


@torch.no_grad()
def collect_features(trainer: Trainer, module: Any, loader: Iterable[Any]) -> Features:  # noqa: ANN401
    """Features of all samples of a loader, on every process the same.

    Args:
        trainer: whose data module made the loader.
        module: a LightningModule with a method ``features(batch)``; put into evaluation mode meanwhile.
        loader: this process' share of the samples, as of ``SampleDataModule.probe_dataloaders``.
    """
    data = trainer.datamodule  # type: ignore[attr-defined]
    training = module.training
    module.eval()
    parts = []
    for batch in loader:
        batch = data.on_before_batch_transfer(batch, 0)  # counts broken videos, as under a Trainer
        batch = module.transfer_batch_to_device(batch, module.device, 0)
        with trainer.precision_plugin.forward_context():
            parts.append(Features.of_batch(module.features(batch), batch))
    module.train(training)
    return Features.gather(parts, module.device)
