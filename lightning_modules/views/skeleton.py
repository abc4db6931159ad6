"""Views of skeleton sequences: temporal crop-resize, pose shear and joint jitter (thesis 3.3.1).

Whole batches at once, on the batch's device; fmthoker/skeleton-contrast (feeder/augmentations.py) makes one sequence at
a time.
"""

import dataclasses
import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from lightning_modules.views.memory import empty, upload
from lightning_modules.views.rows import Rows
from lightning_modules.views.tubelet_motion import uniform

NUM_JOINTS = 25
CPU_VIEWS = 64

Preset = Literal["published", "text"]
Spatial = Literal["pose", "jitter"]

# feeder/augmentations.py: no crop is shorter before it is resized.
PUBLISHED_MIN_FRAMES = 64


@dataclasses.dataclass(frozen=True)
class CropParameters(Rows):
    """Which part of a sequence each of N views keeps.

    Attributes:
        ratio: float32 (N,), share of a sequence's frames, in 0..1.
        place: float32 (N,), where the crop starts among the possible first frames, in 0..1.
    """

    ratio: Tensor
    place: Tensor


@dataclasses.dataclass(frozen=True)
class SkeletonParameters(CropParameters):
    """How N views are made: the crop, and what is done to the joints.

    Attributes:
        matrix: float32 (N, 3, 3), what the coordinates of a joint, as a row, are multiplied with.
        moved: bool (N, V), the joints that are multiplied; the others stay.
    """

    matrix: Tensor
    moved: Tensor


class SkeletonAugmentation:
    """Random spatio-temporal views of sequences (equation 3.4): crop-resize first, then one of the spatial changes.

    Two readings of the method, by ``preset``:

    * ``"published"`` (what made the reported numbers): a crop has at least 64 frames, or all where there are fewer;
      the jitter's matrix is from U[-1, 1], and half of the time its joints are set to zero instead.
    * ``"text"`` (thesis 3.3.1): a crop may be as short as its ratio makes it; the jitter's matrix is from U[0, 1].

    Args:
        preset: ``"published"`` or ``"text"``.
        temporal: crop before resizing; without it the whole sequence is resized (table 3.5).
        spatial: which spatial changes there are, one of them at random for each view; none if empty (table 3.5).
        num_frames: frames of a view.
        ratio: smallest and largest share of the sequence that a crop keeps; (0.1, 1) in 3.4.2.
        num_jittered: j, joints that a jitter moves.

    Raises:
        ValueError: an argument is out of its domain.
    """

    def __init__(
        self,
        preset: Preset = "published",
        temporal: bool = True,
        spatial: tuple[Spatial, ...] = ("pose", "jitter"),
        num_frames: int = 64,
        ratio: tuple[float, float] = (0.1, 1.0),
        num_jittered: int = 15,
    ) -> None:
        if preset not in ("published", "text"):
            raise ValueError(f"preset={preset!r} must be published or text")
        unknown = [name for name in spatial if name not in ("pose", "jitter")]
        if unknown or len(set(spatial)) < len(spatial):
            raise ValueError(f"spatial={list(spatial)} may hold pose and jitter, each once")
        if num_frames < 1:
            raise ValueError(f"num_frames={num_frames} must be at least 1")
        check_ratio(ratio)
        if not 1 <= num_jittered <= NUM_JOINTS:
            raise ValueError(f"num_jittered={num_jittered} must lie in 1..{NUM_JOINTS}")
        self.preset = preset
        self.temporal = temporal
        self.spatial = tuple(spatial)
        self.num_frames = num_frames
        self.ratio = (ratio[0], ratio[1])
        self.num_jittered = num_jittered
        self.min_frames = PUBLISHED_MIN_FRAMES if preset == "published" else 1

    def draw(self, num_views: int, generator: torch.Generator) -> SkeletonParameters:
        """Draw views.

        To get the same views on any number of processes, draw the global batch on each from the same seed and take a
        slice.

        Args:
            num_views: N.
            generator: source of randomness; the parameters are made on its device.

        Returns:
            The parameters, N rows.
        """
        # One draw for all numbers of a view: many small ones would take as long as making the views.
        noise = uniform((num_views, 22 + NUM_JOINTS), -1, 1, generator)
        shear = pose(noise[:, 4:13])
        matrix, moved = jitter(noise[:, 13:22], noise[:, 2] < 0, noise[:, 22:], self.num_jittered, self.preset)
        if len(self.spatial) == 2:
            sheared = noise[:, 3] < 0
        else:
            sheared = torch.full_like(noise[:, 3], "pose" in self.spatial, dtype=torch.bool)
        low, high = self.ratio if self.temporal else (1.0, 1.0)
        return SkeletonParameters(
            ratio=(low + high) / 2 + (high - low) / 2 * noise[:, 0],
            place=0.5 + 0.5 * noise[:, 1],
            matrix=torch.where(sheared[:, None, None], shear, matrix),
            moved=moved | sheared[:, None],
        )

    def __call__(self, skeleton: Tensor, num_frames: Tensor, parameters: SkeletonParameters) -> Tensor:
        """Make views: one of each sequence, or several.

        Args:
            skeleton: float32 (B, 3, T, V, M), metres.
            num_frames: int64 (B,), frames of each sequence before it repeats, 1..T.
            parameters: N = k B rows: the first B make a first view of all sequences, and so on.

        Returns:
            float32 (N, 3, num_frames, V, M); an absent actor's zeros stay zeros.
        """
        if not self.spatial:
            return crop_resize(skeleton, num_frames, parameters, self.num_frames, self.min_frames)
        start, length = place_crops(num_frames.to(skeleton.device), parameters, self.min_frames)
        rows, weights = weigh_frames(skeleton, start, length, self.num_frames)
        views = empty((len(start), 3, self.num_frames, *skeleton.shape[3:]), skeleton.dtype, skeleton.device)
        matrix = upload(parameters.matrix, skeleton.device)
        moved = parameters.moved.repeat_interleave(skeleton.shape[-1], dim=1).to(skeleton.dtype)
        moved = upload(moved, skeleton.device)
        at_once = CPU_VIEWS if skeleton.device.type == "cpu" else max(len(start), 1)  # what stays in the CPU's cache
        parts = (views, rows, weights, matrix, moved)
        for view, *frames, matrices, joints in zip(*(torch.split(part, at_once) for part in parts), strict=True):
            move_joints(sum_frames(skeleton, *frames), matrices, joints, out=view)
        return views


class SequenceCrop:
    """What downstream tasks are fed with: a random crop in training, the centre in evaluation (A.1, published code).

    Args:
        num_frames: frames of the result; None leaves sequences whole and as they are, repeated up to their array's end
            (2.4.3).
        ratio: smallest and largest share of a sequence that a training crop keeps; never under 64 frames.
        centre_ratio: share that the evaluation keeps.

    Raises:
        ValueError: an argument is out of its domain.
    """

    def __init__(
        self, num_frames: int | None = 64, ratio: tuple[float, float] = (0.5, 1.0), centre_ratio: float = 0.95
    ) -> None:
        if num_frames is not None and num_frames < 1:
            raise ValueError(f"num_frames={num_frames} must be at least 1")
        check_ratio(ratio)
        check_ratio((centre_ratio, 1.0))
        self.num_frames = num_frames
        self.ratio = (ratio[0], ratio[1])
        self.centre_ratio = centre_ratio

    def draw(self, num_views: int, generator: torch.Generator) -> CropParameters:
        """Draw a training crop of each sequence: N rows."""
        shape = (num_views,)
        return CropParameters(uniform(shape, *self.ratio, generator), uniform(shape, 0, 1, generator))

    def random(self, skeleton: Tensor, num_frames: Tensor, crops: CropParameters) -> Tensor:
        """Cut and resize sequences as drawn: float32 (B, 3, T, V, M) to float32 (B, 3, num_frames, V, M)."""
        if self.num_frames is None:
            return skeleton
        return crop_resize(skeleton, num_frames, crops, self.num_frames, PUBLISHED_MIN_FRAMES)

    def centre(self, skeleton: Tensor, num_frames: Tensor) -> Tensor:
        """Cut the same share off both ends: float32 (B, 3, T, V, M) to float32 (B, 3, num_frames, V, M)."""
        if self.num_frames is None:
            return skeleton
        num_frames = num_frames.to(skeleton.device)
        # in double, as the published code counts: 0.05 * 40 / 2 is one frame, not a little less
        start = ((1 - self.centre_ratio) * num_frames.double() / 2).long()
        return sum_frames(skeleton, *weigh_frames(skeleton, start, num_frames - 2 * start, self.num_frames))


def check_ratio(ratio: tuple[float, float]) -> None:
    """Check the limits of a crop's share of its sequence.

    Raises:
        ValueError: they do not rise within 0..1, or the lower one is 0.
    """
    if len(ratio) != 2 or not 0 < ratio[0] <= ratio[1] <= 1:
        raise ValueError(f"ratio={tuple(ratio)} must be two shares of a sequence, rising, above 0 and at most 1")


def pose(noise: Tensor) -> Tensor:
    """Shears of equation 3.1.

    Args:
        noise: float32 (N, 9), from U[-1, 1]; changed.

    Returns:
        float32 (N, 3, 3): ones on the diagonal, U[-1, 1] elsewhere.
    """
    matrix = noise.view(-1, 3, 3)
    matrix.diagonal(dim1=1, dim2=2).fill_(1)
    return matrix


def jitter(
    noise: Tensor, zeroed: Tensor, joint_noise: Tensor, num_jittered: int, preset: Preset
) -> tuple[Tensor, Tensor]:
    """Matrices and joints of equation 3.2.

    Args:
        noise: float32 (N, 9), from U[-1, 1]: the matrix.
        zeroed: bool (N,), half of them true: whether the matrix is zero (``published`` only).
        joint_noise: float32 (N, V), uniform: which joints.
        num_jittered: j, joints that are moved.
        preset: see `SkeletonAugmentation`.

    Returns:
        float32 (N, 3, 3), the matrix, and bool (N, V): j joints of each view.
    """
    matrix = noise.view(-1, 3, 3)
    matrix = matrix.masked_fill(zeroed[:, None, None], 0.0) if preset == "published" else 0.5 + 0.5 * matrix
    joints = joint_noise.topk(num_jittered, dim=1, sorted=False).indices
    return matrix, torch.zeros_like(joint_noise, dtype=torch.bool).scatter_(1, joints, True)


def crop_resize(skeleton: Tensor, num_frames: Tensor, crops: CropParameters, size: int, min_frames: int) -> Tensor:
    """Cut parts out of sequences and resize them (equation 3.3).

    Args:
        skeleton: float32 (B, 3, T, V, M).
        num_frames: int64 (B,), frames of each sequence before it repeats, 1..T.
        crops: N = k B rows: the first B cut all sequences once, and so on.
        size: frames of the result.
        min_frames: what a crop has at least, where the sequence has as many.

    Returns:
        float32 (N, 3, size, V, M).
    """
    start, length = place_crops(num_frames.to(skeleton.device), crops, min_frames)
    return sum_frames(skeleton, *weigh_frames(skeleton, start, length, size))


def place_crops(num_frames: Tensor, crops: CropParameters, min_frames: int) -> tuple[Tensor, Tensor]:
    """First frame and length of each crop, int64 (N,) both; the arguments are those of `crop_resize`."""
    num_frames = num_frames.repeat(len(crops) // max(len(num_frames), 1))
    length = (num_frames * upload(crops.ratio, num_frames.device)).long().clamp(min=min_frames).minimum(num_frames)
    possible = num_frames - length
    return (upload(crops.place, num_frames.device) * (possible + 1)).long().minimum(possible), length


def weigh_frames(skeleton: Tensor, start: Tensor, length: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Which two frames make each frame of a resized part, and how much of them.

    Linear, as ``torch.nn.functional.interpolate`` without aligned corners.

    Args:
        skeleton: float32 (B, 3, T, V, M).
        start: int64 (N,), N = k B, first frame of each part; the first B parts are of all sequences, and so on.
        length: int64 (N,), its frames, at least 1.
        size: frames of the result.

    Returns:
        Rows of the skeletons as (B * 3 * T, V * M), int32 (N, 3, size, 2), and their weights, float32 (N, 3, size, 2).
    """
    num_sequences, channels, total = skeleton.shape[:3]
    device = skeleton.device
    last = (length - 1).unsqueeze(1)
    ticks = torch.arange(size, device=device) + 0.5
    position = (ticks * (length / size).unsqueeze(1) - 0.5).clamp_(min=0)  # (N, size), in the part
    first = position.long()
    weight = position - first
    frames = torch.stack((first, (first + 1).minimum(last)), dim=-1) + start.view(-1, 1, 1)  # (N, size, 2)
    sequences = torch.arange(len(start), device=device) % num_sequences
    planes = (sequences.unsqueeze(1) * channels + torch.arange(channels, device=device)) * total  # (N, 3)
    weights = torch.stack((1 - weight, weight), dim=-1).unsqueeze(1)
    rows = frames.int().unsqueeze(1) + planes.int()[:, :, None, None]
    return rows, weights.expand(-1, channels, -1, -1).contiguous()


def sum_frames(skeleton: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums of two frames each, in one pass over those that are needed; see `weigh_frames`.

    Returns:
        float32 (N, 3, size, V, M).
    """
    num_views, channels, size, _ = rows.shape
    frames = skeleton.reshape(-1, math.prod(skeleton.shape[3:]))
    sums = functional.embedding_bag(rows.view(-1, 2), frames, mode="sum", per_sample_weights=weights.view(-1, 2))
    return sums.view(num_views, channels, size, *skeleton.shape[3:])


def move_joints(skeleton: Tensor, matrix: Tensor, moved: Tensor, out: Tensor) -> None:
    """Multiply the coordinates of some joints, as rows, with a matrix (equations 3.1 and 3.2).

    Args:
        skeleton: float32 (N, 3, T, V, M).
        matrix: float32 (N, 3, 3).
        moved: float32 (N, V * M), 1 for the joints of each actor that are multiplied, 0 for those that stay.
        out: float32 (N, 3, T, V, M), where the result goes.
    """
    with torch.autocast(skeleton.device.type, enabled=False):  # coordinates keep their precision
        torch.bmm(matrix.mT, skeleton.flatten(2), out=out.flatten(2))
    # Weights of 0 and 1 over long rows: faster than choosing number by number, and as exact.
    torch.lerp(skeleton.flatten(3), out.flatten(3), moved[:, None, None], out=out.flatten(3))
