"""Networks against torchvision and the published I3D; split batch norm against separate devices."""

import json

import pytest
import torch
from network_fakes import draw_weights, random_clip
from torch import nn
from torchvision.models import video as torchvision_video

from lightning_modules.networks import I3D, R3D, ProjectionHead, R2Plus1D, VideoNetwork
from lightning_modules.networks.norm import SplitBatchNorm3d, norm_3d


def narrow(**arguments) -> R2Plus1D:
    return R2Plus1D(widths=(8, 16), blocks=(1, 1), **arguments)


@pytest.mark.parametrize(("name", "network_class"), [("r2plus1d_18", R2Plus1D), ("r3d_18", R3D)])
def test_defaults_are_torchvisions_networks(name, network_class) -> None:
    reference = getattr(torchvision_video, name)()
    network = network_class()
    network.load_state_dict({k: v for k, v in reference.state_dict().items() if not k.startswith("fc.")})
    reference.fc = nn.Identity()
    clip = random_clip(2, 3, 8, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(network(clip), reference(clip))
        torch.testing.assert_close(network.eval()(clip), reference.eval()(clip))
    for key, value in reference.state_dict().items():  # running statistics after one step included
        torch.testing.assert_close(network.state_dict()[key], value)


def test_i3d_gives_the_published_networks_features() -> None:
    # First six features by the operations of pyvrl/models/backbones/i3d.py (fmthoker/tubelet-contrast, 55e0e63), with
    # an eighth of its channels; odd sizes exercise the one-sided padding and the pools that round up.
    expected = {
        (2, 3, 16, 64, 64): [0.20887699, 0.0, 5.71889210, 5.08576488, 1.82036960, 1.07510138],
        (1, 3, 11, 75, 90): [0.14199337, 0.03033936, 4.93001556, 4.36800623, 2.05672717, 1.07994843],
    }
    network = I3D(width_multiplier=0.125).eval()
    draw_weights(network)
    for shape, values in expected.items():
        with torch.no_grad():
            features = network(random_clip(*shape))
        assert features.shape == (shape[0], 128)
        torch.testing.assert_close(features[0, :6], torch.tensor(values), rtol=1e-4, atol=1e-5)


def test_i3d_full_size_has_the_published_shapes() -> None:
    with torch.device("meta"):
        network = I3D()
        maps = network.feature_maps(torch.empty(1, 3, 16, 224, 224))
    assert network.feature_dim == 1024
    assert maps["mixed_5c"].shape == (1, 1024, 2, 7, 7)
    assert maps["maxPool3d_4a_3x3"].shape == (1, 480, 4, 14, 14)
    keys = network.state_dict().keys()
    assert {
        "conv3d_1a_7x7.conv3d.weight",
        "mixed_3b.branch_1.0.conv3d.weight",
        "mixed_5c.branch_3.1.batch3d.bias",
    } < keys
    assert sum(parameter.numel() for parameter in network.parameters()) == 12_287_264


@pytest.mark.parametrize(
    "network",
    [
        narrow(stem_stride=1, temporal_strides=(1, 1), motion_stem=True, samples_per_norm=2),
        R3D(widths=(8, 16), blocks=(1, 2), norm="group", batch_norm_eps=1e-3, spatial_strides=(1, 1)),
        I3D(width_multiplier=0.125, motion_stem=True),
    ],
    ids=lambda network: type(network).__name__,
)
def test_arguments_rebuild_the_network_and_every_parameter_learns(network: VideoNetwork) -> None:
    arguments = json.loads(json.dumps(network.arguments))
    twin = type(network)(**arguments)
    twin.load_state_dict(network.state_dict())
    clip = random_clip(4, 3, 8, 32, 32)
    features = network(clip)
    assert features.shape == (4, network.feature_dim)
    torch.testing.assert_close(twin(clip), features)
    features.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())


def test_features_are_the_mean_of_the_last_stage() -> None:
    network = narrow().eval()
    clip = random_clip(2, 3, 8, 32, 32)
    maps = network.feature_maps(clip)
    assert list(maps) == ["stem", "layer1", "layer2"]
    assert maps["layer1"].shape == (2, 8, 8, 16, 16)
    assert maps["layer2"].shape == (2, 16, 4, 8, 8)
    torch.testing.assert_close(maps["layer2"].mean((2, 3, 4)), network(clip))


def test_strides_and_widths_reach_the_convolutions() -> None:
    network = narrow(stem_width=5, stem_stride=1, spatial_strides=(2, 1), temporal_strides=(1, 4))
    assert network.get_parameter("stem.0.weight").shape == (5, 3, 1, 7, 7)
    assert network.feature_maps(random_clip(1, 3, 8, 16, 16))["layer2"].shape == (1, 16, 2, 8, 8)


@pytest.mark.parametrize(
    ("network", "kernel"),
    [
        (narrow(motion_stem=True), "stem.3.weight"),
        (R3D(widths=(8,), blocks=(1,), motion_stem=True), "stem.0.weight"),
        (I3D(width_multiplier=0.125, motion_stem=True), "conv3d_1a_7x7.conv3d.weight"),
    ],
    ids=["R2Plus1D", "R3D", "I3D"],
)
def test_motion_stem_is_silent_on_a_still_clip(network, kernel) -> None:
    weight = network.get_parameter(kernel).detach()
    torch.testing.assert_close(weight.sum(2), torch.zeros_like(weight.sum(2)), atol=1e-6, rtol=0)
    assert weight.abs().mean() > 0.01
    assert narrow().get_parameter("stem.3.weight").sum(2).abs().mean() > 0.01


def test_split_batch_norm_is_separate_devices() -> None:
    split, plain = norm_3d(3, samples_per_norm=4), nn.BatchNorm3d(3)
    assert isinstance(split, SplitBatchNorm3d)
    assert list(split.state_dict()) == list(plain.state_dict())
    draw_weights(split)
    plain.load_state_dict(split.state_dict())
    x = 2 * random_clip(10, 3, 2, 5, 5) + 1  # parts of 4, 4 and 2
    parts = [x[:4], x[4:8], x[8:]]
    running_mean = split.running_mean.clone()
    output = split(x)
    expected = torch.cat([nn.functional.batch_norm(part, None, None, plain.weight, plain.bias, True) for part in parts])
    torch.testing.assert_close(output, expected)
    means = torch.stack([part.mean((0, 2, 3, 4)) for part in parts])
    variances = torch.stack([part.var((0, 2, 3, 4)) for part in parts])
    torch.testing.assert_close(split.running_mean, 0.9 * running_mean + 0.1 * means.mean(0))
    torch.testing.assert_close(split.running_var, 0.9 * plain.running_var + 0.1 * variances.mean(0))
    assert split.num_batches_tracked == plain.num_batches_tracked + 1
    assert (output - plain(x)).abs().max() > 0.01  # and not the whole batch's statistics
    plain.load_state_dict(split.state_dict())
    torch.testing.assert_close(split.eval()(x), plain.eval()(x), rtol=0, atol=0)


def test_split_batch_norm_takes_a_left_over_sample_and_the_whole_batch() -> None:
    x = random_clip(5, 3, 2, 3, 3)
    split = norm_3d(3, samples_per_norm=4)
    torch.testing.assert_close(split(x), nn.BatchNorm3d(3)(x))  # 4 + 1 becomes one part of 5
    torch.testing.assert_close(norm_3d(3, samples_per_norm=8)(x), nn.BatchNorm3d(3)(x))


def test_one_process_with_split_norms_is_two_processes() -> None:
    together, apart = narrow(samples_per_norm=4), narrow()
    apart.load_state_dict(together.state_dict())
    clip = random_clip(8, 3, 4, 16, 16)
    torch.testing.assert_close(together(clip), torch.cat([apart(clip[:4]), apart(clip[4:])]))


def test_group_norm_keeps_samples_apart() -> None:
    network = narrow(norm="group")
    clip = random_clip(3, 3, 4, 16, 16)
    torch.testing.assert_close(network(clip)[:1], network(clip[:1]))
    assert [norm_3d(channels, "group").num_groups for channels in (512, 64, 45, 11, 2)] == [32, 16, 9, 1, 1]


def test_projection_head_is_the_published_one() -> None:
    head = ProjectionHead(6)
    assert {key: tuple(value.shape) for key, value in head.state_dict().items()} == {
        "0.weight": (6, 6),
        "0.bias": (6,),
        "2.weight": (128, 6),
        "2.bias": (128,),
    }
    features = random_clip(4, 6)
    hidden = (features @ head[0].weight.T + head[0].bias).clamp(min=0)
    torch.testing.assert_close(head(features), hidden @ head[2].weight.T + head[2].bias)


def test_projection_head_splits_its_batch_norm() -> None:
    split = ProjectionHead(6, hidden_dim=5, out_dim=4, batch_norm=True, samples_per_norm=3)
    plain = ProjectionHead(6, hidden_dim=5, out_dim=4, batch_norm=True)
    plain.load_state_dict(split.state_dict())
    features = random_clip(7, 6)  # 3, and 3 + 1
    torch.testing.assert_close(split(features), torch.cat([plain(features[:3]), plain(features[3:])]))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: R2Plus1D(norm="layer"), "norm must be 'batch' or 'group', is 'layer'"),
        (lambda: R3D(widths=(8, 16)), "blocks must be one positive number for each of 2 stages"),
        (lambda: R2Plus1D(widths=(), blocks=()), "needs a stage"),
        (lambda: narrow(temporal_strides=(1,)), "temporal_strides must be one positive number"),
        (lambda: narrow(stem_stride=0), "stem_stride=0"),
        (lambda: narrow(norm="group", samples_per_norm=4), "needs norm: batch"),
        (lambda: narrow(samples_per_norm=1), "at least 2"),
        (lambda: I3D(width_multiplier=0), "width_multiplier must be positive"),
        (lambda: ProjectionHead(4, samples_per_norm=4), "needs batch_norm: true"),
        (lambda: narrow()(torch.zeros(1, 8, 32, 32, 3, dtype=torch.uint8)), r"got torch.uint8 \(1, 8, 32, 32, 3\)"),
    ],
)
def test_impossible_arguments_are_refused(build, message) -> None:
    with pytest.raises(ValueError, match=message):
        build()
