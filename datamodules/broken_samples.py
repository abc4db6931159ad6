"""Samples that cannot be read: counted, listed in the run folder, and few."""

import logging
from pathlib import Path
from typing import TypeVar

from datamodules.batch import BoxBatch, ClipBatch, MultimodalBatch, TubeBatch, WindowBatch
from datamodules.sample_datamodule import SampleDataModule

_log = logging.getLogger(__name__)

Batch = TypeVar("Batch", BoxBatch, ClipBatch, MultimodalBatch, TubeBatch, WindowBatch)


class BrokenSamplesDataModule(SampleDataModule):
    """Base of the data modules whose datasets replace what they cannot read, and say so under ``broken``.

    Attributes:
        broken: reason of each sample that this process found unreadable, by path.

    Args:
        global_batch_size: see ``SampleDataModule``, as all that follow.
        eval_batch_size: see there.
        probe_samples: see there.
        num_workers: see there.
        seed: see there.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(
        self, global_batch_size: int, eval_batch_size: int, probe_samples: int | None, num_workers: int, seed: int
    ) -> None:
        super().__init__(global_batch_size, eval_batch_size, probe_samples, num_workers, seed)
        self.broken: dict[str, str] = {}

    def on_before_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Count and list the batch's broken samples.

        Raises:
            ValueError: more than 1 % of the training list (and more than one sample) is broken.
        """
        fresh = {}
        for line in batch["broken"]:
            path, _, reason = line.rpartition(": ")
            if path not in self.broken:
                fresh[path] = self.broken[path] = reason
        if fresh:
            self._list_broken(fresh)
        return batch

    def _list_broken(self, fresh: dict[str, str]) -> None:
        lines = [f"{path}: {reason}" for path, reason in fresh.items()]
        folder = self._record_folder()
        if folder is not None:
            file = folder / "broken.txt"
            known = set(_read_lines(file))
            with file.open("a", encoding="utf-8", errors="surrogateescape") as stream:
                stream.write("".join(f"{line}\n" for line in lines if line not in known))
        if len(self.broken) == len(fresh):
            _log.warning("broken %s replaced by the next of the list: %s", self.noun.removesuffix("s"), lines[0])
        limit = max(1, len(self.train_samples) // 100)
        if len(self.broken) > limit:
            raise ValueError(
                f"{len(self.broken)} of {len(self.train_samples)} {self.noun} are broken, more than the {limit} that a"
                f" run tolerates (1 %): {', '.join(list(self.broken)[:3])}; replace or remove them"
                + (f" (all are listed in {file})" if folder is not None else "")
            )


def _read_lines(file: Path) -> list[str]:
    if not file.exists():
        return []
    return file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
