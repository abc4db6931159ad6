"""Losses of YOLOv2's anchors with the choices of Köpüklü et al. 2019 (arXiv:1911.06644)."""

import torch
from torch import Tensor
from torch.nn import functional

from lightning_modules.metrics.frame_map import box_overlap
from lightning_modules.tubes.anchors import Predictions, shape_overlap


def region_losses(
    found: Predictions,
    boxes: Tensor,
    owner: Tensor,
    label: Tensor,
    anchors: Tensor,
    box_weight: float,
    object_weight: float,
    ignore_overlap: float,
    focal_gamma: float,
) -> dict[str, Tensor]:
    """Losses of predictions, each a sum over boxes or anchors divided by the number of key frames.

    A box is learnt by the anchor of its cell whose shape is nearest; of several boxes there the last counts. Half the
    smooth L1 distance to the box's place and size, ``box_weight``-fold; half the squared distance of the objectness to
    the overlap with the box, ``object_weight``-fold; for all other anchors half its square, except for those whose
    prediction overlaps a box more than ``ignore_overlap``; and the focal loss of the class. So wei-tim/YOWO
    (``core/region_loss.py``), whose sums are over the batch.

    Args:
        found: of K key frames.
        boxes: float32 (S, 4), left, top, right and bottom as shares of the picture.
        owner: int64 (S,), key frame of each box.
        label: int64 (S,), its class from 0.
        anchors: float32 (A, 2), widths and heights as shares of the picture.
        box_weight: of places and sizes.
        object_weight: of the objectness of anchors that learn a box.
        ignore_overlap: see above.
        focal_gamma: exponent of the focal loss; 0 is cross-entropy.

    Returns:
        float32 scalars ``box_loss``, ``object_loss`` and ``class_loss``.
    """
    count, _, height, width = found.object.shape
    size = boxes[:, 2:] - boxes[:, :2]
    place = (boxes[:, :2] + boxes[:, 2:]) / 2 * boxes.new_tensor((width, height))
    cell = place.long().clamp(min=0).minimum(owner.new_tensor((width - 1, height - 1)))
    anchor = shape_overlap(size, anchors).argmax(1)
    index = ((owner * len(anchors) + anchor) * height + cell[:, 1]) * width + cell[:, 0]
    latest = torch.full((found.object.numel(),), -1, device=owner.device)
    latest.scatter_reduce_(0, index, torch.arange(len(index), device=owner.device), "amax")
    chosen = latest[latest >= 0]
    index = index[chosen]

    offset = found.offset.flatten(0, 3)[index]
    target = torch.cat([place - cell, (size.clamp(min=1e-6) / anchors[anchor]).log()], 1)[chosen]
    box_loss = box_weight * functional.smooth_l1_loss(offset, target, reduction="sum") / 2

    with torch.no_grad():
        overlap = box_overlap(found.box.flatten(0, 3)[index], boxes[chosen])
        weight = (most_overlapped(found.box, boxes, owner) <= ignore_overlap).float().flatten()
        weight[index] = object_weight
        fit = torch.zeros_like(weight)
        fit[index] = overlap
    object_loss = (weight * (found.object.flatten() - fit).square()).sum() / 2

    log_probability = found.logits.flatten(0, 3)[index].log_softmax(1).gather(1, label[chosen, None])[:, 0]
    class_loss = -((1 - log_probability.exp()) ** focal_gamma * log_probability).sum()
    losses = {"box_loss": box_loss, "object_loss": object_loss, "class_loss": class_loss}
    return {name: value / count for name, value in losses.items()}


def most_overlapped(predicted: Tensor, boxes: Tensor, owner: Tensor) -> Tensor:
    """Overlap of each predicted box with the box of its key frame that it overlaps most; 0 where there is none.

    Args:
        predicted: float32 (K, A, H, W, 4).
        boxes: float32 (S, 4).
        owner: int64 (S,), key frame of each box.

    Returns:
        float32 (K, A, H, W).
    """
    common = box_overlap(predicted[owner], boxes[:, None, None, None]).flatten(1)
    most = predicted.new_zeros(predicted.shape[:-1])
    most.view(len(most), -1).scatter_reduce_(0, owner[:, None].expand_as(common), common, "amax")
    return most
