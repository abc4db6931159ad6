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
        mean: Of each channel, values in 0..1: three of RGB and of depth, two of optical flow.
        std: Of each channel, values in 0..1.
        stride: Step between the frames of those clips; ``None``: not known, or not fixed.
        fps: Frames a second at which the videos were sampled; ``None``: their own, or not known.
        flow_bound: Displacement in pixels a frame that becomes 1, its negative becomes 0, and what lies beyond is cut;
            ``None`` where it is not flow that is prepared.
        flow_short_side: Short side of the frames in which those pixels are counted; ``None``: of the frames at hand.
        depth_range: Millimetres that become 1 (near) and 0 (far), and what lies beyond is cut; ``None`` where it is not
            depth that is prepared. What was not measured (0 mm) counts as far. All three channels are alike.

    Raises:
        ValueError: A size, bound or range is not positive, the crop exceeds the short side, or mean or std are not a
            number for each channel.
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
    depth_range: tuple[float, float] | None = None

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

        if self.depth_range is not None and not (
            self.flow_bound is None and len(self.depth_range) == 2 and 0 <= self.depth_range[0] < self.depth_range[1]
        ):
            raise ValueError(f"depth_range={self.depth_range} must be two rising distances, and flow_bound None")

    @property
    def modality(self) -> str:
        """What is prepared: ``rgb``, ``flow`` or ``depth``."""
        if self.depth_range is not None:
            return "depth"
        return "rgb" if self.flow_bound is None else "flow"

    @property
    def layout(self) -> str:
        """Axes of what the network takes."""
        return "(B, C, T, H, W)"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one prepared clip: (C, T, H, W)."""
        return (len(self.mean), self.num_frames, self.crop_size, self.crop_size)

    def batched(self, clip: Tensor) -> Tensor:
        """Check one clip or a batch of clips, and make a batch of it.

        Raises:
            ValueError: ``clip`` is not of this modality.
        """
        dtype, channels = {"rgb": (torch.uint8, (3,)), "flow": (None, (2,)), "depth": (torch.int16, ())}[self.modality]
        known = clip.is_floating_point() if dtype is None else clip.dtype == dtype
        fields = clip.ndim - len(channels)
        if not known or fields not in (3, 4) or tuple(clip.shape[fields:]) != channels:
            shape = ", ".join(["T", "H", "W", *map(str, channels)])
            kind = "float" if dtype is None else str(dtype).removeprefix("torch.")
            raise ValueError(
                f"expected a {kind} clip ({shape}) or (B, {shape}) of {self.modality}, "
                f"got {clip.dtype} {tuple(clip.shape)}"
            )
        return clip if fields == 4 else clip[None]

    def unit(self, clip: Tensor) -> Tensor:
        """Bring values into 0..1.

        Args:
            clip: uint8 (B, T, H, W, 3), RGB; float (B, T, H, W, 2), displacements in pixels a frame; or int16
                (B, T, H, W), millimetres.

        Returns:
            float32 (B, C, T, H, W); C is 1 for depth.
        """
        if self.depth_range is not None:
            near, far = self.depth_range
            distance = clip.float()
            distance = torch.where(distance == 0, far, distance)
            return ((far - distance) / (far - near)).clamp_(0, 1).unsqueeze(1)
        if self.flow_bound is None:
            return clip.movedim(-1, 1).float().div_(255)
        scale = 1.0 if self.flow_short_side is None else self.flow_short_side / min(clip.shape[2:4])
        return (clip.movedim(-1, 1).float() * (scale / (2 * self.flow_bound))).add_(0.5).clamp_(0, 1)

    def normalise(self, frames: Tensor) -> Tensor:
        """Subtract the mean and divide by the deviation.

        Args:
            frames: float32 (B, C, T, H, W), values in 0..1; C may be 1, for channels that are alike.

        Returns:
            float32 (B, C, T, H, W), contiguous, with all channels.
        """
        mean, std = (frames.new_tensor(values).view(-1, 1, 1, 1) for values in (self.mean, self.std))
        return ((frames - mean) / std).contiguous()

    def __call__(self, clip: Tensor) -> Tensor:
        """Prepare one clip or a batch of clips, on the clip's device.

        Args:
            clip: uint8 (T, H, W, 3) or (B, T, H, W, 3), RGB; float (T, H, W, 2) or (B, T, H, W, 2), displacements in
                pixels a frame; or int16 (T, H, W) or (B, T, H, W), millimetres: what the facts are for.

        Returns:
            float32 (B, C, T, crop_size, crop_size); B is 1 for one clip.

        Raises:
            ValueError: ``clip`` has another shape or dtype.
        """
        clips = self.batched(clip)
        height, width = clips.shape[2:4]
        frames = self.unit(clips)
        scale = self.short_side / min(height, width)
        if scale != 1:
            size = (max(self.short_side, round(height * scale)), max(self.short_side, round(width * scale)))
            batch_size, _, num_frames = frames.shape[:3]
            images = functional.interpolate(frames.transpose(1, 2).flatten(0, 1), size, mode="bilinear", antialias=True)
            frames = images.view(batch_size, num_frames, *images.shape[1:]).transpose(1, 2)
        top, left = ((side - self.crop_size) // 2 for side in frames.shape[-2:])
        return self.normalise(frames[..., top : top + self.crop_size, left : left + self.crop_size])
