"""Tubelets: paths, key frames, distributions, and pasting against a plain loop over pixels."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d

from lightning_modules.views import tubelet_motion, tubelet_paste
from lightning_modules.views.tubelets import TubeletParameters, Tubelets

MOTIONS = ("static", "linear", "nonlinear")
TRANSFORMATIONS = ((), ("scale",), ("rotation",), ("shear",), ("scale", "rotation", "shear"))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_clips(num_pairs, num_frames, height, width, seed=0):
    shape = (2, num_pairs, num_frames, height, width, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=seeded(seed)).unbind()


def plain_alpha(x, y, width, height, shape, edge):
    """Opacity of a patch's pixel, by the published description."""
    dx, dy = abs(x + 0.5 - width / 2) / width, abs(y + 0.5 - height / 2) / height
    distance = (max(dx, dy), math.hypot(dx, dy), dx + dy)[shape]
    if edge == 0.5:
        return float(distance < 0.5 - 1e-5)
    return min(max((0.5 - distance) / (0.5 - edge), 0.0), 1.0)


def plain_paste(source, target, parameters):
    """Every pixel of every frame on its own."""
    source, result = source.numpy(), np.stack((source.numpy(), target.numpy()))
    p = {name: value.numpy() for name, value in vars(parameters).items() if isinstance(value, torch.Tensor)}
    num_pairs, num_tubelets, num_frames = p["opacity"].shape
    for b, m in np.ndindex(num_pairs, num_tubelets):
        width, height = p["size"][b, m]
        left, top = p["crop"][b, m]
        texture = np.zeros((height + 2, width + 2, 4))  # nothing around it
        for y, x in np.ndindex(height, width):
            alpha = plain_alpha(x, y, width, height, p["shape"][b, m], p["edge"][b, m])
            colour = source[b, p["crop_frame"][b, m], top + y, left + x].astype(float)
            texture[y + 1, x + 1] = *(colour * alpha), alpha
        for t in range(num_frames):
            inverse = np.linalg.inv(p["matrix"][b, m, t].astype(float))
            for row, column in np.ndindex(*parameters.frame_size):
                place = inverse @ (np.array([column, row]) + 0.5 - p["centre"][b, m, t])
                u, v = place + np.array([width, height]) / 2 + 0.5  # in the texture, pixel centres at whole numbers
                if not (0 < u < width + 1 and 0 < v < height + 1):
                    continue
                i, j = int(u), int(v)
                upper = texture[j, i] * (1 - u + i) + texture[j, i + 1] * (u - i)
                lower = texture[j + 1, i] * (1 - u + i) + texture[j + 1, i + 1] * (u - i)
                sample = (upper * (1 - v + j) + lower * (v - j)) * p["opacity"][b, m, t]
                below = result[:, b, t, row, column].astype(float)
                result[:, b, t, row, column] = np.floor(below * (1 - sample[3]) + sample[:3] + 0.5)
    return result


def assert_alike(pasted, expected):
    """Equal up to a rounding to the neighbouring level, which two layers may pass on."""
    difference = np.abs(np.stack([clip.numpy() for clip in pasted]).astype(int) - expected)
    assert difference.max() <= 2
    assert (difference > 0).mean() < 2e-3


@pytest.mark.parametrize("preset", ["published", "text"])
@pytest.mark.parametrize("motion", MOTIONS)
@pytest.mark.parametrize("transformations", TRANSFORMATIONS)
def test_paste_is_a_plain_loop_over_pixels(preset, motion, transformations):
    tubelets = Tubelets(preset, motion=motion, transformations=transformations, patch_size=(5, 12))
    source, target = random_clips(2, 4, 21, 26)
    parameters = tubelets.draw(2, 4, 21, 26, seeded(len(transformations)))
    before = source.clone(), target.clone()
    pasted = tubelets.paste(source, target, parameters)
    assert torch.equal(source, before[0]) and torch.equal(target, before[1])
    assert_alike(pasted, plain_paste(source, target, parameters))
    assert not torch.equal(pasted[0], source) and not torch.equal(pasted[1], target)


def test_jittered_crops_are_a_plain_loop_too_and_jump():
    tubelets = Tubelets(motion="jittered_crops", transformations=(), patch_size=(5, 12))
    source, target = random_clips(2, 4, 21, 26)
    parameters = tubelets.draw(2, 4, 21, 26, seeded())
    assert_alike(tubelets.paste(source, target, parameters), plain_paste(source, target, parameters))
    jump = tubelets.draw(200, 16, 112, 112, seeded()).centre.diff(dim=2).norm(dim=-1).mean()
    smooth = Tubelets().draw(200, 16, 112, 112, seeded()).centre.diff(dim=2).norm(dim=-1).mean()
    assert jump > 4 * smooth


def by_hand(**changes) -> TubeletParameters:
    """One 4 x 2 patch, cropped at (3, 5) of frame 1, that moves right by two pixels a frame."""
    centre = torch.tensor([[[[4.0, 3.0], [6.0, 3.0], [8.0, 3.0]]]])
    parameters = TubeletParameters(
        size=torch.tensor([[[4, 2]]]),
        shape=torch.zeros(1, 1, dtype=torch.int64),
        edge=torch.full((1, 1), 0.5),
        crop_frame=torch.ones(1, 1, dtype=torch.int64),
        crop=torch.tensor([[[3, 5]]]),
        centre=centre,
        matrix=torch.eye(2).repeat(1, 1, 3, 1, 1),
        opacity=torch.ones(1, 1, 3),
        frame_size=(8, 10),
    )
    return dataclasses.replace(parameters, **changes)


def test_the_same_patch_is_in_both_clips_and_nothing_else_changes():
    source, target = random_clips(1, 3, 8, 10)
    pasted = Tubelets().paste(source, target, by_hand())
    for clip, before in zip(pasted, (source, target), strict=True):
        expected = before.clone()
        for t, left in enumerate((2, 4, 6)):
            expected[0, t, 2:4, left : left + 4] = source[0, 1, 5:7, 3:7]
        assert torch.equal(clip, expected)


def test_a_quarter_turn_and_a_patch_cut_by_the_frame():
    source, target = random_clips(1, 3, 8, 10)
    turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]]).repeat(1, 1, 3, 1, 1)  # x to the right becomes down
    centre = torch.tensor([[[[0.0, 3.0], [5.0, 8.0], [8.0, 4.0]]]])
    pasted = Tubelets().paste(source, target, by_hand(matrix=turn, centre=centre))
    patch = source[0, 1, 5:7, 3:7].rot90(-1, (0, 1))  # 4 high, 2 wide
    expected = target.clone()
    expected[0, 0, 1:5, 0:1] = patch[:, 1:]
    expected[0, 1, 6:8, 4:6] = patch[:2]
    expected[0, 2, 2:6, 7:9] = patch
    torch.testing.assert_close(pasted[1].int(), expected.int(), atol=1, rtol=0)


def test_opacity_mixes_the_patch_with_what_lies_below():
    source, target = random_clips(1, 3, 8, 10)
    opacity = torch.tensor([[[1.0, 0.5, 0.0]]])
    pasted = Tubelets().paste(source, target, by_hand(opacity=opacity))
    patch = source[0, 1, 5:7, 3:7].float()
    mixed = (target[0, 1, 2:4, 4:8] / 2 + patch / 2 + 0.5).floor()
    assert torch.equal(pasted[1][0, 1, 2:4, 4:8].float(), mixed)
    assert torch.equal(pasted[1][0, 2], target[0, 2])


def test_the_last_tubelet_lies_on_top():
    one = by_hand()
    two = {name: torch.cat((value, value), 1) for name, value in vars(one).items() if isinstance(value, torch.Tensor)}
    parameters = dataclasses.replace(one, **two)
    parameters.crop[0, 1] = torch.tensor([0, 0])
    source, target = random_clips(1, 3, 8, 10)
    pasted = Tubelets().paste(source, target, parameters)
    assert torch.equal(pasted[1][0, 0, 2:4, 2:6], source[0, 1, 0:2, 0:4])
    drawn = Tubelets(num_tubelets=3).draw(50, 16, 112, 112, seeded()).size.prod(-1)
    assert bool((drawn.diff(dim=1) <= 0).all())  # so the small ones stay visible


@pytest.mark.parametrize("group", [1, 3])
def test_any_slice_of_a_batch_gets_the_same_pixels(group, monkeypatch):
    monkeypatch.setattr(tubelet_paste, "CPU_GROUP", group)
    tubelets = Tubelets(transformations=("scale", "rotation", "shear"), patch_size=(6, 20))
    source, target = random_clips(8, 5, 40, 36)
    parameters = tubelets.draw(8, 5, 40, 36, seeded())
    whole = tubelets.paste(source, target, parameters)
    again = tubelets.paste(source, target, tubelets.draw(8, 5, 40, 36, seeded()))
    assert all(torch.equal(a, b) for a, b in zip(whole, again, strict=True))
    for first, last in ((0, 2), (2, 4), (4, 8), (7, 8)):
        part = tubelets.paste(source[first:last], target[first:last], parameters[first:last])
        assert all(torch.equal(a, b[first:last]) for a, b in zip(part, whole, strict=True))


def test_pasting_in_groups_gives_the_same_clips(monkeypatch):
    """What a GPU does: padded windows, textures of one size."""
    tubelets = Tubelets(transformations=("rotation", "shear"), patch_size=(6, 20))
    source, target = random_clips(5, 6, 40, 36)
    parameters = tubelets.draw(5, 6, 40, 36, seeded())
    alone = tubelets.paste(source, target, parameters)
    monkeypatch.setattr(tubelet_paste, "CPU_GROUP", 4)
    grouped = tubelets.paste(source, target, parameters)
    for a, b in zip(alone, grouped, strict=True):
        difference = (a.int() - b.int()).abs()
        assert difference.max() <= 1 and (difference > 0).float().mean() < 1e-3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_clips():
    tubelets = Tubelets()
    source, target = random_clips(6, 16, 112, 112)
    parameters = tubelets.draw(6, 16, 112, 112, seeded())
    pasted = tubelets.paste(source.cuda(), target.cuda(), parameters)
    for a, b in zip(tubelets.paste(source, target, parameters), pasted, strict=True):
        difference = (a.int() - b.cpu().int()).abs()
        assert difference.max() <= 1 and (difference > 0).float().mean() < 1e-3


@pytest.mark.parametrize("preset", ["published", "text"])
@pytest.mark.parametrize("motion", [*MOTIONS, "jittered_crops"])
@pytest.mark.parametrize("shape", [(1, 16, 112, 112), (3, 8, 32, 40), (2, 1, 20, 20), (2, 40, 24, 112)])
def test_paths_and_crops_lie_in_the_frame(preset, motion, shape):
    num_pairs, num_frames, height, width = shape
    transformations = () if motion == "jittered_crops" else ("rotation", "scale", "shear")
    parameters = Tubelets(preset, motion=motion, transformations=transformations).draw(*shape, seeded())
    frame = torch.tensor([width, height])
    assert parameters.centre.shape == (num_pairs, 2, num_frames, 2) and len(parameters) == num_pairs
    assert bool((parameters.centre >= 0).all()) and bool((parameters.centre <= frame).all())
    assert bool((parameters.crop >= 0).all()) and bool((parameters.crop + parameters.size <= frame).all())
    assert all(value.isfinite().all() for value in (parameters.matrix, parameters.opacity))
    tubelets = Tubelets(preset, motion=motion, transformations=transformations)
    pasted = tubelets.paste(*random_clips(*shape), parameters)
    assert pasted[0].shape == (num_pairs, num_frames, height, width, 3) and pasted[0].dtype == torch.uint8


def test_static_patches_rest():
    centre = Tubelets(motion="static").draw(20, 16, 112, 112, seeded()).centre
    assert torch.equal(centre, centre[:, :, :1].expand_as(centre))
    assert centre.flatten(0, 2).std(0).min() > 5


def test_published_linear_motion_keeps_its_speed_and_stays_inside():
    parameters = Tubelets(motion="linear").draw(300, 16, 112, 112, seeded())
    assert parameters.centre.diff(dim=2).abs().max() <= 2 * 5 + 1e-3  # a rising speed ends at twice its mean
    half = (parameters.size / 2).unsqueeze(2)
    assert bool((parameters.centre >= half - 1e-3).all()) and bool((parameters.centre <= 112 - half + 1e-3).all())
    straight = parameters.centre[:, :, 2:] - 2 * parameters.centre[:, :, 1:-1] + parameters.centre[:, :, :-2]
    assert 0.2 < (straight.norm(dim=-1) < 1e-3).float().mean() < 0.95


def test_text_linear_motion_is_equation_5_5():
    tubelets = Tubelets("text", motion="linear", displacement=(40, 80))
    centre = tubelets.draw(300, 16, 112, 112, seeded()).centre
    bend = (centre[:, :, 2:] - 2 * centre[:, :, 1:-1] + centre[:, :, :-2]).norm(dim=-1) > 1e-3
    assert bend.sum(-1).max() == 1  # straight but for one key frame
    inner = bend.long().argmax(-1) + 1
    at_inner = centre.gather(2, inner[..., None, None].expand(-1, -1, 1, 2)).squeeze(2)
    for end in (centre[:, :, 0], centre[:, :, -1]):
        distance = (end - at_inner).norm(dim=-1)[bend.any(-1)]
        assert distance.max() <= 80 + 1e-3 and distance.median() > 30
    doubled = tubelets.draw(300, 16, 224, 224, seeded()).centre
    torch.testing.assert_close(doubled, centre * 2)


def test_non_linear_motion_is_stretched_in_the_published_preset_only():
    centre = Tubelets().draw(300, 16, 112, 112, seeded()).centre
    extent = centre.amax(2) - centre.amin(2)
    assert extent.max() <= 90 + 1e-3 and extent.min() > 15
    torch.testing.assert_close(extent[..., 0], extent[..., 1], atol=12, rtol=0.1)  # thinned from one extent
    speed = centre.diff(dim=2)
    assert speed.diff(dim=2).norm(dim=-1).mean() < 0.7 * speed.norm(dim=-1).mean()  # jumps: 1.7
    plain = Tubelets("text").draw(300, 16, 112, 112, seeded()).centre
    assert (plain.amax(2) - plain.amin(2)).mean() < extent.mean() / 2
    doubled = Tubelets(patch_size=(32, 128)).draw(300, 16, 224, 224, seeded())
    assert 40 < (doubled.centre.amax(2) - doubled.centre.amin(2)).max() <= 180 + 1e-3


def test_the_filter_is_scipys():
    points = np.random.default_rng(0).uniform(size=(3, 48)).astype(np.float32)
    for num_points, sigma in ((48, 8.0), (48, 1.3), (10, 8.0)):
        expected = gaussian_filter1d(points[:, :num_points], sigma)
        matrix = tubelet_motion.gaussian_filter_matrix(num_points, sigma).numpy()
        np.testing.assert_allclose(points[:, :num_points] @ matrix.T, expected, atol=1e-5)
    assert torch.equal(tubelet_motion.gaussian_filter_matrix(5, 0), torch.eye(5))


def test_a_non_linear_path_by_scipy():
    matrix = tubelet_motion.gaussian_filter_matrix(48, 8.0)
    frame = torch.tensor([30.0, 20.0])
    path = tubelet_motion.draw_smooth_path((2,), 16, frame, None, matrix, seeded())
    points = torch.rand((2, 2, 48), generator=seeded()).numpy()
    smooth = gaussian_filter1d(points, 8.0) * np.array([[30.0], [20.0]])
    np.testing.assert_allclose(path, smooth[..., np.round(np.linspace(0, 47, 16)).astype(int)], atol=1e-4)
    stretched = tubelet_motion.draw_smooth_path((500,), 48, frame, (5.0, 15.0), matrix, seeded())
    extent = stretched.amax(-1) - stretched.amin(-1)
    torch.testing.assert_close(extent[:, 0], extent[:, 1])
    assert 5 <= extent.min() < 5.5 and 14.5 < extent.max() <= 15 + 1e-4
    assert stretched.amin() >= -1e-4 and bool((stretched.amax(-1) <= frame + 1e-4).all())


def test_interpolation_by_hand():
    keys = torch.tensor([0, 4, 6])
    values = torch.tensor([[0.0, 8.0, 2.0]])
    plain = tubelet_motion.interpolate(values, keys, 7)
    assert plain.tolist() == [[0, 2, 4, 6, 8, 5, 2]]
    faster = tubelet_motion.interpolate(values, keys, 7, torch.tensor([1.0, 0.0]))
    assert faster.tolist() == [[0, 0.5, 2, 4.5, 8, 5, 2]]
    slower = tubelet_motion.interpolate(values, keys, 7, torch.tensor([-1.0, 1.0]))
    assert slower.tolist() == [[0, 3.5, 6, 7.5, 8, 6.5, 2]]
    unused = tubelet_motion.interpolate(torch.tensor([0.0, 6.0, 99.0]), torch.tensor([0, 6, 6]), 7)
    assert unused.tolist() == [0, 1, 2, 3, 4, 5, 6]


def test_published_key_frames():
    keys = tubelet_motion.draw_published_key_frames((4000,), 16, seeded())
    assert bool((keys[:, 0] == 0).all()) and bool((keys[:, -1] == 15).all()) and bool((keys.diff() >= 0).all())
    num_inner = (keys[:, 1:3] < 15).sum(1)
    share = torch.bincount(num_inner, minlength=3) / 4000
    torch.testing.assert_close(share, torch.tensor([0.5, 0.3, 0.2]), atol=0.04, rtol=0)
    assert keys[num_inner == 1, 1].unique().tolist() == [6, 7, 8, 9]
    assert keys[num_inner == 2, 1].unique().tolist() == [4, 5]
    assert keys[num_inner == 2, 2].unique().tolist() == [9, 10]
    bends = tubelet_motion.draw_bends(keys, seeded())
    share = torch.stack([(bends == kind).float().mean() for kind in (0, 1, -1)])
    torch.testing.assert_close(share, torch.tensor([0.7, 0.15, 0.15]), atol=0.03, rtol=0)


def test_published_rotation_walks_from_the_identity():
    parameters = Tubelets().draw(400, 16, 112, 112, seeded())
    matrix = parameters.matrix
    angle = torch.rad2deg(torch.atan2(matrix[..., 1, 0], matrix[..., 0, 0]))
    assert angle[:, :, 0].abs().max() == 0
    assert angle.diff(dim=2).abs().max() <= 2 * 6 + 1e-3 and angle.abs().max() > 60
    torch.testing.assert_close(torch.linalg.det(matrix), torch.ones(400, 2, 16), atol=1e-4, rtol=0)
    turning = angle.diff(dim=2).abs() > 0.01
    assert not torch.equal(angle[:, 0], angle[:, 1]) and turning.float().mean() > 0.9


def test_published_shear_is_along_x_or_y_or_both():
    matrix = Tubelets(transformations=("shear",)).draw(300, 16, 112, 112, seeded()).matrix
    along_x = matrix[..., 0, 1].abs().flatten(1).amax(1) > 0
    along_y = matrix[..., 1, 0].abs().flatten(1).amax(1) > 0
    share = torch.stack([(along_x & ~along_y), (~along_x & along_y), (along_x & along_y)]).float().mean(1)
    torch.testing.assert_close(share, torch.full((3,), 1 / 3), atol=0.1, rtol=0)
    assert matrix[..., 0, 1].abs().max() <= 15 * 0.066 + 1e-4


@pytest.mark.parametrize("preset", ["published", "text"])
def test_ranges_are_equation_5_7(preset):
    arguments = {"rotation_range": (-30, 60), "scale_range": (0.8, 2.0), "shear_range": (-0.5, 0.25)}
    for transformation in ("rotation", "scale", "shear"):
        tubelets = Tubelets(preset, transformations=(transformation,), **arguments)
        matrix = tubelets.draw(500, 16, 112, 112, seeded()).matrix
        assert torch.equal(matrix[:, :, 0], torch.eye(2).expand(500, 2, 2, 2))
        value = {
            "rotation": torch.rad2deg(torch.atan2(matrix[..., 1, 0], matrix[..., 0, 0])),
            "scale": matrix[..., 0, 0],
            "shear": matrix[..., 0, 1],
        }[transformation][:, :, -1]
        low, high = arguments[f"{transformation}_range"]
        assert low - 1e-3 <= value.min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < value.max() <= high + 1e-3


def test_affine_matrices_by_hand():
    scale, angle, shear = torch.tensor([2.0, 3.0]), torch.tensor(30.0), torch.tensor([0.5, -0.25])
    cos, sin = math.cos(math.pi / 6), math.sin(math.pi / 6)
    along_x, along_y = np.array([[1, 0.5], [0, 1]]), np.array([[1, 0], [-0.25, 1]])
    expected = np.diag([2, 3]) @ np.array([[cos, -sin], [sin, cos]]) @ along_y @ along_x
    np.testing.assert_allclose(tubelet_motion.affine_matrix(scale, angle, shear), expected, atol=1e-6)


def test_published_sizes_and_looks():
    parameters = Tubelets().draw(3000, 16, 224, 224, seeded())
    width, height = parameters.size.float().unbind(-1)
    assert 8 <= parameters.size.min() and parameters.size.max() <= round(64 * 2**0.5 * math.exp(0.18))
    scale, ratio = (width * height).sqrt(), width / height
    steps = torch.tensor([16.0, 24, 28, 32, 48, 64])
    assert bool(((scale[..., None] / steps).log().abs().amin(-1) < 0.25).all())  # jitter of both sides, and rounding
    share = (scale < 20).float().mean(), (scale > 55).float().mean()
    assert all(abs(float(part) - 1 / 6) < 0.04 for part in share)
    assert 0.3 < ratio.min() and ratio.max() < 3.2 and abs(float(ratio.log().mean())) < 0.05
    shapes = torch.bincount(parameters.shape.flatten(), minlength=3) / 6000
    torch.testing.assert_close(shapes, torch.tensor([0.5, 0.35, 0.15]), atol=0.03, rtol=0)
    soft = parameters.edge < 0.5
    assert abs(float(soft.float().mean()) - 0.5) < 0.03
    assert parameters.edge[soft].min() >= 0.3 and parameters.edge[soft].max() <= 0.45
    assert parameters.opacity.min() >= 0.8 and parameters.opacity.max() <= 1 and parameters.opacity.std(-1).max() > 0.05
    assert parameters.crop_frame.unique().tolist() == list(range(16))
    at_crop = parameters.centre.gather(2, parameters.crop_frame[..., None, None].expand(-1, -1, 1, 2)).squeeze(2)
    offset = (parameters.crop + parameters.size / 2 - at_crop).abs()
    inside = (parameters.crop > 0).all(-1) & (parameters.crop + parameters.size < 224).all(-1)
    assert offset[inside].max() <= 0.5 + 1e-3  # its own place on the path, in whole pixels
    doubled = Tubelets(patch_size=(32, 128)).draw(3000, 16, 224, 224, seeded()).size
    assert abs(float(doubled.float().mean() / parameters.size.float().mean()) - 2) < 0.02


def test_text_sizes_and_looks():
    parameters = Tubelets("text").draw(2000, 16, 112, 112, seeded())
    assert parameters.size.min() == 16 and parameters.size.max() == 64
    counts = torch.bincount(parameters.size.flatten())[16:]
    assert counts.min() > 0.5 * counts.float().mean()
    assert bool((parameters.edge == 0.5).all()) and bool((parameters.opacity == 1).all())


def test_a_large_batch_is_drawn_from_one_seed_alone():
    first, second, other = (Tubelets().draw(4, 16, 112, 112, seeded(seed)) for seed in (3, 3, 4))
    for name, value in vars(first).items():
        assert value == vars(second)[name] if name == "frame_size" else torch.equal(value, vars(second)[name])
    assert not torch.equal(first.centre, other.centre)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset": "paper"}, "preset: 'paper' is not one of"),
        ({"motion": "fast"}, "motion: 'fast' is not one of"),
        ({"transformations": ("flip",)}, "transformations: 'flip' is not one of"),
        ({"motion": "jittered_crops"}, r"set transformations to \[\]"),
        ({"num_tubelets": 0}, "num_tubelets=0 must be at least 1"),
        ({"patch_size": (64, 16)}, "patch_size"),
        ({"patch_size": (0, 16)}, "patch_size"),
        ({"displacement": (20, 200)}, "displacement"),
        ({"scale_range": (0, 1)}, "scale_range"),
        ({"smoothing": -1}, "smoothing=-1"),
        ({"preset": "text", "rotation_velocity": 3}, "rotation_velocity=3 has no effect"),
        ({"rotation_velocity": 3, "rotation_range": (-10, 10)}, "rotation_velocity=3 has no effect"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        Tubelets(**arguments)


def test_wrong_clips_are_refused():
    tubelets = Tubelets(patch_size=(4, 8))
    source, target = random_clips(2, 4, 16, 16)
    parameters = tubelets.draw(2, 4, 16, 16, seeded())
    with pytest.raises(ValueError, match=r"uint8 \(B, T, H, W, 3\)"):
        tubelets.paste(source.float(), target.float(), parameters)
    with pytest.raises(ValueError, match="must be alike"):
        tubelets.paste(source, target[:1], parameters)
    with pytest.raises(ValueError, match="do not fit"):
        tubelets.paste(source, target, parameters[:1])
    with pytest.raises(ValueError, match="num_points=48 must be at least num_frames=64"):
        tubelets.draw(2, 64, 16, 16, seeded())
    with pytest.raises(ValueError, match="must all be at least 1"):
        tubelets.draw(0, 4, 16, 16, seeded())
