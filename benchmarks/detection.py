"""Speed of temporal detection's measures and suppression on 100,000 detections against slow direct versions.

As many actions and videos as PKU-MMD's cross-subject test set has: 132 videos, 2,704 actions, 51 classes. The direct
versions, which go detection by detection in plain Python, take a part of the detections (``--direct``); the table
gives their time on it, and that of ours on the same part. Both agree, which is checked. On one thread.

    python -m benchmarks.detection
    python -m benchmarks.detection --device cuda
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.record import record
from lightning_modules.metrics.pku_mmd_detection import pku_mmd_scores
from lightning_modules.metrics.temporal_detection import temporal_detection_map
from lightning_modules.segments.detections import Actions, Detections
from lightning_modules.segments.nms import nms

VIDEOS, ACTIONS, CLASSES, FRAMES = 132, 2704, 51, 5500
THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))


def draw(count: int, device: str) -> tuple[Detections, Actions]:
    """Draw actions, and detections of which most lie near one."""
    rng = np.random.default_rng(0)
    start = rng.uniform(0, FRAMES, ACTIONS)
    segment = np.stack((start, start + rng.uniform(30, 250, ACTIONS)), 1)
    video, label = rng.integers(VIDEOS, size=ACTIONS), rng.integers(CLASSES, size=ACTIONS)
    near = rng.integers(ACTIONS, size=count)
    found = segment[near] + rng.normal(0, 25, (count, 2))
    found.sort(1)
    odd = rng.random(count) < 0.3
    found_label = np.where(odd, rng.integers(CLASSES, size=count), label[near])

    def rows(video: np.ndarray, label: np.ndarray, segment: np.ndarray) -> tuple[torch.Tensor, ...]:
        numbers = torch.from_numpy(video), torch.zeros(len(video), dtype=torch.long), torch.from_numpy(label)
        return *numbers, torch.from_numpy(segment).float()

    detections = Detections(*rows(video[near], found_label, found), torch.from_numpy(rng.permutation(count)).float())
    return detections.to(device), Actions(*rows(video, label, segment)).to(device)


def direct_overlap(a: list[float], b: list[float]) -> float:
    """Intersection over union."""
    return max(0.0, min(a[1], b[1]) - max(a[0], b[0])) / (max(a[1], b[1]) - min(a[0], b[0]))


def direct_map(detections: Detections, actions: Actions) -> float:
    """ActivityNet's mean average precision at 0.5."""
    own: dict[tuple[int, int], list[list[float]]] = {}
    columns: tuple[torch.Tensor, ...] = (actions.video, actions.label, actions.segment)
    for video, label, segment in zip(*(column.tolist() for column in columns), strict=True):
        own.setdefault((video, label), []).append(segment)
    right: dict[int, list[bool]] = {label: [] for label in range(CLASSES)}
    taken = {key: [False] * len(segments) for key, segments in own.items()}
    columns = (detections.score, detections.video, detections.label, detections.segment)
    for _, video, label, segment in sorted(zip(*(column.tolist() for column in columns), strict=True), reverse=True):
        overlaps = [direct_overlap(segment, other) for other in own.get((video, label), [])]
        right[label].append(False)
        for index in sorted(range(len(overlaps)), key=lambda index: -overlaps[index]):
            if overlaps[index] >= 0.5 and not taken[video, label][index]:
                taken[video, label][index] = right[label][-1] = True
                break
    precisions = []
    for label, hits in right.items():
        total = sum(len(segments) for (_, other), segments in own.items() if other == label)
        curve = np.maximum.accumulate((np.cumsum(hits) / np.arange(1, len(hits) + 1))[::-1])[::-1]
        precisions.append(curve[np.array(hits, bool)].sum() / total)
    return float(np.mean(precisions))


def direct_nms(detections: Detections, threshold: float) -> list[int]:
    """Greedy suppression within each class of each video."""
    kept: dict[tuple[int, int], list[int]] = {}
    video, label, segment = (column.tolist() for column in (detections.video, detections.label, detections.segment))
    order = detections.score.argsort(descending=True, stable=True).tolist()
    for index in order:
        better = kept.setdefault((video[index], label[index]), [])
        if all(direct_overlap(segment[index], segment[other]) <= threshold for other in better):
            better.append(index)
    place = {index: rank for rank, index in enumerate(order)}
    return sorted((index for better in kept.values() for index in better), key=place.__getitem__)


def timed(work: Callable[[], object], device: str) -> tuple[object, float]:
    """Result and seconds."""
    if device != "cpu":
        torch.cuda.synchronize()
    start = time.perf_counter()
    result = work()
    if device != "cpu":
        torch.cuda.synchronize()
    return result, time.perf_counter() - start


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000, help="detections")
    parser.add_argument("--direct", type=int, default=100_000, help="detections for the direct versions")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    detections, actions = draw(arguments.count, arguments.device)
    part = detections[: arguments.direct]

    def suppress(rows: Detections) -> torch.Tensor:
        return nms(rows.segment, rows.score, 0.4, rows.video * CLASSES + rows.label)

    work = {
        "mAP at 0.5": lambda rows: temporal_detection_map(rows, actions, CLASSES, (0.5,))["map"],
        "mAP at 0.5, 0.55 ... 0.95": lambda rows: temporal_detection_map(rows, actions, CLASSES, THRESHOLDS)["map"],
        "PKU-MMD's five measures": lambda rows: pku_mmd_scores(rows, actions, CLASSES)["ap"],
        "suppression by class and video": suppress,
        "suppression, all in one group": lambda rows: nms(rows.segment, rows.score, 0.4),
    }
    table: dict[str, dict[str, object]] = {}
    for name, run in work.items():
        run(part)
        _, seconds = timed(lambda run=run: run(detections), arguments.device)
        table[name] = {"work": name, f"{len(detections):,} detections, s": seconds}
    cpu = part.to("cpu"), actions.to("cpu")
    direct, seconds = timed(lambda: direct_map(*cpu), "cpu")
    ours, our_seconds = timed(lambda: float(work["mAP at 0.5"](part)), arguments.device)
    assert abs(direct - ours) < 1e-6, (direct, ours)
    table["mAP at 0.5"] |= both(len(part), our_seconds, seconds)
    alone = Detections(part.video * 0, part.window, part.label * 0, part.segment, part.score)
    for name, rows in (("suppression by class and video", part), ("suppression, all in one group", alone)):
        direct_kept, seconds = timed(lambda rows=rows: direct_nms(rows.to("cpu"), 0.4), "cpu")
        kept, our_seconds = timed(lambda rows=rows: suppress(rows).tolist(), arguments.device)
        assert direct_kept == kept
        table[name] |= both(len(part), our_seconds, seconds)
    record(f"detection_{arguments.device}", {"work": list(table.values())}, seed=0)


def both(count: int, ours: float, direct: float) -> dict[str, object]:
    """The columns of the direct version, and of ours on the same detections."""
    return {f"ours on {count:,}, s": ours, f"plain Python on {count:,}, s": direct, "ratio": direct / ours}


if __name__ == "__main__":
    main()
