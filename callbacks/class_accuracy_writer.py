"""Keep how well each class is recognised: what figure C.1 of the thesis compares."""

import csv
import io
from pathlib import Path

from pytorch_lightning import Callback, LightningModule, Trainer

from callbacks.run_folder import write_whole
from lightning_modules.metrics.class_accuracy import ClassAccuracy


class ClassAccuracyWriter(Callback):
    """Writes ``class_accuracy.csv`` into the run folder after a test: ``class,name,accuracy``, a row a class.

    The accuracy is in 0..1, and empty for a class without samples; names are the data module's ``class_names``. Nothing
    is written for a method that does not measure ``mean_class_accuracy``.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "class_accuracy.csv"

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Join the counts of all processes, and write.

        Raises:
            OSError: the file cannot be written.
        """
        metrics = (module for module in pl_module.modules() if isinstance(module, ClassAccuracy))
        metric = next((metric for metric in metrics if metric.mean_over_classes), None)
        if metric is None:
            return
        with metric.sync_context(should_sync=trainer.world_size > 1):
            right, total = metric.right.tolist(), metric.total.tolist()
        if not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        names = getattr(getattr(trainer, "datamodule", None), "class_names", None) or []
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(["class", "name", "accuracy"])
        for number, (found, there) in enumerate(zip(right, total, strict=True)):
            name = names[number] if number < len(names) else ""
            writer.writerow([number, name, found / there if there else ""])
        write_whole(self.path, text.getvalue().encode())
