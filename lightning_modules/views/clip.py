"""Flips, colours and normalisation of clips, a whole batch at once on its device."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Literal, TypeVar

import torch
from torch import Tensor

from lightning_modules.views.memory import copy, empty, upload
from lightning_modules.views.rows import Rows
from lightning_modules.views.tubelet_motion import uniform

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CPU_FRAMES = 4

Parameters = TypeVar("Parameters", bound=Rows)


@dataclasses.dataclass(frozen=True)
class ColourParameters(Rows):
    """Colour changes of B clips; 0, 1, 0 and 1 leave a clip as it is.

    Attributes:
        brightness: float32 (B,), added to all channels, in 0..255.
        contrast: float32 (B,), factor of all channels.
        hue: float32 (B,), degrees.
        saturation: float32 (B,), factor.
    """

    brightness: Tensor
    contrast: Tensor
    hue: Tensor
    saturation: Tensor


class ClipAugmentation:
    """Random flips and colours; the defaults are those of fmthoker/tubelet-contrast's pretraining configs.

    Args:
        flip_probability: of a left-right flip, for each clip on its own.
        colour: ``shared`` gives both clips of a pair the same colours, as published; ``independent`` each its own.
        colour_probability: of each of the three changes: brightness, contrast, hue with saturation.
        brightness: largest change, of 255.
        contrast: largest change of the factor's logarithm.
        hue: largest change in degrees.
        saturation: largest change of the factor's logarithm.

    Raises:
        ValueError: a probability lies outside 0..1, or a strength is negative.
    """

    def __init__(
        self,
        flip_probability: float = 0.5,
        colour: Literal["shared", "independent"] = "shared",
        colour_probability: float = 0.2,
        brightness: float = 32.0,
        contrast: float = 0.2,
        hue: float = 24.0,
        saturation: float = 0.1,
    ) -> None:
        for name, value in (("flip_probability", flip_probability), ("colour_probability", colour_probability)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name}={value} must lie in 0..1")
        if min(brightness, contrast, hue, saturation) < 0 or hue > 180:
            raise ValueError("brightness, contrast, hue and saturation must not be negative, hue at most 180 degrees")
        if colour not in ("shared", "independent"):
            raise ValueError(f"colour={colour!r} must be shared or independent")
        self.flip_probability = flip_probability
        self.colour_kind = colour
        self.colour_probability = colour_probability
        self.brightness = brightness
        self.contrast = contrast
        self.hue = hue
        self.saturation = saturation

    def draw_flips(self, num_clips: int, generator: torch.Generator) -> Tensor:
        """Draw which clips are flipped: bool (B,)."""
        return torch.rand(num_clips, generator=generator, device=generator.device) < self.flip_probability

    def draw_colours(self, num_pairs: int, generator: torch.Generator) -> tuple[ColourParameters, ColourParameters]:
        """Draw the colours of both clips of each pair; twice the same where they are shared."""
        first = self._draw_colours(num_pairs, generator)
        return first, first if self.colour_kind == "shared" else self._draw_colours(num_pairs, generator)

    def _draw_colours(self, num_clips: int, generator: torch.Generator) -> ColourParameters:
        shape = (num_clips,)
        drawn = torch.rand((3, num_clips), generator=generator, device=generator.device) < self.colour_probability
        limits = (self.brightness, self.contrast, self.hue, self.saturation)
        brightness, contrast, hue, saturation = (uniform(shape, -limit, limit, generator) for limit in limits)
        return ColourParameters(
            brightness=brightness * drawn[0],
            contrast=(contrast * drawn[1]).exp(),
            hue=hue * drawn[2],
            saturation=(saturation * drawn[2]).exp(),
        )


def flip(clip: Tensor, flipped: Tensor) -> Tensor:
    """Flip some of the clips left to right.

    Args:
        clip: uint8 (B, T, H, W, 3).
        flipped: bool (B,).

    Returns:
        uint8 (B, T, H, W, 3), a new tensor.
    """
    if clip.device.type != "cpu":
        return torch.where(upload(flipped, clip.device).view(-1, 1, 1, 1, 1), clip.flip(3), clip)
    clip = copy(clip)
    for row in flipped.nonzero().squeeze(1).tolist():
        clip[row] = clip[row].flip(2)  # four axes: the case that flip is fast at on a CPU
    return clip


def recolour_(clip: Tensor, colours: ColourParameters) -> Tensor:
    """Change brightness, then contrast, then hue and saturation in place; only clips that drew a change are touched.

    Hue and saturation are those of HSV. As in the published code a turned hue stops at red (0 and 358 degrees) instead
    of passing it.

    Args:
        clip: uint8 (B, T, H, W, 3), changed.
        colours: B rows.

    Returns:
        The same tensor.
    """
    lit = ((colours.brightness != 0) | (colours.contrast != 1)).nonzero().squeeze(1)
    turned = ((colours.hue != 0) | (colours.saturation != 1)).nonzero().squeeze(1)
    with torch.inference_mode():  # spares each operation some of its overhead
        change_images_(clip, lit, colours, _change_light)
        change_images_(clip, turned, colours, _change_hue)
    return clip


def change_images_(
    clip: Tensor, changed: Tensor, parameters: Parameters, change: Callable[[Tensor, Parameters], Tensor]
) -> None:
    """Apply one change to the images of some of the clips in place.

    Args:
        clip: uint8 (B, T, H, W, 3), changed.
        changed: int64 (K,), which of the clips.
        parameters: B rows, one for each clip.
        change: uint8 (N, H, W, 3) and N rows, or one for all, to the same.
    """
    if clip.device.type == "cpu":  # a few frames at a time stay in the cache
        for row in changed.tolist():
            share = parameters[row : row + 1]
            for frames in torch.split(clip[row], CPU_FRAMES):
                frames.copy_(change(frames, share))
    else:
        rows = upload(changed, clip.device)
        images = clip.index_select(0, rows).flatten(0, 1)
        shares = parameters[changed.repeat_interleave(clip.shape[1])].to(clip.device)
        clip.index_copy_(0, rows, change(images, shares).view(-1, *clip.shape[1:]))


def _change_light(images: Tensor, colours: ColourParameters) -> Tensor:
    """Add the brightness, then multiply with the contrast: uint8 (N, H, W, 3) and N rows to the same."""
    brightness, contrast = (value.view(-1, 1, 1, 1) for value in (colours.brightness, colours.contrast))
    pixels = images.float().add_(brightness).clamp_(0, 255).mul_(contrast).clamp_(0, 255)
    return to_uint8(pixels.add_(0.5))


def _change_hue(images: Tensor, colours: ColourParameters) -> Tensor:
    """Turn the hue, then scale the saturation of HSV: uint8 (N, H, W, 3) and N rows to the same."""
    shift, factor = (value.view(-1, 1, 1) for value in (colours.hue / 60, colours.saturation))
    planes = images.movedim(3, 0).contiguous()
    hue, chroma, value = to_hue(planes)
    hue.add_(shift).clamp_(0, 358 / 60)
    chroma = torch.minimum(chroma.mul_(factor), value)
    result = torch.empty_like(images)
    for index, plane in enumerate(from_hue(hue, chroma, value.add_(0.5))):
        result[..., index] = to_uint8(plane)
    return result


def to_hue(planes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Red, green and blue to hue, chroma and value (HSV).

    Args:
        planes: uint8 or float32 (3, ...), in 0..255.

    Returns:
        The hue in 0..6: red, yellow, green, cyan, blue, magenta; the largest minus the smallest of the three; the
        largest. All float32 (...), new tensors.
    """
    highest = torch.maximum(torch.maximum(*planes[:2]), planes[2])
    lowest = torch.minimum(torch.minimum(*planes[:2]), planes[2])
    red, green, blue = planes.float()
    chroma = (highest - lowest).float()
    per_chroma = chroma.clamp(min=1e-3).reciprocal_()  # grey has no hue; its differences are 0
    hue = (green - blue).mul_(per_chroma)
    hue -= 6 * hue.floor()
    # masks are multiplied with, that is faster than where
    for start, plane, rise in ((2, planes[1], blue - red), (4, planes[2], red - green)):
        hue.addcmul_((plane == highest).float(), rise.mul_(per_chroma).add_(start).sub_(hue))
    return hue, chroma, highest.to(torch.float32, copy=True)


def from_hue(hue: Tensor, chroma: Tensor, value: Tensor) -> Iterator[Tensor]:
    """Turn what ``to_hue`` gives back into red, green and blue, float32 (...) each."""
    # red is full up to 1 from 0 and 6 and missing from 2 to 4; green and blue are missing from 2 on from 2 and 4
    near_red, near_others = value - 2 * chroma, value + chroma
    for offset, centre, sign in ((near_red, 3, 1), (near_others, 2, -1), (near_others, 4, -1)):
        distance = (hue - centre).abs_().clamp_(1, 2)
        yield torch.addcmul(offset, chroma, distance, value=sign)


def to_uint8(pixels: Tensor) -> Tensor:
    """Cut to whole numbers by way of int16: several times faster on a CPU than straight from float32."""
    return pixels.to(torch.int16).to(torch.uint8)


def normalise(
    clip: Tensor,
    mean: tuple[float, float, float] = IMAGENET_MEAN,
    std: tuple[float, float, float] = IMAGENET_STD,
) -> Tensor:
    """Give pixels the mean and deviation that the networks are fed with.

    Args:
        clip: uint8 (B, T, H, W, 3).
        mean: of each channel, in 0..1.
        std: of each channel, in 0..1.

    Returns:
        float32 (B, 3, T, H, W), channels last in memory.
    """
    factor, shift = _factor_and_shift(mean, std, clip.shape[3], clip.device)
    pixels = clip.flatten(3).flatten(0, 1)  # (B * T, H, 3 * W)
    rows = empty(tuple(pixels.shape), torch.float32, clip.device)
    at_once = CPU_FRAMES if clip.device.type == "cpu" else max(len(rows), 1)  # a few frames stay in the CPU's cache
    for part, source in zip(torch.split(rows, at_once), torch.split(pixels, at_once), strict=True):
        torch.addcmul(shift, part.copy_(source), factor, out=part)
    return rows.view(clip.shape).permute(0, 4, 1, 2, 3)


@functools.lru_cache(maxsize=16)  # making them on a GPU at each step would wait for all that it has to do
def _factor_and_shift(
    mean: tuple[float, float, float], std: tuple[float, float, float], width: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """A factor and a shift for each number of an image row: long rows are fast, rows of three are not."""
    factor = torch.tensor([1 / (255 * s) for s in std], device=device).repeat(width)
    shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)], device=device).repeat(width)
    return factor, shift
