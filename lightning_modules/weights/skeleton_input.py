"""What a skeleton network takes."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lightning_modules.networks.skeleton_network import NUM_ACTORS, NUM_JOINTS
from lightning_modules.views.skeleton import SequenceCrop


@dataclass(frozen=True)
class SkeletonInput:
    """Cuts the centre out of sequences and resizes it, as evaluation does (A.1).

    Args:
        num_frames: Of the result.

    Raises:
        ValueError: ``num_frames`` is below 1.
    """

    num_frames: int

    def __post_init__(self) -> None:
        """Check the number of frames."""
        SequenceCrop(self.num_frames)

    @property
    def modality(self) -> str:
        """What is prepared."""
        return "skeleton"

    @property
    def layout(self) -> str:
        """Axes of what the network takes, in metres."""
        return "(B, 3, T, V, M)"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one prepared sequence: (3, T, V, M)."""
        return (3, self.num_frames, NUM_JOINTS, NUM_ACTORS)

    def __call__(self, skeleton: Tensor) -> Tensor:
        """Prepare one sequence or a batch of sequences of one length.

        Args:
            skeleton: float (3, T, V, M) or (B, 3, T, V, M), metres.

        Returns:
            float32 (B, 3, num_frames, V, M); B is 1 for one sequence.

        Raises:
            ValueError: ``skeleton`` has another shape or dtype.
        """
        batch = skeleton if skeleton.ndim == 5 else skeleton[None]
        if batch.ndim != 5 or batch.shape[1] != 3 or not batch.shape[2] or batch.shape[3:] != self.shape[2:]:
            raise ValueError(
                f"expected sequences (3, T, {NUM_JOINTS}, {NUM_ACTORS}) or (B, 3, T, {NUM_JOINTS}, {NUM_ACTORS}) in "
                f"metres, got {tuple(skeleton.shape)}"
            )
        lengths = torch.full((len(batch),), batch.shape[2], device=batch.device)
        return SequenceCrop(self.num_frames).centre(batch.float(), lengths)


def input_of(crop: SequenceCrop | None) -> SkeletonInput | dict[str, Any]:
    """What evaluation feeds a network with after a crop, for a header; empty where sequences stay whole."""
    return {} if crop is None or crop.num_frames is None else SkeletonInput(crop.num_frames)
