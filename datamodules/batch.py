"""The batches that data modules make and methods take: every key, its shape, dtype and unit."""

from typing import NotRequired, TypedDict

from torch import Tensor


class VideoRowBatch(TypedDict):
    """What is listed of B videos, without their clips.

    Keys:
        label: int64 (B,), class from 0; -1 where the video has none.
        video: int64 (B,), row of the video in its dataset: the same number, the same video.
        path: B file names, for messages.
        broken: one line ``path: reason`` for each video that could not be read and was replaced; often empty.
    """

    label: Tensor
    video: Tensor
    path: list[str]
    broken: list[str]


class ClipBatch(VideoRowBatch):
    """Clips of B videos, N of each.

    Keys:
        clip: uint8 (B, N, T, H, W, 3), RGB, 0..255.
        label: see ``VideoRowBatch``, as the others.
    """

    clip: Tensor


class MultiLabelBatch(ClipBatch):
    """Clips of B videos that have any number of classes; ``label`` is -1.

    Keys:
        present: bool (B, N, C), which classes are seen in each clip, or are in its video.
        clip: see ``ClipBatch``, as the others.
    """

    present: Tensor


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


class DetectionBatch(TypedDict):
    """Long sequences of B videos, or of windows of them, with the actions in each.

    Keys:
        skeleton: float32 (B, 3, T, 25, M=2): x, y, z of 25 joints of two actors, metres, preprocessed; T frames of the
            longest sequence of the batch, zeros after the end of the others and where an actor is not seen.
        num_frames: int64 (B,), length of each sequence, 1..T.
        start: int64 (B,), frame of the video that the sequence starts with; 0 for a whole video.
        segments: B tensors int64 (S, 3), a row for each action that lies in the sequence or reaches into it: class from
            0, first frame, and the frame after the last, both counted from the sequence's start and cut to it.
        sample: int64 (B,), row of the video in its dataset.
        name: list[str], B video names such as 0002-L.
    """

    skeleton: Tensor
    num_frames: Tensor
    start: Tensor
    segments: list[Tensor]
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


class BoxBatch(TypedDict):
    """Clips around B keyframes with N boxes in them.

    Keys:
        clip: uint8 (B, T, H, W, 3), RGB, 0..255; pictures that are smaller than the largest are at the top left, the
            rest is 0.
        size: int64 (B, 2), height and width of each clip's pictures.
        box: float32 (N, 4), x1, y1, x2, y2 in 0..1 of the clip's picture: annotated ones in training, given ones
            otherwise.
        box_row: int64 (N,), row of each box in the batch, in order.
        target: float32 (N, C), 1 where the box has the action; zeros in evaluation.
        true_box: float32 (M, 4), annotated boxes to measure with, a box with several actions as often; none in
            training.
        true_label: int64 (M,), action of each from 0.
        true_row: int64 (M,), row of each in the batch.
        sample: int64 (B,), row of the keyframe in its dataset: the same number, the same keyframe.
        name: list[str], B keyframes such as -5KQ66BBWC4,0902.
        broken: one line ``path: reason`` for each keyframe that could not be read and was replaced; often empty.
    """

    clip: Tensor
    size: Tensor
    box: Tensor
    box_row: Tensor
    target: Tensor
    true_box: Tensor
    true_label: Tensor
    true_row: Tensor
    sample: Tensor
    name: list[str]
    broken: list[str]


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


class RepetitionBatch(TypedDict):
    """B videos of repeated motion, whole, from the first cycle's start to the last one's end.

    Keys:
        frames: uint8 (B, T, H, W, 3), RGB, 0..255; T frames of the longest video of the batch, zeros after the end of
            the others.
        num_frames: int64 (B,), frames of each video, 1..T.
        bounds: B tensors int64 (C + 1,), frames that the C cycles of a video start with, from 0 on, and the frame that
            the last one ends with; C is the count.
        previous_length: float32 (B, T), length in frames of the cycle that lies behind a frame, between those of the
            two cycles around it in proportion; 0 where it is unknown.
        next_length: float32 (B, T), the same of the cycle that lies ahead.
        sample: int64 (B,), row of the video in its dataset: the same number, the same video.
        name: B file names, for messages.
        broken: one line ``path: reason`` for each video that could not be read and was replaced; often empty.
    """

    frames: Tensor
    num_frames: Tensor
    bounds: list[Tensor]
    previous_length: Tensor
    next_length: Tensor
    sample: Tensor
    name: list[str]
    broken: list[str]


class TubeBatch(TypedDict):
    """Pieces of B videos, with the boxes in the last frames of their clips: what detectors of tubes take.

    A piece has T + K - 1 consecutive frames and shows K clips of T frames: clip k is frames k .. k + T - 1, and its
    boxes are those of the last of them, its key frame. K is 1 in training, where the frames may be several apart.

    Keys:
        clip: uint8 (B, T + K - 1, H, W, 3), RGB, 0..255; before the start of the video its first frame is repeated,
            after its end the last.
        frame: int64 (B, K), number of each key frame in its video from 0; -1 where the video has ended.
        boxes: float32 (S, 4), left, top, right and bottom as shares of the picture, of all key frames of the batch.
        owner: int64 (S,), key frame of each box, b * K + k.
        box_label: int64 (S,), class of each box from 0.
        tube: int64 (S,), the same number for the boxes of one actor, another for another, in all videos.
        video: int64 (B,), row of the video in its list: the same number, the same video.
        name: list[str], B video names such as Basketball/v_Basketball_g01_c01.
        broken: one line ``path: reason`` for each video that could not be read and was replaced; often empty.
    """

    clip: Tensor
    frame: Tensor
    boxes: Tensor
    owner: Tensor
    box_label: Tensor
    tube: Tensor
    video: Tensor
    name: list[str]
    broken: list[str]
