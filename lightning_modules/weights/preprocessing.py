"""From a decoded clip to what a pretrained network takes."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Preprocessing:
    """Scales the short side, crops the centre, normalises: the evaluation transform of 5.4.1 and C.4.

    Which frames make a clip is left to the reader; ``num_frames``, ``stride`` and ``fps`` say what training took.

    Args:
        num_frames: Frames of the clips that the network was trained on; other lengths are taken too.
        crop_size: Height and width of the result, pixels.
        short_side: Shorter side after scaling, pixels.
        mean: Of each channel, values in 0..1: three of RGB, or two of optical flow.
        std: Of each channel, values in 0..1.
        stride: Step between the frames of those clips; ``None``: not known, or not fixed.
        fps: Frames a second at which the videos were sampled; ``None``: their own, or not known.
        flow_bound: Displacement in pixels a frame that becomes 1, its negative becomes 0, and what lies beyond is cut;
            ``None`` for RGB.
        flow_short_side: Short side of the frames in which those pixels are counted; ``None``: of the frames at hand.

    Raises:
        ValueError: A size or bound is not positive, the crop exceeds the short side, or mean or std are not a number
            for each channel.
    """

    num_frames: int
    crop_size: int
    short_side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    stride: int | None = None
    fps: float | None = None
    flow_bound: float | None = None
    flow_short_side: int | None = None

    def __post_init__(self) -> None:
        """Check the sizes and statistics."""
        if min(self.num_frames, self.crop_size) < 1 or self.crop_size > self.short_side:
            raise ValueError(
                f"preprocessing needs num_frames >= 1 and 1 <= crop_size <= short_side, got num_frames="
                f"{self.num_frames}, crop_size={self.crop_size}, short_side={self.short_side}"
            )
        channels, names = (3, "three") if self.flow_bound is None else (2, "two")
        if len(self.mean) != channels or len(self.std) != channels or min(self.std) <= 0:
            raise ValueError(f"mean and std must be {names} numbers, std positive, got {self.mean} and {self.std}")
        if self.flow_bound is not None and min(self.flow_bound, self.flow_short_side or 1) <= 0:
            raise ValueError(
                f"flow_bound and flow_short_side must be positive, got {self.flow_bound} and {self.flow_short_side}"
            )

    def unit(self, clip: Tensor) -> Tensor:
        """Bring values into 0..1.

        Args:
            clip: uint8 (..., H, W, 3), RGB, or float (..., H, W, 2), displacements in pixels a frame.

        Returns:
            float32 of the same shape.
        """
        if self.flow_bound is None:
            return clip.float() / 255
        scale = 1.0 if self.flow_short_side is None else self.flow_short_side / min(clip.shape[-3:-1])
        return (clip.float() * (scale / (2 * self.flow_bound))).add_(0.5).clamp_(0, 1)

    def normalise(self, frames: Tensor) -> Tensor:
        """Subtract the mean and divide by the deviation, in place: float32 (N, C, ...), values in 0..1."""
        shape = (-1, *(1,) * (frames.ndim - 2))
        return frames.sub_(frames.new_tensor(self.mean).view(shape)).div_(frames.new_tensor(self.std).view(shape))

    def __call__(self, clip: Tensor) -> Tensor:
        """Prepare one clip or a batch of clips, on the clip's device.

        Args:
            clip: uint8 (T, H, W, 3) or (B, T, H, W, 3), RGB; float (T, H, W, 2) or (B, T, H, W, 2), displacements in
                pixels a frame, where it is flow that is prepared.

        Returns:
            float32 (B, C, T, crop_size, crop_size); B is 1 for one clip.

        Raises:
            ValueError: ``clip`` has another shape or dtype.
        """
        kind, channels = ("uint8", 3) if self.flow_bound is None else ("float", 2)
        known = clip.dtype == torch.uint8 if self.flow_bound is None else clip.is_floating_point()
        if not known or clip.ndim not in (4, 5) or clip.shape[-1] != channels:
            raise ValueError(
                f"expected a {kind} clip (T, H, W, {channels}) or (B, T, H, W, {channels}), "
                f"got {clip.dtype} {tuple(clip.shape)}"
            )
        clips = clip[None] if clip.ndim == 4 else clip
        batch_size, num_frames, height, width, _ = clips.shape
        frames = self.unit(clips.flatten(0, 1)).permute(0, 3, 1, 2)
        scale = self.short_side / min(height, width)
        if scale != 1:
            size = (max(self.short_side, round(height * scale)), max(self.short_side, round(width * scale)))
            frames = functional.interpolate(frames, size, mode="bilinear", antialias=True)
        top, left = ((side - self.crop_size) // 2 for side in frames.shape[-2:])
        frames = frames[..., top : top + self.crop_size, left : left + self.crop_size]
        frames = self.normalise(frames.clone())
        return frames.reshape(batch_size, num_frames, *frames.shape[1:]).transpose(1, 2).contiguous()
