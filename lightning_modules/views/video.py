"""Clips of whole videos to network input for recognition: flips, colour jitter, normalisation, a batch at once."""

import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor

from lightning_modules.views.clip import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    change_images_,
    flip,
    from_hue,
    normalise,
    to_hue,
    to_uint8,
)
from lightning_modules.views.rows import Rows
from lightning_modules.views.tubelet_motion import uniform

# Of red, green and blue in a grey picture (ITU-R BT.601), as torchvision rounds them.
GREY = (0.2989, 0.587, 0.114)


@dataclasses.dataclass(frozen=True)
class VideoChanges(Rows):
    """What is changed of the N clips of each of B videos.

    Attributes:
        flipped: bool (B, N), whether the clip is turned left to right.
        brightness: float32 (B, N), factor of all channels.
        contrast: float32 (B, N), factor of the distance from the image's mean grey.
        saturation: float32 (B, N), factor of the distance from the pixel's grey.
        hue: float32 (B, N), turns.
        order: int64 (B, N, 4), which change comes when: 0 brightness, 1 contrast, 2 saturation, 3 hue.
    """

    flipped: Tensor
    brightness: Tensor
    contrast: Tensor
    saturation: Tensor
    hue: Tensor
    order: Tensor


class VideoAugmentation:
    """What recognition of videos is fed with: flips and colour jitter in training, clips as they come in evaluation.

    The data module cuts: random resized crops in training, centre crops in evaluation. Colours are jittered as
    ``torchvision.transforms.ColorJitter`` does with float images; all frames of a clip alike, each clip on its own, in
    an order of its own. The defaults are those of fmthoker/SEVERE-BENCHMARK (``action_recognition``).

    Args:
        flip_probability: of a left-right flip.
        colour_jitter: brightness, contrast and saturation, whose factors lie in ``1 - x..1 + x``, and hue, in turns.
        mean: of each channel, in 0..1.
        std: of each channel, in 0..1.

    Raises:
        ValueError: the probability is outside 0..1, or a strength out of range.
    """

    modality = "rgb"
    channels = 3

    def __init__(
        self,
        flip_probability: float = 0.5,
        colour_jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.2),
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
    ) -> None:
        if not 0 <= flip_probability <= 1:
            raise ValueError(f"flip_probability={flip_probability} must lie in 0..1")
        if len(colour_jitter) != 4 or min(colour_jitter) < 0 or colour_jitter[3] > 0.5:
            raise ValueError(
                f"colour_jitter={tuple(colour_jitter)} must be brightness, contrast, saturation and hue, "
                f"none negative, hue at most 0.5"
            )
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise ValueError(f"mean={tuple(mean)} and std={tuple(std)} must be three numbers each, std above 0")
        self.flip_probability = flip_probability
        self.colour_jitter = tuple(colour_jitter)
        self.mean, self.std = (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])

    def clips(self, batch: Mapping[str, object]) -> Tensor:
        """The clips of a ``ClipBatch``, uint8 (B, N, T, H, W, 3).

        Raises:
            ValueError: it is a batch of something else.
        """
        clips = batch.get("clip")
        if not isinstance(clips, Tensor) or clips.ndim != 6:
            raise ValueError("the batch has no clips of videos: take a data module of videos, such as UCF101DataModule")
        return clips

    def there(self, batch: Mapping[str, object]) -> Tensor:
        """Which clips of a ``ClipBatch`` there are: all, bool (B, N)."""
        clips = self.clips(batch)
        return torch.ones(clips.shape[:2], dtype=torch.bool, device=clips.device)

    def draw(self, num_videos: int, num_clips: int, generator: torch.Generator) -> VideoChanges:
        """Draw the changes of each clip of each video."""
        shape, device = (num_videos, num_clips), generator.device
        *strengths, hue = self.colour_jitter
        flipped = torch.rand(shape, generator=generator, device=device) < self.flip_probability
        factors = [uniform(shape, max(0.0, 1 - strength), 1 + strength, generator) for strength in strengths]
        return VideoChanges(
            flipped,
            brightness=factors[0],
            contrast=factors[1],
            saturation=factors[2],
            hue=uniform(shape, -hue, hue, generator),
            order=torch.rand((*shape, 4), generator=generator, device=device).argsort(-1),
        )

    def random(self, clips: Tensor, changes: VideoChanges) -> Tensor:
        """Flip, jitter and normalise clips.

        Args:
            clips: uint8 (B, N, T, H, W, 3).
            changes: B rows.

        Returns:
            float32 (B * N, 3, T, H, W), video by video.
        """
        changes = changes.flatten()
        clips = flip(clips.flatten(0, 1), changes.flipped)
        if any(self.colour_jitter):
            with torch.inference_mode():  # spares each operation some of its overhead
                change_images_(clips, torch.arange(len(clips)), changes, jitter)
        return self.centre(clips)

    def centre(self, clips: Tensor) -> Tensor:
        """Normalise clips: uint8 (K, T, H, W, 3) to float32 (K, 3, T, H, W)."""
        return normalise(clips, self.mean, self.std)


def jitter(images: Tensor, changes: VideoChanges) -> Tensor:
    """Change the colours of images, each in its own order.

    Args:
        images: uint8 (N, H, W, 3).
        changes: N rows of one clip each, or one row for all.

    Returns:
        The same, rounded once.
    """
    pixels = images.float()
    steps = (
        (_brighten, changes.brightness),
        (_contrast, changes.contrast),
        (_saturate, changes.saturation),
        (_turn_hue, changes.hue),
    )
    for place in changes.order.unbind(-1):
        for number, (change, strength) in enumerate(steps):
            rows = (place == number).nonzero().squeeze(1)
            if len(rows) == len(place):
                pixels = change(pixels, strength.view(-1, 1, 1, 1))
            elif len(rows):
                changed = change(pixels.index_select(0, rows), strength[rows].view(-1, 1, 1, 1))
                pixels.index_copy_(0, rows, changed)
    return to_uint8(pixels.add_(0.5))


def _brighten(pixels: Tensor, factor: Tensor) -> Tensor:
    return (pixels * factor).clamp_(0, 255)


def _contrast(pixels: Tensor, factor: Tensor) -> Tensor:
    return _blend(pixels, _grey(pixels).mean((1, 2, 3), keepdim=True), factor)


def _saturate(pixels: Tensor, factor: Tensor) -> Tensor:
    return _blend(pixels, _grey(pixels), factor)


def _turn_hue(pixels: Tensor, turns: Tensor) -> Tensor:
    hue, chroma, value = to_hue(pixels.movedim(3, 0).contiguous())
    hue += 6 * turns.squeeze(3)
    hue -= 6 * hue.div(6).floor_()
    return torch.stack(list(from_hue(hue, chroma, value)), dim=3)


def _grey(pixels: Tensor) -> Tensor:
    red, green, blue = (pixels[..., number : number + 1] * share for number, share in enumerate(GREY))
    return red.add_(green).add_(blue)


def _blend(pixels: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    return torch.lerp(other.expand_as(pixels), pixels, factor).clamp_(0, 255)
