"""Overlap, anchors, suppression, pooling and targets along time against plain loops."""

import math

import pytest
import torch

from lightning_modules.segments import nms as nms_module
from lightning_modules.segments.anchors import anchor_grid, decode, encode
from lightning_modules.segments.nms import nms
from lightning_modules.segments.overlap import overlap, pairwise_overlap
from lightning_modules.segments.roi_pooling import roi_pool
from lightning_modules.segments.targets import assign_anchors, assign_proposals, sample, visible_actions


def random_segments(count, generator, end=100.0, longest=40.0):
    start = torch.rand(count, generator=generator) * end
    return torch.stack((start, start + torch.rand(count, generator=generator) * longest), 1)


def plain_overlap(a, b):
    common = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    union = (a[1] - a[0]) + (b[1] - b[0]) - common
    return common / union if union else 0.0


def test_overlap_by_hand():
    pairs = [
        ((0, 10), (0, 10), 1.0),
        ((0, 10), (5, 15), 1 / 3),
        ((0, 10), (10, 20), 0.0),
        ((0, 10), (2, 7), 0.5),
        ((0, 10), (30, 40), 0.0),
        ((5, 5), (5, 5), 0.0),
        ((5, 5), (0, 10), 0.0),
    ]
    first, second, expected = (torch.tensor([pair[i] for pair in pairs], dtype=torch.float) for i in range(3))
    torch.testing.assert_close(overlap(first, second), expected)


def test_overlap_is_that_of_a_plain_loop():
    generator = torch.Generator().manual_seed(0)
    first, second = random_segments(40, generator), random_segments(30, generator)
    expected = torch.tensor([[plain_overlap(a, b) for b in second.tolist()] for a in first.tolist()])
    torch.testing.assert_close(pairwise_overlap(first, second), expected)


def test_anchors_lie_around_their_cells():
    grid = anchor_grid(3, 8, torch.tensor([1.0, 2.5]))
    assert grid.tolist() == [[0, 8], [-6, 14], [8, 16], [2, 22], [16, 24], [10, 30]]


def test_offsets_go_back_and_forth():
    generator = torch.Generator().manual_seed(0)
    segment, reference = (random_segments(50, generator) + torch.tensor([0.0, 1.0]) for _ in range(2))
    torch.testing.assert_close(decode(encode(segment, reference), reference), segment)
    assert encode(torch.tensor([10.0, 30.0]), torch.tensor([0.0, 10.0])).tolist() == pytest.approx([1.5, math.log(2)])


def test_a_wild_offset_stays_finite():
    assert decode(torch.tensor([0.0, 1e4]), torch.tensor([0.0, 800.0])).isfinite().all()


def plain_nms(segment, score, threshold, group):
    segment, group = segment.tolist(), group.tolist()
    kept = []
    for i in sorted(range(len(score)), key=lambda i: -score[i]):
        if all(group[i] != group[k] or plain_overlap(segment[i], segment[k]) <= threshold for k in kept):
            kept.append(i)
    return kept


@pytest.mark.parametrize("block", [1, 3, 16, 256])
@pytest.mark.parametrize("seed", range(6))
def test_suppression_is_that_of_a_plain_loop(monkeypatch, block, seed):
    monkeypatch.setattr(nms_module, "BLOCK", block)
    generator = torch.Generator().manual_seed(seed)
    count = int(torch.randint(120, (), generator=generator))
    segment = random_segments(count, generator, 60).double()
    score = torch.randint(20, (count,), generator=generator).float()  # many are equal
    group = torch.randint(1 + seed % 4, (count,), generator=generator)
    threshold = 0.2 + 0.1 * (seed % 4)
    assert nms(segment, score, threshold, group).tolist() == plain_nms(segment, score, threshold, group)


def test_suppression_of_nothing():
    assert nms(torch.empty(0, 2), torch.empty(0), 0.5).tolist() == []


def test_suppression_of_a_chain():
    """Of segments that each overlap the next one, every second one stays."""
    start = torch.arange(9.0)
    segment = torch.stack((start, start + 1.9), 1)
    assert nms(segment, -start, 0.2).tolist() == [0, 2, 4, 6, 8]


def plain_pool(maps, segment, row, stride, size):
    bins, height, width = size
    rows, columns, cells = maps.shape[3], maps.shape[4], maps.shape[2]
    out = torch.empty(len(segment), maps.shape[1], *size)
    for r, ((start, end), b) in enumerate(zip(segment.tolist(), row.tolist(), strict=True)):
        first = min(max(round(start / stride), 0), cells - 1)
        behind = max(min(round(end / stride), cells), first + 1)
        for t in range(bins):
            low = first + t * (behind - first) // bins
            high = first + math.ceil((t + 1) * (behind - first) / bins)
            for y in range(height):
                for x in range(width):
                    part = maps[
                        b,
                        :,
                        low:high,
                        y * rows // height : math.ceil((y + 1) * rows / height),
                        x * columns // width : math.ceil((x + 1) * columns / width),
                    ]
                    out[r, :, t, y, x] = part.flatten(1).amax(1)
    return out


@pytest.mark.parametrize("size", [(1, 4, 4), (4, 2, 2), (3, 1, 2)])
@pytest.mark.parametrize("cells", [1, 2, 7, 16])
def test_pooling_is_that_of_a_plain_loop(size, cells):
    generator = torch.Generator().manual_seed(cells)
    maps = torch.randn(2, 3, cells, 5, 7, generator=generator, requires_grad=True)
    segment = random_segments(25, generator, 8.0 * cells, 8.0 * cells) - 4
    row = torch.randint(2, (25,), generator=generator)
    pooled = roi_pool(maps, segment, row, 8, size)
    expected = plain_pool(maps, segment, row, 8, size)
    torch.testing.assert_close(pooled, expected)
    weight = torch.randn(pooled.shape, generator=generator)
    gradients = [torch.autograd.grad((out * weight).sum(), maps)[0] for out in (pooled, expected)]
    torch.testing.assert_close(*gradients)


def test_pooling_of_no_segment():
    assert roi_pool(torch.ones(1, 3, 4, 2, 2), torch.empty(0, 2), torch.empty(0).long(), 8, (1, 2, 2)).shape[0] == 0


def test_actions_that_are_hardly_in_a_window_are_left_out():
    segment = torch.tensor([[-3.0, 7], [-7, 3], [10, 20], [60, 70], [58, 90], [-5, 80], [30, 30]])
    cut, index = visible_actions(segment, 64, 0.7)
    assert index.tolist() == [0, 2, 5]
    assert cut.tolist() == [[0, 7], [10, 20], [0, 64]]
    assert visible_actions(segment[:0], 64, 0.7)[0].shape == (0, 2)


def test_targets_of_anchors():
    anchor = torch.tensor([[0.0, 10], [2, 12], [40, 60], [41, 52], [-5, 5], [90, 100], [10, 18]])
    action = torch.tensor([[1.0, 11], [42, 46]])
    label, owner = assign_anchors(anchor, action, 100, 0.7, 0.3)
    # The fourth is the best that the second action has; the fifth reaches out of the window.
    assert label.tolist() == [1, 1, 0, 1, -1, 0, 0]
    assert owner[[0, 1, 3]].tolist() == [0, 0, 1]
    label, _ = assign_anchors(anchor, action[:0], 100, 0.7, 0.3)
    assert label.tolist() == [0, 0, 0, 0, -1, 0, 0]
    label, _ = assign_anchors(torch.tensor([[0.0, 10], [0, 20]]), torch.tensor([[0.0, 10.0]]), 100, 0.7, 0.3)
    assert label.tolist() == [1, -1], "an overlap of a half is neither"


def test_targets_of_overlapping_actions():
    """The one that is overlapped most; of equal ones the first."""
    anchor = torch.tensor([[0.0, 10], [4, 14]])
    _, owner = assign_anchors(anchor, torch.tensor([[0.0, 11], [4, 14], [4, 14]]), 100, 0.7, 0.3)
    assert owner.tolist() == [0, 1]


def test_targets_of_proposals():
    proposal = torch.tensor([[0.0, 10], [0, 20], [0, 9], [50, 60], [8, 30]])
    action = torch.tensor([[30.0, 40], [0, 10]])
    label, owner = assign_proposals(proposal, action, 0.5, 0.1)
    assert label.tolist() == [1, 1, 1, -1, -1]
    assert owner[:3].tolist() == [1, 1, 1]
    assert assign_proposals(proposal, action, 0.5, 0.0)[0].tolist() == [1, 1, 1, 0, 0]
    assert assign_proposals(proposal, action[:0], 0.5, 0.1)[0].tolist() == [0] * 5


def test_samples_are_balanced_and_seeded():
    label = torch.cat((torch.ones(50), torch.zeros(50), -torch.ones(50))).long()

    def draw(label, seed, count=32, share=0.5):
        return sample(label, count, share, torch.Generator().manual_seed(seed))

    chosen = draw(label, 0)
    assert label[chosen].tolist() == [1] * 16 + [0] * 16
    assert len(set(chosen.tolist())) == 32
    assert chosen.tolist() == draw(label, 0).tolist() != draw(label, 1).tolist()
    few = label.clone()
    few[3:50] = -1
    assert label[draw(few, 0)].tolist() == [1] * 3 + [0] * 29
    assert len(draw(label, 0, 500)) == 100
    assert draw(-torch.ones(5).long(), 0).tolist() == []
