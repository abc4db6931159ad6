"""Clips whose frames are spread over the whole video."""

from dataclasses import dataclass

import numpy as np
import torch

from datamodules.sampling.clips import ClipSampler, Timeline


@dataclass(frozen=True)
class WholeVideoSampler(ClipSampler):
    """Draws T frames evenly spaced over the whole video, with an offset (thesis, B.2.4: arrow of time).

    A video of F frames has T equal parts of F / T frames; a clip takes the frame at one offset into each of them. The
    offset is drawn in training, the same for all parts; in evaluation it is half a part, and N clips have offsets
    spread evenly around it. A video of fewer frames than T shows some of them several times.

    `strides`, `temporal_jitter` and `fps` have no effect.
    """

    def random(self, video: Timeline, generator: torch.Generator) -> np.ndarray:
        """Draws clips for training; see `ClipSampler`."""
        return self._at(video, torch.rand(self.num_clips, dtype=torch.float64, generator=generator).numpy())

    def evenly_spaced(self, video: Timeline) -> np.ndarray:
        """Clips for testing: always the same.

        Returns:
            int64 (N, T), frame numbers, never decreasing within a clip.
        """
        return self._at(video, (np.arange(self.num_clips) + 0.5) / self.num_clips)

    def _at(self, video: Timeline, offsets: np.ndarray) -> np.ndarray:
        places = (np.arange(self.num_frames) + offsets[:, None]) * (video.num_frames / self.num_frames)
        clips: np.ndarray = np.minimum(places.astype(np.int64), video.num_frames - 1)
        return clips
