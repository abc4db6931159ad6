"""Mean average precision of tubes, as Gkioxari and Malik 2015 (arXiv:1411.6031) and Köpüklü et al. 2019 measure it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_modules.metrics.frame_map import box_overlap
from lightning_modules.metrics.matching import average_precision, match_greedily, pairs_in_groups, ranks
from lightning_modules.tubes.detections import Tubes


def tube_overlaps(first: Tubes, second: Tubes) -> tuple[Tensor, Tensor, Tensor]:
    """Overlaps of tubes of the same class in the same video that have a frame in common.

    The overlap of two tubes is that of their boxes, as a mean over the frames that they have in common, times that of
    their times, the frames in common over the frames of either.

    Args:
        first: N tubes.
        second: M tubes.

    Returns:
        For each of P pairs the tube of the first and that of the second, int64 (P,), and their overlap, float64 (P,).
    """
    columns = [torch.stack((tubes.video, tubes.label), 1) for tubes in (first, second)]
    key = torch.unique(torch.cat(columns), dim=0, return_inverse=True)[1]
    keys = key[: len(first)], key[len(first) :]
    frames = 1 + max(int(tubes.frame.max()) if len(tubes.frame) else 0 for tubes in (first, second))
    rows = torch.isin(keys[0], keys[1])[first.tube].nonzero()[:, 0]
    places = keys[0][first.tube[rows]] * frames + first.frame[rows], keys[1][second.tube] * frames + second.frame
    pairs, tables = [rows[:0]], [first.box.new_zeros((2, 0)).double()]
    for one, two in pairs_in_groups(*places):
        common = box_overlap(first.box[rows[one]].double(), second.box[two].double())
        pair, place = torch.unique(first.tube[rows[one]] * len(second) + second.tube[two], return_inverse=True)
        both = torch.stack([common, torch.ones_like(common)])
        tables.append(common.new_zeros((2, len(pair))).index_add_(1, place, both))
        pairs.append(pair)
    # The frames of a pair may lie in several portions.
    pair, place = torch.unique(torch.cat(pairs), return_inverse=True)
    table = torch.cat(tables, 1)
    overlap, count = table.new_zeros((2, len(pair))).index_add_(1, place, table)
    one, two = pair // max(len(second), 1), pair % max(len(second), 1)
    lengths = [torch.bincount(tubes.tube, minlength=len(tubes)) for tubes in (first, second)]
    return one, two, overlap / (lengths[0][one] + lengths[1][two] - count)


def video_average_precision(found: Tubes, truth: Tubes, num_classes: int, thresholds: Sequence[float]) -> Tensor:
    """Average precision of each class over all videos, at each threshold.

    Of all tubes of a class the surest goes first and takes the annotated tube of its class in its video that it
    overlaps most and no surer one has taken, if they overlap at least as much as the threshold; the precision is
    interpolated (the highest at a recall or a higher one). So wei-tim/YOWO (``core/eval_results.py``); boxes end at
    their edges here, there a pixel later.

    Args:
        found: detected tubes; of equal scores the earlier is the surer.
        truth: annotated tubes.
        num_classes: C.
        thresholds: overlaps, above 0.

    Returns:
        float64 (thresholds, C), NaN for a class without an annotated tube.
    """
    rank = ranks(found.score)
    one, two, overlap = tube_overlaps(found, truth)
    per_class = torch.bincount(truth.label, minlength=num_classes)
    rows = []
    for threshold in thresholds:
        enough = overlap >= threshold
        right = match_greedily(one[enough], two[enough], overlap[enough], rank, len(truth))
        precision = average_precision(found.label, rank, right, right, per_class, "standard")
        rows.append(torch.where(per_class > 0, precision, torch.nan))
    return torch.stack(rows)
