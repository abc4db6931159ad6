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
        mean: Of each RGB channel, values in 0..1.
        std: Of each RGB channel, values in 0..1.
        stride: Step between the frames of those clips; ``None``: not known, or not fixed.
        fps: Frames a second at which the videos were sampled; ``None``: their own, or not known.

    Raises:
        ValueError: A size is not positive, the crop exceeds the short side, or mean or std are not three numbers.
    """

    num_frames: int
    crop_size: int
    short_side: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    stride: int | None = None
    fps: float | None = None

    def __post_init__(self) -> None:
        """Check the sizes and statistics."""
        if min(self.num_frames, self.crop_size) < 1 or self.crop_size > self.short_side:
            raise ValueError(
                f"preprocessing needs num_frames >= 1 and 1 <= crop_size <= short_side, got num_frames="
                f"{self.num_frames}, crop_size={self.crop_size}, short_side={self.short_side}"
            )
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError(f"mean and std must be three numbers, std positive, got {self.mean} and {self.std}")

    def __call__(self, clip: Tensor) -> Tensor:
        """Prepare one clip or a batch of clips, on the clip's device.

        Args:
            clip: uint8 (T, H, W, 3) or (B, T, H, W, 3), RGB.

        Returns:
            float32 (B, 3, T, crop_size, crop_size); B is 1 for one clip.

        Raises:
            ValueError: ``clip`` has another shape or dtype.
        """
        if clip.dtype != torch.uint8 or clip.ndim not in (4, 5) or clip.shape[-1] != 3:
            raise ValueError(
                f"expected a uint8 clip (T, H, W, 3) or (B, T, H, W, 3), got {clip.dtype} {tuple(clip.shape)}"
            )
        clips = clip[None] if clip.ndim == 4 else clip
        batch_size, num_frames, height, width, _ = clips.shape
        frames = clips.flatten(0, 1).permute(0, 3, 1, 2).float() / 255
        scale = self.short_side / min(height, width)
        if scale != 1:
            size = (max(self.short_side, round(height * scale)), max(self.short_side, round(width * scale)))
            frames = functional.interpolate(frames, size, mode="bilinear", antialias=True)
        top, left = ((side - self.crop_size) // 2 for side in frames.shape[-2:])
        frames = frames[..., top : top + self.crop_size, left : left + self.crop_size]
        mean, std = (frames.new_tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        frames = (frames - mean) / std
        return frames.reshape(batch_size, num_frames, *frames.shape[1:]).transpose(1, 2).contiguous()
