"""Linking and video mAP against slow versions that go tube by tube, and the parts of an anchor detector by hand."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from lightning_modules.metrics import matching
from lightning_modules.metrics.tube_results import TubeResults
from lightning_modules.metrics.video_map import tube_overlaps, video_average_precision
from lightning_modules.tubes import linking
from lightning_modules.tubes.anchors import decode, k_means_anchors
from lightning_modules.tubes.detections import AnnotatedBoxes, FrameDetections, Tubes, annotated_tubes
from lightning_modules.tubes.linking import link
from lightning_modules.tubes.region_loss import region_losses

UNIT = (0.0, 0.0, 1.0, 1.0)


def detections(*rows):
    """Rows (video, frame, class, x1, y1, x2, y2, score)."""
    table = torch.tensor(rows, dtype=torch.double).view(-1, 8)
    return FrameDetections(*table[:, :3].long().unbind(1), table[:, 3:7].float(), table[:, 7].float())


def tubes(*rows):
    """Rows (video, class, score, first frame, boxes)."""
    owner = torch.cat([torch.full((len(row[4]),), number) for number, row in enumerate(rows)])
    frame = torch.cat([row[3] + torch.arange(len(row[4])) for row in rows])
    video, label, score = (torch.tensor([row[column] for row in rows]) for column in range(3))
    return Tubes(video, label, score.float(), owner, frame, torch.tensor([box for row in rows for box in row[4]]))


def as_rows(found):
    """Tubes as a list of (video, class, score, {frame: box})."""
    rows = []
    for number in range(len(found)):
        mine = found.tube == number
        boxes = dict(zip(found.frame[mine].tolist(), found.box[mine].tolist(), strict=True))
        rows.append((int(found.video[number]), int(found.label[number]), float(found.score[number]), boxes))
    return rows


def plain_overlap(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def plain_tube_overlap(a, b):
    common = a.keys() & b.keys()
    if not common:
        return 0.0
    return np.mean([plain_overlap(a[frame], b[frame]) for frame in common]) * len(common) / len(a.keys() | b.keys())


def plain_link(found, lengths, max_tubes=3, nms_overlap=0.3):
    """Video by video, class by class, path by path: all paths are tried."""
    rows = [
        (int(video), int(frame), int(label), box.tolist(), float(score))
        for video, frame, label, box, score in zip(
            found.video, found.frame, found.label, found.box, found.score, strict=True
        )
    ]
    result = []
    for video, label in sorted({(row[0], row[2]) for row in rows}):
        own = {}
        for row in rows:
            if (row[0], row[2]) == (video, label):
                own.setdefault(row[1], []).append(row[3:])
        frames = []
        for frame in range(int(lengths[video])):
            nearest = min(own, key=lambda other: (abs(other - frame), other))
            frames.append(sorted(own[nearest], key=lambda box: -box[1]))
        paths = []
        while len(paths) < max_tubes and all(frames):
            best, at = -math.inf, None
            for path in np.ndindex(*(len(boxes) for boxes in frames)):
                chosen = [boxes[number] for boxes, number in zip(frames, path, strict=True)]
                total = sum(
                    plain_overlap(a[0], b[0]) + a[1] + b[1] + a[1] * b[1] / 2 for a, b in itertools.pairwise(chosen)
                )
                if total > best + 1e-9:
                    best, at = total, path
            paths.append([boxes.pop(number) for boxes, number in zip(frames, at, strict=True)])
        scored = sorted(((np.mean([box[1] for box in path]), path) for path in paths), key=lambda pair: -pair[0])
        kept = []
        for score, path in scored:
            boxes = {frame: box[0] for frame, box in enumerate(path)}
            if all(plain_tube_overlap(boxes, other[3]) <= nms_overlap for other in kept):
                kept.append((video, label, score, boxes))
        result += kept
    return result


def plain_precision(found, truth, label, threshold):
    """Tube by tube, the surest first: each takes the free one that it overlaps most."""
    mine = sorted((row for row in found if row[1] == label), key=lambda row: -row[2])
    free = [row for row in truth if row[1] == label]
    total, right = len(free), []
    for video, _, _, boxes in mine:
        overlaps = [plain_tube_overlap(boxes, other[3]) if other[0] == video else -1.0 for other in free]
        best = int(np.argmax(overlaps)) if overlaps else -1
        right.append(best >= 0 and overlaps[best] >= threshold)
        if right[-1]:
            free.pop(best)
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    return sum(precision[place:].max() for place in np.flatnonzero(right)) / total


def random_boxes(rng, count):
    corner = rng.uniform(0, 0.6, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(0.2, 0.4, (count, 2))], 1)


def random_detections(seed, videos=3, frames=5, classes=2):
    rng = np.random.default_rng(seed)
    lengths = torch.from_numpy(rng.integers(1, frames + 1, videos))
    rows = []
    for video in range(videos):
        for frame in range(int(lengths[video])):
            for label in range(classes):
                for box in random_boxes(rng, rng.integers(0, 4)):
                    rows.append((video, frame, label, *box, rng.random()))
    return detections(*[rows[place] for place in rng.permutation(len(rows))]), lengths


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("pairs_at_once", [2**22, 20])
def test_linking_finds_the_best_paths(seed, pairs_at_once, monkeypatch):
    monkeypatch.setattr(linking, "_PAIRS_AT_ONCE", pairs_at_once)
    found, lengths = random_detections(seed)
    expected = plain_link(found, lengths)
    rows = sorted(as_rows(link(found, lengths, 2)), key=lambda row: (row[0], row[1], -row[2]))
    assert len(rows) == len(expected) > 3
    for row, other in zip(rows, expected, strict=True):
        assert row[:2] == other[:2]
        assert row[2] == pytest.approx(other[2], abs=1e-6)
        assert row[3].keys() == other[3].keys()
        for frame, box in row[3].items():
            np.testing.assert_allclose(box, other[3][frame], atol=1e-6)


def test_a_frame_without_detections_borrows_the_nearest():
    first, last = (0.0, 0.0, 0.5, 0.5), (0.5, 0.5, 1.0, 1.0)
    found = detections((0, 1, 0, *first, 0.8), (0, 4, 0, *last, 0.4))
    (row,) = as_rows(link(found, torch.tensor([6]), 1))
    assert [row[3][frame] for frame in range(6)] == [list(first)] * 3 + [list(last)] * 3
    assert row[2] == pytest.approx(0.6)


def test_nothing_detected_is_no_tube():
    assert len(link(detections(), torch.tensor([6]), 1)) == 0


def test_a_tube_is_trimmed_to_its_action():
    """Sure in frames 3 to 8 but for one, and again, too briefly, in frame 12."""
    scores = [0.05] * 3 + [0.8, 0.8, 0.1, 0.8, 0.8, 0.8] + [0.05] * 3 + [0.8] + [0.05] * 2
    rows = [(0, frame, 0, *UNIT, score) for frame, score in enumerate(scores) if frame != 1]
    (whole,) = as_rows(link(detections(*rows), torch.tensor([15]), 1))
    assert sorted(whole[3]) == [*range(15)]
    (cut,) = as_rows(link(detections(*rows), torch.tensor([15]), 1, trim=0.5, trim_penalty=0.6))
    assert sorted(cut[3]) == [*range(3, 9)]
    assert cut[2] == pytest.approx(np.mean(scores[3:9]))
    two = as_rows(link(detections(*rows), torch.tensor([15]), 1, trim=0.5, trim_penalty=0.2))
    assert [sorted(tube[3]) for tube in two] == [[*range(3, 9)], [12]]


def total(states, gain):
    return sum(gain[np.array(states, bool)]) - 0.25 * sum(np.diff(states) != 0)


def test_trimming_finds_the_best_sequence_of_states():
    rng = np.random.default_rng(0)
    for _ in range(20):
        scores = rng.random(8)
        rows = [(0, frame, 0, *UNIT, score) for frame, score in enumerate(scores)]
        found = as_rows(link(detections(*rows), torch.tensor([8]), 1, trim=0.6, trim_penalty=0.25))
        inside = {frame for row in found for frame in row[3]}

        gain = scores / scores.max() - 0.6
        best = max(total(states, gain) for states in np.ndindex(*(2,) * 8))
        assert total([frame in inside for frame in range(8)], gain) == pytest.approx(best, abs=1e-5)


def random_tubes(seed, videos=4, classes=3):
    """Annotated tubes, and detected ones that are often near one."""
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(14):
        box = random_boxes(rng, 1) + rng.uniform(-0.02, 0.02, (rng.integers(4, 12), 4))
        truth.append((rng.integers(videos), rng.integers(classes), 1.0, int(rng.integers(20)), box.tolist()))
    for _ in range(60):
        video, label, _, first, boxes = truth[rng.integers(len(truth))]
        moved = np.array(boxes) + rng.uniform(-0.12, 0.12) * rng.random(4)
        label = rng.integers(classes) if rng.random() < 0.2 else label
        moved = moved[rng.integers(3) : len(moved) - rng.integers(2)]
        found.append((video, label, rng.random(), max(0, first + int(rng.integers(-3, 4))), moved.tolist()))
    return tubes(*found), tubes(*truth)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("pairs_at_once", [2**22, 5])
def test_video_map_is_that_of_a_slow_version(seed, pairs_at_once, monkeypatch):
    monkeypatch.setattr(matching, "PAIRS_AT_ONCE", pairs_at_once)
    found, truth = random_tubes(seed)
    thresholds = (0.05, 0.2, 0.5)
    precision = video_average_precision(found, truth, 4, thresholds)
    rows, other = as_rows(found), as_rows(truth)
    assert precision[:, 3].isnan().all()
    for label in range(3):
        if not (truth.label == label).any():
            assert precision[:, label].isnan().all()
            continue
        for number, threshold in enumerate(thresholds):
            expected = plain_precision(rows, other, label, threshold)
            assert float(precision[number, label]) == pytest.approx(expected, abs=1e-9)
    assert 0.1 < float(precision[1].nanmean()) < 0.95


def test_tube_overlap_by_hand():
    left, half = [0.0, 0.0, 0.5, 1.0], [0.0, 0.0, 0.25, 1.0]
    found, truth = tubes((0, 0, 1.0, 2, [left] * 4)), tubes((0, 0, 1.0, 4, [left, half, left]), (1, 0, 1.0, 2, [left]))
    one, two, overlap = tube_overlaps(found, truth)
    # Frames 4 and 5 in common of 2 to 6, with overlaps of 1 and 1/2.
    assert (one.tolist(), two.tolist()) == ([0], [0])
    assert overlap.tolist() == pytest.approx([0.75 * 2 / 5])


def test_detections_that_are_the_annotations_are_perfect():
    _, truth = random_tubes(0)
    precision = video_average_precision(truth, truth, 3, (0.2, 0.5, 0.99))
    assert precision[~precision.isnan()].tolist() == pytest.approx([1.0] * 9)


def test_no_detection_at_all_is_worth_nothing():
    found, truth = random_tubes(0)
    none = found.select(torch.zeros(len(found), dtype=torch.bool))
    assert video_average_precision(none, truth, 3, (0.2,)).tolist() == [[0.0] * 3]


def test_selected_tubes_keep_their_boxes():
    found, _ = random_tubes(1)
    keep = torch.arange(len(found)) % 3 == 1
    assert as_rows(found.select(keep)) == as_rows(found)[1::3]


def test_a_frame_counts_once_and_frames_come_in_order():
    results = TubeResults(2)
    unit = torch.tensor([UNIT])

    def update(video, frame, score, tube):
        video, frame = torch.tensor([video]), torch.tensor([frame])
        label = torch.tensor([1])
        detected = FrameDetections(video, frame, label, unit, torch.tensor([score]))
        results.update(video, frame, detected, AnnotatedBoxes(video, frame, label, unit, torch.tensor([tube])))

    update(2, 1, 0.5, 7)
    update(2, 0, 0.6, 7)
    update(2, 1, 0.9, 7)
    update(0, 3, 0.7, 1)
    num_frames, detected, annotated = results.gathered()
    assert num_frames.tolist() == [4, 0, 2]
    assert detected.video.tolist() == annotated.video.tolist() == [0, 2, 2]
    assert detected.frame.tolist() == annotated.frame.tolist() == [3, 0, 1]
    assert detected.score.tolist() == pytest.approx([0.7, 0.6, 0.5])
    assert len(annotated_tubes(annotated)) == 2
    with pytest.raises(ValueError, match="detected box in frame 1 of video 0: its score is not a number"):
        update(0, 0, math.nan, 0)
    results.num_classes = 1
    with pytest.raises(ValueError, match="detected box in frame 3 of video 1: class 1 is not 0 to 0"):
        update(1, 2, 0.5, 0)


def test_decoded_boxes_by_hand():
    """Three columns and two rows of cells, two anchors, one class."""
    output = torch.zeros(1, 12, 2, 3)
    output[0, 6:12, 1, 2] = torch.tensor([0.0, math.log(3), math.log(2), 0.0, math.log(4), 9.0])
    found = decode(output, torch.tensor([[0.2, 0.1], [0.3, 0.4]]))
    # The centre lies in the cell's middle along x, three quarters down along y; twice as wide as the anchor.
    middle_x, middle_y = 2.5 / 3, 1.75 / 2
    expected = [middle_x - 0.3, middle_y - 0.2, middle_x + 0.3, middle_y + 0.2]
    assert found.box[0, 1, 1, 2].tolist() == pytest.approx(expected, abs=1e-6)
    assert float(found.object[0, 1, 1, 2]) == pytest.approx(0.8)
    assert float(found.logits[0, 1, 1, 2, 0]) == 9.0
    assert found.box[0, 0, 0, 0].tolist() == pytest.approx([0.5 / 3 - 0.1, 0.2, 0.5 / 3 + 0.1, 0.3], abs=1e-6)


def plain_losses(found, boxes, owner, label, anchors, box_weight, object_weight, ignore_overlap, gamma):
    """Box by box and anchor by anchor."""
    count, num_anchors, height, width, _ = found.box.shape
    box_loss = object_loss = class_loss = 0.0
    target = {}
    for number, box in enumerate(boxes.tolist()):
        x, y = (box[0] + box[2]) / 2 * width, (box[1] + box[3]) / 2 * height
        size = box[2] - box[0], box[3] - box[1]
        shapes = [(-w / 2, -h / 2, w / 2, h / 2) for w, h in anchors.tolist()]
        own = (-size[0] / 2, -size[1] / 2, size[0] / 2, size[1] / 2)
        anchor = int(np.argmax([plain_overlap(own, shape) for shape in shapes]))
        logs = [math.log(size[axis] / float(anchors[anchor, axis])) for axis in range(2)]
        place = (int(owner[number]), anchor, int(y), int(x))
        target[place] = (number, torch.tensor([x - int(x), y - int(y), *logs]))
    for place in np.ndindex(count, num_anchors, height, width):
        predicted, fits = found.box[place].tolist(), found.object[place]
        mine = [box for box, frame in zip(boxes.tolist(), owner.tolist(), strict=True) if frame == place[0]]
        if place not in target:
            if max((plain_overlap(predicted, box) for box in mine), default=0) <= ignore_overlap:
                object_loss += fits**2 / 2
            continue
        number, offset = target[place]
        box_loss += box_weight * functional.smooth_l1_loss(found.offset[place], offset, reduction="sum") / 2
        object_loss += object_weight * (fits - plain_overlap(predicted, boxes[number].tolist())) ** 2 / 2
        probability = found.logits[place].softmax(0)[label[number]]
        class_loss -= (1 - probability) ** gamma * probability.log()
    return [value / count for value in (box_loss, object_loss, class_loss)]


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_losses_are_those_of_a_slow_version(gamma):
    rng = np.random.default_rng(3)
    torch.manual_seed(0)
    anchors = torch.tensor([[0.2, 0.2], [0.2, 0.4], [0.4, 0.2]])
    boxes = torch.from_numpy(random_boxes(rng, 7)).float()
    boxes = torch.cat([boxes, boxes[:1] + 0.01])  # of two in one cell the last is learnt
    owner, label = torch.tensor([0, 0, 0, 2, 2, 3, 3, 0]), torch.tensor([0, 1, 0, 1, 1, 0, 1, 1])
    found = decode(torch.randn(4, 3 * 7, 4, 5), anchors)
    losses = region_losses(found, boxes, owner, label, anchors, 2.0, 5.0, 0.4, gamma)
    expected = plain_losses(found, boxes, owner, label, anchors, 2.0, 5.0, 0.4, gamma)
    assert [*losses] == ["box_loss", "object_loss", "class_loss"]
    torch.testing.assert_close(torch.stack([*losses.values()]), torch.stack(expected))


def test_clips_without_boxes_are_learnt_from():
    found = decode(torch.zeros(2, 7, 3, 3), torch.tensor([[0.5, 0.5]]))
    none = torch.empty(0, dtype=torch.long)
    losses = region_losses(found, torch.empty(0, 4), none, none, torch.tensor([[0.5, 0.5]]), 1.0, 5.0, 0.6, 2.0)
    assert {name: float(value) for name, value in losses.items()} == {
        "box_loss": 0.0,
        "object_loss": pytest.approx(9 * 0.25 / 2),
        "class_loss": 0.0,
    }


def test_anchors_are_the_sizes_that_there_are():
    rng = np.random.default_rng(0)
    sizes = np.array([[0.1, 0.2], [0.3, 0.1], [0.3, 0.6]])
    drawn = sizes[rng.integers(3, size=400)] * rng.uniform(0.95, 1.05, (400, 2))
    anchors = k_means_anchors(torch.from_numpy(drawn).float(), 3)
    np.testing.assert_allclose(anchors.numpy(), sizes, atol=0.005)
    with pytest.raises(ValueError, match="5 anchors cannot be made of 3 boxes"):
        k_means_anchors(torch.ones(3, 2), 5)
