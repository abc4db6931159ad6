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
