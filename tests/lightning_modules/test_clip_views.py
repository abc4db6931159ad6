"""Flips, colours, normalisation and pairing."""

import colorsys

import numpy as np
import pytest
import torch

from lightning_modules.views.clip import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ClipAugmentation,
    ColourParameters,
    flip,
    normalise,
    recolour_,
)
from lightning_modules.views.pairing import swap_neighbours


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_clip(num_clips=3, num_frames=2, height=5, width=7):
    shape = (num_clips, num_frames, height, width, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=seeded())


def colours(brightness, contrast, hue, saturation) -> ColourParameters:
    return ColourParameters(*(torch.tensor(values) for values in (brightness, contrast, hue, saturation)))


def test_flipped_clips_only():
    clip = random_clip()
    before = clip.clone()
    flipped = flip(clip, torch.tensor([True, False, True]))
    assert torch.equal(flipped[0], clip[0].flip(2)) and torch.equal(flipped[2], clip[2].flip(2))
    assert torch.equal(flipped[1], clip[1]) and torch.equal(clip, before)
    part = clip[:, :, :, 1:5]  # rows that do not follow each other in memory
    assert torch.equal(flip(part, torch.tensor([True, False, False]))[0], part[0].flip(2))


def test_half_of_the_clips_are_flipped():
    drawn = ClipAugmentation().draw_flips(4000, seeded())
    assert drawn.dtype == torch.bool and abs(float(drawn.float().mean()) - 0.5) < 0.03
    assert not ClipAugmentation(flip_probability=0).draw_flips(100, seeded()).any()


def test_published_colours():
    first, second = ClipAugmentation().draw_colours(6000, seeded())
    assert first is second
    limits = {"brightness": 32, "contrast": np.exp(0.2), "hue": 24, "saturation": np.exp(0.1)}
    for name, limit in limits.items():
        value = getattr(first, name)
        neutral = 1.0 if name in ("contrast", "saturation") else 0.0
        changed = value != neutral
        assert abs(float(changed.float().mean()) - 0.2) < 0.02
        assert 0.95 * limit < value.max() <= limit + 1e-4
        middle = value[changed].log().mean() if neutral else value[changed].mean() / limit
        assert abs(float(middle)) < 0.05
    assert torch.equal(first.hue != 0, first.saturation != 1)
    assert not torch.equal(first.hue != 0, first.brightness != 0)


def test_independent_colours_differ_within_a_pair():
    first, second = ClipAugmentation(colour="independent", colour_probability=1).draw_colours(10, seeded())
    assert not torch.isclose(first.brightness, second.brightness).any()


def test_brightness_then_contrast_by_numpy():
    clip = random_clip(4)
    changed = recolour_(clip.clone(), colours([30.0, -30.0, 0.0, 20.0], [1.0, 1.2, 0.8, 1.2], [0.0] * 4, [1.0] * 4))
    for row, (delta, factor) in enumerate([(30, 1), (-30, 1.2), (0, 0.8), (20, 1.2)]):
        pixels = clip[row].numpy().astype(float)
        expected = np.clip(np.clip(pixels + delta, 0, 255) * factor, 0, 255)
        assert np.abs(changed[row].numpy() - expected).max() <= 0.51


def test_hue_and_saturation_by_colorsys():
    clip = random_clip(2)
    clip[0, 0, 0, :3] = torch.tensor([[9, 9, 9], [0, 0, 0], [255, 255, 255]], dtype=torch.uint8)  # grey has no hue
    clip[0, 0, 1, :3] = torch.tensor([[200, 200, 9], [9, 200, 200], [200, 9, 200]], dtype=torch.uint8)  # ties
    turns, factors = (20.0, -24.0), (1.1, 0.9)
    changed = recolour_(clip.clone(), colours([0.0, 0.0], [1.0, 1.0], list(turns), list(factors)))
    for row in range(2):
        for pixel, result in zip(clip[row].view(-1, 3).tolist(), changed[row].view(-1, 3).tolist(), strict=True):
            hue, saturation, value = colorsys.rgb_to_hsv(*(channel / 255 for channel in pixel))
            hue = min(max(hue * 360 + turns[row], 0), 358) / 360  # as published: it stops at red
            expected = colorsys.hsv_to_rgb(hue, min(saturation * factors[row], 1), value)
            assert max(abs(a * 255 - b) for a, b in zip(expected, result, strict=True)) <= 0.51


def test_all_changes_on_one_clip_leave_the_others_alone():
    clip = random_clip()
    before = clip.clone()
    changed = recolour_(clip.clone(), colours([0.0, 10.0, 0.0], [1.0, 1.1, 1.0], [0.0, 9.0, 0.0], [1.0, 1.05, 1.0]))
    assert torch.equal(changed[0], clip[0]) and torch.equal(changed[2], clip[2])
    assert not torch.equal(changed[1], clip[1])
    light = recolour_(clip[1:2].clone(), colours([10.0], [1.1], [0.0], [1.0]))
    assert torch.equal(recolour_(light, colours([0.0], [1.0], [9.0], [1.05]))[0], changed[1])  # light first
    assert recolour_(clip, colours([0.0] * 3, [1.0] * 3, [0.0] * 3, [1.0] * 3)) is clip and torch.equal(clip, before)


def test_slices_of_colours_give_slices_of_clips():
    clip = random_clip(6)
    drawn = ClipAugmentation(colour_probability=0.7).draw_colours(6, seeded())[0]
    whole = recolour_(clip.clone(), drawn)
    assert torch.equal(recolour_(clip[2:5].clone(), drawn[2:5]), whole[2:5])
    parts = drawn.split(4)
    assert [len(part) for part in parts] == [4, 2] and torch.equal(parts[1].hue, drawn.hue[4:])


def test_normalise():
    clip = random_clip()
    result = normalise(clip)
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    expected = ((clip.float() / 255 - mean) / std).permute(0, 4, 1, 2, 3)
    torch.testing.assert_close(result, expected)
    assert result.shape == (3, 3, 2, 5, 7) and result.dtype == torch.float32
    assert result.is_contiguous(memory_format=torch.channels_last_3d)
    part = clip[:, :, 1:4, 2:6]
    torch.testing.assert_close(normalise(part, (0.5, 0.5, 0.5), (1.0, 1.0, 1.0)), (part / 255 - 0.5).movedim(-1, 1))


@pytest.mark.parametrize("num_clips", [2, 3, 4, 5, 8, 9])
def test_each_clip_meets_another_once_in_each_role(num_clips):
    partner = swap_neighbours(num_clips)
    assert partner.dtype == torch.int64
    assert partner.sort().values.tolist() == list(range(num_clips))
    assert not (partner == torch.arange(num_clips)).any()
    assert (partner - torch.arange(num_clips)).abs().max() <= 2


def test_pairs_do_not_depend_on_the_number_of_processes():
    for shares in (2, 3, 6):
        size = 12 // shares
        parts = torch.cat([swap_neighbours(size) + rank * size for rank in range(shares)])
        assert torch.equal(parts, swap_neighbours(12))


def test_one_clip_makes_no_pair():
    with pytest.raises(ValueError, match="a pair needs two videos"):
        swap_neighbours(1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"flip_probability": 1.5}, "flip_probability=1.5"),
        ({"colour_probability": -0.1}, "colour_probability=-0.1"),
        ({"colour": "both"}, "colour='both'"),
        ({"contrast": -1.0}, "must not be negative"),
        ({"hue": 200.0}, "at most 180"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ClipAugmentation(**arguments)
