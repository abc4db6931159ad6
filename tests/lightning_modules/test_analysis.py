"""Numerics of the analyses against closed forms and plain loops."""

import itertools
import weakref

import numpy as np
import pytest
import torch

from lightning_modules.analysis.activation_maps import activation_map, agreement, enlarge, motion_energy
from lightning_modules.analysis.cka import CenteredKernelAlignment, gram, unbiased_hsic
from lightning_modules.analysis.layers import layer_names, watched
from lightning_modules.analysis.temporal_awareness import interpolate, temporal_awareness
from lightning_modules.networks import I3D, R2Plus1D


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def related(count, seed=0):
    """Features of three layers of one network and two of another, which have something in common."""
    shared = torch.randn(count, 6, generator=generator(seed))
    layers = [shared @ torch.randn(6, width, generator=generator(width)) for width in (5, 20, 9)]
    others = [layers[1] + 3 * torch.randn(count, 20, generator=generator(seed + 1)), layers[0] ** 2]
    return layers, others


def closed_form(first, second):
    """Linear CKA of all samples (Kornblith et al. 2019, equation 5), float64."""
    first, second = (part.double() - part.double().mean(0) for part in (first, second))
    cross = torch.linalg.matrix_norm(first.T @ second) ** 2
    return float(cross / (torch.linalg.matrix_norm(first.T @ first) * torch.linalg.matrix_norm(second.T @ second)))


def accumulate(layers, others, size):
    metric = CenteredKernelAlignment(len(layers), len(others))
    for rows in torch.arange(len(layers[0])).split(size):
        if len(rows) >= 4:
            metric.update(*(torch.stack([gram(one[rows]) for one in part]) for part in (layers, others)))
    return metric


def test_hsic_is_the_u_statistic():
    """Song et al. 2012: the mean over all quadruples of different samples."""
    first, second = (torch.randn(7, 3, generator=generator(seed)) for seed in (0, 1))
    k, m = (first @ first.T).numpy().astype(float), (second @ second.T).numpy().astype(float)
    values = [
        k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q])  #
        for i, j, q, r in itertools.permutations(range(7), 4)
    ]
    found = unbiased_hsic(gram(first)[None], gram(second)[None])
    assert found.item() == pytest.approx(np.mean(values), rel=1e-5)


def test_minibatches_come_to_the_closed_form_of_all_samples():
    layers, others = related(4000)
    expected = np.array([[closed_form(one, other) for other in others] for one in layers])
    metric = accumulate(layers, others, 50)
    np.testing.assert_allclose(metric.compute(), expected, atol=0.03)
    assert expected.max() > 0.4 and expected.min() < 0.1
    # A large minibatch is nearer still.
    layers, others = ([one[:800] for one in part] for part in (layers, others))
    expected = np.array([[closed_form(one, other) for other in others] for one in layers])
    np.testing.assert_allclose(accumulate(layers, others, 800).compute(), expected, atol=0.01)


def test_biased_estimates_of_small_minibatches_would_be_far_off():
    """What the unbiased one is for: features that have nothing in common, in minibatches of 8 samples."""
    first, second = (torch.randn(4000, 64, generator=generator(seed)) for seed in (0, 1))
    assert accumulate([first], [second], 8).compute().item() == pytest.approx(closed_form(first, second), abs=0.03)
    biased = np.mean([closed_form(*parts) for parts in zip(first.split(8), second.split(8), strict=True)])
    assert biased > 0.7


def test_cka_forgets_rotation_scale_and_mean():
    features = torch.randn(60, 12, generator=generator())
    rotation = torch.linalg.qr(torch.randn(12, 12, generator=generator(1)))[0]
    same = accumulate([features], [100 + 5 * features @ rotation, features[:, :3]], 20).compute()[0]
    assert same[0].item() == pytest.approx(1, abs=1e-5)
    assert 0 < same[1] < 0.9


def test_a_constant_layer_has_no_cka_and_small_minibatches_are_refused():
    features = torch.randn(40, 5, generator=generator())
    found = accumulate([features, torch.ones(40, 5)], [features], 20).compute()
    assert found[0, 0].item() == pytest.approx(1) and found[1, 0].isnan()
    with pytest.raises(ValueError, match=r"3 samples is too small.*at least 4"):
        accumulate([features], [features], 20).update(gram(features[:3])[None], gram(features[:3])[None])


def test_cka_keeps_sums_alone():
    layers, others = related(40)
    metric = CenteredKernelAlignment(3, 2)
    given = []
    for _ in range(3):
        grams = [torch.stack([gram(one) for one in part]) for part in (layers, others)]
        given += [weakref.ref(one) for one in grams]
        metric.update(*grams)
    del grams
    assert not any(one() is not None for one in given)
    assert sum(state.numel() for state in metric.metric_state.values()) == 3 * 2 + 3 + 2 + 1
    assert int(metric.samples) == 3 * 40


def test_layers_by_depth_and_what_they_put_out():
    network = R2Plus1D((4, 8), (2, 1), stem_width=4).eval()
    assert layer_names(network, "stages") == ["stem", "layer1", "layer2"]
    assert layer_names(network) == ["stem", "layer1.0", "layer1.1", "layer2.0"]
    assert layer_names(network, "all")[:4] == ["stem.0", "stem.1", "stem.2", "stem.3"]
    assert len(layer_names(network, "all")) == sum(not list(part.children()) for part in network.modules())
    with torch.device("meta"):
        inception = I3D()
    assert layer_names(inception) == [name for name, _ in inception.named_children()]
    clip = torch.randn(2, 3, 4, 16, 16, generator=generator())
    seen = {}
    with watched(network, ["stem", "layer2.0"], lambda name, output: seen.update({name: output.clone()})):
        maps = network.feature_maps(clip)
    torch.testing.assert_close(seen, {"stem": maps["stem"], "layer2.0": maps["layer2"]})
    network(clip + 1)
    torch.testing.assert_close(seen["stem"], maps["stem"])


def test_activation_maps_are_channel_means_between_0_and_1():
    features = torch.tensor([[1.0, 3.0], [5.0, 9.0]]).reshape(1, 1, 1, 2, 2).repeat(1, 3, 2, 1, 1)
    features[:, :, 1] = 7.0
    features[:, 0, 0, 0, 0] += 6.0  # of three channels: 2 more in the mean
    expected = torch.tensor([[[0.0, 0.0], [2 / 6, 1.0]], [[0.0, 0.0], [0.0, 0.0]]])
    torch.testing.assert_close(activation_map(features)[0], expected)


def test_maps_are_enlarged_in_place():
    maps = torch.zeros(1, 2, 4, 4)
    maps[0, 1, 3, 0] = 1
    large = enlarge(maps, (4, 16, 16))[0]
    assert large.shape == (4, 16, 16) and large[3, 15, 0] == 1 and large[0].max() == large[:, :10].max() == 0


def test_motion_energy_is_where_something_moves():
    clips = torch.zeros(1, 4, 8, 8, 3, dtype=torch.uint8)
    for frame in range(4):
        clips[0, frame, 2 * frame % 4, 6] = 200
    energy = motion_energy(clips, (2, 2, 2))
    assert energy[0, :, 0, 1].min() > 0 and energy[0, :, :, 0].max() == 0 and energy[0, :, 1].max() == 0
    assert not motion_energy(clips[:, :1], (1, 2, 2)).any()


def test_agreement_is_the_mean_correlation_of_frames():
    maps, others = (torch.rand(3, 4, 5, 6, generator=generator(seed)) for seed in (0, 1))
    maps[0, 1], others[1] = 0.5, 2.0
    expected = [
        np.mean(
            [
                np.corrcoef(maps[row, at].flatten(), others[row, at].flatten())[0, 1]
                for at in range(4)
                if (row, at) != (0, 1)
            ]
        )
        for row in (0, 2)
    ]
    found = agreement(maps, others)
    np.testing.assert_allclose(found[[0, 2]], expected, rtol=1e-4)
    assert found[1].isnan()


def test_temporal_awareness_by_hand():
    frames = torch.tensor([1, 2, 4, 8])
    at, value = interpolate(frames, torch.tensor([10.0, 20.0, 30.0, 34.0]))
    assert at.tolist() == list(range(1, 9))
    np.testing.assert_allclose(value, [10, 20, 25, 30, 31, 32, 33, 34])
    assert temporal_awareness(frames, torch.tensor([0.10, 0.20, 0.30, 0.30])) == 4
    # 60 to 61 over four frames: 0.42 % a frame.
    assert temporal_awareness(frames, torch.tensor([0.1, 0.5, 0.6, 0.61])) == 4
    assert temporal_awareness(frames, torch.tensor([0.1, 0.5, 0.6, 0.61]), alpha=0.3) == 8
    # From 60 to 64 at 7 one more gives less than 1.6 %: one by one 61, 62, 63, 64.
    assert temporal_awareness(frames, torch.tensor([0.1, 0.5, 0.6, 0.64]), alpha=1.63) == 6
    assert temporal_awareness(frames, torch.tensor([0.5, 0.5, 0.5, 0.4])) == 1
    assert temporal_awareness(frames, torch.tensor([0.2, 0.1, 0.6, 0.6])) == 4  # a dip is no plateau


@pytest.mark.parametrize(("frames", "accuracy"), [([4], [0.5]), ([4, 2], [0.5, 0.6]), ([1, 2], [0.0, 0.5])])
def test_temporal_awareness_refuses(frames, accuracy):
    with pytest.raises(ValueError, match="must be"):
        temporal_awareness(torch.tensor(frames), torch.tensor(accuracy))
