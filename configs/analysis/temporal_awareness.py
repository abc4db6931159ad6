"""``lightning analyse temporal_awareness``: accuracy over the number of frames (equation B.1, figure B.12)."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure

from callbacks.pictures import render
from callbacks.run_summary import Spread
from configs.analysis.files import plain, write_both
from configs.analysis.runs import Mode, Runs
from configs.severe_benchmark.figures import TITLES
from lightning_modules.analysis.temporal_awareness import temporal_awareness


class Curve(NamedTuple):
    """How a data set is recognised with more and more frames.

    Attributes:
        weights: name.
        setting: name.
        frames: K numbers, rising.
        accuracy: for each the values of all seeds, in 0..1.
        awareness: frames from which on it gets no better, equation B.1.
    """

    weights: str
    setting: str
    frames: list[int]
    accuracy: list[list[float]]
    awareness: int

    @property
    def mean(self) -> np.ndarray:
        """Mean over the seeds, in percent."""
        return np.array([100 * np.mean(values) for values in self.accuracy])


def analyse(runs: Runs, settings: list[str], mode: Mode, frames: list[int], alpha: float, out: Path) -> str:
    """Train and test with clips of each length, and write ``temporal_awareness.png`` and ``.csv``.

    The thesis fine-tunes R(2+1)D-18 that was trained on Kinetics-400 with labels.

    Args:
        runs: under which weights, and how.
        settings: names, such as ``ucf101``.
        mode: see ``Runs.accuracies``.
        frames: of a clip, at the config's frames a second.
        alpha: percent, see ``temporal_awareness``.
        out: folder.

    Returns:
        What was written, and the temporal awareness of each.

    Raises:
        ConfigError: an argument is wrong.
        ValueError: data are missing, or a run failed.
        OSError: a file cannot be written.
    """
    found = [runs.accuracies(settings, mode, [f"--data.num_frames={number}"], f"frames_{number}") for number in frames]
    curves = []
    for name in runs.names:
        for place, setting in enumerate(settings):
            values = [by_name[name][place] for by_name in found]
            means = torch.tensor([sum(one) / len(one) for one in values])
            awareness = temporal_awareness(torch.tensor(frames), means, alpha)
            curves.append(Curve(name, setting, frames, values, awareness))
    rows = (
        (curve.weights, curve.setting, number, Spread([*values]).mean, _deviation(values), curve.awareness)
        for curve in curves
        for number, values in zip(curve.frames, curve.accuracy, strict=True)
    )
    header = ("weights", "setting", "frames", "top1", "deviation", "temporal_awareness")
    line = write_both(out, "temporal_awareness", draw(curves), header, rows)
    each = ", ".join(f"{curve.setting} with {curve.weights} {curve.awareness}" for curve in curves)
    return f"{line}\ntemporal awareness in frames: {each}"


def draw(curves: list[Curve]) -> np.ndarray:
    """Draw the accuracies over the number of frames; a star where they stop to rise.

    Returns:
        uint8 (H, W, 3).
    """
    figure = Figure(figsize=(4.4, 3.4), dpi=200, layout="constrained")
    axis = figure.subplots()
    plain(axis)
    several = len({curve.weights for curve in curves}) > 1
    for number, curve in enumerate(curves):
        name = TITLES.get(curve.setting, curve.setting)
        label = f"{name}, {curve.weights}" if several else name
        spread = [100 * deviation for values in curve.accuracy if (deviation := _deviation(values)) is not None]
        marker = "osD^v<>Pph"[number % 10]
        axis.errorbar(
            curve.frames, curve.mean, spread or None, color=f"C{number % 10}", marker=marker, markersize=4, capsize=2,
            linewidth=1.4, label=f"{label} ({curve.awareness})",
        )  # fmt: skip
        at = float(np.interp(curve.awareness, curve.frames, curve.mean))
        axis.plot(
            curve.awareness, at, "*", color=f"C{number % 10}", markersize=13, markeredgecolor="black",
            markeredgewidth=0.7, zorder=4,
        )  # fmt: skip
    axis.set_xscale("log", base=2)
    axis.set_xticks(curves[0].frames, [str(number) for number in curves[0].frames])
    axis.minorticks_off()
    axis.set(xlabel="frames of a clip", ylabel="top-1 in %")
    figure.legend(
        loc="outside lower center", ncols=2, frameon=False, fontsize=7, title="★ temporal awareness in frames",
        title_fontsize=7,
    )  # fmt: skip
    return render(figure)


def _deviation(values: list[float]) -> float | None:
    return Spread([*values]).deviation
