"""``lightning analyse cka``: how alike the layers of networks are (figures 4.4 and B.9)."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor

from callbacks.pictures import render
from configs.analysis.files import plain, write_both
from configs.analysis.inputs import Inputs, Model
from lightning_modules.analysis.cka import MIN_SAMPLES, CenteredKernelAlignment, gram
from lightning_modules.analysis.layers import Depth, layer_names, watched


class Alignment(NamedTuple):
    """CKA of the layers of two networks.

    Attributes:
        reference: name of the one.
        other: name of the other.
        reference_layers: L names.
        other_layers: M names.
        value: float64 (L, M).
    """

    reference: str
    other: str
    reference_layers: list[str]
    other_layers: list[str]
    value: np.ndarray

    @property
    def diagonal(self) -> tuple[list[str], list[float]]:
        """Layers that both have, and their CKA."""
        names = [name for name in self.reference_layers if name in self.other_layers]
        places = [(self.reference_layers.index(name), self.other_layers.index(name)) for name in names]
        return names, [float(self.value[place]) for place in places]


def analyse(inputs: Inputs, out: Path, depth: Depth = "blocks", pooled: bool = False) -> str:
    """Compare the first network with each of the others, and write ``cka.png`` and ``cka.csv``.

    Args:
        inputs: networks and videos; one clip of a video counts.
        out: folder.
        depth: see ``layer_names``.
        pooled: whether features are means over time and space, as the classifier sees them; all activations otherwise,
            as in Nguyen et al. 2021.

    Returns:
        What was written.

    Raises:
        ValueError: there are too few videos.
        OSError: a file cannot be written.
    """
    alignments = align(inputs, depth, pooled)
    rows = (
        (one.reference, one.other, row, column, float(one.value[i, j]))
        for one in alignments
        for i, row in enumerate(one.reference_layers)
        for j, column in enumerate(one.other_layers)
    )
    header = ("reference", "other", "reference_layer", "other_layer", "cka")
    return write_both(out, "cka", draw(alignments), header, rows)


def align(inputs: Inputs, depth: Depth, pooled: bool) -> list[Alignment]:
    """CKA of the first network with each of the others; see `analyse`."""
    first, *others = inputs.models
    names = [layer_names(model.network, depth) for model in inputs.models]
    metrics = [CenteredKernelAlignment(len(names[0]), len(layers)).to(first.device) for layers in names[1:]]
    left_out = 0
    for batch in inputs.batches("CKA"):
        clips = batch["clip"][:, batch["clip"].shape[1] // 2]
        if len(clips) < MIN_SAMPLES:
            left_out += len(clips)
            continue
        grams = layer_grams(first, clips, names[0], pooled)
        for model, layers, metric in zip(others, names[1:], metrics, strict=True):
            metric.update(grams, layer_grams(model, clips, layers, pooled))
    if not int(metrics[0].samples):
        raise ValueError(f"{left_out} videos in a batch are too few for CKA: take at least {MIN_SAMPLES}")
    rank_zero_info(f"CKA over {int(metrics[0].samples):,} videos; {left_out} of a last, small batch left out")
    return [
        Alignment(first.name, model.name, names[0], layers, metric.compute().cpu().numpy())
        for model, layers, metric in zip(others, names[1:], metrics, strict=True)
    ]


@torch.inference_mode()
def layer_grams(model: Model, clips: Tensor, names: list[str], pooled: bool) -> Tensor:
    """Gram matrix of each layer for a minibatch of clips, uint8 (n, T, H, W, 3): float32 (L, n, n)."""
    grams: dict[str, Tensor] = {}

    def see(name: str, output: Tensor) -> None:
        grams[name] = gram(output.flatten(2).mean(2) if pooled else output)

    with watched(model.network, names, see):
        model.method.encode(model.prepare(clips))
    return torch.stack([grams[name] for name in names])


def draw(alignments: list[Alignment]) -> np.ndarray:
    """Draw a heat map of all pairs of layers for each comparison, and their diagonals in a last panel.

    Returns:
        uint8 (H, W, 3).
    """
    panels = len(alignments) + 1
    columns = min(panels, 4)
    rows = -(-panels // columns)
    most = max(max(one.value.shape) for one in alignments)
    side = 2.8 if most <= 12 else 3.8
    figure = Figure(figsize=(1.07 * side * columns + 0.4, side * rows), dpi=200, layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    low = min(0.0, *(float(np.nanmin(one.value, initial=0.0)) for one in alignments))
    image = None
    for axis, one in zip(axes[: len(alignments)], alignments, strict=True):
        image = axis.imshow(one.value, origin="lower", cmap="magma", vmin=low, vmax=1)
        axis.set_facecolor("0.8")
        _name_layers(axis.set_xticks, one.other_layers, rotation=90)
        _name_layers(axis.set_yticks, one.reference_layers)
        axis.set_xlabel(one.other, fontsize=8)
        axis.set_ylabel(one.reference, fontsize=8)
        if most <= 12:
            for (row, column), value in np.ndenumerate(one.value):
                size = 7.5 if most < 7 else 5
                colour = "black" if value > (1 + low) / 2 + 0.1 else "white"
                axis.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=size, color=colour)
    assert image is not None
    bar = figure.colorbar(image, ax=axes[: len(alignments)], shrink=0.8, aspect=30)
    bar.set_label("linear CKA", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    last = axes[len(alignments)]
    plain(last)
    for number, one in enumerate(alignments):
        names, values = one.diagonal
        label = f"{one.reference} and {one.other}"
        last.plot(
            range(len(names)), values, "osD^v<>Pph"[number % 10] + "-", color=f"C{number}", markersize=4, label=label
        )
        _name_layers(last.set_xticks, names, rotation=90)
    last.set(ylabel="CKA of the same layer", ylim=(min(0.0, low), 1.02))
    last.legend(frameon=False, fontsize=7)
    for axis in axes[panels:]:
        axis.remove()
    return render(figure)


def _name_layers(set_ticks: Callable[..., object], names: list[str], rotation: int = 0) -> None:
    """Name the layers along an axis, each or every few."""
    step = -(-len(names) // 20)
    set_ticks(range(0, len(names), step), names[::step], fontsize=6, rotation=rotation)
