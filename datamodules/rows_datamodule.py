"""Data modules that serve methods which keep the features of all samples: rows without samples, draws in turn."""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from torch.utils.data import DataLoader, Dataset

from datamodules.sample_datamodule import Loader, Loading, SampleDataModule
from datamodules.sample_list import SampleList
from datamodules.sampling.resumable_sampler import EvaluationSampler, view_seed


class RowsDataModule(SampleDataModule):
    """Base of the data modules that can give what is listed without reading it.

    Attributes:
        rows_only: a method that keeps the features of all samples sets it before its training starts: the loaders of
            training and validation then give what is listed alone, in the same order, and read nothing.
        unreadable: rows of the training and of the evaluation list that rows alone leave to the next of their list.
        views: draws of each training sample that epochs go through in turn, set before training starts; each epoch has
            one of its own when None.
    """

    rows_only = False
    unreadable: tuple[frozenset[int], frozenset[int]] = (frozenset(), frozenset())
    views: int | None = None

    @abstractmethod
    def rows(self, samples: SampleList, unreadable: frozenset[int]) -> Dataset[Any]:
        """Return what gives the listed part of whole batches.

        Args:
            samples: one of the two lists.
            unreadable: rows that the next of the list stands in for.
        """

    def train_dataloader(self) -> Loader:
        """Return batches as of ``SampleDataModule``, of rows alone where that is asked for."""
        if not self.rows_only:
            return super().train_dataloader()
        return self._training_loader(self.rows(self.train_samples, self.unreadable[0]), self._loading_rows())

    def val_dataloader(self) -> Loader:
        """Return the evaluation samples as of ``SampleDataModule``, of rows alone where that is asked for."""
        if not self.rows_only:
            return super().val_dataloader()
        rows = self.rows(self.val_samples, self.unreadable[1])
        return self._once_loader(rows, len(self.val_samples), self._loading_rows())

    def whole_dataloaders(self) -> tuple[Loader, Loader]:
        """Return all training and all evaluation samples, each once, in order, dealt out over the processes.

        As ``probe_dataloaders``, but the rows are those of the whole list.
        """
        return self._evaluation_loader(self.train_samples), self._evaluation_loader(self.val_samples)

    def training_views(self, views: int) -> Iterable[tuple[Sequence[int], Loader]]:
        """Return the training samples as ``views`` shows them, each view of each sample once.

        Returns:
            Numbers of views, and a loader of all training samples as of ``whole_dataloaders`` for these views.
        """
        dataset = self.dataset(self.train_samples, training=True)
        world_size, rank = self._processes()
        for view in range(views):
            seeds = partial(view_seed, self.seed, view)
            sampler = EvaluationSampler(len(self.train_samples), rank, world_size, seeds)
            loading = self._loading(persistent=False)
            yield (view,), DataLoader(dataset, batch_size=self.eval_batch_size, sampler=sampler, **loading)

    def _view(self) -> int | None:
        return None if self.views is None or self.trainer is None else self.trainer.current_epoch % self.views

    def _loading_rows(self) -> Loading:
        # Sent between processes, a row would take longer than to look it up.
        return {
            **self._loading(persistent=False),
            "collate_fn": _as_it_is,
            "num_workers": 0,
            "multiprocessing_context": None,
        }


def _as_it_is(batch: Any) -> Any:  # noqa: ANN401 - typed as one that gets a list
    """Return a batch that its dataset has put together."""
    return batch
