"""What a data module gives, as pictures: strips of frames of colour, flow and depth, and skeletons as stick figures."""

import os
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor
from torchvision.utils import flow_to_image

from callbacks.pictures import render
from callbacks.skeleton_drawing import draw_strip, thin
from callbacks.skeleton_pictures import class_name

Kind = Literal["rgb", "flow", "depth", "skeleton"]
VIDEO_KINDS: tuple[tuple[str, Kind], ...] = (
    ("clip", "rgb"),
    ("frames", "rgb"),
    ("rgb", "rgb"),
    ("flow", "flow"),
    ("depth", "depth"),
)

# Of a frame on the sheet and of the words on its left, in inches.
FRAME, WORDS, GAP = 0.95, 2.1, 0.05
MOST_LINES = 3  # of the names of what a sample shows
UNMEASURED = (70, 70, 70)


class Strip(NamedTuple):
    """One row of the sheet.

    Attributes:
        kind: what the content is of.
        content: (T, H, W, 3) uint8 colour, (T, H, W, 2) flow in pixels a frame or (T, H, W) depth in millimetres; or
            float (3, T, 25, M), a sequence of skeletons without repetition.
        title: what it is, in lines.
        boxes: float (N, 4), x1, y1, x2, y2 in 0..1 of one frame.
        box_frame: its number.
    """

    kind: Kind
    content: np.ndarray
    title: str
    boxes: np.ndarray = np.empty((0, 4))
    box_frame: int = 0


def strips_of(batch: Mapping[str, Any], class_names: Sequence[str] | None) -> list[Strip]:
    """Take a batch of ``datamodules/batch.py`` apart.

    Args:
        batch: of any of its kinds.
        class_names: of the data module.

    Returns:
        For each sample a strip for each of its clips and modalities.
    """
    names = batch["name"] if "name" in batch else batch["path"]
    strips = []
    for row, name in enumerate(names):
        lines = [textwrap.shorten(os.path.basename(name), 30, placeholder="…") or name[-30:]]
        if (words := _contents(batch, row, class_names)) is not None:
            lines += textwrap.wrap(words, 34, max_lines=MOST_LINES, placeholder=" …")
        for key, kind in VIDEO_KINDS:
            # The key clip of MultimodalBatch holds numbers of clips.
            if key in batch and batch[key].ndim > 2:
                strips += _clips(batch, row, key, kind, lines)
        if "skeleton" in batch:
            sequence = batch["skeleton"][row, :, : int(batch["num_frames"][row])].numpy()
            strips.append(Strip("skeleton", sequence, "\n".join([*lines, f"{sequence.shape[1]} frames"])))
    return strips


def _contents(batch: Mapping[str, Any], row: int, names: Sequence[str] | None) -> str | None:
    """What a sample is said to show; None where the batch does not say."""
    nothing = "no box" if "box_label" in batch else "no action"
    if "present" in batch:
        labels = batch["present"][row].any(0).nonzero()[:, 0].tolist()
    elif "label" in batch:
        return class_name(int(batch["label"][row]), names)
    elif "bounds" in batch:
        return f"{len(batch['bounds'][row]) - 1} cycles"
    elif "box_label" in batch:
        labels = batch["box_label"][_boxes(batch, row)].tolist()
    elif "target" in batch:
        labels = batch["target"][batch["box_row"] == row].any(0).nonzero()[:, 0].tolist()
    elif "classes" in batch:
        labels = batch["classes"][row].tolist()
    elif "segments" in batch:
        labels = batch["segments"][row][:, 0].tolist()
    else:
        return None
    return ", ".join(class_name(label, names) for label in dict.fromkeys(labels)) or nothing


def _boxes(batch: Mapping[str, Any], row: int) -> Tensor:
    """Which boxes of a batch are those of a sample's last key frame, or of its only one."""
    if "owner" in batch:
        run = batch["frame"].shape[1]
        chosen: Tensor = batch["owner"] == row * run + int((batch["frame"][row] >= 0).sum()) - 1
    else:
        chosen = batch["box_row"] == row
    return chosen.nonzero()[:, 0]


def _clips(batch: Mapping[str, Any], row: int, key: str, kind: Kind, lines: list[str]) -> list[Strip]:
    content: Tensor = batch[key][row]
    if content.ndim == (4 if kind == "depth" else 5):  # several clips, N first
        clips = list(content)
        if "clip" in batch and batch["clip"].ndim == 2:
            clips = [clip for clip, number in zip(clips, batch["clip"][row].tolist(), strict=True) if number >= 0]
    else:
        clips = [content[: int(batch["num_frames"][row])] if key == "frames" else content]
    strips = []
    for number, clip in enumerate(clips):
        if "size" in batch:  # smaller pictures are padded
            height, width = batch["size"][row].tolist()
            clip = clip[:, :height, :width]
        what = [f"{len(clip)} frames, {clip.shape[2]} x {clip.shape[1]} px"]
        what += [kind] if key == kind else []
        what += [f"clip {number + 1} of {len(clips)}"] if len(clips) > 1 else []
        title = "\n".join([*lines, ", ".join(what)])
        if "owner" in batch:  # in the last frames of clips
            absent = int((batch["frame"][row] < 0).sum())
            boxes, frame = batch["boxes"][_boxes(batch, row)].numpy(), len(clip) - 1 - absent
        elif "box" in batch:
            boxes, frame = batch["box"][_boxes(batch, row)].numpy(), len(clip) // 2
        else:
            boxes, frame = np.empty((0, 4)), 0
        strips.append(Strip(kind, clip.numpy(), title, boxes, frame))
    return strips


def draw_contact_sheet(strips: Sequence[Strip], title: str, columns: int = 8) -> np.ndarray:
    """Draw strips below each other.

    Args:
        strips: of `strips_of`.
        title: of the sheet.
        columns: most frames of a strip; longer ones are thinned evenly.

    Returns:
        uint8 (H, W, 3).
    """
    heights = [FRAME * (1.0 if strip.kind == "skeleton" else _ratio(strip.content)) for strip in strips]
    heights = [max(height, 0.55) for height in heights]
    size = WORDS + columns * (FRAME + GAP) + GAP, sum(heights) + GAP * 2 * len(strips) + 0.45
    figure = Figure(figsize=size, dpi=130)
    figure.text(GAP * 2 / size[0], 1 - 0.2 / size[1], title, fontsize=11, weight="bold", va="center")
    top = size[1] - 0.4
    for strip, height in zip(strips, heights, strict=True):
        top -= height
        place = (WORDS / size[0], top / size[1], (size[0] - WORDS - GAP) / size[0], height / size[1])
        axis = figure.add_axes(place)
        if strip.kind == "skeleton":
            draw_strip(axis, strip.content, columns)
            axis.spines[:].set(color="0.85")
        else:
            _draw_frames(axis, strip, columns)
        middle = (top + height / 2) / size[1]
        figure.text((WORDS - 0.1) / size[0], middle, strip.title, fontsize=7.5, ha="right", va="center")
        top -= 2 * GAP
    return render(figure)


def _ratio(content: np.ndarray) -> float:
    return float(content.shape[1] / content.shape[2])


def _draw_frames(axis: Axes, strip: Strip, columns: int) -> None:
    """Draw frames from the left, each one unit wide."""
    chosen = thin(len(strip.content), columns)
    ratio = _ratio(strip.content)
    step = 1 + GAP / FRAME
    for place, picture in enumerate(colour(strip.kind, strip.content[chosen])):
        left = place * step
        axis.imshow(picture, extent=(left, left + 1, ratio, 0), interpolation="nearest")
    left = int(np.abs(chosen - strip.box_frame).argmin()) * step
    for x1, y1, x2, y2 in strip.boxes:
        corner, width, height = (left + x1, y1 * ratio), x2 - x1, (y2 - y1) * ratio
        axis.add_patch(Rectangle(corner, width, height, fill=False, edgecolor="#ffd400", linewidth=1.2))
    axis.set(xlim=(0, columns * step), ylim=(ratio, 0), aspect="equal", anchor="W")
    axis.set_axis_off()


def colour(kind: Kind, content: np.ndarray) -> np.ndarray:
    """Turn frames into colours.

    Args:
        kind: of the content, no skeleton.
        content: T frames, see `Strip`.

    Returns:
        uint8 (T, H, W, 3). Flow: the hue is the direction, the saturation the speed, to the fastest of the frames.
        Depth: from near, bright, to far, dark, between the 2nd and the 98th percentile; grey where nothing was
        measured.
    """
    if kind == "flow":
        pictures = flow_to_image(torch.from_numpy(content.astype(np.float32)).permute(0, 3, 1, 2).contiguous())
        return np.asarray(pictures.permute(0, 2, 3, 1))
    if kind == "depth":
        measured = content > 0
        if not measured.any():
            return np.broadcast_to(np.array(UNMEASURED, np.uint8), (*content.shape, 3))
        near, far = np.percentile(content[measured], (2, 98))
        share = ((content - near) / max(far - near, 1.0)).clip(0, 1)
        pictures = (colormaps["viridis_r"](share)[..., :3] * 255).round().astype(np.uint8)
        pictures[np.logical_not(measured)] = UNMEASURED
        return np.asarray(pictures)
    return content
