"""Frame mAP against hand-made cases, a slow version that goes box by box, and a public toy case."""

import csv
import multiprocessing
import os

import numpy as np
import pytest
import torch
from torch import distributed

from lightning_modules.metrics import matching
from lightning_modules.metrics.frame_map import (
    Boxes,
    DetectedBoxes,
    FrameMAP,
    ScoredBoxes,
    box_overlap,
    frame_average_precision,
    mean_over_known,
)


def boxes(*rows):
    """Rows (frame, class, x1, y1, x2, y2)."""
    table = torch.tensor(rows, dtype=torch.double).view(-1, 6)
    return Boxes(table[:, 0].long(), table[:, 1].long(), table[:, 2:])


def detected(*rows):
    """Rows (frame, class, x1, y1, x2, y2, score)."""
    table = torch.tensor(rows, dtype=torch.double).view(-1, 7)
    return DetectedBoxes(table[:, 0].long(), table[:, 1].long(), table[:, 2:6], table[:, 6])


def plain_overlap(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def plain_precision(found, truth, label, threshold=0.5):
    """Pascal's way, box by box; rows are (frame, class, box, score)."""
    mine = sorted((row for row in found if row[1] == label), key=lambda row: -row[3])
    own = [row for row in truth if row[1] == label]
    if not own:
        return np.nan
    taken, right = [False] * len(own), []
    for frame, _, box, _ in mine:
        overlaps = [plain_overlap(box, other[2]) if other[0] == frame else -1.0 for other in own]
        best = int(np.argmax(overlaps))
        right.append(overlaps[best] >= threshold and not taken[best])
        taken[best] |= overlaps[best] >= threshold
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    area, recall = 0.0, 0.0
    for place in range(len(right)):
        now = sum(right[: place + 1]) / len(own)
        area += (now - recall) * precision[place:].max()
        recall = now
    return area


def random_case(seed, num_detections=150, num_boxes=60, frames=12, classes=3):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 0.6, (num_boxes, 2))
    truth = [
        (int(frame), int(label), [*low, *(low + size)])
        for frame, label, low, size in zip(
            rng.integers(frames, size=num_boxes),
            rng.integers(classes, size=num_boxes),
            corner,
            rng.uniform(0.1, 0.4, (num_boxes, 2)),
            strict=True,
        )
    ]
    found = []
    for number, score in enumerate(rng.permutation(num_detections) / num_detections):
        frame, label, box = truth[rng.integers(num_boxes)]
        box = np.array(box) + rng.normal(0, 0.04, 4)
        box[2:] = np.maximum(box[2:], box[:2] + 0.01)
        found.append((frame, label if number % 3 else int(rng.integers(classes)), box.tolist(), score))
    return found, truth


def tensors(found, truth):
    return (
        detected(*[(frame, label, *box, score) for frame, label, box, score in found]),
        boxes(*[(frame, label, *box) for frame, label, box in truth]),
    )


@pytest.mark.parametrize("seed", range(8))
def test_precision_is_that_of_a_plain_loop(seed, monkeypatch):
    monkeypatch.setattr(matching, "PAIRS_AT_ONCE", 20)
    found, truth = random_case(seed)
    for threshold in (0.8, 0.3, 0.5):
        expected = [plain_precision(found, truth, label, threshold) for label in range(4)]
        precision = frame_average_precision(*tensors(found, truth), 4, threshold)
        np.testing.assert_allclose(precision.numpy(), expected, atol=1e-12)
        assert np.isnan(expected[3])
    assert 0.01 < np.nanmin(expected) < np.nanmax(expected) < 1


def test_precision_by_hand():
    truth = boxes((0, 0, 0, 0, 10, 10), (0, 0, 20, 0, 30, 10), (1, 1, 0, 0, 10, 10))
    found = detected(
        (0, 0, 0, 0, 10, 10, 0.9),  # right
        (0, 0, 0, 0, 10, 9, 0.8),  # found again
        (0, 0, 20, 0, 31, 10, 0.7),  # right
        (1, 0, 0, 0, 10, 10, 0.6),  # of a class that is not in this frame
        (1, 1, 0, 0, 10, 5, 0.5),  # exactly half
        (5, 1, 0, 0, 10, 10, 0.9),  # a frame without boxes
        (0, 2, 0, 0, 10, 10, 0.9),  # a class without boxes does not count
    )
    precision = frame_average_precision(found, truth, 3)
    np.testing.assert_allclose(precision.numpy(), [(1 + 2 / 3) / 2, 0.5, np.nan])
    assert float(mean_over_known(precision)) == pytest.approx((5 / 6 + 0.5) / 2)


def test_a_detection_belongs_to_its_best_box_alone():
    """The second overlaps a free box by more than half, too, but the taken one more: wrong, as in Pascal's rule."""
    truth = boxes((0, 0, 0, 0, 10, 10), (0, 0, 3, 0, 13, 10))
    found = detected((0, 0, 0, 0, 10, 10, 0.9), (0, 0, 1, 0, 11, 10, 0.8))
    assert float(frame_average_precision(found, truth, 1)) == 0.5


def test_nothing_found_and_nothing_to_find():
    truth, found = boxes((0, 0, 0, 0, 1, 1)), detected((0, 0, 0, 0, 1, 1, 0.5))
    assert float(frame_average_precision(detected(), truth, 1)) == 0
    assert frame_average_precision(found, boxes(), 1).isnan().all()
    assert float(mean_over_known(frame_average_precision(found, boxes(), 1))) == 0
    metric = FrameMAP(3)
    with pytest.warns(UserWarning, match="before the ``update``"):
        assert float(metric.compute()) == 0


def test_overlap():
    first = torch.tensor([[0.0, 0, 2, 2], [0, 0, 1, 1], [0, 0, 0, 0], [0, 0, 4, 1]])
    second = torch.tensor([[1.0, 1, 3, 3], [1, 0, 2, 1], [0, 0, 0, 0], [0, 0, 2, 1]])
    assert box_overlap(first, second).tolist() == pytest.approx([1 / 7, 0, 0, 0.5])


def read_toy(file, scored):
    rows = list(csv.reader(file.read_text().splitlines()))
    keys = {"3reY9zJKhqN": 0, "HmR8SmNIoxu": 1, "5HNXoce1raG": 2}
    return [
        (keys[row[0]], int(row[6]) - 1, [float(value) for value in row[2:6]], *([float(row[7])] if scored else []))
        for row in rows
    ]


def test_the_public_toy_case(shared_data):
    folder = shared_data / "ava/mmaction2_eval_detection"
    truth, found = read_toy(folder / "gt.csv", False), read_toy(folder / "pred.csv", True)
    precision = frame_average_precision(*tensors(found, truth), 3)
    np.testing.assert_allclose(precision, [plain_precision(found, truth, label) for label in range(3)])
    # What open-mmlab/mmaction2's tests expect of the official evaluation on these files.
    assert float(mean_over_known(precision)) == pytest.approx(0.09385522)


def scored_case(seed=3, keyframes=10, classes=5):
    """Given boxes with scores, and annotated ones, some of which have several classes."""
    rng = np.random.default_rng(seed)
    count, given = 3 * keyframes, 2 * keyframes
    low = rng.uniform(0, 0.5, (count, 2))
    true_box = torch.from_numpy(np.concatenate((low, low + rng.uniform(0.2, 0.5, (count, 2))), 1)).float()
    true_frame = torch.from_numpy(rng.integers(keyframes, size=count)) * 7
    label = torch.from_numpy(rng.integers(classes, size=count))
    near = torch.from_numpy(rng.integers(count, size=given))
    box = true_box[near] + torch.from_numpy(rng.normal(0, 0.02, (given, 4))).float()
    score = torch.from_numpy(rng.random((given, classes))).float()
    return ScoredBoxes(true_frame[near], box, score), Boxes(true_frame, label, true_box)


def update(metric, given, truth, keyframes):
    """Give a metric some keyframes as one batch."""
    place = {int(frame): row for row, frame in reversed(list(enumerate(keyframes)))}
    parts = []
    for rows in (given, truth):
        mine = torch.tensor([int(frame) in place for frame in rows.frame])
        parts.append((torch.tensor([place[int(frame)] for frame in rows.frame[mine]], dtype=torch.long), rows[mine]))
    (row, boxes), (true_row, true) = parts
    metric.update(torch.tensor(keyframes), row, boxes.box, boxes.score, true_row, true.box, true.label)


def expected_map(given, truth, classes):
    found = [
        (int(frame), label, box.tolist(), float(score[label]))
        for frame, box, score in zip(given.frame, given.box, given.score, strict=True)
        for label in classes
    ]
    true = [(int(f), int(k), b.tolist()) for f, k, b in zip(truth.frame, truth.label, truth.box, strict=True)]
    return np.nanmean([plain_precision(found, true, label) for label in classes])


def test_the_metric_counts_each_keyframe_once_and_some_classes_alone():
    given, truth = scored_case()
    frames = sorted({*given.frame.tolist(), *truth.frame.tolist()})
    metric = FrameMAP(5, classes=(0, 2, 3))
    update(metric, given, truth, frames[:6])
    update(metric, given, truth, frames[4:])  # two of them again
    assert float(metric.compute()) == pytest.approx(expected_map(given, truth, (0, 2, 3)), abs=1e-6)
    assert float(metric.compute()) > 0.05
    # One that stands in for another is in the same batch twice.
    twice = FrameMAP(2)
    box, none = torch.tensor([[0.0, 0, 1, 1]] * 2), torch.tensor([0, 1])
    twice.update(torch.tensor([4, 4]), none, box, torch.tensor([[0.9, 0.1]] * 2), none, box, torch.tensor([0, 0]))
    assert float(twice.compute()) == 1
    assert len(twice.gathered()[1]) == 1


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="num_classes is 0"):
        FrameMAP(0)
    with pytest.raises(ValueError, match="threshold=0 "):
        FrameMAP(3, threshold=0)
    with pytest.raises(ValueError, match="must be one or more of 0 to 2"):
        FrameMAP(3, classes=(3,))
    row, box = torch.tensor([0]), torch.tensor([[0.0, 0, 1, 1]])
    with pytest.raises(ValueError, match="must be numbers, 1 x 2"):
        FrameMAP(2).update(row, row, box, torch.tensor([[0.5, float("nan")]]), row, box, row)
    with pytest.raises(ValueError, match="labels \\[2\\] are not 0 to 1"):
        FrameMAP(2).update(row, row, box, torch.zeros(1, 2), row, box, row + 2)


def rank_of_several(rank, size, folder, port):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    distributed.init_process_group("gloo", rank=rank, world_size=size)
    given, truth = scored_case()
    frames = sorted({*given.frame.tolist(), *truth.frame.tolist()})
    metric = FrameMAP(5)
    # The third has nothing; one of the keyframes is repeated, as samplers do.
    for part in ((frames[0::2][:3], frames[0::2][3:]), ([*frames[1::2], frames[0]],), ())[rank]:
        update(metric, given, truth, part)
    (folder / f"{rank}.txt").write_text(repr(float(metric.compute())))
    distributed.destroy_process_group()


def test_three_processes_give_the_numbers_of_one(tmp_path):
    given, truth = scored_case()
    port = 29500 + os.getpid() % 2000
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=rank_of_several, args=(rank, 3, tmp_path, port)) for rank in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    found = {float((tmp_path / f"{rank}.txt").read_text()) for rank in range(3)}
    assert len(found) == 1
    assert found.pop() == pytest.approx(expected_map(given, truth, range(5)), abs=1e-6)
