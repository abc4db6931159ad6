"""Which frames of a video make a clip."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch


class Timeline(Protocol):
    """What a sampler needs to know of a video; :class:`datamodules.readers.video.VideoReader` has it."""

    num_frames: int
    fps: float

    def frame_at(self, seconds: np.ndarray) -> np.ndarray:
        """Numbers of the frames on screen at these times; before the first it is 0, after the last the last."""


#: Times are kept this much inside a segment's end: readers show a frame from a millisecond before its time stamp on.
_INSIDE = 2e-3  # seconds


class Segment:
    """The part of a video between two times, as if it were a video of its own.

    Attributes:
        num_frames: of the segment, at least 1.
        fps: of the video.
        first_frame: number of the segment's first frame in the video: the one on screen at its start.

    Args:
        video: the whole video.
        start: seconds from the video's first frame, at least 0.
        end: seconds, exclusive; one after the video's end means its end.

    Raises:
        ValueError: the segment starts after the video's end, or the video's frame rate is unknown.
    """

    def __init__(self, video: Timeline, start: float, end: float) -> None:
        if not video.fps > 0:
            raise ValueError("its frame rate is unknown, so that a segment in seconds cannot be found; encode it anew")
        length = video.num_frames / video.fps
        if start >= length:
            raise ValueError(f"its segment {start:g} to {end:g} s starts after its end ({length:g} s); check the list")
        self._video = video
        self._start = start
        self.fps = video.fps
        times = np.array([start, max(start, min(end, length) - _INSIDE)])
        self.first_frame, last = video.frame_at(times).tolist()
        self.num_frames = last - self.first_frame + 1

    def frame_at(self, seconds: np.ndarray) -> np.ndarray:
        """Number the frames from the segment's first; times are from its start."""
        numbers = self._video.frame_at(self._start + np.asarray(seconds, np.float64)) - self.first_frame
        return np.asarray(np.clip(numbers, 0, self.num_frames - 1))


class TimedClips(NamedTuple):
    """Clips of a video, and where they are.

    Attributes:
        frames: int64 (N, T), frame numbers.
        times: float64 (N, 2), seconds of the video at which each clip starts and ends.
    """

    frames: np.ndarray
    times: np.ndarray


@dataclass(frozen=True)
class ClipSampler:
    """Draws clips of T frames, by frame number with a stride or by time at a frame rate.

    By number a clip covers ``span = (T - 1) * stride + 1`` frames and starts at any frame from 0 to
    ``video.num_frames - span``, all equally likely. With jitter each of its frames then moves on by 0 to ``stride - 1``
    frames, each drawn for itself, so that the order stays. These are the rules of the published tubelet code
    (fmthoker/tubelet-contrast, which takes its frame sampler from microsoft/CtP).

    By time the frames on screen at ``start + t / fps`` are taken, t = 0..T-1, without jitter; `start` is any time from
    which the clip ends by the last frame. This is right for a variable frame rate too. Videos of unlike frame rates
    give clips of one duration: chapter 4 takes 32 frames at 16 fps.

    A clip that is longer than its video starts at frame 0; indices past the end become the last frame.

    Attributes:
        num_frames: Frames of a clip, T.
        num_clips: Clips of a video, N.
        strides: Frames from one index to the next; drawn anew for each clip, all equally likely.
        temporal_jitter: Whether frames move within their stride.
        fps: Frames per second of the clip; None goes by frame number. Where set, `strides` and `temporal_jitter` have
            no effect.

    Raises:
        ValueError: A number is not positive, or there is no stride.
    """

    num_frames: int = 16
    num_clips: int = 1
    strides: tuple[int, ...] = (1, 2, 3, 4)
    temporal_jitter: bool = True
    fps: float | None = None

    def __post_init__(self) -> None:
        """Checks the numbers."""
        if self.num_frames < 1 or self.num_clips < 1:
            raise ValueError(f"num_frames and num_clips must be 1 or more, got {self.num_frames} and {self.num_clips}")
        if not self.strides or min(self.strides) < 1:
            raise ValueError(f"strides must be one or more numbers of at least 1, got {self.strides}")
        if self.fps is not None and not self.fps > 0:
            raise ValueError(f"fps must be positive, or None to go by frame number, got {self.fps}")

    def random(self, video: Timeline, generator: torch.Generator) -> np.ndarray:
        """Draws clips for training.

        Args:
            video: The video.
            generator: Where all randomness comes from, on the CPU: its state decides the clips.

        Returns:
            int64 (N, T), frame numbers, never decreasing within a clip.
        """
        if self.fps is not None:
            starts = torch.rand(self.num_clips, dtype=torch.float64, generator=generator).numpy()
            return self._by_time(video, starts * self._last_start_seconds(video, self.fps), self.fps)
        clips = np.empty((self.num_clips, self.num_frames), np.int64)
        for clip in clips:
            stride = self.strides[int(torch.randint(len(self.strides), (), generator=generator))]
            last_start = self._last_start(video, stride)
            clip[:] = int(torch.randint(last_start + 1, (), generator=generator)) + stride * np.arange(self.num_frames)
            if self.temporal_jitter and stride > 1:
                clip += torch.randint(stride, (self.num_frames,), generator=generator).numpy()
        return np.minimum(clips, video.num_frames - 1)

    def evenly_spaced(self, video: Timeline) -> np.ndarray:
        """Clips for testing: always the same, with the smallest stride and without jitter.

        Returns:
            int64 (N, T), frame numbers. The first clip starts with the video, the last ends with it, the others are
            spread evenly; a single clip (N = 1) is taken from the middle.
        """
        parts = np.linspace(0, 1, self.num_clips) if self.num_clips > 1 else np.array([0.5])
        if self.fps is not None:
            return self._by_time(video, parts * self._last_start_seconds(video, self.fps), self.fps)
        stride = min(self.strides)
        starts = np.floor(parts * self._last_start(video, stride)).astype(np.int64)
        clips: np.ndarray = np.minimum(starts[:, None] + stride * np.arange(self.num_frames), video.num_frames - 1)
        return clips

    def sliding(self, video: Timeline, hop: float | None = None) -> TimedClips:
        """Clips over the whole video, in order, with the smallest stride and without jitter.

        Args:
            video: The video.
            hop: Seconds from the start of one clip to the next; half a clip by default. The last clip ends with the
                video, whatever is left.

        Raises:
            ValueError: The frame rate of the video is unknown.
        """
        if not video.fps > 0:
            raise ValueError("its frame rate is unknown, so that no time can be told; encode it anew")
        stride = min(self.strides)
        seconds = self.num_frames * (stride / video.fps if self.fps is None else 1 / self.fps)
        hop = seconds / 2 if hop is None else hop
        if self.fps is not None:
            last = self._last_start_seconds(video, self.fps)
            starts = np.array([*np.arange(0, last - 1e-6, hop), last])
            frames = self._by_time(video, starts, self.fps)
        else:
            last_frame = self._last_start(video, stride)
            numbers = np.array([*range(0, last_frame, max(round(hop * video.fps), 1)), last_frame])
            frames = np.minimum(numbers[:, None] + stride * np.arange(self.num_frames), video.num_frames - 1)
            starts = numbers / video.fps
        ends = np.minimum(starts + seconds, video.num_frames / video.fps)
        return TimedClips(frames, np.stack([starts, ends], 1))

    def _last_start(self, video: Timeline, stride: int) -> int:
        return max(0, video.num_frames - ((self.num_frames - 1) * stride + 1))

    def _last_start_seconds(self, video: Timeline, fps: float) -> float:
        if not video.fps > 0:
            raise ValueError(f"the frame rate of the video is unknown: sample by strides (fps=None), not at {fps} fps")
        return max(0.0, (video.num_frames - 1) / video.fps - (self.num_frames - 1) / fps)

    def _by_time(self, video: Timeline, starts: np.ndarray, fps: float) -> np.ndarray:
        return video.frame_at(starts[:, None] + np.arange(self.num_frames) / fps)
