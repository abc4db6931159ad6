"""Contexts, anchors and the way to a count, each worked out by hand or against who knows the true cycles."""

import math

import pytest
import torch

from lightning_modules.metrics.count_errors import CountErrors
from lightning_modules.networks.cycle_head import CycleHead, CycleJudgement
from lightning_modules.repetition.anchors import ANCHORS, assign, best_factor, losses, unit_factor
from lightning_modules.repetition.contexts import NUM_DRAWS, Contexts, cut, draw_contexts, frame_times
from lightning_modules.repetition.counting import SCALES, count_cycles, moments, scale_shares

anchors = torch.tensor(ANCHORS)


def contexts(length, middle=20, span=(0, 40), row=0):
    return Contexts(torch.tensor([row]), torch.tensor([middle]), torch.tensor([length]), torch.tensor([span]))


def test_a_context_is_two_cycles_behind_and_two_ahead():
    times = frame_times(contexts((4.0, 8.0)), 8)
    assert times.tolist() == [[13, 15, 17, 19, 22, 26, 30, 34]]  # the centres of quarters of 12..20 and 20..36


def test_frames_outside_are_marked_and_those_inside_are_the_videos():
    frames = torch.arange(2 * 40).view(2, 40, 1, 1, 1).expand(2, 40, 2, 2, 3).to(torch.uint8)
    clip, seen = cut(frames, contexts((4.0, 8.0), span=(15, 30), row=1), 8)
    assert clip[0, :, 0, 0, 0].tolist() == [53, 55, 57, 59, 62, 66, 70, 74]
    assert seen.tolist() == [[False, True, True, True, True, True, False, False]]
    clip, seen = cut(frames, contexts((12.0, 12.0), middle=0), 4)
    assert clip[0, :, 0, 0, 0].tolist() == [0, 0, 6, 18] and seen.tolist() == [[False, False, True, True]]


def test_lengths_stay_between_four_frames_and_half_of_the_span():
    limited = contexts((1.0, 30.0)).limited(torch.tensor([[1.0, 30.0]]))
    assert limited.tolist() == [[4.0, 20.0]]


def test_training_contexts_lie_in_parts_of_at_least_two_cycles():
    torch.manual_seed(0)
    bounds = [torch.tensor([0, 10, 22, 30, 44, 52]), torch.tensor([0, 9, 20])]
    lengths = torch.zeros(2, 53, 2)
    lengths[0] = torch.tensor([11.0, 12.0])
    row = torch.arange(2).repeat_interleave(2000)
    drawn, true = draw_contexts(torch.rand(4000, NUM_DRAWS), row, bounds, lengths, scale_shares(row.device), 300)
    begin, end = drawn.span.unbind(1)
    assert (drawn.middle >= begin).all() and (drawn.middle < end).all()
    assert drawn.span[row == 1].unique(dim=0).tolist() == [[0, 21]]
    assert begin[:2000].max() > 25 and begin.min() == 0 and end[:2000].max() == 53
    assert (end - begin)[:2000].min() >= 18  # no two cycles are shorter
    assert true[:2000].unique(dim=0).tolist() == [[11.0, 12.0]] and not true[2000:].any()
    ratio = drawn.length[:2000, 0] / 11.5
    assert ((ratio - 1).abs() < 0.06).float().mean() > 0.08 and ratio.min() < 0.4 and ratio.max() > 1.8
    shorter, _ = draw_contexts(torch.rand(4000, NUM_DRAWS), row, bounds, lengths, scale_shares(row.device), 25)
    assert (shorter.span.diff() <= 25).all()


def test_anchors_fit_from_half_to_twice_their_length():
    targets = assign(torch.tensor([[10.0, 0.0]]), torch.tensor([[8.0, 8.0]]), anchors)
    assert targets.known.tolist() == [[True, False]]
    assert targets.fits[0, 0].tolist() == [False] + [True] * 6  # 10 / 4 is more than 2, 10 / 16 more than 0.5
    assert not targets.fits[0, 1].any()
    assert targets.offset[0, 0].tolist() == pytest.approx([math.log(10 / (8 * anchor)) for anchor in ANCHORS], abs=1e-5)


def test_losses_by_hand():
    targets = assign(torch.tensor([[10.0, 0.0]]), torch.tensor([[10.0, 10.0]]), torch.tensor([1.0, 4.0]))
    judged = CycleJudgement(torch.tensor([[[2.0, -1.0], [9.0, 9.0]]]), torch.tensor([[[0.5, 7.0], [7.0, 7.0]]]))
    fit, offset = losses(judged, targets)
    assert float(fit) == pytest.approx(2 * (math.log1p(math.exp(-2)) + math.log1p(math.exp(-1))) / 2, rel=1e-5)
    assert float(offset) == pytest.approx(2 * (0.5 * 0.5**2) / 4, rel=1e-5)
    unknown = assign(torch.zeros(1, 2), torch.ones(1, 2), torch.tensor([1.0, 4.0]))
    assert [float(loss) for loss in losses(judged, unknown)] == [0, 0]


def test_the_best_anchor_and_its_offset_correct_an_estimate():
    logit, offset = torch.zeros(1, 2, 7), torch.zeros(1, 2, 7)
    logit[0, 0, 6], offset[0, 0, 6] = 1, 0.1
    logit[0, 1, 0], offset[0, 1, 0] = 1, -3
    logit[0, :, 3], offset[0, :, 3] = 0.5, torch.tensor([0.2, 0.4])
    judged = CycleJudgement(logit, offset)
    assert best_factor(judged, anchors, 0.5)[0].tolist() == pytest.approx([2 * math.exp(0.1), 0.5 * math.exp(-0.5)])
    fit, factor = unit_factor(judged, anchors, 0.5)
    assert float(fit) == pytest.approx(1 / (1 + math.exp(-0.5))) and float(factor) == pytest.approx(math.exp(0.3))


def test_the_halves_of_the_maps_judge_their_sides():
    head = CycleHead(3, 4, 7)
    maps = torch.randn(2, 3, 4, 5, 6)
    judged = head(maps)
    assert judged.logit.shape == judged.offset.shape == (2, 2, 7)
    changed = head(torch.cat((maps[:, :, :2], torch.randn(2, 3, 2, 5, 6)), dim=2))
    assert torch.equal(changed.logit[:, 0], judged.logit[:, 0])
    assert not torch.allclose(changed.logit[:, 1], judged.logit[:, 1])


def knower(bounds):
    """A judge that knows the cycles: what a trained network would say if it made no mistake."""

    def judge(asked):
        true = torch.empty_like(asked.length)
        for number, (row, middle) in enumerate(zip(asked.row.tolist(), asked.middle.tolist(), strict=True)):
            bound = bounds[row]
            cycle = int(((bound <= middle).sum() - 1).clamp(0, len(bound) - 2))
            true[number] = (bound[cycle + 1] - bound[cycle]).float()
        offset = (true / asked.length)[..., None].log() - anchors.log()
        return CycleJudgement(-offset.abs(), offset)

    return judge


def even(count, length):
    return torch.arange(count + 1) * length


@pytest.mark.parametrize(
    ("bounds", "count"),
    [
        (even(2, 30), 2),
        (even(3, 20), 3),
        (even(12, 9), 12),
        (even(25, 12), 25),
        # Slower in the second half: 12 cycles, whose last contexts reach past the end and are left out.
        (torch.cat((even(8, 8), 64 + even(4, 16)[1:])), 13),
        (torch.tensor([0, 19, 41, 60, 84, 98, 120, 138, 152, 172, 192, 210, 225]), 12),
    ],
)
def test_who_knows_the_cycles_counts_them(bounds, count):
    counted = count_cycles(knower([bounds]), bounds[-1:], anchors)
    assert counted.number.tolist() == [count]
    assert counted.middle.shape == (1, 16) and counted.length.shape == (1, 16, 2)


def test_videos_of_a_batch_are_counted_each_on_its_own():
    bounds = [even(12, 9), even(3, 20), even(25, 12)]
    counted = count_cycles(knower(bounds), torch.stack([bound[-1] for bound in bounds]), anchors)
    assert counted.number.tolist() == [12, 3, 25]
    assert counted.middle[1].tolist() == [int(60 * (part + 0.5) / 16) for part in range(16)]
    assert torch.allclose(counted.length[2], torch.tensor(12.0), rtol=0.05)


def test_first_estimates_are_those_published():
    shares = scale_shares(torch.device("cpu"))
    assert (float(shares[0]), float(shares[-1]), len(shares)) == pytest.approx(SCALES)
    assert torch.allclose(shares[1:] / shares[:-1], shares[1] / shares[0])
    whole = moments(torch.tensor([20, 30]), torch.ones(2, 2, 3), at_middle=True)
    assert whole.middle.tolist() == [10] * 3 + [15] * 3 and whole.row.tolist() == [0] * 3 + [1] * 3
    assert whole.span.tolist() == [[0, 20]] * 3 + [[0, 30]] * 3


def test_errors_of_counts():
    errors = CountErrors()
    errors.update(torch.tensor([4.0, 9.0]), torch.tensor([5, 6]), torch.tensor([0, 1]))
    errors.update(torch.tensor([3.0, 4.0]), torch.tensor([2, 5]), torch.tensor([2, 0]))  # video 0 once more
    found = errors.compute(torch.device("cpu"), 4.0)
    assert found == pytest.approx(
        {"error": (0.2 + 0.5 + 0.5) / 3, "off_by_one": 2 / 3, "error_of_mean_count": (0.2 + 1 / 3 + 1) / 3}
    )
    errors.update(torch.tensor([4.0]), torch.tensor([4]), torch.tensor([0]))
    assert errors.compute(torch.device("cpu")) == {"error": 0, "off_by_one": 1}
