"""Clips of RGB, optical flow and depth to network input: multi-scale corner crops and flips, whole batches at once."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from lightning_modules.views.memory import empty
from lightning_modules.views.rows import Rows
from lightning_modules.views.tubelet_motion import choose
from lightning_modules.weights.importers.hara import FLOW, SUBTRACTED_MEAN
from lightning_modules.weights.preprocessing import Preprocessing

CPU_CLIPS = 2

# Where Kinect v2 measures, 0.5 to 4.5 m, as a grey picture to a network that was trained on RGB. The thesis says no
# more of the depth maps than their 3x16x112x112 (2.4.3).
DEPTH = dataclasses.replace(SUBTRACTED_MEAN, depth_range=(500.0, 4500.0))

# What clips are fed as, unless told otherwise: as Hara et al. and Crasto et al. trained the teachers (2.4.3).
DEFAULTS = {"rgb": SUBTRACTED_MEAN, "flow": FLOW, "depth": DEPTH}


@dataclasses.dataclass(frozen=True)
class CropBoxes(Rows):
    """What is cut out of B clips. Sides are in shares of the frame, so that a box serves both members of a pair.

    Attributes:
        top: float32 (B,), in shares of the height.
        left: float32 (B,), in shares of the width.
        height: float32 (B,), in shares of the height.
        width: float32 (B,), in shares of the width.
        flipped: bool (B,), whether the crop is turned left to right.
        colours: float32 (B, 3, 3), each new colour as a sum of the old ones, as offsets from the crop's mean colour,
            which becomes grey; None leaves them.
    """

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor
    flipped: Tensor
    colours: Tensor | None = None


# Of the short side (opts.py of kenshohara/3D-ResNets-PyTorch, 2017): four steps of 2^(-1/4).
SCALES = (1.0, 2**-0.25, 2**-0.5, 2**-0.75, 0.5)


class CornerCrop:
    """Multi-scale corner crop and flip (Hara et al. 2018, arXiv:1711.09577, as cited in 2.4.3).

    A square at one of the corners or in the centre, all equally likely, with a side that is a share of the short side;
    all frames of a clip alike.

    Args:
        scales: shares of the short side, all equally likely.
        flip_probability: of a left-right flip.

    Raises:
        ValueError: there is no scale, one is outside 0..1, or so is the probability.
    """

    def __init__(
        self,
        scales: tuple[float, ...] = SCALES,
        flip_probability: float = 0.5,
    ) -> None:
        if not scales or not 0 < min(scales) <= max(scales) <= 1:
            raise ValueError(f"scales={tuple(scales)} must be shares of the short side, above 0 and at most 1")
        if not 0 <= flip_probability <= 1:
            raise ValueError(f"flip_probability={flip_probability} must lie in 0..1")
        self.scales = tuple(scales)
        self.flip_probability = flip_probability

    def draw(self, num_clips: int, height: int, width: int, generator: torch.Generator) -> CropBoxes:
        """Draw a box for each clip.

        Args:
            num_clips: B.
            height: of the frames, pixels.
            width: of the frames, pixels.
            generator: where all randomness comes from.
        """
        shape, count = (num_clips,), len(self.scales)
        scale = torch.tensor(self.scales, device=generator.device)[choose(shape, (1 / count,) * count, generator)]
        place = choose(shape, (0.2,) * 5, generator)  # centre, then the corners row by row
        flipped = torch.rand(shape, generator=generator, device=generator.device) < self.flip_probability
        short = min(height, width)
        heights, widths = scale * short / height, scale * short / width
        down = torch.tensor([0.5, 0.0, 0.0, 1.0, 1.0], device=generator.device)[place]
        across = torch.tensor([0.5, 0.0, 1.0, 0.0, 1.0], device=generator.device)[place]
        return CropBoxes((1 - heights) * down, (1 - widths) * across, heights, widths, flipped)


class ClipCrop(CornerCrop):
    """What recognition of clips is fed with: a corner crop in training, centre crops of all clips in evaluation.

    Args:
        modality: ``rgb``, ``flow`` or ``depth``.
        preprocessing: how clips are prepared; as the published networks take them by default, see ``DEFAULTS``.
        scales: see ``CornerCrop``, as the next one.
        flip_probability: see there.
        recolour: whether training mixes the colours of RGB at random, one draw a clip, positive or negative, with no
            more of its mean colour left than grey: for few videos, in which clothes and rooms tell the classes apart by
            chance. Not in the thesis.

    Raises:
        ValueError: as of ``CornerCrop``, the preprocessing is of another modality, or colours are those of no RGB.
    """

    def __init__(
        self,
        modality: Literal["rgb", "flow", "depth"] = "depth",
        preprocessing: Preprocessing | None = None,
        scales: tuple[float, ...] = SCALES,
        flip_probability: float = 0.5,
        recolour: bool = False,
    ) -> None:
        super().__init__(scales, flip_probability)
        if recolour and modality != "rgb":
            raise ValueError(f"recolour is for modality rgb; {modality} has no colours")
        self.recolour = recolour
        self.modality = modality
        self.preprocessing = preprocessing or DEFAULTS[modality]
        if self.preprocessing.modality != modality:
            raise ValueError(f"preprocessing is of {self.preprocessing.modality}, modality is {modality}")

    def draw(self, num_clips: int, height: int, width: int, generator: torch.Generator) -> CropBoxes:
        """Draw a box for each clip, and colours where they are mixed; see ``CornerCrop.draw``."""
        boxes = super().draw(num_clips, height, width, generator)
        if not self.recolour:
            return boxes
        return dataclasses.replace(boxes, colours=draw_colours(num_clips, generator))

    def clips(self, batch: Mapping[str, object]) -> Tensor:
        """The clips of a ``MultimodalBatch``, (B, N, T, H, W, ...).

        Raises:
            ValueError: the batch lacks the modality.
        """
        clips = batch.get(self.modality)
        if not isinstance(clips, Tensor):
            raise ValueError(f"the batch has no {self.modality}: add it to data.modalities, or set crop.modality")
        return clips

    @property
    def channels(self) -> int:
        """Of the network's input."""
        return len(self.preprocessing.mean)

    def there(self, batch: Mapping[str, object]) -> Tensor:
        """Which clips of a ``MultimodalBatch`` there are, bool (B, N); the rest fills up shorter videos."""
        clip = batch["clip"]
        assert isinstance(clip, Tensor)
        return clip >= 0

    def random(self, clips: Tensor, boxes: CropBoxes) -> Tensor:
        """Cut the boxes out of clips, see ``crop_clips``: a box serves all clips of its video.

        Args:
            clips: as of ``clips``.
            boxes: B rows.

        Returns:
            float32 (B * N, C, T, S, S), video by video.
        """
        owner = torch.arange(len(clips)).repeat_interleave(clips.shape[1])
        return crop_clips(clips.flatten(0, 1), boxes[owner], self.preprocessing)

    def centre(self, clips: Tensor) -> Tensor:
        """Cut the centre crops out of clips, see ``Preprocessing``: (K, T, H, W, ...) to float32 (K, C, T, S, S)."""
        return self.preprocessing(clips)


def crop_clips(clip: Tensor, boxes: CropBoxes, preprocessing: Preprocessing) -> Tensor:
    """Cut boxes out, resize them, flip, normalise.

    A flip turns the direction of flow along x around. Depth becomes a share of its range before it is resized, so that
    no distance is mixed with what was not measured.

    Args:
        clip: uint8 (B, T, H, W, 3), RGB; float (B, T, H, W, 2), flow in pixels a frame along x and y; or int16
            (B, T, H, W), depth in millimetres.
        boxes: B rows.
        preprocessing: of the clip's modality; its ``crop_size`` is the size of the result.

    Returns:
        float32 (B, C, T, S, S).

    Raises:
        ValueError: ``clip`` is not of the modality.
    """
    clip = preprocessing.batched(clip)
    batch_size, num_frames, height, width = clip.shape[:4]
    boxes = boxes.to(clip.device)
    size = preprocessing.crop_size
    rows = resize_weights(boxes.top, boxes.height, height, size)
    columns = resize_weights(boxes.left, boxes.width, width, size)
    columns = torch.where(boxes.flipped.view(-1, 1, 1), columns.flip(1), columns)
    output = empty((batch_size, len(preprocessing.mean), num_frames, size, size), torch.float32, clip.device)
    at_once = CPU_CLIPS if clip.device.type == "cpu" else batch_size
    for start in range(0, batch_size, max(at_once, 1)):
        part = slice(start, start + at_once)
        frames = preprocessing.unit(clip[part])
        frames = torch.einsum("bcthw,bxw->bcthx", frames, columns[part])
        frames = torch.einsum("bcthx,byh->bctyx", frames, rows[part])
        if preprocessing.modality == "flow":
            along_x = frames[:, 0]
            flipped = boxes.flipped[part].view(-1, 1, 1, 1)
            frames[:, 0] = torch.where(flipped, 1 - along_x, along_x)  # 0.5 is no movement
        if boxes.colours is not None:
            frames = mix_colours(frames, boxes.colours[part])
        output[part] = preprocessing.normalise(frames)
    return output


def draw_colours(num_clips: int, generator: torch.Generator) -> Tensor:
    """Mixtures of colours at random, positive or negative: float32 (B, 3, 3), see ``CropBoxes.colours``."""
    noise = torch.randn((num_clips, 3, 3), generator=generator, device=generator.device)
    sign = choose((num_clips,), (0.5, 0.5), generator).view(-1, 1, 1) * 2 - 1
    return (torch.eye(3, device=generator.device) * sign + noise) / 2


def mix_colours(clip: Tensor, colours: Tensor) -> Tensor:
    """Mix the colours of clips of RGB in 0..1, float32 (B, 3, T, H, W), around each clip's mean, which becomes grey."""
    offset = clip - clip.mean((2, 3, 4), keepdim=True)
    return torch.einsum("bij,bjthw->bithw", colours, offset) + 0.5


def mean_over_clips(values: Tensor, there: Tensor) -> Tensor:
    """Means of the values of each video's clips.

    Args:
        values: float32 (K, D), of the clips that there are, video by video.
        there: bool (B, N), K of which are true.

    Returns:
        float32 (B, D).
    """
    sums = values.new_zeros(len(there), values.shape[1]).index_add(0, there.nonzero()[:, 0], values)
    return sums / there.sum(1, keepdim=True).clamp(min=1)


def resize_weights(start: Tensor, length: Tensor, side: int, size: int) -> Tensor:
    """Weights of a side's pixels in each pixel of a resized part of it.

    Linear interpolation that takes the mean over what a smaller result's pixel covers, as Pillow's and
    `torch.nn.functional.interpolate` with ``antialias``. The part is rounded to whole pixels.

    Args:
        start: float32 (B,), where the part starts, in shares of the side.
        length: float32 (B,), in shares of the side.
        side: pixels.
        size: pixels of the result.

    Returns:
        float32 (B, size, side), rows of sum 1.
    """
    pixels = (length * side + 1e-3).floor().clamp(min=1)
    first = torch.minimum((start * side).round(), side - pixels)
    scale = (pixels / size).view(-1, 1, 1)
    centre = first.view(-1, 1, 1) + (torch.arange(size, device=start.device).view(1, -1, 1) + 0.5) * scale
    place = torch.arange(side, device=start.device).view(1, 1, -1) + 0.5
    weights = (1 - (place - centre).abs() / scale.clamp(min=1)).clamp(min=0)
    inside = (place > first.view(-1, 1, 1)) & (place < (first + pixels).view(-1, 1, 1))
    weights = weights * inside
    return weights / weights.sum(dim=2, keepdim=True)
