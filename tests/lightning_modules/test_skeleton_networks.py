"""Skeleton networks against plain versions of what their sources compute."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from lightning_modules.networks import AGCN, HCN, STGCN, BiGRU, SkeletonNetwork
from lightning_modules.networks.ntu_graph import directed_graph, distance_graph

# Bones of the 25 joints, counted from 1, as Shahroudy et al. draw them: each joint and the next towards the spine.
BONES = """1-2 2-21 3-21 4-3 5-21 6-5 7-6 8-7 9-21 10-9 11-10 12-11 13-1 14-13 15-14 16-15 17-1 18-17 19-18 20-19
22-23 23-8 24-25 25-12"""


def bones():
    return [tuple(int(joint) - 1 for joint in bone.split("-")) for bone in BONES.split()]


def sequence(batch_size=3, frames=16, seed=0):
    return torch.randn(batch_size, 3, frames, 25, 2, generator=torch.Generator().manual_seed(seed))


def trained(network: SkeletonNetwork) -> SkeletonNetwork:
    """With statistics and weights that are nowhere 0 or 1."""
    torch.manual_seed(1)
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.is_floating_point() and tensor.dim() < 2:
            tensor.data.add_(torch.rand_like(tensor))
    for name, parameter in network.named_parameters():
        if name.endswith("PA") or "edge_importance" in name:
            parameter.data.add_(0.1 * torch.randn_like(parameter))
    return network.eval()


NARROW = [
    lambda: BiGRU(8, 2),
    lambda: BiGRU(8, 2, reading="bidirectional"),
    lambda: HCN(4, 16, num_frames=16, dropout=0.0),
    lambda: AGCN(8, (2, 1, 1)),
    lambda: STGCN(4, (2, 1, 1), dropout=0.0),
]
NAMES = ["BiGRU", "BiGRU-bidirectional", "HCN", "AGCN", "STGCN"]


@pytest.mark.parametrize("build", NARROW, ids=NAMES)
def test_arguments_rebuild_the_network_and_every_parameter_learns(build):
    network = build()
    again = type(network)(**network.arguments)
    again.load_state_dict(network.state_dict())
    skeleton = sequence()
    torch.testing.assert_close(again.eval()(skeleton), network.eval()(skeleton))
    # In evaluation: a bias before batch norm has no gradient in training.
    features = network(skeleton)
    assert features.shape == (3, network.feature_dim)
    (features * torch.randn_like(features)).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(
    ("build", "dim", "parameters"),
    [(BiGRU, 2048, 44_998_656), (HCN, 4096, 519_424), (AGCN, 256, 3_454_090), (STGCN, 256, 3_083_412)],
)
def test_sizes_of_the_thesis(build, dim, parameters):
    with torch.device("meta"):
        network = build()
    assert network.feature_dim == dim
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert f"{parameters:,}" in type(network).__doc__


@pytest.mark.parametrize("build", NARROW, ids=NAMES)
@pytest.mark.parametrize(
    "wrong", [torch.zeros(2, 3, 16, 25), torch.zeros(2, 3, 16, 25, 2, dtype=torch.long), torch.zeros(2, 25, 16, 3, 2)]
)
def test_other_shapes_are_refused(build, wrong):
    with pytest.raises(ValueError, match=r"takes a float \(B, 3, T, 25, 2\)"):
        build()(wrong)


@pytest.mark.parametrize(
    "build",
    [
        lambda: BiGRU(0),
        lambda: BiGRU(reading="backward"),
        lambda: HCN(channels=3),
        lambda: HCN(window=20),
        lambda: HCN(num_frames=8),
        lambda: AGCN(width=6),
        lambda: AGCN(blocks=(1, 1)),
        lambda: STGCN(blocks=(1, 0, 1)),
    ],
)
def test_wrong_arguments_are_refused(build):
    with pytest.raises(ValueError, match="="):
        build()


def test_hcn_says_how_many_frames_it_takes():
    with pytest.raises(ValueError, match="takes 64 frames, got 32"):
        HCN(4, 16)(sequence(frames=32))


def test_published_gru_is_called_frame_by_frame():
    """The source hands both states on from frame to frame: its second cell reads forwards, too."""
    network = BiGRU(8, 3)
    plain = nn.GRU(150, 8, 3, batch_first=True, bidirectional=True)
    plain.load_state_dict({name.removeprefix("encoder.gru."): value for name, value in network.state_dict().items()})
    skeleton = sequence(frames=7)
    frames = torch.from_numpy(skeleton.numpy().transpose(0, 2, 3, 1, 4).reshape(3, 7, 150).copy())
    states = None
    for frame in range(7):
        output, states = plain(frames[:, frame : frame + 1], states)
    torch.testing.assert_close(network(skeleton), output[:, -1])


@pytest.mark.parametrize("gradient", [True, False])
def test_published_gru_in_half_precision(gradient):
    """The keys' pass, without gradients, is the one that autocast has no kept weights for."""
    torch.manual_seed(0)
    network, skeleton = BiGRU(16), torch.randn(2, 3, 20, 25, 2)
    network.requires_grad_(gradient)
    with torch.set_grad_enabled(gradient):
        whole = network(skeleton)
        with torch.autocast("cpu", torch.bfloat16):
            half = network(skeleton)
            assert torch.is_autocast_enabled("cpu")
    assert half.dtype == torch.bfloat16
    assert half.requires_grad == gradient
    torch.testing.assert_close(half.float(), whole, atol=0.02, rtol=0)


def test_bidirectional_gru_is_pytorchs():
    network = BiGRU(8, 2, reading="bidirectional")
    plain = nn.GRU(150, 8, 2, batch_first=True, bidirectional=True)
    plain.load_state_dict({name.removeprefix("encoder.gru."): value for name, value in network.state_dict().items()})
    skeleton = sequence(frames=7)
    output, _ = plain(skeleton.permute(0, 2, 3, 1, 4).reshape(3, 7, 150))
    torch.testing.assert_close(network(skeleton), torch.cat((output[:, -1, :8], output[:, 0, 8:]), 1))


def test_hcn_of_each_actor_on_its_own():
    network = trained(HCN(4, 16, num_frames=16))
    skeleton = sequence()
    movement = skeleton[:, :, 1:] - skeleton[:, :, :-1]
    results = []
    for actor in range(2):
        moving = functional.interpolate(movement[..., actor], size=(16, 25), mode="bilinear", align_corners=False)
        place = network.conv2(network.conv1(skeleton[..., actor])).permute(0, 3, 2, 1)
        moving = network.conv2m(network.conv1m(moving)).permute(0, 3, 2, 1)
        both = torch.cat((network.conv4(network.conv3(place)), network.conv4m(network.conv3m(moving))), 1)
        results.append(network.conv6(network.conv5(both)))
    torch.testing.assert_close(network(skeleton), torch.maximum(*results).flatten(1))


def test_directed_graph():
    graph = directed_graph().numpy()
    inward, outward = np.zeros((25, 25)), np.zeros((25, 25))
    for joint, parent in bones():
        inward[parent, joint] = 1
        outward[joint, parent] = 1
    np.testing.assert_array_equal(graph[0], np.eye(25))
    np.testing.assert_allclose(graph[1], inward, atol=1e-7)  # one parent each: nothing to divide
    np.testing.assert_allclose(graph[2], outward / np.maximum(outward.sum(0), 1), atol=1e-7)
    assert graph[2][:, 20].sum() == pytest.approx(1)  # the centre has four children
    assert (graph[2][:, 20] > 0).sum() == 4


def test_distance_graph():
    """Hops to the centre by breadth-first search; the weights of all neighbours of a joint sum to 1."""
    edges = np.eye(25)
    for joint, parent in bones():
        edges[joint, parent] = edges[parent, joint] = 1
    hops = np.full(25, 99)
    hops[20] = 0
    for _ in range(25):
        for joint, parent in bones():
            hops[joint] = min(hops[joint], hops[parent] + 1)
            hops[parent] = min(hops[parent], hops[joint] + 1)
    weights = edges / edges.sum(0)
    expected = np.zeros((3, 25, 25))
    for v in range(25):
        for w in range(25):
            expected[0 if v == w else 1 if hops[v] > hops[w] else 2, v, w] = weights[v, w]
    np.testing.assert_allclose(distance_graph().numpy(), expected, atol=1e-7)


def plain_graph_convolution(layer, maps):
    """As moco/AGCN.py, one subset at a time."""
    num_samples, channels, frames, joints = maps.shape
    result = 0
    for subset in range(3):
        sources = layer.conv_a[subset](maps).permute(0, 3, 1, 2).reshape(num_samples, joints, -1)
        targets = layer.conv_b[subset](maps).reshape(num_samples, -1, joints)
        attention = (sources @ targets / sources.shape[-1]).softmax(-2)
        graph = attention + directed_graph()[subset] + layer.PA[subset]
        gathered = (maps.reshape(num_samples, channels * frames, joints) @ graph).view_as(maps)
        result = result + layer.conv_d[subset](gathered)
    return (layer.bn(result) + layer.down(maps)).relu()


def plain_temporal_convolution(layer, maps):
    """Its modules, one after the other."""
    return maps if isinstance(layer, torch.nn.Identity) else layer.bn(layer.conv(maps))


def test_agcn_one_subset_at_a_time():
    network = trained(AGCN(8, (2, 1, 1)))
    skeleton = sequence(frames=9)
    numbers = skeleton.permute(0, 4, 3, 1, 2).reshape(3, 150, 9)
    maps = network.data_bn(numbers).view(3, 2, 25, 3, 9).permute(0, 1, 3, 4, 2).reshape(6, 3, 9, 25)
    for number in range(1, 5):
        block = getattr(network, f"l{number}")
        shortcut = 0 if number == 1 else plain_temporal_convolution(block.residual, maps)
        maps = (plain_temporal_convolution(block.tcn1, plain_graph_convolution(block.gcn1, maps)) + shortcut).relu()
    assert maps.shape == (6, 32, 3, 25)
    torch.testing.assert_close(network(skeleton), maps.view(3, 2, 32, -1).mean(3).mean(1))


def test_agcn_is_named_as_published():
    with torch.device("meta"):
        state = AGCN().state_dict()
    assert {key.split(".")[0] for key in state} == {"data_bn", *(f"l{number}" for number in range(1, 11))}
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    assert shapes["data_bn.weight"] == (150,)
    assert shapes["l1.gcn1.PA"] == (3, 25, 25)
    assert shapes["l5.gcn1.conv_a.2.weight"] == (32, 64, 1, 1)
    assert shapes["l8.gcn1.conv_d.0.weight"] == (256, 128, 1, 1)
    assert shapes["l5.gcn1.down.0.weight"] == (128, 64, 1, 1)
    assert shapes["l5.tcn1.conv.weight"] == (128, 128, 9, 1)
    assert shapes["l8.residual.conv.weight"] == (256, 128, 1, 1)
    assert not [key for key in state if key.startswith(("l1.residual", "l2.gcn1.down", "l2.residual"))]


def test_agcn_starts_like_its_source():
    network = AGCN()
    assert network.get_parameter("l3.gcn1.PA").unique().item() == pytest.approx(1e-6)
    assert network.get_parameter("l3.gcn1.bn.weight").unique().item() == pytest.approx(1e-6)
    assert network.get_parameter("l9.gcn1.conv_d.1.weight").std().item() == pytest.approx(
        math.sqrt(2 / (256 * 256 * 3)), rel=0.05
    )


def test_hcn_is_named_as_published():
    shapes = {key: tuple(value.shape) for key, value in HCN().state_dict().items() if key.endswith("weight")}
    assert shapes == {
        **{f"conv1{kind}.0.weight": (64, 3, 1, 1) for kind in ("", "m")},
        **{f"conv2{kind}.weight": (64, 64, 3, 1) for kind in ("", "m")},
        **{f"conv3{kind}.0.weight": (32, 25, 3, 3) for kind in ("", "m")},
        **{f"conv4{kind}.0.weight": (64, 32, 3, 3) for kind in ("", "m")},
        "conv5.0.weight": (128, 128, 3, 3),
        "conv6.0.weight": (256, 128, 3, 3),
    }


def test_stgcn_block_by_block():
    network = trained(STGCN(4, (2, 1, 1)))
    skeleton = sequence(frames=9)
    maps = network.data_bn(skeleton.permute(0, 4, 3, 1, 2).reshape(6, 75, 9))
    maps = maps.view(6, 25, 3, 9).permute(0, 2, 3, 1)
    graph = distance_graph()
    for number, block in enumerate(network.st_gcn_networks):
        parts = block.gcn["conv"](maps).chunk(3, dim=1)
        weights = graph * network.edge_importance[number]
        gathered = sum(part @ weight for part, weight in zip(parts, weights, strict=True))
        maps = (block.tcn(gathered) + (0 if number == 0 else block.residual(maps))).relu()
    torch.testing.assert_close(network(skeleton), maps.reshape(3, 2, 16, -1).mean(3).mean(1))


def test_stgcn_is_named_as_its_source():
    shapes = {key: tuple(value.shape) for key, value in STGCN().state_dict().items()}
    assert shapes["data_bn.weight"] == (75,)
    assert shapes["edge_importance.9"] == (3, 25, 25)
    assert shapes["st_gcn_networks.4.gcn.conv.weight"] == (384, 64, 1, 1)
    assert shapes["st_gcn_networks.4.tcn.2.weight"] == (128, 128, 9, 1)
    assert shapes["st_gcn_networks.7.residual.0.weight"] == (256, 128, 1, 1)
    assert not any(key.startswith("st_gcn_networks.0.residual") for key in shapes)
