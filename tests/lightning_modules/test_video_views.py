"""Flips and colour jitter of whole clips against torchvision, and scores of videos from those of their clips."""

import pytest
import torch
from torchvision.transforms import functional

from lightning_modules.metrics.video_scores import VideoScores
from lightning_modules.views.clip import IMAGENET_MEAN, IMAGENET_STD, normalise
from lightning_modules.views.video import VideoAugmentation


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def random_clips(num_videos=3, num_clips=2, num_frames=5, height=6, width=8):
    shape = (num_videos, num_clips, num_frames, height, width, 3)
    clips = torch.randint(0, 256, shape, dtype=torch.uint8, generator=seeded())
    clips[0, 0, :, :2] = 77  # grey has no hue
    return clips


def test_jitter_is_that_of_torchvision_in_the_drawn_order():
    clips = random_clips()
    before = clips.clone()
    augmentation = VideoAugmentation()
    changes = augmentation.draw(3, 2, seeded())
    result = augmentation.random(clips, changes)
    assert torch.equal(clips, before)
    drawn = changes.flatten()
    assert len({tuple(order) for order in drawn.order.tolist()}) > 1 and drawn.flipped.any()
    steps = (
        (functional.adjust_brightness, drawn.brightness),
        (functional.adjust_contrast, drawn.contrast),
        (functional.adjust_saturation, drawn.saturation),
        (functional.adjust_hue, drawn.hue),
    )
    for row, clip in enumerate(clips.flatten(0, 1)):
        frames = clip.movedim(-1, 1).float() / 255
        frames = frames.flip(-1) if drawn.flipped[row] else frames
        for number in drawn.order[row].tolist():
            change, strength = steps[number]
            frames = change(frames, float(strength[row]))
        expected = functional.normalize(frames, IMAGENET_MEAN, IMAGENET_STD).transpose(0, 1)
        # Half a step of the 256, and what rounding errors make of one.
        torch.testing.assert_close(result[row], expected, rtol=0, atol=0.505 / 255 / min(IMAGENET_STD))


def test_what_is_drawn():
    changes = VideoAugmentation(flip_probability=0.25).draw(3000, 2, seeded())
    assert changes.flipped.shape == (3000, 2) and abs(float(changes.flipped.float().mean()) - 0.25) < 0.02
    for name in ("brightness", "contrast", "saturation"):
        values = getattr(changes, name)
        assert 0.6 <= values.min() < 0.61 and 1.39 < values.max() <= 1.4
    assert -0.2 <= changes.hue.min() < -0.195 and 0.195 < changes.hue.max() <= 0.2
    assert torch.equal(changes.order.sort(-1).values, torch.arange(4).expand(3000, 2, 4))
    assert abs(float((changes.order == 0).float().mean((0, 1)).std())) < 0.02
    wide = VideoAugmentation(colour_jitter=(1.5, 0, 0, 0)).draw(3000, 1, seeded())
    assert 0 <= wide.brightness.min() < 0.01 and (wide.contrast == 1).all() and (wide.hue == 0).all()


def test_a_part_of_what_is_drawn_changes_a_part_of_the_clips():
    clips, augmentation = random_clips(4), VideoAugmentation()
    changes = augmentation.draw(4, 2, seeded(1))
    whole = augmentation.random(clips, changes)
    torch.testing.assert_close(augmentation.random(clips[1:3], changes[1:3]), whole[2:6], rtol=0, atol=0)


def test_evaluation_normalises_alone():
    clips = random_clips()
    torch.testing.assert_close(VideoAugmentation().centre(clips[:, 0]), normalise(clips[:, 0]))
    plain = VideoAugmentation(0, (0, 0, 0, 0), (0, 0, 0), (1, 1, 1))
    expected = clips.flatten(0, 1).movedim(-1, 1) / 255
    torch.testing.assert_close(plain.random(clips, plain.draw(3, 2, seeded())), expected)
    assert torch.equal(plain.centre(clips.flatten(0, 1)), plain.random(clips, plain.draw(3, 2, seeded())))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"flip_probability": 1.5}, r"flip_probability=1.5 must lie in 0..1"),
        ({"colour_jitter": (0.4, 0.4, 0.4, 0.6)}, r"hue at most 0.5"),
        ({"colour_jitter": (0.4, 0.4, 0.4)}, r"must be brightness, contrast, saturation and hue"),
        ({"std": (1, 1, 0)}, r"three numbers each, std above 0"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        VideoAugmentation(**arguments)


def test_scores_of_a_video_whose_clips_are_spread_and_of_one_that_comes_twice():
    scores = VideoScores(3)
    first, second, third = torch.rand(3, 4, 3, generator=seeded())  # four clips of each of three videos
    sums = torch.stack([first[:1].sum(0), second.sum(0)])
    scores.update(sums, torch.tensor([1, 4]), torch.tensor([5, 2]), torch.tensor([0, 1]))
    sums = torch.stack([first[1:].sum(0), second.sum(0), third.sum(0)])
    scores.update(sums, torch.tensor([3, 4, 4]), torch.tensor([5, 2, 9]), torch.tensor([0, 1, 2]))
    score, label = scores.compute(torch.device("cpu"))
    torch.testing.assert_close(score, torch.stack([second.mean(0), first.mean(0), third.mean(0)]))
    assert label.tolist() == [1, 0, 2]
    score, label = scores.compute(torch.device("cpu"))  # all is forgotten
    assert score.shape == (0, 3) and label.shape == (0,)
