"""Skeleton views against plain NumPy loops, one number at a time."""

import math

import numpy as np
import pytest
import torch

from lightning_modules.views import skeleton as views
from lightning_modules.views.skeleton import SequenceCrop, SkeletonAugmentation, SkeletonParameters


def sequences(*lengths, total=300, seed=0):
    """Float32 (B, 3, T, 25, 2), which repeat after their lengths; the second actor of every other one is absent."""
    random = np.random.default_rng(seed)
    skeleton = np.zeros((len(lengths), 3, total, 25, 2), np.float32)
    for row, length in enumerate(lengths):
        part = random.normal(size=(3, length, 25, 2))
        skeleton[row] = np.tile(part, (1, math.ceil(total / length), 1, 1))[:, :total]
    skeleton[::2, ..., 1] = 0
    return torch.from_numpy(skeleton), torch.tensor(lengths)


def resized_by_loop(part, size):
    """Resize (3, L, V, M) along L."""
    length = part.shape[1]
    result = np.empty((3, size, *part.shape[2:]))
    for t in range(size):
        position = max((t + 0.5) * length / size - 0.5, 0)
        before = min(int(position), length - 1)
        after = min(before + 1, length - 1)
        result[:, t] = part[:, before] + (position - before) * (part[:, after] - part[:, before])
    return result


def view_by_loop(sequence, frames, ratio, place, matrix, moved, size, min_frames):
    length = min(max(int(np.float32(frames) * ratio), min_frames), frames)
    start = min(int(place * np.float32(frames - length + 1)), frames - length)
    view = resized_by_loop(sequence[:, start : start + length], size)
    result = view.copy()
    for t in range(size):
        for joint in np.flatnonzero(moved):
            for actor in range(2):
                for column in range(3):
                    result[column, t, joint, actor] = sum(
                        view[row, t, joint, actor] * matrix[row, column] for row in range(3)
                    )
    return result


@pytest.mark.parametrize("preset", ["published", "text"])
def test_views_are_those_of_a_loop(preset):
    skeleton, num_frames = sequences(300, 64, 63, 5, 1, 200)
    augmentation = SkeletonAugmentation(preset, num_frames=16)
    generator = torch.Generator().manual_seed(3)
    drawn = augmentation.draw(12, generator)
    both = augmentation(skeleton, num_frames, drawn)
    assert both.shape == (12, 3, 16, 25, 2)
    assert both.dtype == torch.float32
    assert drawn.moved.sum(1).unique().tolist() == [15, 25]  # some jittered, some sheared
    for row in range(12):
        ratio, place, matrix, moved = (
            value[row].numpy() for value in (drawn.ratio, drawn.place, drawn.matrix, drawn.moved)
        )
        expected = view_by_loop(
            skeleton[row % 6].numpy(),
            int(num_frames[row % 6]),
            ratio,
            place,
            matrix,
            moved,
            16,
            64 if preset == "published" else 1,
        )
        np.testing.assert_allclose(both[row].numpy(), expected, atol=1e-5)


def test_resizing_is_torchs_interpolation():
    skeleton, _ = sequences(300, 100, 7)
    start, length = torch.tensor([20, 0, 3]), torch.tensor([150, 100, 4])
    resized = views.sum_frames(skeleton, *views.weigh_frames(skeleton, start, length, 64))
    for row in range(3):
        part = skeleton[row, :, start[row] : start[row] + length[row]]
        expected = torch.nn.functional.interpolate(part.flatten(2).transpose(1, 2), 64, mode="linear")
        torch.testing.assert_close(resized[row].flatten(2).transpose(1, 2), expected)


def test_absent_actors_stay_zero_and_the_batch_is_not_changed():
    skeleton, num_frames = sequences(300, 80, 40, 120)
    before = skeleton.clone()
    augmentation = SkeletonAugmentation()
    view = augmentation(skeleton, num_frames, augmentation.draw(4, torch.Generator().manual_seed(0)))
    assert not view[::2, ..., 1].any()
    assert view[1::2, ..., 1].abs().amax((1, 2, 3)).gt(0.1).all()
    torch.testing.assert_close(skeleton, before, rtol=0, atol=0)


def test_half_precision_around_does_not_blur_the_coordinates():
    skeleton, num_frames = sequences(300, 80)
    augmentation = SkeletonAugmentation()
    drawn = augmentation.draw(2, torch.Generator().manual_seed(0))
    expected = augmentation(skeleton, num_frames, drawn)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(augmentation(skeleton, num_frames, drawn), expected, rtol=0, atol=0)


def test_many_views_are_made_part_by_part(monkeypatch):
    skeleton, num_frames = sequences(300, 80, 64)
    augmentation = SkeletonAugmentation()
    drawn = augmentation.draw(9, torch.Generator().manual_seed(0))
    expected = augmentation(skeleton, num_frames, drawn)
    monkeypatch.setattr(views, "CPU_VIEWS", 4)
    torch.testing.assert_close(augmentation(skeleton, num_frames, drawn), expected)


def test_repeated_frames_are_never_used():
    skeleton, num_frames = sequences(70, 100, 300, 9)
    poisoned = skeleton.clone()
    for row, frames in enumerate(num_frames):
        poisoned[row, :, frames:] = 1e6
    augmentation = SkeletonAugmentation()
    drawn = augmentation.draw(4, torch.Generator().manual_seed(0))
    drawn.place[:] = 1.0  # the last possible place
    expected = augmentation(skeleton, num_frames, drawn)
    torch.testing.assert_close(augmentation(poisoned, num_frames, drawn), expected, rtol=0, atol=0)


def test_published_jitter():
    """U[-1, 1] or zeros, half of the time each; 15 different joints, any of them."""
    drawn = SkeletonAugmentation(spatial=("jitter",)).draw(4000, torch.Generator().manual_seed(0))
    assert (drawn.moved.sum(1) == 15).all()
    assert (drawn.moved.float().mean(0) - 0.6).abs().max() < 0.05
    zeroed = (drawn.matrix == 0).flatten(1).all(1)
    assert 0.45 < zeroed.float().mean() < 0.55
    numbers = drawn.matrix[~zeroed]
    assert -1 <= numbers.min() < -0.99 and 0.99 < numbers.max() <= 1
    assert numbers.mean().abs() < 0.02


def test_jitter_of_the_text():
    drawn = SkeletonAugmentation("text", spatial=("jitter",), num_jittered=7).draw(
        2000, torch.Generator().manual_seed(0)
    )
    assert (drawn.moved.sum(1) == 7).all()
    assert 0 <= drawn.matrix.min() < 0.01 and 0.99 < drawn.matrix.max() <= 1
    assert (drawn.matrix.mean() - 0.5).abs() < 0.01


@pytest.mark.parametrize("preset", ["published", "text"])
def test_shear(preset):
    drawn = SkeletonAugmentation(preset, spatial=("pose",)).draw(2000, torch.Generator().manual_seed(0))
    assert drawn.moved.all()
    assert (drawn.matrix.diagonal(dim1=1, dim2=2) == 1).all()
    others = drawn.matrix[:, ~torch.eye(3, dtype=torch.bool)]
    assert -1 <= others.min() < -0.99 and 0.99 < others.max() <= 1
    assert others.mean().abs() < 0.02


def test_one_of_both_changes_at_random():
    drawn = SkeletonAugmentation().draw(2000, torch.Generator().manual_seed(0))
    sheared = drawn.moved.all(1)
    assert 0.45 < sheared.float().mean() < 0.55
    torch.testing.assert_close(
        (drawn.matrix.diagonal(dim1=1, dim2=2) == 1).all(1), sheared, msg="a shear moves all joints, a jitter 15"
    )


def test_ratios_and_places_of_crops():
    drawn = SkeletonAugmentation(ratio=(0.3, 0.8)).draw(3000, torch.Generator().manual_seed(0))
    assert 0.3 <= drawn.ratio.min() < 0.301 and 0.799 < drawn.ratio.max() <= 0.8
    frames = torch.full((3000,), 200)
    start, length = views.place_crops(frames, drawn, 64)
    assert length.min() == 64 and length.max() == 159
    assert (start + length <= 200).all()
    assert (start == 0).any() and (start + length == 200).any()


def test_parts_of_the_augmentation_can_be_left_out():
    skeleton, num_frames = sequences(100, 300)
    generator = torch.Generator().manual_seed(0)
    spatial = SkeletonAugmentation(temporal=False, spatial=())
    whole = spatial(skeleton, num_frames, spatial.draw(2, generator))
    np.testing.assert_allclose(whole[0].numpy(), resized_by_loop(skeleton[0, :, :100].numpy(), 64), atol=1e-5)
    np.testing.assert_allclose(whole[1].numpy(), resized_by_loop(skeleton[1].numpy(), 64), atol=1e-5)
    pose = SkeletonAugmentation(temporal=False, spatial=("pose",))
    drawn = pose.draw(2, generator)
    sheared = pose(skeleton, num_frames, drawn)
    torch.testing.assert_close(sheared[0], torch.einsum("ctvm,cd->dtvm", whole[0], drawn.matrix[0]))


def test_share_of_a_process_is_its_rows():
    skeleton, num_frames = sequences(300, 90, 80, 70)
    augmentation = SkeletonAugmentation()
    drawn = augmentation.draw(4, torch.Generator().manual_seed(5))
    whole = augmentation(skeleton, num_frames, drawn)
    torch.testing.assert_close(augmentation(skeleton[2:], num_frames[2:], drawn[2:]), whole[2:], rtol=0, atol=0)
    again = augmentation.draw(4, torch.Generator().manual_seed(5))
    assert isinstance(again, SkeletonParameters)
    torch.testing.assert_close(augmentation(skeleton, num_frames, again), whole, rtol=0, atol=0)


def test_centre_crop():
    """As published: int(0.05 * frames / 2) frames are left out at either end."""
    skeleton, num_frames = sequences(300, 40, 39, 3)
    cropped = SequenceCrop().centre(skeleton, num_frames)
    for row, cut in enumerate((7, 1, 0, 0)):
        part = skeleton[row, :, cut : num_frames[row] - cut].numpy()
        np.testing.assert_allclose(cropped[row].numpy(), resized_by_loop(part, 64), atol=1e-5)


def test_random_crop_keeps_half_or_more():
    skeleton, num_frames = sequences(200, 50)
    crop = SequenceCrop(num_frames=8)
    drawn = crop.draw(2000, torch.Generator().manual_seed(0))
    assert 0.5 <= drawn.ratio.min() < 0.501 and 0.999 < drawn.ratio.max() <= 1
    first = drawn[:2]
    cropped = crop.random(skeleton, num_frames, first)
    for row in range(2):
        expected = view_by_loop(
            skeleton[row].numpy(),
            int(num_frames[row]),
            first.ratio[row].numpy(),
            first.place[row].numpy(),
            np.eye(3),
            np.zeros(25),
            8,
            64,
        )
        np.testing.assert_allclose(cropped[row].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset": "paper"}, "preset='paper'"),
        ({"spatial": ("pose", "blur")}, "may hold pose and jitter"),
        ({"spatial": ("pose", "pose")}, "each once"),
        ({"ratio": (0.0, 1.0)}, "ratio="),
        ({"ratio": (0.5, 0.4)}, "ratio="),
        ({"num_jittered": 26}, "num_jittered=26"),
        ({"num_frames": 0}, "num_frames=0"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        SkeletonAugmentation(**arguments)
