"""Crops, flips and normalisation of RGB, flow and depth clips."""

import dataclasses

import pytest
import torch
from torch.nn import functional

from lightning_modules.views.multimodal import DEPTH, ClipCrop, CornerCrop, CropBoxes, crop_clips, resize_weights
from lightning_modules.weights import Preprocessing

SIZE = 12
RGB = Preprocessing(4, SIZE, SIZE, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.5))
FLOW = Preprocessing(4, SIZE, SIZE, mean=(0.5, 0.5), std=(0.5, 0.5), flow_bound=8)
DEPTHS = Preprocessing(4, SIZE, SIZE, mean=(0, 0, 0), std=(1, 1, 1), depth_range=(1000, 3000))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def boxes(top, left, height, width, flipped=False):
    values = [torch.tensor([float(value)]) for value in (top, left, height, width)]
    return CropBoxes(*values, torch.tensor([flipped]))


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize(
    ("top", "left", "height", "width"), [(4, 6, 20, 20), (0, 0, 9, 9), (3, 10, 14, 21), (1, 2, 12, 12)]
)
def test_a_crop_is_resized_as_torch_resizes_it(top, left, height, width, flipped) -> None:
    clip = torch.randint(0, 256, (1, 4, 24, 32, 3), dtype=torch.uint8, generator=generator())
    view = crop_clips(clip, boxes(top / 24, left / 32, height / 24, width / 32, flipped), RGB)
    part = clip[0, :, top : top + height, left : left + width].permute(0, 3, 1, 2).float() / 255
    part = functional.interpolate(part, (SIZE, SIZE), mode="bilinear", antialias=True)
    part = (part - torch.tensor(RGB.mean).view(3, 1, 1)) / torch.tensor(RGB.std).view(3, 1, 1)
    expected = part.flip(3) if flipped else part
    assert view.shape == (1, 3, 4, SIZE, SIZE)
    torch.testing.assert_close(view[0].transpose(0, 1), expected, rtol=1e-4, atol=1e-4)


def test_boxes_are_squares_at_corners_and_centre_of_five_sizes() -> None:
    drawn = CornerCrop().draw(4000, 100, 160, generator())
    heights, widths = drawn.height * 100, drawn.width * 160
    torch.testing.assert_close(heights, widths)
    sides = torch.tensor([50.0, 59.46, 70.71, 84.09, 100.0])
    for side in sides:
        assert 0.17 < ((heights - side).abs() < 0.01).float().mean() < 0.23
    tops, lefts = drawn.top * 100, drawn.left * 160
    free = heights < 99
    for down, across in ((0, 0), (0, 1), (1, 0), (1, 1), (0.5, 0.5)):
        there = ((tops - down * (100 - heights)).abs() < 0.01) & ((lefts - across * (160 - widths)).abs() < 0.01)
        assert 0.17 < there[free].float().mean() < 0.23
    assert 0.47 < drawn.flipped.float().mean() < 0.53
    again = CornerCrop().draw(4000, 100, 160, generator())
    assert torch.equal(again.top, drawn.top) and torch.equal(again.flipped, drawn.flipped)
    assert not CornerCrop(flip_probability=0).draw(100, 10, 10, generator()).flipped.any()


def test_one_box_cuts_the_same_part_of_both_members_of_a_pair() -> None:
    # a bright spot at the same place of frames of two sizes stays at one place of the crops, flipped or not
    rgb = torch.zeros(1, 1, 48, 64, 3, dtype=torch.uint8)
    rgb[:, :, 32:36, 16:20] = 255
    depth = torch.zeros(1, 1, 24, 32, dtype=torch.int16)
    depth[:, :, 16:18, 8:10] = 1000
    drawn = CornerCrop(scales=(0.75,)).draw(40, 48, 64, generator())
    seen = 0
    for row in range(len(drawn)):
        box = drawn[row : row + 1]
        first = crop_clips(rgb, box, dataclasses.replace(RGB, mean=(0, 0, 0), std=(1, 1, 1)))[0, 0, 0]
        second = crop_clips(depth, box, DEPTHS)[0, 0, 0]
        torch.testing.assert_close(first, second, rtol=0, atol=1e-4)
        seen += bool(first.max() > 0.5)
    assert 10 < seen < 40


def test_a_flip_turns_flow_around() -> None:
    flow = (8 * torch.rand(1, 2, 12, 12, 2, generator=generator()) - 4).half()
    flow[0, 0, 0, 0] = torch.tensor([100.0, -100.0])
    plain, flipped = (crop_clips(flow, boxes(0, 0, 1, 1, flip), FLOW) for flip in (False, True))
    again = flow.float()
    torch.testing.assert_close(crop_clips(again, boxes(0, 0, 1, 1), FLOW), plain)
    assert torch.equal(again, flow.float())  # the batch itself stays
    expected = (flow.float() / 8).clamp(-1, 1).permute(0, 4, 1, 2, 3)
    torch.testing.assert_close(plain, expected)
    torch.testing.assert_close(flipped[:, 0], -expected[:, 0].flip(3))
    torch.testing.assert_close(flipped[:, 1], expected[:, 1].flip(3))


def test_depth_is_a_share_of_its_range_and_unknown_is_far() -> None:
    clip = torch.tensor([0, 400, 1000, 1500, 3000, 8000], dtype=torch.int16).view(1, 1, 1, 6).repeat(2, 3, 6, 1)
    whole = dataclasses.replace(DEPTHS, crop_size=6, short_side=6)
    expected = torch.tensor([0.0, 1.0, 1.0, 0.75, 0.0, 0.0])
    both = CropBoxes(*(torch.tensor([v, v]) for v in (0.0, 0.0, 1.0, 1.0)), torch.tensor([False, False]))
    for view in (whole(clip), crop_clips(clip, both, whole)):
        assert view.shape == (2, 3, 3, 6, 6)
        torch.testing.assert_close(view, expected.expand(2, 3, 3, 6, 6))
    assert whole(clip[0]).shape == (1, 3, 3, 6, 6)
    # resizing mixes shares, not millimetres: between unknown and near lies the middle of the range, not half a metre
    pair = torch.tensor([0, 1000], dtype=torch.int16).repeat(1, 1, 2, 1)
    view = crop_clips(pair, boxes(0, 0, 1, 1), dataclasses.replace(DEPTHS, crop_size=1, short_side=1))
    torch.testing.assert_close(view.flatten(), torch.full((3,), 0.5))


def test_default_depth_looks_like_a_grey_picture() -> None:
    clip = torch.full((1, 16, 112, 150), 500, dtype=torch.int16)
    view = DEPTH(clip)
    assert view.shape == (1, 3, 16, 112, 112)
    torch.testing.assert_close(view[0, :, 0, 0, 0], 255 - torch.tensor([114.7748, 107.7354, 99.4750]))


def test_the_centre_crop_is_the_largest_square() -> None:
    clip = torch.randint(0, 256, (2, 4, 24, 36, 3), dtype=torch.uint8, generator=generator())
    centre = CropBoxes(*(torch.tensor([v, v]) for v in (0.0, 1 / 6, 1.0, 2 / 3)), torch.tensor([False, False]))
    whole, cut = RGB(clip), crop_clips(clip, centre, RGB)  # which saw nothing beyond its left and right borders
    torch.testing.assert_close(whole[..., 1:-1], cut[..., 1:-1], rtol=1e-3, atol=1e-3)


def test_colours_are_mixed_around_the_mean_colour() -> None:
    clip = torch.randint(0, 256, (2, 1, 4, SIZE, SIZE, 3), dtype=torch.uint8, generator=generator())
    plain = dataclasses.replace(RGB, mean=(0, 0, 0), std=(1, 1, 1))
    drawn = ClipCrop("rgb", plain, (1.0,), 0.0, recolour=True).draw(2, SIZE, SIZE, generator())
    assert drawn.colours is not None
    view = ClipCrop("rgb", plain).random(clip, drawn)
    pixels = clip[:, 0].double() / 255
    for row in range(2):
        offset = pixels[row] - pixels[row].mean((0, 1, 2))
        mixed = torch.einsum("ij,thwj->ithw", drawn.colours[row].double(), offset) + 0.5
        torch.testing.assert_close(view[row].double(), mixed, atol=1e-4, rtol=1e-4)
    many = ClipCrop("rgb", plain, recolour=True).draw(400, SIZE, SIZE, generator()).colours
    assert many is not None
    own = many.diagonal(dim1=1, dim2=2).mean(1)
    assert 0.4 < float((own > 0).float().mean()) < 0.6 and 0.4 < float(own.abs().mean()) < 0.7
    with pytest.raises(ValueError, match="recolour is for modality rgb"):
        ClipCrop("depth", recolour=True)


def test_weights_of_a_resized_part_sum_to_one() -> None:
    start, length = torch.rand(50, generator=generator()) * 0.5, torch.rand(50, generator=generator(1)) * 0.5
    for size in (3, 40):
        weights = resize_weights(start, length, 17, size)
        torch.testing.assert_close(weights.sum(2), torch.ones(50, size))


@pytest.mark.parametrize(
    ("clip", "preprocessing", "message"),
    [
        (torch.zeros(1, 4, 9, 9, 3), RGB, r"expected a uint8 clip \(T, H, W, 3\) .* of rgb, got torch.float32"),
        (torch.zeros(1, 4, 9, 9, 3), FLOW, r"expected a float clip \(T, H, W, 2\)"),
        (torch.zeros(1, 4, 9, 9), DEPTHS, r"expected a int16 clip \(T, H, W\)"),
    ],
)
def test_another_modality_is_refused(clip, preprocessing, message) -> None:
    with pytest.raises(ValueError, match=message):
        crop_clips(clip, boxes(0, 0, 1, 1), preprocessing)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scales": ()}, "scales"),
        ({"scales": (1.5,)}, "scales"),
        ({"flip_probability": 2}, "flip_probability=2"),
    ],
)
def test_impossible_crops_are_named(arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        CornerCrop(**arguments)


@pytest.mark.parametrize("depth_range", [(3000, 1000), (1000,), (-1, 5)])
def test_impossible_ranges_are_named(depth_range) -> None:
    with pytest.raises(ValueError, match="depth_range"):
        dataclasses.replace(DEPTHS, depth_range=depth_range)
