"""Temporal contrast, the baseline of tubelet contrast (thesis 5.3.1)."""

from typing import Literal

import torch
from torch import Tensor

from lightning_modules.losses.gather import world
from lightning_modules.momentum_contrast import MomentumContrast
from lightning_modules.networks.video_network import VideoNetwork
from lightning_modules.views.clip import ClipAugmentation, flip, recolour_


class TemporalContrast(MomentumContrast):
    """Momentum contrast between two temporal crops of one video (He et al. 2020, arXiv:1911.05722).

    Batch: ``ClipBatch`` with two clips of each video (``data.num_clips: 2``), each at a place, stride and crop of
    its own.

    Args:
        network: what learns; R(2+1)D-18 in the thesis.
        weights: start from these weights (a path or a catalogue name) instead of from scratch.
        augmentation: flips and colours, drawn for each clip on its own by default.
        projection_dim: length of query and key (5.4.1).
        head_batch_norm: batch norm in the projection head's hidden layer.
        temperature: tau of equation 5.1.
        key_momentum: share of itself that the key encoder keeps at each step.
        queue_size: negatives kept: 16,384 for Mini-Kinetics, 65,536 for Kinetics (5.4.1).
        in_batch_negatives: also contrast with the other keys of the global batch.
        shuffle_keys: shuffle the keys over devices and normalisation groups, as published.
        optimizer: ``sgd`` (momentum 0.9, the thesis') or ``adamw``.
        learning_rate: at the global batch size of the config; never rescaled.
        weight_decay: of all parameters, as published.
        warmup_steps: optimizer steps of linear growth before the cosine decay.
        channels_last: store activations channels-last, faster on GPUs with tensor cores.
        compile: compile the network's training steps.
        seed: of augmentation and shuffling.
    """

    def __init__(
        self,
        network: VideoNetwork,
        weights: str | None = None,
        augmentation: ClipAugmentation | None = None,
        projection_dim: int = 128,
        head_batch_norm: bool = False,
        temperature: float = 0.2,
        key_momentum: float = 0.999,
        queue_size: int = 16384,
        in_batch_negatives: bool = False,
        shuffle_keys: bool = True,
        optimizer: Literal["sgd", "adamw"] = "sgd",
        learning_rate: float = 0.01,
        weight_decay: float = 1e-4,
        warmup_steps: int = 0,
        channels_last: bool = False,
        compile: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(
            network,
            weights=weights,
            projection_dim=projection_dim,
            head_batch_norm=head_batch_norm,
            temperature=temperature,
            key_momentum=key_momentum,
            queue_size=queue_size,
            in_batch_negatives=in_batch_negatives,
            shuffle_keys=shuffle_keys,
            optimizer=optimizer,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            warmup_steps=warmup_steps,
            channels_last=channels_last,
            compile=compile,
            seed=seed,
        )
        self.augmentation = augmentation or ClipAugmentation(colour="independent")

    def views(self, clip: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Take two clips of each video.

        Args:
            clip: uint8 (B, N, T, H, W, 3), N at least 2; the first and the last of them are used.
            generator: the same on every rank.

        Returns:
            Query and key clips, uint8 (B, T, H, W, 3) each.

        Raises:
            ValueError: there is one clip of each video only.
        """
        if clip.shape[1] < 2:
            raise ValueError("temporal contrast needs two clips of each video: set data.num_clips (eval_clips) to 2")
        rank, size = world()
        videos = len(clip)
        share = slice(rank * videos, (rank + 1) * videos)
        colours = self.augmentation.draw_colours(videos * size, generator)
        query, key = (
            recolour_(flip(view, self.augmentation.draw_flips(videos * size, generator)[share]), colour[share])
            for view, colour in zip((clip[:, 0], clip[:, -1]), colours, strict=True)
        )
        return query, key
