"""Runs of ``lightning`` that tables are made of: where they lie, how they are made, and what they came to."""

import json
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.reproduction.fine_gym import FINE_GYM_LEVELS, share_right
from callbacks.run_summary import missing_end, read_run

CHECKPOINT = Path("checkpoints", "last.ckpt")
WRITTEN = {"test": Path("logs", "test", "metrics.csv"), "predict": Path("predictions.npz")}
"""What is there at the end of a subcommand."""
UNTRAINED = "untrained/knn_top1"
"""The metric of ``KNNProbe`` before the first step: it stands in the checkpoint alone."""
QUIET = ("--data.num_workers", "0", "--trainer.enable_progress_bar", "false")
EPOCHS = 10  # of a quick run: KNNProbe looks at every tenth
FEW_STEPS = ("--trainer.max_epochs", str(EPOCHS), "--trainer.check_val_every_n_epoch", str(EPOCHS))
FEW_STEPS += ("--trainer.limit_train_batches", "1", "--trainer.limit_val_batches", "4")
FEW_TESTS = ("--trainer.limit_test_batches", "4")


class Run(NamedTuple):
    """A training, a test or a prediction, for each seed.

    Attributes:
        name: its folder in that of all runs, ``NAME/seed_S``; ``NAME`` where it is made once.
        arguments: of ``lightning``, the subcommand ``fit``, ``test`` or ``predict`` first.
        start: the run whose last checkpoint it starts from.
        start_key: the argument that is given that checkpoint.
        once: made with seed 0 alone; what starts from it has seeds of its own.
        seed_keys: further arguments that are given the seed.
        quick: arguments that make it short.
    """

    name: str
    arguments: tuple[str, ...]
    start: "AnyRun | None" = None
    start_key: str = "--model.weights"
    once: bool = False
    seed_keys: tuple[str, ...] = ()
    quick: tuple[str, ...] = FEW_STEPS

    def folder(self, out: Path, seed: int) -> Path:
        """Where it lies."""
        return out / self.name if self.once else out / self.name / f"seed_{seed}"

    def finished(self, out: Path, seed: int) -> bool:
        """Whether it is there and came to its end."""
        folder = self.folder(out, seed)
        if self.arguments[0] != "fit":
            return (folder / WRITTEN[self.arguments[0]]).is_file()
        return folder.is_dir() and not missing_end(folder)

    def command(self, out: Path, seed: int, quick: bool) -> list[str]:
        """Arguments of ``lightning``."""
        command = [*self.arguments]
        if self.start is not None:
            command += [self.start_key, str(self.start.folder(out, seed) / CHECKPOINT)]
        for key in ("--seed_everything", *self.seed_keys):
            command += [key, str(0 if self.once else seed)]
        return [*command, *QUIET, *(self.quick if quick else ()), "--run_dir", str(self.folder(out, seed))]

    def read(self, out: Path, seed: int, metric: str) -> float | None:
        """The last value of what it logged; None where it did not."""
        folder = self.folder(out, seed)
        if metric == UNTRAINED:
            callbacks = torch.load(folder / CHECKPOINT, map_location="cpu", weights_only=True, mmap=True)["callbacks"]
            history: dict[int, float] = callbacks["KNNProbe"]["history"]
            return history.get(0)
        if metric in FINE_GYM_LEVELS:
            return share_right(folder / WRITTEN["predict"], metric)
        return read_run(folder).metrics.get(metric)


class SevereRun(NamedTuple):
    """A job of ``lightning severe --embedded``, for each seed.

    Attributes:
        weights: name of the weights in the benchmark's folders.
        setting: one of ``configs/severe_embedded``.
        mode: ``finetune`` or ``linear``.
        start: the run that the weights come from; None for none.
    """

    weights: str
    setting: str
    mode: str
    start: Run | None

    @property
    def name(self) -> str:
        """Its folder in that of all runs, without the seed's."""
        family = "severe_embedded" if self.mode == "finetune" else "severe_embedded_linear"
        return f"severe/{self.weights}/{family}/{self.setting}"

    def folder(self, out: Path, seed: int) -> Path:
        """Where it lies."""
        return out / self.name / f"seed_{seed}"

    def finished(self, out: Path, seed: int) -> bool:
        """Whether it is there and came to its end."""
        return (self.folder(out, seed) / "result.json").is_file()

    def command(self, out: Path, seed: int, quick: bool) -> list[str]:
        """Arguments of ``lightning``."""
        weights = "none" if self.start is None else str(self.start.folder(out, 0) / CHECKPOINT)
        command = ["severe", "--embedded", "--mode", self.mode, "--weights", weights, "--name", self.weights]
        command += ["--seeds", str(seed + 1), "--only", f"{self.setting}:{seed}", "--out", str(out / "severe")]
        return [*command, *QUIET, *((*FEW_STEPS, *FEW_TESTS) if quick else ())]

    def read(self, out: Path, seed: int, metric: str) -> float | None:
        """What its test came to; None where the metric is none of its own."""
        path = self.folder(out, seed) / "result.json"
        metrics: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))["metrics"]
        return metrics.get(metric)


AnyRun = Run | SevereRun


def recipe(run: AnyRun) -> str:
    """The command of a run as a reader gives it, with words for its seed and the checkpoint that it starts from.

    What made that checkpoint follows, after ``CKPT of``.
    """
    text = f"lightning {shlex.join(run.command(Path('OUT'), 0, False))}".replace(f" {' '.join(QUIET)}", "")
    text = text.partition(" --run_dir ")[0].partition(" --seeds ")[0]
    if run.start is not None:
        text = text.replace(str(run.start.folder(Path("OUT"), 0) / CHECKPOINT), "CKPT")
    seeds = () if isinstance(run, SevereRun) or run.once else ("--seed_everything", *run.seed_keys)
    for key in seeds:
        text = text.replace(f"{key} 0", f"{key} SEED")
    return text if run.start is None else f"{text}, CKPT of {recipe(run.start)}"


def in_order(wanted: Iterable[tuple[AnyRun, int]]) -> list[list[tuple[AnyRun, int]]]:
    """Runs with those that they start from, each once, in layers: a layer needs the ones before it alone."""
    layers: list[dict[Path, tuple[AnyRun, int]]] = []

    def place(run: AnyRun, seed: int) -> int:
        seed = 0 if isinstance(run, Run) and run.once else seed
        depth = 0 if run.start is None else 1 + place(run.start, 0 if isinstance(run, SevereRun) else seed)
        layers.extend({} for _ in range(depth + 1 - len(layers)))
        layers[depth].setdefault(run.folder(Path(), seed), (run, seed))
        return depth

    for run, seed in wanted:
        place(run, seed)
    return [list(layer.values()) for layer in layers]


def make(run: AnyRun, seed: int, out: Path, quick: bool, lightning: Callable[[list[str]], int]) -> str:
    """Make one run, or go on with it, unless it is finished.

    Args:
        run: what.
        seed: of it.
        out: folder of all runs.
        quick: with the fewest steps.
        lightning: runs a command and returns its exit code.

    Returns:
        What went wrong, in one line; empty where nothing did.
    """
    if run.finished(out, seed):
        return ""
    if run.start is not None and not run.start.finished(out, 0 if isinstance(run, SevereRun) else seed):
        return f"{run.folder(out, seed)}: {run.start.name}, which it starts from, is not finished"
    print(run.folder(out, seed), flush=True)
    code = lightning(run.command(out, seed, quick))
    return "" if code == 0 and run.finished(out, seed) else f"{run.folder(out, seed)}: stopped with exit code {code}"
