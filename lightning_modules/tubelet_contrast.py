"""Tubelet contrast (thesis chapter 5; Thoker, Doughty, Snoek, ICCV 2023, arXiv:2303.11003)."""

from typing import Literal

import torch
from torch import Tensor

from lightning_modules.losses.gather import world
from lightning_modules.momentum_contrast import MomentumContrast
from lightning_modules.networks.video_network import VideoNetwork
from lightning_modules.views.clip import ClipAugmentation, flip, recolour_
from lightning_modules.views.memory import upload
from lightning_modules.views.pairing import swap_neighbours
from lightning_modules.views.tubelets import TubeletParameters, Tubelets


class TubeletContrast(MomentumContrast):
    """Momentum contrast between clips of two different videos that share nothing but moving patches (equation 5.4).

    Batch: ``ClipBatch`` with one clip of each video. Patches cropped from clip 1 are pasted on clip 1 and on clip 2
    along the same path; the network can only pair them by the motion.

    Args:
        network: what learns; R(2+1)D-18 in the thesis.
        weights: start from these weights (a path or a catalogue name) instead of from scratch.
        tubelets: how patches look, move and change; the published preset by default.
        augmentation: flips and colours of the clips.
        pairing: ``derangement`` uses each clip once as clip 1 and once as clip 2 of its neighbour's pair: B pairs from
            B decoded videos. ``independent`` is the literal form: each clip in one pair only, B / 2 pairs.
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
        seed: of tubelets, augmentation and shuffling.
    """

    def __init__(
        self,
        network: VideoNetwork,
        weights: str | None = None,
        tubelets: Tubelets | None = None,
        augmentation: ClipAugmentation | None = None,
        pairing: Literal["derangement", "independent"] = "derangement",
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
        self.tubelets = tubelets or Tubelets()
        self.augmentation = augmentation or ClipAugmentation()
        self.pairing = pairing

    def views(self, clip: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Paste the same tubelets on clips of two videos.

        Args:
            clip: uint8 (B, N, T, H, W, 3); the first of the N clips is used.
            generator: the same on every rank.

        Returns:
            Query and key clips, uint8 (P, T, H, W, 3) each; P = B, or B / 2 with independent pairs.
        """
        return self.pairs(clip, generator)[:2]

    def pairs(self, clip: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, TubeletParameters]:
        """The two views, and the tubelets that were pasted."""
        rank, size = world()
        clip = clip[:, 0]
        share = slice(rank * len(clip), (rank + 1) * len(clip))
        clip = flip(clip, self.augmentation.draw_flips(len(clip) * size, generator)[share])
        if self.pairing == "derangement":
            source, target = clip, clip[upload(swap_neighbours(len(clip)), clip.device)]
        else:
            source, target = clip[0 : len(clip) // 2 * 2 : 2], clip[1::2]
        pairs, num_frames, height, width, _ = source.shape
        share = slice(rank * pairs, (rank + 1) * pairs)
        tubelets = self.tubelets.draw(pairs * size, num_frames, height, width, generator)[share]
        colours = self.augmentation.draw_colours(pairs * size, generator)
        views = self.tubelets.paste(source, target, tubelets)
        query, key = (recolour_(view, colour[share]) for view, colour in zip(views, colours, strict=True))
        return query, key, tubelets
