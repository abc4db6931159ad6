"""From a list of videos to clips out of a cache: nothing is decoded."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from datamodules.clip_cache import ClipCache, Part
from datamodules.readers.video import VideoError
from datamodules.sample_list import SampleList
from datamodules.sampling.clips import ClipSampler
from datamodules.sampling.crops import random_size
from datamodules.video_dataset import Cut, VideoDataset


class CachedVideoDataset(VideoDataset):
    """Clips of listed videos as of ``VideoDataset``, out of a cache.

    Training: each clip is drawn out of one of the video's N cached ones, all equally likely, by the rule of
    ``VideoDataset`` as if that were the video; sizes and places are drawn by its rule out of the cached pictures, and
    what is cut out is scaled once. Where N is 1 and its clip is the whole video, at the short side asked for, the same
    pixels come out for the same draw.

    Evaluation: of E clips, number e is cut out of the cached one that is as far along, in the same way; for E = N and
    cached clips as long as those asked for it is the cached clip itself, to the pixel.

    Args:
        samples: the videos.
        root: folder of the videos.
        cache: the clips.
        clips: which frames to take, as of the videos.
        short_sides: see ``VideoDataset``, as all that follow; a picture's height and width are those in the cache.
        crop_size: see there.
        training: see there.
        random_resized_crop: see there.

    Raises:
        ValueError: the cache lacks videos or frames.
    """

    def __init__(
        self,
        samples: SampleList,
        root: Path,
        cache: ClipCache,
        clips: ClipSampler,
        short_sides: tuple[int, ...],
        crop_size: int,
        training: bool,
        random_resized_crop: bool = False,
    ) -> None:
        if not training:
            clips = replace(clips, strides=(min(clips.strides),))
        super().__init__(samples, cache.sampler(clips), short_sides, crop_size, training, random_resized_crop)
        if not training and clips.num_clips > cache.layout.clips:
            raise ValueError(
                f"{cache.folder}: has {cache.layout.clips} clips of a video, evaluation asks for {clips.num_clips}; set"
                f" data.eval_clips to {cache.layout.clips} at most, or make it again with more"
            )
        self.cache = cache
        self.rows = cache.rows(samples, root)

    def _read(self, row: int, path: str, generator: torch.Generator) -> Cut:
        row = int(self.rows[row])
        reason = self.cache.broken.get(row)
        if reason is not None:
            raise VideoError(f"{path}: {reason}")
        return self._drawn(row, generator) if self.training else self._spaced(row)

    def _drawn(self, row: int, generator: torch.Generator) -> Cut:
        # Drawn in the order of VideoDataset, and no more: a cache of whole videos gives the same pixels.
        side = None
        if not self.random_resized_crop:
            side = self.short_sides[int(torch.randint(len(self.short_sides), (), generator=generator))]
        parts = [self.cache.part(row, self._number(generator)) for _ in range(self.clips.num_clips)]
        frames = [replace(self.clips, num_clips=1).random(part, generator)[0] for part in parts]
        views = [self._view(part, numbers, side, generator) for part, numbers in zip(parts, frames, strict=True)]
        return Cut(torch.stack(views), np.stack(frames), parts[0].fps)

    def _number(self, generator: torch.Generator) -> int:
        count = self.cache.layout.clips
        return int(torch.randint(count, (), generator=generator)) if count > 1 else 0

    def _view(self, part: Part, frames: np.ndarray, side: int | None, generator: torch.Generator) -> Tensor:
        """Cut a training clip out, (T, crop_size, crop_size, 3); without a side its size is drawn."""
        _, height, width, _ = part.pictures.shape
        if side is None:
            crop_height, crop_width = random_size(height, width, generator)
        else:
            crop_height = crop_width = round(self.crop_size * min(height, width) / side)
        top, left = self._corner(height - crop_height, width - crop_width, generator)
        pictures = part.cut(frames, top, left, crop_height, crop_width)
        return _scaled(pictures, self.crop_size, self.crop_size)

    def _spaced(self, row: int) -> Cut:
        count = self.clips.num_clips
        last = self.cache.layout.clips - 1
        numbers = [round(last * (number / (count - 1) if count > 1 else 0.5)) for number in range(count)]
        parts = [self.cache.part(row, number) for number in numbers]
        frames = np.stack([self.clips.evenly_spaced(part)[number] for number, part in enumerate(parts)])
        height, width = self.cache.layout.height, self.cache.layout.width
        whole = (part.cut(of_clip, 0, 0, height, width) for part, of_clip in zip(parts, frames, strict=True))
        pictures = np.concatenate(list(whole))
        scale = self.short_sides[0] / min(height, width)
        scaled = _scaled(pictures, round(height * scale), round(width * scale))
        return Cut(self._evaluated(scaled.numpy(), frames.shape), frames, parts[0].fps)


def _scaled(pictures: np.ndarray, height: int, width: int) -> Tensor:
    """Scale pictures, uint8 (T, H, W, 3), bilinearly and antialiased; those of that size are left as they are."""
    clip = torch.from_numpy(pictures)
    if pictures.shape[1:3] == (height, width):
        return clip
    planes = clip.permute(0, 3, 1, 2)
    scaled = functional.interpolate(planes, (height, width), mode="bilinear", antialias=True, align_corners=False)
    return scaled.permute(0, 2, 3, 1).contiguous()
