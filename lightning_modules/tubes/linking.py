"""From boxes in frames to tubes through videos: the best paths, as Gkioxari and Malik 2015 (arXiv:1411.6031) link them.

All videos and classes go through the frames at once, in portions of videos of like lengths.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from lightning_modules.metrics.frame_map import box_overlap
from lightning_modules.tubes.detections import FrameDetections, Tubes

# Bounds the memory of the scores between the boxes of neighbouring frames.
_PAIRS_AT_ONCE = 2**22


def link(
    detections: FrameDetections,
    num_frames: Tensor,
    num_classes: int,
    max_tubes: int = 3,
    nms_overlap: float = 0.3,
    trim: float | None = None,
    trim_penalty: float = 1.0,
) -> Tubes:
    """Link the detections of each class in each video.

    A tube takes one box a frame. Two boxes of neighbouring frames give their overlap, both scores and half their
    product; the path of the highest sum becomes a tube, its boxes are taken away, and so on until a frame has none left
    or there are ``max_tubes``. A frame without a detection borrows those of the nearest frame that has some. The score
    of a tube is the mean of its boxes'. Of tubes of one class that overlap more than ``nms_overlap`` the surer one
    stays. So wei-tim/YOWO (``core/eval_results.py``), whose tubes last as long as their videos.

    With ``trim`` a tube is cut to the times of its action, found as Saha et al. 2016 (arXiv:1608.01529) do, by the best
    sequence of two states: a frame in the action gives its score less ``trim`` of the tube's highest (borrowed boxes
    score 0), one outside gives nothing, and each change between them costs ``trim_penalty`` times that highest score.

    Args:
        detections: of frames.
        num_frames: int64 (V,), of each video, by its row; 0 where a video is not there.
        num_classes: C.
        max_tubes: of a class in a video.
        nms_overlap: see above.
        trim: see above; tubes are left whole when None.
        trim_penalty: see above.

    Returns:
        The tubes, those of one class in one video after each other.
    """
    parts = [_nothing(detections)]
    for group, boxes, scores, there, lengths in _portions(detections, num_frames, num_classes):
        boxes, scores, there, seen = _borrow(boxes, scores, there)
        path, found = _best_paths(boxes, scores, there, lengths, max_tubes)
        group_row = torch.arange(len(path), device=path.device)[:, None, None]
        index = group_row, torch.arange(path.shape[2], device=path.device), path
        box, score = boxes[index], scores[index]  # (G, K, F, 4) and (G, K, F)
        inside = torch.arange(scores.shape[1], device=lengths.device) < lengths[:, None]
        mean = (score * inside[:, None]).sum(2) / lengths[:, None]
        found = _suppress(box, mean, found, inside, nms_overlap)
        row, number = found.nonzero(as_tuple=True)
        box, score, inside, seen = box[row, number], score[row, number], inside[row], seen[row]
        if trim is not None:
            inside = _in_action(torch.where(seen, score, 0), inside, trim, trim_penalty)
        parts.append(_tubes(group[row], num_classes, box, score, inside))
    offsets = torch.tensor([0, *(len(part) for part in parts[:-1])]).cumsum(0).tolist()
    return Tubes(
        torch.cat([part.video for part in parts]),
        torch.cat([part.label for part in parts]),
        torch.cat([part.score for part in parts]),
        torch.cat([part.tube + offset for part, offset in zip(parts, offsets, strict=True)]),
        torch.cat([part.frame for part in parts]),
        torch.cat([part.box for part in parts]),
    )


def _nothing(detections: FrameDetections) -> Tubes:
    none, box = detections.video[:0], detections.box[:0]
    return Tubes(none, none, detections.score[:0], none, none, box)


def _portions(
    detections: FrameDetections, num_frames: Tensor, num_classes: int
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor, Tensor]]:
    """Detections as dense tables: G pairs of a video and a class, F frames, M boxes.

    Yields:
        int64 (G,), video * C + class; boxes (G, F, M, 4) and scores (G, F, M), the surest first; bool (G, F, M), which
        there are; and int64 (G,), frames of the video.
    """
    order = detections.score.argsort(descending=True, stable=True)
    order = order[detections.frame[order].argsort(stable=True)]
    key = detections.video * num_classes + detections.label
    order = order[key[order].argsort(stable=True)]
    rows = detections[order]
    groups, group = torch.unique_consecutive(key[order], return_inverse=True)
    lengths = num_frames[groups // num_classes]
    place = group * (int(lengths.max()) if len(lengths) else 1) + rows.frame
    counts = torch.unique_consecutive(place, return_counts=True)[1]
    rank = torch.arange(len(place), device=place.device) - (counts.cumsum(0) - counts).repeat_interleave(counts)
    first = torch.searchsorted(group, torch.arange(len(groups) + 1, device=group.device))
    most = torch.zeros_like(groups).scatter_reduce_(0, group, rank + 1, "amax").tolist()
    frames_of, starts = lengths.tolist(), first.tolist()
    # The longest come first, so that they tell the size of a portion.
    waiting = sorted(range(len(groups)), key=frames_of.__getitem__)
    while waiting:
        frames = frames_of[waiting[-1]]
        chosen: list[int] = []
        boxes = 1
        while waiting:
            wider = max(boxes, most[waiting[-1]])
            if chosen and (len(chosen) + 1) * frames * wider**2 > _PAIRS_AT_ONCE:
                break
            boxes = wider
            chosen.append(waiting.pop())
        size = len(chosen)
        numbers = torch.tensor(chosen, device=key.device)
        picked = torch.cat([torch.arange(starts[number], starts[number + 1]) for number in chosen]).to(key.device)
        local = torch.arange(size, device=key.device).repeat_interleave(first[numbers + 1] - first[numbers])
        index = local, rows.frame[picked], rank[picked]
        shape = (size, frames, boxes)
        box = rows.box.new_zeros((*shape, 4))
        score = rows.score.new_zeros(shape)
        there = torch.zeros(shape, dtype=torch.bool, device=key.device)
        box[index], score[index], there[index] = rows.box[picked], rows.score[picked], True
        yield groups[numbers], box, score, there, lengths[numbers]


def _borrow(boxes: Tensor, scores: Tensor, there: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Give frames without a box those of the nearest frame, of equally near ones the earlier.

    Returns:
        Boxes, scores and which there are, as given; and bool (G, F), frames that have boxes of their own.
    """
    seen = there.any(2)
    frames = seen.shape[1]
    frame = torch.arange(frames, device=seen.device).expand_as(seen)
    before = torch.where(seen, frame, -2 * frames).cummax(1).values
    after = torch.where(seen, frame, 3 * frames).flip(1).cummin(1).values.flip(1)
    source = torch.where(frame - before <= after - frame, before, after)
    row = torch.arange(len(seen), device=seen.device)[:, None]
    return boxes[row, source], scores[row, source], there[row, source], seen


def _best_paths(boxes: Tensor, scores: Tensor, there: Tensor, lengths: Tensor, max_tubes: int) -> tuple[Tensor, Tensor]:
    """Paths of the highest sums, one after the other.

    Returns:
        int64 (G, K, F), the box that each path takes in each frame; bool (G, K), which paths there are.
    """
    first, second = boxes[:, :-1, :, None], boxes[:, 1:, None]
    one, two = scores[:, :-1, :, None], scores[:, 1:, None]
    edge = box_overlap(first, second) + one + two + one * two / 2
    frames = scores.shape[1]
    free = there.clone()
    going_on = torch.arange(frames, device=lengths.device) < lengths[:, None]
    paths, found = [], []
    for _ in range(max_tubes):
        complete = (free.any(2) | ~going_on).all(1)
        if not complete.any():
            break
        best = torch.zeros_like(scores[:, 0])
        choices = torch.zeros(scores.shape, dtype=torch.long, device=scores.device)
        for frame in range(frames - 2, -1, -1):
            sums = (edge[:, frame] + best[:, None]).masked_fill(~free[:, frame + 1, None], -torch.inf)
            value, choice = sums.max(2)
            goes_on = going_on[:, frame + 1, None]
            best = torch.where(goes_on, value, 0)
            choices[:, frame] = torch.where(goes_on, choice, 0)
        at = best.masked_fill(~free[:, 0], -torch.inf).argmax(1)
        path = [at]
        for frame in range(frames - 1):
            at = choices[:, frame].gather(1, at[:, None])[:, 0]
            path.append(at)
        paths.append(torch.stack(path, 1))
        found.append(complete)
        free.scatter_(2, paths[-1][..., None], False)
    return torch.stack(paths, 1), torch.stack(found, 1)


def _suppress(box: Tensor, score: Tensor, found: Tensor, inside: Tensor, nms_overlap: float) -> Tensor:
    """Leave out tubes that a surer one of their group overlaps; all have the frames of their video.

    Args:
        box: float32 (G, K, F, 4).
        score: float32 (G, K).
        found: bool (G, K), which there are.
        inside: bool (G, F), frames that the video has.
        nms_overlap: most overlap, the mean over the frames.

    Returns:
        bool (G, K), which stay.
    """
    overlap = box_overlap(box[:, :, None], box[:, None]).masked_fill(~inside[:, None, None], 0).sum(3)
    close = overlap > nms_overlap * inside.sum(1)[:, None, None]
    order = score.masked_fill(~found, -torch.inf).argsort(dim=1, descending=True, stable=True)
    kept = found.clone()
    row = torch.arange(len(box), device=box.device)
    for place in range(order.shape[1]):
        surer = order[:, place]
        struck = close[row, surer] & kept[row, surer, None]
        later = torch.ones_like(kept).scatter_(1, order[:, : place + 1], False)
        kept &= ~(struck & later)
    return kept


def _in_action(score: Tensor, inside: Tensor, trim: float, penalty: float) -> Tensor:
    """Frames of the best sequence of two states, in the action and outside of it; see `link`.

    Args:
        score: float32 (N, F).
        inside: bool (N, F), frames that the video has.
        trim: see `link`.
        penalty: see `link`.

    Returns:
        bool (N, F), in the action.
    """
    highest = score.masked_fill(~inside, 0).amax(1).clamp(min=torch.finfo(score.dtype).tiny)
    gain = (score / highest[:, None] - trim).masked_fill(~inside, 0)
    # The best sums that end outside and in the action, and where each came from.
    sums = torch.stack([torch.zeros_like(gain[:, 0]), gain[:, 0]], 1)
    stays = []
    for frame in range(1, gain.shape[1]):
        changed = sums.flip(1) - penalty
        stays.append(sums >= changed)
        sums = torch.maximum(sums, changed)
        sums[:, 1] += gain[:, frame]
    state = sums.argmax(1)
    states = [state]
    for stay in reversed(stays):
        state = torch.where(stay.gather(1, state[:, None])[:, 0], state, 1 - state)
        states.append(state)
    return torch.stack(states[::-1], 1).bool() & inside


def _tubes(group: Tensor, num_classes: int, box: Tensor, score: Tensor, inside: Tensor) -> Tubes:
    """Runs of frames as tubes.

    Args:
        group: int64 (N,), video * C + class.
        num_classes: C.
        box: float32 (N, F, 4).
        score: float32 (N, F).
        inside: bool (N, F), the frames; each run of them becomes a tube.
    """
    starts = inside.clone()
    starts[:, 1:] &= ~inside[:, :-1]
    number = (starts.flatten().cumsum(0) - 1)[inside.flatten()]
    row, frame = inside.nonzero(as_tuple=True)
    owner = starts.nonzero()[:, 0]
    total = score.new_zeros(len(owner)).index_add_(0, number, score[inside])
    mean = total / torch.bincount(number, minlength=len(owner))
    key = group[owner]
    return Tubes(key // num_classes, key % num_classes, mean, number, frame, box[row, frame])
