"""Watch what a network has learnt by the nearest neighbours of its features."""

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities import rank_zero_info
from rich.console import Console
from rich.table import Table

from lightning_modules.features import collect_features
from lightning_modules.metrics.nearest_neighbours import nearest_neighbour_top1


class KNNProbe(Callback):
    """k-nearest-neighbour top-1 of frozen features on a labelled split, beside that of the untrained network.

    Logs ``probe/knn_top1`` and prints a table at the end; ``test/knn_top1`` in a test. Needs ``probe_dataloaders`` of
    the data module and ``features(batch)`` of the method; says so once and does nothing where the samples have no
    labels.

    Args:
        every_n_epochs: epochs between two probes; the untrained and the last network are always probed.
        k: neighbours.
        temperature: of their votes.
    """

    def __init__(self, every_n_epochs: int = 10, k: int = 20, temperature: float = 0.07) -> None:
        self.every_n_epochs = every_n_epochs
        self.k = k
        self.temperature = temperature
        self.history: dict[int, float] = {}

    def state_dict(self) -> dict[str, Any]:
        """Accuracies so far by epoch; epoch 0 is the untrained network."""
        return {"history": dict(self.history)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the accuracies of the run that is continued."""
        self.history = dict(state_dict["history"])

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Probe the untrained network."""
        if trainer.global_step == 0 and not self.history:
            self._probe(trainer, pl_module, 0)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Probe every few epochs."""
        epoch = trainer.current_epoch + 1
        if epoch % self.every_n_epochs == 0 or epoch == trainer.max_epochs:
            self._probe(trainer, pl_module, epoch)
            if epoch in self.history:
                pl_module.log("probe/knn_top1", self.history[epoch], rank_zero_only=True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print what was seen."""
        if not self.history or not trainer.is_global_zero:
            return
        table = Table(title=f"nearest neighbours (k = {self.k}), top-1 in %")
        table.add_column("network")
        table.add_column("accuracy", justify="right")
        for epoch, accuracy in sorted(self.history.items()):
            table.add_row(f"after epoch {epoch}" if epoch else "untrained", f"{100 * accuracy:.1f}")
        Console().print(table)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Probe the network that is tested."""
        accuracy = self._accuracy(trainer, pl_module)
        if accuracy is not None:
            pl_module.log("test/knn_top1", accuracy, rank_zero_only=True)

    def _probe(self, trainer: Trainer, pl_module: LightningModule, epoch: int) -> None:
        accuracy = self._accuracy(trainer, pl_module)
        if accuracy is not None:
            self.history[epoch] = accuracy
        elif epoch == 0:
            rank_zero_info("KNNProbe: no labels, or no samples held out: nothing to probe")

    def _accuracy(self, trainer: Trainer, pl_module: LightningModule) -> float | None:
        """Top-1 in 0..1; None where there is nothing to probe."""
        data = getattr(trainer, "datamodule", None)
        loaders = data.probe_dataloaders() if data is not None and hasattr(data, "probe_dataloaders") else None
        if data is None or loaders is None:
            return None
        bank, queries = (collect_features(trainer, pl_module, loader) for loader in loaders)
        return nearest_neighbour_top1(
            bank.feature, bank.label, queries.feature, queries.label, self.k, self.temperature
        )
