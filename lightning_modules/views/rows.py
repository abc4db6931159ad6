"""Parameters drawn for a batch: tensors that share their leading dimension."""

import dataclasses
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from lightning_modules.views.memory import upload


@dataclasses.dataclass(frozen=True)
class Rows:
    """Base of dataclasses of tensors with one row for each sample; other fields belong to all rows."""

    def __getitem__(self, rows: slice | Tensor | tuple[slice | Tensor | int, ...]) -> Self:
        """Return some of the rows; ``parameters[a:b]`` is the share of one process in a global batch."""
        return dataclasses.replace(self, **{name: value[rows] for name, value in self._tensors().items()})

    def to(self, device: torch.device | str) -> Self:
        """Return the same on a device."""
        device = torch.device(device)
        return dataclasses.replace(self, **{name: upload(value, device) for name, value in self._tensors().items()})

    def flatten(self) -> Self:
        """Return a row for each of the N parts of every row: tensors (B, N, ...) become (B * N, ...)."""
        return dataclasses.replace(self, **{name: value.flatten(0, 1) for name, value in self._tensors().items()})

    def split(self, num_rows: int) -> list[Self]:
        """Cut into parts of ``num_rows`` rows; the last may be shorter."""
        parts = zip(*(torch.split(value, num_rows) for value in self._tensors().values()), strict=True)
        return [dataclasses.replace(self, **dict(zip(self._tensors(), part, strict=True))) for part in parts]

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Put the rows of several below each other; other fields are those of the first."""
        columns = zip(*(part._tensors().values() for part in parts), strict=True)
        joined = {name: torch.cat(column) for name, column in zip(parts[0]._tensors(), columns, strict=True)}
        return dataclasses.replace(parts[0], **joined)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(next(iter(self._tensors().values())))

    def _tensors(self) -> dict[str, Tensor]:
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
