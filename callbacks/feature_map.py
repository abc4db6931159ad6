"""Look at a feature space in two dimensions: figure A.1."""

import csv
import io
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities import rank_zero_info, rank_zero_warn

from callbacks.pictures import keep_picture, render
from callbacks.run_folder import write_whole
from callbacks.skeleton_pictures import class_name
from lightning_modules.features import Features, collect_features
from lightning_modules.retrieval import Retrieval

MIN_POINTS = 4


class Map(NamedTuple):
    """One panel.

    Attributes:
        place: float32 (P, 2), coordinates; only which are near each other means something.
        label: int64 (P,), class from 0.
        sample: int64 (P,), places among the features that were given.
        title: above the panel.
    """

    place: np.ndarray
    label: np.ndarray
    sample: np.ndarray
    title: str = ""


class FeatureMap(Callback):
    """Draw the features of a test list by t-SNE (van der Maaten & Hinton 2008), several times for some of the classes.

    Features are brought to unit length first, as retrieval compares them by their angles. The same seed gives the same
    map. Writes ``pictures/features.png`` and the coordinates, ``pictures/features.csv``, in the run folder, and an
    image to TensorBoard.

    Args:
        num_panels: sets of classes, one panel each; three in figure A.1.
        num_classes: classes of a panel, or all where there are fewer.
        max_points: most samples of a panel, in even shares of its classes: time grows with them.
        perplexity: about how many neighbours each point keeps; less where there are few points.
        seed: of the choice of classes and samples, and of t-SNE.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(
        self,
        num_panels: int = 3,
        num_classes: int = 10,
        max_points: int = 2000,
        perplexity: float = 30.0,
        seed: int = 0,
    ) -> None:
        if min(num_panels, num_classes) < 1 or max_points < MIN_POINTS or perplexity <= 0:
            raise ValueError(
                f"num_panels={num_panels} and num_classes={num_classes} must be at least 1, max_points={max_points} at "
                f"least {MIN_POINTS}, perplexity={perplexity} above 0"
            )
        self.num_panels = num_panels
        self.num_classes = num_classes
        self.max_points = max_points
        self.perplexity = perplexity
        self.seed = seed

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw; nothing where the samples have no labels."""
        data = getattr(trainer, "datamodule", None)
        features = self._features(trainer, pl_module)
        if features is None or int((features.label >= 0).sum()) < MIN_POINTS:
            rank_zero_warn("FeatureMap: too few labelled samples held out: nothing to draw")
            return
        if not trainer.is_global_zero:
            return
        feature, label = features.feature.cpu().numpy(), features.label.cpu().numpy()
        start = time.perf_counter()
        maps = [
            embed(feature, label, sample, self.perplexity, self.seed)
            for sample in choose_samples(label, self.num_panels, self.num_classes, self.max_points, self.seed)
        ]
        names = getattr(data, "class_names", None)
        write_table(Path(trainer.default_root_dir) / "pictures" / "features.csv", maps, features.name, names)
        points, seconds = sum(len(panel.label) for panel in maps), time.perf_counter() - start
        rank_zero_info(f"t-SNE of {points:,} points in {len(maps)} panels took {seconds:.1f} s")
        keep_picture(trainer, "features", draw_maps(maps, names), "map of the features")

    @staticmethod
    def _features(trainer: Trainer, pl_module: LightningModule) -> Features | None:
        if isinstance(pl_module, Retrieval):
            return pl_module.neighbours.queries if pl_module.neighbours is not None else None
        data = getattr(trainer, "datamodule", None)
        loaders = data.probe_dataloaders() if data is not None and hasattr(data, "probe_dataloaders") else None
        return None if loaders is None else collect_features(trainer, pl_module, loaders[1])


def choose_samples(
    label: np.ndarray, num_panels: int, num_classes: int, max_points: int, seed: int
) -> list[np.ndarray]:
    """Draw the samples of each panel.

    Args:
        label: int64 (N,), class of each sample; those below 0 are passed over.
        num_panels: sets of classes; fewer where there are not so many different ones.
        num_classes: of a set.
        max_points: samples of a set.
        seed: of this choice alone.

    Returns:
        Their places, rising, int64 (P,) each.
    """
    rng = np.random.default_rng(seed)
    classes = np.unique(label[label >= 0])
    chosen: list[set[int]] = []
    samples = []
    for _ in range(100 * num_panels):
        drawn = set(rng.choice(classes, min(num_classes, len(classes)), replace=False).tolist())
        if drawn in chosen:
            continue
        chosen.append(drawn)
        share = max(max_points // len(drawn), 1)
        parts = [rng.permutation(np.flatnonzero(label == number))[:share] for number in sorted(drawn)]
        samples.append(np.sort(np.concatenate(parts)))
        if len(samples) == num_panels:
            break
    return samples


def embed(feature: np.ndarray, label: np.ndarray, sample: np.ndarray, perplexity: float, seed: int) -> Map:
    """Place samples in two dimensions.

    Args:
        feature: float32 (N, D).
        label: int64 (N,).
        sample: int64 (P,), which of the N.
        perplexity: of t-SNE; at most a third of the points.
        seed: of t-SNE.

    Returns:
        The map.
    """
    from sklearn.manifold import TSNE  # a second that only who draws a map shall wait

    chosen = feature[sample]
    unit = chosen / np.maximum(np.linalg.norm(chosen, axis=1, keepdims=True), 1e-12)
    perplexity = min(perplexity, (len(sample) - 1) / 3)
    start = "pca" if min(unit.shape) > 2 else "random"
    place = TSNE(perplexity=perplexity, init=start, learning_rate="auto", random_state=seed).fit_transform(unit)
    return Map(place.astype(np.float32), label[sample], sample)


def write_table(path: Path, maps: list[Map], names: list[str], class_names: Sequence[str] | None) -> None:
    """Write the coordinates: a line ``panel,name,label,class,x,y`` for each point; a panel is called by its title.

    Args:
        path: of the file.
        maps: the panels.
        names: of all samples.
        class_names: of the classes, where they are known.

    Raises:
        OSError: it cannot be written.
    """
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(["panel", "name", "label", "class", "x", "y"])
    for number, panel in enumerate(maps, 1):
        for (x, y), label, sample in zip(panel.place, panel.label, panel.sample, strict=True):
            table.writerow(
                [
                    panel.title or number,
                    names[sample],
                    label,
                    class_name(int(label), class_names),
                    f"{x:.4f}",
                    f"{y:.4f}",
                ]
            )
    write_whole(path, text.getvalue().encode())


def draw_maps(maps: list[Map], names: Sequence[str] | None) -> np.ndarray:
    """Draw the panels side by side, each with its own colours.

    Args:
        maps: the panels.
        names: of the classes.

    Returns:
        uint8 (H, W, 3).
    """
    most = max(len(np.unique(panel.label)) for panel in maps)
    top = 0.3 if any(panel.title for panel in maps) else 0.1
    height = 3.9 + top + 0.17 * -(-most // 2) + 0.1
    figure = Figure(figsize=(4.2 * len(maps), height), dpi=150)
    grid = figure.subplots(1, len(maps), squeeze=False)[0]
    width = 4.2 * len(maps)
    figure.subplots_adjust(0.1 / width, 1 - (3.9 + top) / height, 1 - 0.1 / width, 1 - top / height, wspace=0.04)
    for panel, axis in zip(maps, grid, strict=True):
        size = float(np.clip(6000 / len(panel.label), 4, 24))
        for rank, label in enumerate(np.unique(panel.label)):
            points = panel.place[panel.label == label]
            marker = "os^vDP"[rank // 10 % 6]
            name = textwrap.shorten(class_name(int(label), names), 30, placeholder="…")
            axis.scatter(*points.T, s=size, color=f"C{rank % 10}", marker=marker, linewidths=0, alpha=0.85, label=name)
        axis.set(xticks=[], yticks=[])
        if panel.title:
            axis.set_title(panel.title, fontsize=9, pad=4)
        axis.spines[:].set(color="0.7")
        axis.margins(0.04)
        axis.legend(
            loc="upper center", bbox_to_anchor=(0.5, 0), ncols=2, fontsize=7, frameon=False, handletextpad=0.1,
            columnspacing=0.8, markerscale=(25 / size) ** 0.5, borderaxespad=0.3,
        )  # fmt: skip
    return render(figure)
