"""Speed of frame mAP on boxes of AVA's size against a slow direct version.

As many as AVA 2.2's validation set has: 57,000 given boxes with 80 scores each, 58,000 annotated ones with 155,000
classes, in 55,000 keyframes. The direct version goes box by box in plain Python and takes some of the keyframes
(``--direct``); both agree there, which is checked. On one thread.

    python -m benchmarks.frame_map
    python -m benchmarks.frame_map --device cuda
"""

import argparse
import time

import numpy as np
import torch

from benchmarks.record import record
from lightning_modules.metrics.frame_map import Boxes, FrameMAP, ScoredBoxes

KEYFRAMES, GIVEN, ANNOTATED, LABELS, CLASSES = 55_000, 57_000, 58_000, 155_000, 80


def draw() -> tuple[ScoredBoxes, Boxes]:
    """Draw annotated boxes with one to several classes, and given ones near them."""
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 0.6, (ANNOTATED, 2))
    box = np.concatenate((low, low + rng.uniform(0.1, 0.4, (ANNOTATED, 2))), 1)
    frame = rng.integers(KEYFRAMES, size=ANNOTATED)
    near = rng.integers(ANNOTATED, size=GIVEN)
    given = ScoredBoxes(
        torch.from_numpy(frame[near]),
        torch.from_numpy(box[near] + rng.normal(0, 0.03, (GIVEN, 4))).float(),
        torch.from_numpy(rng.random((GIVEN, CLASSES))).float(),
    )
    owner = np.concatenate((np.arange(ANNOTATED), rng.integers(ANNOTATED, size=LABELS - ANNOTATED)))
    label = (CLASSES * rng.random(LABELS) ** 3).astype(np.int64)  # a long tail
    truth = Boxes(*(torch.from_numpy(column) for column in (frame[owner], label)), torch.from_numpy(box[owner]).float())
    return given, truth


def direct_map(given: ScoredBoxes, truth: Boxes) -> float:
    """Box by box, class by class."""
    own: dict[tuple[int, int], list[list[float]]] = {}
    per_class = [0] * CLASSES
    columns: tuple[torch.Tensor, ...] = (truth.frame, truth.label, truth.box)
    for frame, label, box in zip(*(column.tolist() for column in columns), strict=True):
        own.setdefault((frame, label), []).append(box)
        per_class[label] += 1
    frames, boxes, scores = given.frame.tolist(), given.box.tolist(), given.score.T.tolist()
    precisions = []
    for label in range(CLASSES):
        if not per_class[label]:
            continue
        taken: set[tuple[int, int]] = set()
        right = []
        for row in sorted(range(len(frames)), key=lambda row, own_scores=scores[label]: -own_scores[row]):
            best, most = -1, 0.0
            for number, other in enumerate(own.get((frames[row], label), [])):
                common = max(0.0, min(boxes[row][2], other[2]) - max(boxes[row][0], other[0]))
                common *= max(0.0, min(boxes[row][3], other[3]) - max(boxes[row][1], other[1]))
                area = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (boxes[row], other))
                if common / (area - common) > most:
                    best, most = number, common / (area - common)
            right.append(most >= 0.5 and (frames[row], best) not in taken)
            if most >= 0.5:
                taken.add((frames[row], best))
        curve = np.maximum.accumulate((np.cumsum(right) / np.arange(1, len(right) + 1))[::-1])[::-1]
        precisions.append(curve[np.array(right, bool)].sum() / per_class[label])
    return float(np.mean(precisions))


def measured(given: ScoredBoxes, truth: Boxes, device: str) -> tuple[float, float]:
    """Frame mAP, and the seconds that it takes at the end of an epoch."""
    metric = FrameMAP(CLASSES).to(device)
    frames, row = torch.unique(torch.cat((given.frame, truth.frame)), return_inverse=True)
    metric.update(
        frames.to(device),
        row[: len(given)].to(device),
        given.box.to(device),
        given.score.to(device),
        row[len(given) :].to(device),
        truth.box.to(device),
        truth.label.to(device),
    )
    start = time.perf_counter()
    result = float(metric.compute())
    return result, time.perf_counter() - start


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--direct", type=int, default=KEYFRAMES, help="keyframes for the direct version")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    given, truth = draw()
    few = given[given.frame < arguments.direct], truth[truth.frame < arguments.direct]
    measured(*few, arguments.device)
    result, seconds = measured(given, truth, arguments.device)
    whole = {"boxes": len(given), "annotated labels": len(truth), "seconds": seconds, "frame mAP": result}
    ours, seconds = measured(*few, arguments.device)
    start = time.perf_counter()
    direct = direct_map(*few)
    direct_seconds = time.perf_counter() - start
    assert abs(direct - ours) < 1e-4, (direct, ours)
    part = {"boxes": len(few[0]), "annotated labels": len(few[1])}
    rows = [
        {"way": "ours", **whole},
        {"way": "ours, once more", **part, "seconds": seconds, "frame mAP": ours},
        {"way": "plain, class by class, box by box", **part, "seconds": direct_seconds, "frame mAP": direct},
    ]
    record(f"frame_map_{arguments.device}", {"ways": rows}, seed=0)


if __name__ == "__main__":
    main()
