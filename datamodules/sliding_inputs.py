"""Single files to parts that follow each other in time: what a method looks at where there is no data set."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from datamodules.readers.depth import DepthKind, DepthReader
from datamodules.readers.skeleton import read_ntu
from datamodules.readers.video import VideoReader
from datamodules.sampling.clips import ClipSampler, TimedClips
from datamodules.transforms.skeleton import NUM_FRAMES, preprocess

KINECT_FPS = 30.0
"""Frames per second of the skeletons and depth maps of NTU RGB+D and PKU-MMD, whose files do not tell."""


class Clips(NamedTuple):
    """Some clips of a video.

    Attributes:
        clip: uint8 (K, T, H, W, 3), RGB; or int16 (K, T, H, W), millimetres of depth.
        times: float64 (K, 2), seconds at which each starts and ends.
    """

    clip: Tensor
    times: np.ndarray


class DepthTimeline(DepthReader):
    """A folder of depth maps as a video of constant frame rate."""

    fps = KINECT_FPS

    def frame_at(self, seconds: np.ndarray) -> np.ndarray:
        """Numbers of the frames on screen at these times; before the first it is 0, after the last the last."""
        numbers = np.floor(np.asarray(seconds) * self.fps + 1e-6).astype(np.int64)
        return np.asarray(np.clip(numbers, 0, self.num_frames - 1))


def read_clips(
    path: Path,
    sampler: ClipSampler,
    short_side: int,
    crop_size: int | None,
    at_once: int,
    hop: float | None,
    evenly: bool = False,
) -> Iterator[Clips]:
    """Read clips of a video in the order of time.

    Args:
        path: of the video.
        sampler: which frames make a clip.
        short_side: pixels that the frames' short side is scaled to.
        crop_size: side of the square that is cut out of the centre; None leaves frames whole.
        at_once: clips that are given at once.
        hop: seconds between clips, see ``ClipSampler.sliding``.
        evenly: give the sampler's number of evenly spaced clips instead; their times are zeros.

    Raises:
        ValueError: the video cannot be read; the message starts with its path.
    """
    with VideoReader(path) as video:
        try:
            if evenly:
                frames = sampler.evenly_spaced(video)
                found = TimedClips(frames, np.zeros((len(frames), 2)))
            else:
                found = sampler.sliding(video, hop)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        for first in range(0, len(found.frames), at_once):
            part = found.frames[first : first + at_once]
            images = video.read(part.reshape(-1), short_side)
            if crop_size is not None:
                top, left = (images.shape[1] - crop_size) // 2, (images.shape[2] - crop_size) // 2
                images = images[:, top : top + crop_size, left : left + crop_size]
            clip = torch.from_numpy(np.ascontiguousarray(images).reshape(*part.shape, *images.shape[1:]))
            yield Clips(clip, found.times[first : first + at_once])


def read_depth_clips(
    path: Path, sampler: ClipSampler, kind: DepthKind, at_once: int, hop: float | None, evenly: bool = False
) -> Iterator[Clips]:
    """Read clips of a folder of depth maps, see ``read_clips``; ``clip`` is int16 (K, T, H, W), millimetres.

    Raises:
        DepthError: a file is missing or damaged.
    """
    video = DepthTimeline(path, kind)
    found = sampler.sliding(video, hop)
    if evenly:
        frames = sampler.evenly_spaced(video)
        found = TimedClips(frames, np.zeros((len(frames), 2)))
    for first in range(0, len(found.frames), at_once):
        part = found.frames[first : first + at_once]
        maps = video.read(part.reshape(-1))
        yield Clips(torch.from_numpy(maps.reshape(*part.shape, *maps.shape[1:])), found.times[first : first + at_once])


def read_skeleton(path: Path, tracked: bool) -> tuple[np.ndarray, int]:
    """Read and preprocess a ``.skeleton`` file; unlike in the data sets, all of a long one is kept.

    Args:
        path: of the file.
        tracked: tell bodies apart by the sensor's ID, not by their place in the frame.

    Returns:
        float32 (3, T, 25, 2), T at least 300, repeated from its end on; and frames before it repeats.

    Raises:
        ValueError: it is no such file, or shows nobody; the message starts with its path.
    """
    recording = read_ntu(path)
    try:
        bodies = recording.tracked() if tracked else recording.listed()
        return preprocess(bodies, max(recording.num_frames, NUM_FRAMES))
    except ValueError as error:
        raise ValueError(f"{path}: {error}; leave the file out") from error


def skeleton_windows(sequence: np.ndarray, num_frames: int, window: int, hop: int) -> tuple[Tensor, Tensor, np.ndarray]:
    """Cut a sequence into windows that overlap; the last one ends with it.

    Args:
        sequence: float32 (3, T, 25, 2).
        num_frames: before it repeats.
        window: frames of a window; a shorter sequence is one.
        hop: frames from one to the next.

    Returns:
        float32 (K, 3, T', 25, 2), each repeated up to T' of at least 300; int64 (K,), frames before they repeat; and
        float64 (K, 2), seconds at which they start and end.
    """
    length = min(window, num_frames)
    last = num_frames - length
    starts = [*range(0, last, hop), last]
    repeats = np.arange(max(NUM_FRAMES, length)) % length
    parts = np.stack([sequence[:, start + repeats] for start in starts])
    times = np.array([(start, start + length) for start in starts]) / KINECT_FPS
    return torch.from_numpy(parts), torch.full((len(starts),), length), times
