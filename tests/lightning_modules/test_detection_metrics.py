"""Measures of temporal detection against hand-made cases and against slow versions that follow their descriptions."""

import multiprocessing
import os

import numpy as np
import pytest
import torch
from torch import distributed

from lightning_modules.metrics import matching
from lightning_modules.metrics.detection_results import DetectionResults
from lightning_modules.metrics.pku_mmd_detection import PKUMMDDetection, pku_mmd_scores
from lightning_modules.metrics.temporal_detection import TemporalDetectionMAP, temporal_detection_map
from lightning_modules.segments.detections import Actions, Detections, merge_windows


def actions(*rows):
    """Rows (video, class, start, end)."""
    table = torch.tensor(rows, dtype=torch.double).view(-1, 4)
    video = table[:, 0].long()
    return Actions(video, torch.zeros_like(video), table[:, 1].long(), table[:, 2:].float())


def detections(*rows):
    """Rows (video, class, start, end, score)."""
    table = torch.tensor(rows, dtype=torch.double).view(-1, 5)
    video = table[:, 0].long()
    return Detections(video, torch.zeros_like(video), table[:, 1].long(), table[:, 2:4].float(), table[:, 4].float())


def table(rows):
    """NumPy (N, 4 or 5): video, class, start, end, score."""
    columns = [rows.video[:, None], rows.label[:, None], rows.segment]
    columns += [rows.score[:, None]] if isinstance(rows, Detections) else []
    return torch.cat([column.double() for column in columns], 1).numpy()


def random_case(seed, num_detections=150, num_actions=40, videos=4, classes=3):
    """Actions and detections that are often near one; many boundaries and some scores are equal."""
    rng = np.random.default_rng(seed)
    start = rng.integers(0, 60, num_actions)
    truth = np.stack(
        (rng.integers(videos, size=num_actions), rng.integers(classes, size=num_actions), start, start + 10), 1
    )
    truth[:, 3] += rng.integers(0, 20, num_actions)
    near = truth[rng.integers(num_actions, size=num_detections)].copy()
    near[:, 2:] += rng.integers(-5, 6, (num_detections, 2))
    near[:, 3] = np.maximum(near[:, 3], near[:, 2] + 1)
    strange = rng.random(num_detections) < 0.3
    near[strange, 1] = rng.integers(classes, size=strange.sum())
    scores = rng.permutation(num_detections) / num_detections
    return detections(*np.column_stack((near, scores)).tolist()), actions(*np.unique(truth, axis=0).tolist())


def plain_overlap(a, b):
    common = min(a[1], b[1]) - max(a[0], b[0])
    return max(common, 0) / (max(a[1], b[1]) - min(a[0], b[0]))


def plain_map(found, truth, num_classes, threshold):
    """ActivityNet's way, detection by detection."""
    precisions = []
    for label in range(num_classes):
        mine = sorted((row for row in found if row[1] == label), key=lambda row: -row[4])
        own = [row for row in truth if row[1] == label]
        if not own:
            continue
        free, right = [True] * len(own), []
        for video, _, start, end, _ in mine:
            overlaps = [plain_overlap((start, end), row[2:4]) if row[0] == video else 0 for row in own]
            choice = next(
                (
                    k
                    for k in sorted(range(len(own)), key=lambda k: -overlaps[k])
                    if overlaps[k] >= threshold - 1e-7 and free[k]
                ),
                None,
            )
            if choice is not None:
                free[choice] = False
            right.append(choice is not None)
        precision = np.cumsum(right) / np.arange(1, len(right) + 1)
        precisions.append(sum(precision[k:].max() for k in range(len(right)) if right[k]) / len(own))
    return np.mean(precisions)


def plain_pku(found, truth, theta, interpolation):
    """F1 and AP of PKU-MMD, walking from the least sure detection up."""
    mine = sorted(found, key=lambda row: row[4])
    matched, count = [], [0] * len(truth)
    for row in mine:
        overlaps = [
            plain_overlap(row[2:4], other[2:4]) if row[0] == other[0] and row[1] == other[1] else -1 for other in truth
        ]
        best = max(range(len(overlaps)), key=lambda k: (overlaps[k], k), default=-1)  # of equal ones the later
        hit = bool(overlaps) and overlaps[best] >= theta - 1e-7
        matched.append(best if hit else -1)
        if hit:
            count[best] += 1
    positive, number, total = sum(c > 0 for c in count), len(mine), len(truth)
    if not total:
        return 0.0, 0.0
    precision, recall = (positive / number if number else 0.0), positive / total
    f1 = 2 * precision * recall / (precision + recall) if positive else 0.0
    if interpolation == "standard":
        right, seen = [], set()
        for best in reversed(matched):
            right.append(best >= 0 and best not in seen)
            seen.add(best)
        curve = np.cumsum(right) / np.arange(1, len(right) + 1)
        return f1, sum(curve[k:].max() for k in range(len(right)) if right[k]) / total
    score, best_precision = 0.0, precision
    for best in matched:
        number -= 1
        if best < 0:
            continue
        count[best] -= 1
        positive -= count[best] == 0
        best_precision = max(best_precision, positive / number if number else 0.0)
        score += best_precision * (recall - positive / total)
        recall = positive / total
    return f1, score


def plain_pku_scores(found, truth, num_classes, interpolation):
    def ap(found, truth, theta=0.5):
        return plain_pku(found, truth, theta, interpolation)[1]

    videos = sorted({row[0] for row in truth})
    return {
        "f1": plain_pku(found, truth, 0.5, interpolation)[0],
        "ap": ap(found, truth),
        "map_action": np.mean(
            [ap([r for r in found if r[1] == k], [r for r in truth if r[1] == k]) for k in range(num_classes)]
        ),
        "map_video": np.mean([ap([r for r in found if r[0] == v], [r for r in truth if r[0] == v]) for v in videos]),
        "2d_ap": np.mean([ap(found, truth, 0.05 * step) for step in range(1, 21)]),
    }


@pytest.mark.parametrize("seed", range(8))
def test_map_is_that_of_a_plain_loop(seed, monkeypatch):
    monkeypatch.setattr(matching, "PAIRS_AT_ONCE", 50)
    found, truth = random_case(seed)
    thresholds = (0.3, 0.5, 0.75)
    scores = temporal_detection_map(found, truth, 4, thresholds)
    expected = [plain_map(table(found), table(truth), 4, threshold) for threshold in thresholds]
    assert [float(scores[f"map_{threshold:g}"]) for threshold in thresholds] == pytest.approx(expected, abs=1e-6)
    assert float(scores["map"]) == pytest.approx(np.mean(expected), abs=1e-6)
    assert 0.01 < min(expected) < max(expected) < 0.99


@pytest.mark.parametrize("interpolation", ["published", "standard"])
@pytest.mark.parametrize("seed", range(6))
def test_pku_scores_are_those_of_a_plain_loop(seed, interpolation):
    found, truth = random_case(seed, 100, 30)
    scores = pku_mmd_scores(found, truth, 4, interpolation=interpolation)
    expected = plain_pku_scores(table(found).tolist(), table(truth).tolist(), 4, interpolation)
    assert {name: float(value) for name, value in scores.items()} == pytest.approx(expected, abs=1e-6)
    assert 0.01 < min(expected.values()) < max(expected.values()) < 0.99


def test_map_by_hand():
    truth = actions((0, 0, 0, 10), (0, 0, 20, 30), (1, 1, 0, 10))
    found = detections(
        (0, 0, 0, 10, 0.9),  # right
        (0, 0, 1, 10, 0.8),  # found again
        (0, 0, 20, 31, 0.7),  # right
        (1, 0, 0, 10, 0.6),  # another class
        (1, 1, 0, 5, 0.5),  # exactly half
        (0, 2, 0, 10, 0.9),  # a class without an action does not count
    )
    # Class 0: precisions 1, 1/2, 2/3 at recalls 1/2, 1/2, 1.
    scores = temporal_detection_map(found, truth, 3, (0.5, 0.95))
    assert float(scores["map_0.5"]) == pytest.approx((0.5 * 1 + 0.5 * 2 / 3 + 1) / 2)
    assert float(scores["map_0.95"]) == pytest.approx(0.25)


def test_a_detection_takes_the_next_best_action():
    """The best one is taken, and the second overlaps enough: right for ActivityNet, found again for PKU-MMD."""
    truth = actions((0, 0, 0, 10), (0, 0, 2, 14))
    found = detections((0, 0, 0, 10, 0.9), (0, 0, 1, 11, 0.8))
    assert float(temporal_detection_map(found, truth, 1, (0.5,))["map"]) == 1
    assert float(pku_mmd_scores(found, truth, 1)["f1"]) == 0.5


def test_pku_by_hand():
    """Three detections, sure to unsure: right, wrong, right; two actions."""
    truth = actions((0, 0, 0, 10), (0, 0, 20, 30))
    found = detections((0, 0, 0, 10, 0.9), (0, 0, 50, 60, 0.8), (0, 0, 20, 30, 0.7))
    standard = pku_mmd_scores(found, truth, 1, interpolation="standard")
    assert float(standard["ap"]) == pytest.approx((1 + 2 / 3) / 2)
    published = pku_mmd_scores(found, truth, 1)
    assert float(published["ap"]) == pytest.approx(2 / 3)
    assert float(published["f1"]) == pytest.approx(2 * (2 / 3) / (2 / 3 + 1))
    # A class without an action has 0; a video without one is left out.
    assert float(pku_mmd_scores(found, truth, 2)["map_action"]) == pytest.approx(1 / 3)
    more = detections((0, 0, 0, 10, 0.9), (0, 0, 20, 30, 0.7), (1, 0, 20, 30, 0.7))
    assert float(pku_mmd_scores(more, truth, 1)["map_video"]) == 1


@pytest.mark.parametrize("found", [detections(), detections((0, 0, 0, 10, 0.5))])
@pytest.mark.parametrize("truth", [actions(), actions((0, 0, 20, 30))])
def test_nothing_found_and_nothing_there(found, truth):
    scores = {**temporal_detection_map(found, truth, 2, (0.5,)), **pku_mmd_scores(found, truth, 2)}
    assert {float(value) for value in scores.values()} == {0.0}


def test_perfect_detections():
    _, truth = random_case(0)
    found = Detections(**vars(truth), score=torch.rand(len(truth)))
    scores = {**temporal_detection_map(found, truth, 3, (0.5, 1.0)), **pku_mmd_scores(found, truth, 3)}
    assert {name: float(value) for name, value in scores.items()} == pytest.approx(dict.fromkeys(scores, 1.0))


def test_windows_are_merged():
    """Actions that several windows have are one; detections of overlapping windows suppress each other."""
    results = DetectionResults(2, nms_threshold=0.4)
    for start, score in ((0, 0.5), (32, 0.9)):
        found = detections((3, 1, 40, 50 + start / 32, score), (3, 0, 40, 50, 0.1))
        window = torch.full((2,), start)
        truth = actions((3, 1, 40, 50))
        results.update(
            Detections(found.video, window, found.label, found.segment, found.score),
            Actions(truth.video, window[:1], truth.label, truth.segment),
        )
    found, truth = results.gathered()
    assert table(truth).tolist() == [[3, 1, 40, 50]]
    assert found.label.tolist() == [1, 0]
    assert found.score.tolist() == pytest.approx([0.9, 0.1])
    assert {name: int(value) for name, value in results.compute().items()} == {"detections": 2, "actions": 1}


def test_a_window_given_again_counts_once():
    found, truth = random_case(1)
    metric = TemporalDetectionMAP(3)
    metric.update(found, truth)
    expected = metric.compute()
    metric.update(found, truth)
    assert metric.compute() == expected
    assert len(metric.gathered()[0]) == len(found)


def test_merging_keeps_order():
    found, _ = random_case(2)
    merged = merge_windows(found, 0.3)
    assert merged.video.tolist() == sorted(merged.video.tolist())
    for video in merged.video.unique():
        scores = merged.score[merged.video == video].tolist()
        assert scores == sorted(scores, reverse=True)
    assert len(merge_windows(detections(), 0.3)) == 0


@pytest.mark.parametrize(
    ("found", "truth", "message"),
    [
        (detections(), actions((7, 0, 10, 5)), r"action of video 7: \[10.0, 5.0\] is no segment"),
        (detections((7, 0, 10, 5, 1)), actions(), r"detection of video 7: \[10.0, 5.0\] is no segment"),
        (detections((7, 0, 0, float("nan"), 1)), actions(), "is no segment"),
        (detections(), actions((7, 3, 0, 5)), "action of video 7: class 3 is not 0 to 2"),
        (detections((7, -1, 0, 5, 1)), actions(), "detection of video 7: class -1 is not 0 to 2"),
        (detections((7, 0, 0, 5, float("nan"))), actions(), "video 7: its score is not a number"),
    ],
)
def test_wrong_rows_are_refused(found, truth, message):
    with pytest.raises(ValueError, match=message):
        DetectionResults(3).update(found, truth)


@pytest.mark.parametrize(
    "build",
    [lambda: TemporalDetectionMAP(3, ()), lambda: TemporalDetectionMAP(3, (0.0,)), lambda: PKUMMDDetection(3, 1.5)],
)
def test_wrong_thresholds_are_refused(build):
    with pytest.raises(ValueError, match="thresholds must lie above 0"):
        build()


def test_no_class_is_refused():
    with pytest.raises(ValueError, match="num_classes is 0"):
        DetectionResults(0)


def compute(found, truth, shares):
    metrics = TemporalDetectionMAP(3, nms_threshold=0.7), PKUMMDDetection(3, nms_threshold=0.7)
    for share in shares:
        for metric in metrics:
            metric.update(
                found[torch.isin(found.video, torch.tensor(share))], truth[torch.isin(truth.video, torch.tensor(share))]
            )
    return {name: float(value) for metric in metrics for name, value in metric.compute().items()}


def process(rank, shares, port, results):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", rank=rank, world_size=2)
    results.put((rank, compute(*random_case(4), shares)))
    distributed.destroy_process_group()


@pytest.mark.parametrize("shares", [[[[0, 2], [0]], [[1, 3]]], [[[0, 1, 2], [3]], []]])
def test_two_processes_are_one(shares):
    """Also where one repeats a video, and where one has nothing."""
    context = multiprocessing.get_context("fork")
    results, port = context.Queue(), 20000 + os.getpid() % 20000
    workers = [context.Process(target=process, args=(rank, shares[rank], port, results)) for rank in range(2)]
    for worker in workers:
        worker.start()
    found = dict(results.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join()
    assert found[0] == found[1] == compute(*random_case(4), [[0, 1, 2, 3]])
