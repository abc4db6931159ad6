"""Late fusion: the scores of several runs for the same samples, averaged."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

PREDICTIONS_FILE = "predictions.npz"


@dataclass(frozen=True)
class Predictions:
    """What a run says of N samples.

    Attributes:
        path: where it stands, for messages.
        name: str (N,), each once.
        score: float32 (N, C), probabilities of the classes.
        label: int64 (N,), -1 where unknown.
    """

    path: Path
    name: np.ndarray
    score: np.ndarray
    label: np.ndarray

    def top1(self) -> float | None:
        """Share of the labelled samples whose best class is right, in 0..1; None without labels."""
        known = self.label >= 0
        return float((self.score[known].argmax(1) == self.label[known]).mean()) if known.any() else None

    def write(self, path: Path) -> None:
        """Write a file as of ``lightning predict``.

        Raises:
            OSError: it cannot be written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            np.savez(file, name=self.name, score=self.score, label=self.label)


def read_predictions(path: Path) -> Predictions:
    """Read the scores of a run.

    Args:
        path: a file of ``lightning predict``, or the folder of its run.

    Raises:
        ValueError: the file is missing or damaged, or holds no scores by name.
    """
    file = path / PREDICTIONS_FILE if path.is_dir() else path
    if not file.is_file():
        raise ValueError(f"{file}: no such file; write it with lightning predict")
    try:
        with np.load(file) as content:
            arrays: dict[str, Any] = dict(content)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        raise ValueError(f"{file}: is no file of lightning predict ({error}); write it again") from error
    lacking = [key for key in ("score", "name", "label") if key not in arrays]
    if lacking:
        raise ValueError(
            f"{file}: has no {' and no '.join(lacking)}, but {', '.join(arrays) or 'nothing'}; predict with a method "
            f"that gives scores, such as LinearProbe or FineTuning"
        )
    name, score, label = arrays["name"], arrays["score"], arrays["label"]
    if score.ndim != 2 or len(score) != len(name) or len(label) != len(name):
        raise ValueError(
            f"{file}: score {score.shape}, name {name.shape} and label {label.shape} do not fit; predict again"
        )
    if not np.isfinite(score).all():
        raise ValueError(
            f"{file}: {int((~np.isfinite(score)).any(1).sum())} samples have no finite score; predict again"
        )
    if len(np.unique(name)) < len(name):
        raise ValueError(f"{file}: holds samples of the same name; predict again")
    return Predictions(file, name, score.astype(np.float32), label.astype(np.int64))


def fuse(runs: Sequence[Predictions], weights: Sequence[float] | None = None) -> Predictions:
    """Average scores, sample by sample.

    Args:
        runs: of the same samples, in any order.
        weights: of each run, at least 0 and not all 0; equal when None.

    Returns:
        The weighted mean, in the order of the first run.

    Raises:
        ValueError: samples, labels or the numbers of classes differ, or the weights are no weights of these runs.
    """
    shares = np.ones(len(runs)) if weights is None else np.asarray(weights, dtype=np.float64)
    if len(shares) != len(runs) or not np.isfinite(shares).all() or (shares < 0).any() or not shares.sum():
        raise ValueError(
            f"weights {shares.tolist()} for {len(runs)} runs: give one each, at least 0 and not all of them 0"
        )
    first = runs[0]
    total = np.zeros(first.score.shape)
    for run, share in zip(runs, shares, strict=True):
        if run.score.shape[1] != first.score.shape[1]:
            raise ValueError(
                f"{run.path}: has {run.score.shape[1]} classes, {first.path} {first.score.shape[1]}; fuse runs on the "
                f"same data"
            )
        for one, other in ((first, run), (run, first)):
            absent = one.name[~np.isin(one.name, other.name)]
            if len(absent):
                raise ValueError(
                    f"{other.path}: lacks {len(absent):,} samples of {one.path}, such as {absent[0]}; predict both on "
                    f"the same split"
                )
        order = np.argsort(run.name)[np.searchsorted(run.name, first.name, sorter=np.argsort(run.name))]
        differing = np.flatnonzero(run.label[order] != first.label)
        if len(differing):
            row = differing[0]
            raise ValueError(
                f"{run.path}: {first.name[row]} has label {run.label[order][row]}, in {first.path} {first.label[row]}"
            )
        total += share / shares.sum() * run.score[order]
    return Predictions(Path("fusion"), first.name, total.astype(np.float32), first.label)
