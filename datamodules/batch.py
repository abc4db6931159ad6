"""The batches that data modules make and methods take: every key, its shape, dtype and unit."""

from typing import TypedDict

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


class SkeletonRowBatch(TypedDict):
    """What is listed of B samples, without their sequences.

    Keys:
        label: int64 (B,), class from 0, -1 where unknown.
        sample: int64 (B,), row of the sample in its dataset.
        name: list[str], B sample names such as S001C001P001R001A001.
    """

    label: Tensor
    sample: Tensor
    name: list[str]


class SkeletonBatch(SkeletonRowBatch):
    """Sequences of B samples.

    Keys:
        skeleton: float32 (B, 3, T, 25, M=2): x, y, z of 25 joints of two actors, metres, preprocessed; T (300) frames,
            those from num_frames on repeat the sequence; the second actor is zeros where there is one actor only.
        num_frames: int64 (B,), frames before the repetition, 1..T.
        label: see ``SkeletonRowBatch``, as the other two.
    """

    skeleton: Tensor
    num_frames: Tensor
