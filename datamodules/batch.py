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


class MultimodalBatch(TypedDict, total=False):
    """N clips of each of B samples in one or several modalities, in step in time; a key for each modality asked for.

    Keys:
        rgb: uint8 (B, N, T, H, W, 3), 0..255.
        flow: float16 (B, N, T, H, W, 2), pixels a frame along x and y, at the stored size.
        depth: int16 (B, N, T, H, W), millimetres, 0 where nothing was measured.
        skeleton: float32 (B, 3, T', 25, M=2), the whole sequence as in ``SkeletonBatch``.
        num_frames: int64 (B,), of the skeleton, as in ``SkeletonBatch``.
        clip: int64 (B, N), number of each clip in the grid of its video: clip i covers frames i * T .. (i + 1) * T - 1
            (equations 2.2, 2.3); -1 where a video has fewer clips than the batch's longest, and the clip is zeros.
        label: int64 (B,), class from 0; -1 where unknown.
        sample: int64 (B,), row of the sample in its dataset.
        name: B sample names such as S001C001P001R001A001.
        broken: one line ``path: reason`` for each sample that could not be read and was replaced; often empty.
    """

    rgb: Tensor
    flow: Tensor
    depth: Tensor
    skeleton: Tensor
    num_frames: Tensor
    clip: Tensor
    label: Tensor
    sample: Tensor
    name: list[str]
    broken: list[str]
