"""Samples that cannot be read: counted, listed in the run folder, and few."""

import logging
from pathlib import Path
from typing import TypeVar

from pytorch_lightning.utilities import rank_zero_warn

from datamodules.batch import BoxBatch, ClipBatch, MultimodalBatch, RepetitionBatch, TubeBatch, WindowBatch
from datamodules.sample_datamodule import SampleDataModule

_log = logging.getLogger(__name__)

Batch = TypeVar("Batch", BoxBatch, ClipBatch, MultimodalBatch, RepetitionBatch, TubeBatch, WindowBatch)


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

    def _missing_note(self, missing: list[str]) -> str:
        """Say how many listed videos are not on the disk, to be put after a line; list them in the run folder.

        Args:
            missing: their names; may be none.
        """
        if not missing:
            return ""
        note = f"; {len(missing):,} listed videos are missing, such as {missing[0]}"
        folder = self._record_folder()
        if folder is not None and self._processes()[1] == 0:
            file = folder / "missing.txt"
            text = "".join(f"{name}\n" for name in missing)
            file.write_text(text, encoding="utf-8", errors="surrogateescape")
            note += f" (all in {file})"
        return note

    def _report_left_out(self, reasons: list[str]) -> None:
        """Warn in one line of listed videos that no sample is made of; list them all in the run folder.

        Args:
            reasons: one line ``path: reason`` for each; may be none.
        """
        if not reasons:
            return
        where, folder = "", self._record_folder()
        if folder is not None:
            (folder / "left_out.txt").write_text("".join(f"{line}\n" for line in reasons), encoding="utf-8")
            where = f" (all are listed in {folder / 'left_out.txt'})"
        rank_zero_warn(f"{len(reasons)} videos are left out, such as {reasons[0]}{where}")


def _read_lines(file: Path) -> list[str]:
    if not file.exists():
        return []
    return file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
