"""The batches that data modules make and methods take: every key, its shape, dtype and unit."""

from typing import NotRequired, TypedDict

from torch import Tensor


class ClipBatch(TypedDict):
    """Clips of B videos, N of each.

    Keys:
        clip: uint8 (B, N, T, H, W, 3), RGB, 0..255.
        label: int64 (B,), class from 0; -1 where the video has none.
        video: int64 (B,), row of the video in its dataset: the same number, the same video.
        path: B file names, for messages.
        broken: one line ``path: reason`` for each video that could not be read and was replaced; often empty.
    """

    clip: Tensor
    label: Tensor
    video: Tensor
    path: list[str]
    broken: list[str]


class SkeletonBatch(TypedDict):
    """Sequences of B samples.

    Keys:
        skeleton: float32 (B, 3, T, 25, M=2): x, y, z of 25 joints of two actors, metres, preprocessed; T (300) frames,
            those from num_frames on repeat the sequence; the second actor is zeros where there is one actor only.
        num_frames: int64 (B,), frames before the repetition, 1..T.
        label: int64 (B,), class from 0, -1 where unknown.
        sample: int64 (B,), row of the sample in its dataset.
        name: list[str], B sample names such as S001C001P001R001A001.
    """

    skeleton: Tensor
    num_frames: Tensor
    label: Tensor
    sample: Tensor
    name: list[str]


class WindowBatch(TypedDict):
    """Windows of B long videos, with the actions in each: what temporal detectors of clips take.

    Keys:
        rgb: uint8 (B, T, H, W, 3), RGB, 0..255; there are ``rgb``, ``depth`` or both.
        depth: int16 (B, T, H, W), millimetres, 0 where the sensor had no answer.
        segments: B tensors float32 (S, 2), start and end (exclusive) of each action in frames of the window, first to
            last; not cut to it, so that a start may be negative and an end above T; S may be 0.
        classes: B tensors int64 (S,), class of each action from 0.
        start: int64 (B,), frame of the video that the window starts with.
        step: int64 (B,), frames of the video from one frame of the window to the next.
        num_frames: int64 (B,), frames of the window that the video fills, 1..T; the rest repeat the last of them.
        sample: int64 (B,), row of the video in its dataset: the same number, the same video.
        name: list[str], B video names such as 0002-L.
        broken: one line ``path: reason`` for each video that could not be read and was replaced; often empty.
    """

    rgb: NotRequired[Tensor]
    depth: NotRequired[Tensor]
    segments: list[Tensor]
    classes: list[Tensor]
    start: Tensor
    step: Tensor
    num_frames: Tensor
    sample: Tensor
    name: list[str]
    broken: list[str]
