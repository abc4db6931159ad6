"""What makes steps faster leaves their results as they are."""

import copy
import itertools

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from lightning_modules.compilation import compile_network, uncompiled
from lightning_modules.networks import R2Plus1D
from lightning_modules.networks.split_convolution import SplitConvolution
from lightning_modules.side_stream import SideStream, _tensors


def small_network(**changes):
    torch.manual_seed(0)
    network = R2Plus1D((4, 6), (1, 1), 5, **changes).double()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm3d | torch.nn.GroupNorm):
            torch.nn.init.uniform_(module.weight)
            torch.nn.init.uniform_(module.bias)
    return network


def results(network, clip):
    """Features, gradients and statistics of a training step, and features in evaluation."""
    features = network(clip)
    (features * torch.arange(6)).sum().backward()
    gradients = [parameter.grad for parameter in network.parameters()]
    return [features, *gradients, *network.buffers(), network.eval()(clip)]


@pytest.mark.parametrize("changes", [{}, {"samples_per_norm": 2}, {"norm": "group"}, {"dilated_last_stage": True}])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last_3d])
def test_convolutions_of_gpus_compute_the_same(monkeypatch, changes, memory_format):
    clip = torch.randn((4, 3, 4, 12, 14), dtype=torch.float64).contiguous(memory_format=memory_format)
    network = small_network(**changes).to(memory_format=memory_format)
    other = copy.deepcopy(network)
    seen = []
    convolve = torch.nn.functional.conv2d

    def spy(input, weight, *arguments):
        seen.append(tuple(weight.shape[:2]))
        return convolve(input, weight, *arguments)

    plain = results(network, clip)
    monkeypatch.setattr(SplitConvolution, "forward", SplitConvolution.for_matrix_units)
    monkeypatch.setattr(torch.nn.functional, "conv2d", spy)
    for one, two in zip(plain, results(other, clip), strict=True):
        torch.testing.assert_close(one, two)
    assert {name: value.shape for name, value in other.state_dict().items()} == {
        name: value.shape for name, value in network.state_dict().items()
    }
    if memory_format == torch.channels_last_3d and "norm" not in changes:
        assert seen and all(channels % 8 == 0 for shape in seen for channels in shape)


def test_networks_compile_once_with_gradients_and_once_without():
    counter = CompileCounter()
    query = R2Plus1D((4, 6), (1, 1), 5)
    key = copy.deepcopy(query).requires_grad_(False)
    plain = copy.deepcopy(query)
    for network in (query, key):
        compile_network(network, backend=counter)

    @uncompiled
    def evaluate(clip):
        return query.eval()(clip)

    for clips in (4, 4):
        query.train()(torch.randn(clips, 3, 4, 12, 12)).sum().backward()
        with torch.no_grad():
            key(torch.randn(clips, 3, 4, 12, 12))
        for others in (1, 3, 5):
            evaluate(torch.randn(others, 3, 4, 12, 12))
    assert counter.frame_count == 2
    clip = torch.randn(4, 3, 4, 12, 12)
    plain.load_state_dict(query.state_dict())
    torch.testing.assert_close(query.train()(clip), plain(clip))
    assert list(query.state_dict()) == list(plain.state_dict())
    assert copy.deepcopy(query).state_dict().keys() == plain.state_dict().keys()


def test_side_stream_runs_in_place_where_there_is_none():
    tensors = torch.arange(4).split(1)
    nested = {"clip": tensors[0], "path": ["a"], "views": (tensors[1], [tensors[2], {"x": tensors[3]}])}
    result = SideStream().run(torch.device("cpu"), lambda: nested)
    assert result is nested
    assert [int(tensor) for tensor in _tensors(result)] == [0, 1, 2, 3]
    assert list(itertools.chain(_tensors(["a", 1, None]))) == []
    assert SideStream().read_later(torch.tensor(True))() is True and SideStream().read_later(torch.tensor(15))() == 15
