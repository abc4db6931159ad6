"""Prepared skeletons kept whole in the memory of the device that trains: no loader, no transfer of sequences."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from datamodules.batch import SkeletonBatch
from datamodules.sampling.resumable_sampler import Draw
from datamodules.skeleton_dataset import ARRAY_FILE, SkeletonList

_ROWS_AT_ONCE = 256


class ResidentSequences:
    """Sequences on a device, read once.

    Attributes:
        rows: int64 (N,), of the cache's array, increasing.
        sequences: float32 (N, 3, T, 25, 2), on the device.

    Args:
        folder: as of ``skeleton_dataset.read_index``.
        rows: which of its sequences.
        device: where to keep them.
        processes: how many of this machine do so; each holds a copy of its own.

    Raises:
        ValueError: the device has not enough free memory.
    """

    def __init__(self, folder: Path, rows: Tensor, device: torch.device, processes: int = 1) -> None:
        source = np.load(folder / ARRAY_FILE, mmap_mode="r")
        self.rows = torch.from_numpy(np.unique(rows.numpy()))
        shape = (len(self.rows), *source.shape[1:])
        _require_memory(source.itemsize * int(np.prod(shape)), device, processes)
        self.sequences = torch.empty(shape, device=device)
        for start in range(0, len(self.rows), _ROWS_AT_ONCE):
            part = self.rows[start : start + _ROWS_AT_ONCE]
            self.sequences[start : start + len(part)] = torch.from_numpy(source[part.numpy()])

    def places(self, rows: Tensor) -> Tensor:
        """Return where rows of the cache's array lie in ``sequences``, on the device."""
        places = torch.searchsorted(self.rows, rows)
        assert torch.equal(self.rows[places], rows), "only what was read can be gathered"
        return places.to(self.sequences.device)


def _require_memory(needed: int, device: torch.device, processes: int) -> None:
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
    elif device.type == "cpu":
        needed, free = processes * needed, _free_memory()
    else:
        return
    if needed > free:
        copies = f" ({processes} processes, a copy each)" if device.type == "cpu" and processes > 1 else ""
        raise ValueError(
            f"on_device: the sequences take {needed / 2**30:.1f} GiB{copies}, and {device} has {free / 2**30:.1f} GiB"
            f" free; set data.on_device=false"
        )


def _free_memory() -> int:
    """Return how many bytes of the machine's memory can be had; caches of the system count as free."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 2**63
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable")), 2**63)


class ResidentDataset(Dataset[SkeletonBatch]):
    """Sequences of a list, gathered on the device a batch at a time.

    Args:
        resident: holds them, and perhaps others.
        samples: which of them.
    """

    def __init__(self, resident: ResidentSequences, samples: SkeletonList) -> None:
        self.samples = samples
        self._sequences = resident.sequences
        self._place = resident.places(samples.rows)
        self._labels, self._num_frames = (
            values.to(self._place.device) for values in (samples.labels, samples.num_frames)
        )

    def __len__(self) -> int:
        """Return the number of sequences."""
        return len(self.samples)

    def __getitems__(self, draws: Sequence[Draw]) -> SkeletonBatch:
        """Return a batch, all tensors on the device; a ``DataLoader`` asks so for all samples of a batch at once."""
        rows = [draw.row for draw in draws]
        sample = torch.tensor(rows).to(self._place.device)
        return {
            "skeleton": self._sequences[self._place[sample]],
            "num_frames": self._num_frames[sample],
            "label": self._labels[sample],
            "sample": sample,
            "name": [self.samples.path(row) for row in rows],
        }

    def __getitem__(self, draw: Draw) -> SkeletonBatch:
        """Return a batch of one."""
        return self.__getitems__([draw])
