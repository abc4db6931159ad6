"""The order of samples as a function of (seed, batch number), so that a run resumes anywhere and on any ranks."""

from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import NamedTuple

import torch
from torch.utils.data import Sampler


class Draw(NamedTuple):
    """One sample to load.

    Attributes:
        row: of the sample in its dataset.
        seed: of the sample's own generator, 0 <= seed < 2**63, so that its pixels do not depend on who loads it.
    """

    row: int
    seed: int


def _hash(purpose: bytes, seed: int, number: int) -> int:
    digest = blake2b(f"{seed} {number}".encode(), digest_size=8, person=purpose).digest()
    return int.from_bytes(digest, "little") >> 1


def view_seed(seed: int, view: int, row: int) -> int:
    """Seed of one of the views of a sample that epochs go through in turn."""
    return _hash(b"view", seed, (row << 32) + view)


class ResumableSampler(Sampler[list[Draw]]):
    """Batches of one rank in training.

    A global batch is what all ranks load at once: G = ``batch_size * world_size`` samples. An epoch has
    L = max(1, num_samples // (G * accumulate)) * accumulate global batches. Slot g of batch b of epoch e holds sample
    ``permutation_e[(b * G + g) % num_samples]``; rank r takes the slots r * batch_size to (r + 1) * batch_size - 1.
    So the samples of an optimizer step, and their order, are the same however many ranks and accumulated batches share
    them, and slots 2i and 2i + 1 never hold the same sample when there are at least two.

    Each pass starts at the batch that ``position`` tells and gives L batches, crossing into the next permutation where
    it starts inside one. A Trainer that resumes in mid-epoch stops by its own counter, and a shortened epoch
    (``limit_train_batches``, an early stop) neither ends the next pass early nor shows its videos twice.

    Args:
        num_samples: size of the dataset.
        batch_size: samples per batch and rank.
        rank: of this process.
        world_size: number of processes.
        seed: of the whole stream.
        accumulate: batches per optimizer step.
        position: tells how many global batches of the stream have been consumed; asked when a pass starts.
        view: tells which of a sample's views to draw, see ``view_seed``; asked when a pass starts. When it tells None,
            each slot of the stream has a seed of its own.

    Raises:
        ValueError: ``num_samples`` or ``batch_size`` is less than 1.
    """

    def __init__(
        self,
        num_samples: int,
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
        seed: int = 0,
        accumulate: int = 1,
        position: Callable[[], int] = lambda: 0,
        view: Callable[[], int | None] = lambda: None,
    ) -> None:
        if num_samples < 1 or batch_size < 1:
            raise ValueError(f"num_samples={num_samples} and batch_size={batch_size} must be at least 1")
        self.num_samples = num_samples
        self.batch_size = batch_size
        self.rank = rank
        self.world_size = world_size
        self.seed = seed
        self.accumulate = accumulate
        self.position = position
        self.view = view

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        per_step = self.batch_size * self.world_size * self.accumulate
        return max(1, self.num_samples // per_step) * self.accumulate

    def __iter__(self) -> Iterator[list[Draw]]:
        """Return the batches of one epoch's length from the current position on."""
        # Asked here, not at the first batch: a loader with workers draws ahead.
        return self._batches_from(self.position(), self.view())

    def _batches_from(self, start: int, view: int | None) -> Iterator[list[Draw]]:
        per_batch = self.batch_size * self.world_size
        epoch = -1
        for number in range(start, start + len(self)):
            if epoch != number // len(self):
                epoch = number // len(self)
                generator = torch.Generator().manual_seed(_hash(b"order", self.seed, epoch))
                order = torch.randperm(self.num_samples, generator=generator)
            first = self.rank * self.batch_size
            slots = torch.arange(first, first + self.batch_size)
            rows = order[(number % len(self) * per_batch + slots) % self.num_samples]
            if view is None:
                seeds = [_hash(b"sample", self.seed, number * per_batch + slot) for slot in slots.tolist()]
            else:
                seeds = [view_seed(self.seed, view, row) for row in rows.tolist()]
            yield [Draw(row, seed) for row, seed in zip(rows.tolist(), seeds, strict=True)]


class EvaluationSampler(Sampler[Draw]):
    """Every sample once, in order, dealt out over the ranks: no repeats, so ranks may differ by one sample.

    Args:
        num_samples: size of the dataset.
        rank: of this process.
        world_size: number of processes.
        seeds: of each row.
    """

    def __init__(self, num_samples: int, rank: int = 0, world_size: int = 1, seeds: Callable[[int], int] = int) -> None:
        self.rows = range(rank, num_samples, world_size)
        self.seeds = seeds

    def __len__(self) -> int:
        """Return the number of samples of this rank."""
        return len(self.rows)

    def __iter__(self) -> Iterator[Draw]:
        """Return the samples of this rank; the seed is the row unless told otherwise, as evaluation draws nothing."""
        return (Draw(row, self.seeds(row)) for row in self.rows)
