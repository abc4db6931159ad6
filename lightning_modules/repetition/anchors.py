"""Anchors on the length of a cycle: what is learnt of them, and the length that they tell."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from lightning_modules.networks.cycle_head import CycleJudgement

ANCHORS = (0.5, 0.67, 0.8, 1.0, 1.25, 1.5, 2.0)
"""Multiples of the estimated length (opts.py of Xiaodomgdomg/Deep-Temporal-Repetition-Counting)."""

POSITIVE_OVERLAP = 0.5
"""Shorter by longer length from which on an anchor fits (opts.py)."""


class AnchorTargets(NamedTuple):
    """What is to be said of A anchors on both sides of K contexts.

    Attributes:
        known: bool (K, 2), whether the true length is.
        fits: bool (K, 2, A), whether it is about the anchor's.
        offset: float32 (K, 2, A), logarithm of how many times the anchor's; means nothing where unknown.
    """

    known: Tensor
    fits: Tensor
    offset: Tensor


def assign(true: Tensor, estimate: Tensor, anchors: Tensor) -> AnchorTargets:
    """Hold true lengths, float32 (K, 2), 0 where unknown, against anchors (A,) times estimated ones (K, 2)."""
    known = true > 0
    offset = (true.clamp(min=1) / estimate)[..., None].log() - anchors.log()
    fits = known[..., None] & (offset.abs() <= -torch.tensor(POSITIVE_OVERLAP).log())
    return AnchorTargets(known, fits, offset)


def losses(judged: CycleJudgement, targets: AnchorTargets) -> tuple[Tensor, Tensor]:
    """Loss of whether anchors fit, and of the offsets of those that do; each the sum of both sides' means.

    The first is a mean over anchors whose truth is known, the second over all: an anchor that does not fit adds 0.
    """
    known = targets.known[..., None].expand_as(judged.logit)
    binary = functional.binary_cross_entropy_with_logits(judged.logit, targets.fits.float(), reduction="none")
    offset = functional.smooth_l1_loss(judged.offset, targets.offset, reduction="none")
    fit = torch.where(known, binary, 0).sum() / known.sum().clamp(min=1)
    regression = torch.where(targets.fits, offset, 0).sum() / targets.fits.numel()
    return 2 * fit, 2 * regression


def best_factor(judged: CycleJudgement, anchors: Tensor, max_offset: float) -> Tensor:
    """What estimates are to be multiplied with, by the anchor that fits best: float32 (K, 2).

    Args:
        judged: of A anchors.
        anchors: float32 (A,).
        max_offset: bound of offsets, in both directions.
    """
    best = judged.logit.argmax(2, keepdim=True)
    offset = judged.offset.gather(2, best)[..., 0]
    return anchors[best[..., 0]] * offset.clamp(-max_offset, max_offset).exp()


def unit_factor(judged: CycleJudgement, anchors: Tensor, max_offset: float) -> tuple[Tensor, Tensor]:
    """How well estimates fit as they are, and what to multiply them with: float32 (K,) each, means of both sides."""
    unit = int((anchors - 1).abs().argmin())
    offset = judged.offset[..., unit].clamp(-max_offset, max_offset).mean(1)
    return judged.logit[..., unit].sigmoid().mean(1), anchors[unit] * offset.exp()
