"""``lightning analyse activation_maps``: where networks look (figures 5.5 and C.2)."""

import math
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional

from callbacks.pictures import render
from configs import ConfigError
from configs.analysis.files import write_both
from configs.analysis.inputs import Inputs, Model
from datamodules.writers.video import write_video
from lightning_modules.analysis.activation_maps import activation_map, agreement, enlarge, motion_energy

MIN_ROWS = 7  # those of R(2+1)D-18's last stage at 112 px
COLOURS = "inferno"
MOST_MOVING = 8  # videos beside each other in the video
LOOPS = 3  # of the video: clips are short


class Seen(NamedTuple):
    """A clip and what the networks see in it.

    Attributes:
        name: file of the video.
        title: its class.
        clip: uint8 (T, H, W, 3).
        maps: float32 (M, T, H, W), 0..1, of each network.
    """

    name: str
    title: str
    clip: np.ndarray
    maps: np.ndarray


class Agreement(NamedTuple):
    """How far the networks look where something moves.

    Attributes:
        name: file of the video.
        title: its class.
        correlation: of each network's map with the motion, see ``agreement``.
    """

    name: str
    title: str
    correlation: list[float]


def analyse(inputs: Inputs, out: Path, layer: str | None, shown: int, frames: int) -> str:
    """Look at the middle clip of each video with each network.

    Writes ``activation_maps.png`` and ``activation_maps.mp4`` of some, and ``activation_maps.csv`` of all: how far each
    map agrees with where something moves.

    Args:
        inputs: networks and videos.
        out: folder.
        layer: a stage of the networks; the last whose maps have 7 rows when None, or the first.
        shown: videos that are drawn, evenly from the list.
        frames: of each clip in the picture.

    Returns:
        What was written.

    Raises:
        ConfigError: there is no such stage.
        OSError: a file cannot be written.
    """
    layers = [choose_layer(model, inputs, layer) for model in inputs.models]
    number = len(inputs.data.val_samples)
    seen, agreements = look(inputs, layers, set(np.linspace(0, number - 1, min(shown, number)).astype(int).tolist()))
    names = [model.name for model in inputs.models]
    rows = (
        (one.name, one.title, name, stage, value)
        for one in agreements
        for name, stage, value in zip(names, layers, one.correlation, strict=True)
    )
    header = ("video", "class", "weights", "layer", "correlation_with_motion")
    line = write_both(out, "activation_maps", draw(seen, names, frames), header, rows)
    video = out / "activation_maps.mp4"
    write_video(video, moving(seen[:MOST_MOVING], names), fps=8, quality=20)
    values = np.array([one.correlation for one in agreements])
    means = [
        float(np.mean(column[np.isfinite(column)])) if np.isfinite(column).any() else math.nan for column in values.T
    ]
    agreeing = ", ".join(f"{name} {mean:.2f}" for name, mean in zip(names, means, strict=True))
    used = ", ".join(dict.fromkeys(layers))
    return f"{line}, and {video}\nmean correlation of the maps ({used}) with the motion: {agreeing}"


def choose_layer(model: Model, inputs: Inputs, layer: str | None) -> str:
    """Name of the stage whose maps are shown; see `analyse`."""
    stages = [name for name, _ in model.network.named_children()]
    if layer is not None:
        if layer not in stages:
            raise ConfigError(f"--layer {layer}: {model.name} has no such stage; it has {', '.join(stages)}")
        return layer
    data = inputs.data
    clip = torch.zeros(1, data.num_frames, data.crop_size, data.crop_size, 3, dtype=torch.uint8)
    with torch.inference_mode():
        rows = {name: maps.shape[3] for name, maps in model.network.feature_maps(model.prepare(clip)).items()}
    return [name for name in stages if rows[name] >= MIN_ROWS or name == stages[0]][-1]


@torch.inference_mode()
def look(inputs: Inputs, layers: list[str], shown: set[int]) -> tuple[list[Seen], list[Agreement]]:
    """Maps of all networks for the middle clip of the videos in some rows, and how they agree with motion in all."""
    seen, agreements = [], []
    for batch in inputs.batches("activation maps"):
        clips = batch["clip"][:, batch["clip"].shape[1] // 2]
        maps = [
            activation_map(model.network.forward_maps(model.prepare(clips), layer)).cpu()
            for model, layer in zip(inputs.models, layers, strict=True)
        ]
        moving = [agreement(one, motion_energy(clips, (one.shape[1], one.shape[2], one.shape[3]))) for one in maps]
        for place, path in enumerate(batch["path"]):
            name, title = Path(path).name, inputs.class_name(int(batch["label"][place]))
            agreements.append(Agreement(name, title, [float(values[place]) for values in moving]))
            if int(batch["video"][place]) in shown:
                clip = clips[place]
                large = [enlarge(one[place][None], (clip.shape[0], clip.shape[1], clip.shape[2])) for one in maps]
                seen.append(Seen(name, title, clip.numpy(), torch.cat(large).numpy()))
    return seen, agreements


def overlay(clip: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Colour a grey clip by a map, the more the higher it is.

    Args:
        clip: uint8 (T, H, W, 3).
        maps: float32 (T, H, W), 0..1.

    Returns:
        uint8 (T, H, W, 3).
    """
    grey = clip.mean(3, keepdims=True) / 255
    colour = matplotlib.colormaps[COLOURS](maps)[..., :3]
    share = 0.75 * maps[..., None]
    return np.asarray((255 * ((1 - share) * grey + share * colour)).round(), np.uint8)


def draw(seen: list[Seen], names: list[str], frames: int) -> np.ndarray:
    """Draw a block for each video: its frames, and below them the maps of each network.

    Returns:
        uint8 (H, W, 3).
    """
    across = min(len(seen), 2 if frames > 2 else 4)
    down = -(-len(seen) // across)
    labels = ["clip", *(textwrap.fill(name, 12) for name in names)]
    cell, title, gap = 0.75, 0.2, 0.1
    left = 0.12 + 0.065 * max(len(line) for label in labels for line in label.splitlines())
    block_height, block_width = len(labels) * cell + title + gap, frames * cell + gap
    height, width = down * block_height, left + across * block_width
    figure = Figure(figsize=(width, height), dpi=200)
    for number, one in enumerate(seen):
        row, column = divmod(number, across)
        chosen = np.linspace(0, len(one.clip) - 1, frames).round().astype(int) if frames > 1 else [len(one.clip) // 2]
        x, y = left + column * block_width, height - row * block_height - title
        about = textwrap.shorten(f"{one.title} ({one.name})", 13 * frames, placeholder="…")
        figure.text(x / width, (y + 0.04) / height, about, fontsize=6.5)
        for line, strip in enumerate((one.clip, *(overlay(one.clip, maps) for maps in one.maps))):
            bottom = y - (line + 1) * cell
            box = (x / width, (bottom + 0.02) / height, (frames * cell) / width, (cell - 0.02) / height)
            axis = figure.add_axes(box)
            axis.imshow(np.concatenate(list(strip[chosen]), 1), aspect="auto", interpolation="bilinear")
            axis.set_axis_off()
            if column == 0:
                where = ((left - 0.06) / width, (bottom + cell / 2) / height)
                figure.text(*where, labels[line], fontsize=7, ha="right", va="center")
    return render(figure)


def moving(seen: list[Seen], names: list[str]) -> Iterator[np.ndarray]:
    """Frames of a video: a column for each clip, a row for the clips and one for each network.

    Yields:
        uint8 (H, W, 3) each, H and W even.
    """
    cell, dpi = 160, 100
    labels = ("clip", *names)
    figure = Figure(figsize=(cell / 2 / dpi, len(labels) * cell / dpi), dpi=dpi)
    for number, name in enumerate(labels):
        place = 1 - (number + 0.5) / len(labels)
        figure.text(0.5, place, textwrap.fill(name, 10), ha="center", va="center", fontsize=9)
    head = render(figure)
    for _ in range(LOOPS):
        for at in range(len(seen[0].clip)):
            columns = [
                np.concatenate(
                    [_scaled(part[at], cell) for part in (one.clip, *(overlay(one.clip, maps) for maps in one.maps))]
                )
                for one in seen
            ]
            yield np.concatenate([head, *columns], 1)


def _scaled(image: np.ndarray, side: int) -> np.ndarray:
    pixels: Tensor = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float()
    return functional.interpolate(pixels, (side, side), mode="bilinear")[0].permute(1, 2, 0).byte().numpy()
