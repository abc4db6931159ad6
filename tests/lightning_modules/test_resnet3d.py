"""3D-ResNet and 3D-ResNeXt against the operations of the published code, and their published files."""

import pytest
import torch
from network_fakes import draw_weights, random_clip
from torch import nn

from lightning_modules.networks import ResNet3D, ResNeXt3D
from lightning_modules.weights import Preprocessing, WeightsError, load_pretrained, load_weights
from lightning_modules.weights.importers.hara import FLOW


@pytest.mark.parametrize(
    ("network", "shape", "expected"),
    [
        (
            ResNet3D(widths=(8, 16, 32, 64), shortcut="A"),
            (2, 3, 16, 56, 72),
            [3.02563286, 2.78845525, 3.16077328, 1.83273697, 5.31178761, 3.27072620],
        ),
        (
            ResNet3D(widths=(8, 16, 32, 64)),
            (2, 3, 16, 56, 72),
            [0.07485709, 3.32221150, 1.53114021, 8.55963421, 0.47254241, 0.52592635],
        ),
        (
            ResNeXt3D(blocks=(1, 1, 1, 1), in_channels=2),
            (1, 2, 16, 32, 40),
            [0.0, 7.15221310, 0.49479830, 0.0, 0.0, 4.60253906],
        ),
        (
            ResNeXt3D(blocks=(1, 1, 1, 1), shortcut="A"),
            (1, 3, 16, 32, 40),
            [1.11306071, 2.67025661, 6.12332582, 5.16430187, 6.86512089, 1.50235581],
        ),
    ],
    ids=["resnet A", "resnet B", "resnext flow", "resnext A"],
)
def test_features_are_those_of_the_published_operations(network, shape, expected) -> None:
    # First six features by the operations of models/resnet.py and models/resnext.py (kenshohara/3D-ResNets-PyTorch,
    # 2031c32, and craston/MARS, 8937134).
    network.eval()
    draw_weights(network)
    with torch.no_grad():
        features = network(random_clip(*shape))
    assert features.shape == (shape[0], network.feature_dim)
    torch.testing.assert_close(features[0, :6], torch.tensor(expected), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("network_class", "arguments", "feature_dim", "parameters"),
    [
        # With 400 classes 33.24 M and 48.34 M, as Köpüklü et al. 2019 (arXiv:1904.02422) count.
        (ResNet3D, {"shortcut": "A"}, 512, 33_235_280),
        (ResNeXt3D, {}, 2048, 48_340_816),
    ],
)
def test_full_size_has_the_published_shapes(network_class, arguments, feature_dim, parameters) -> None:
    with torch.device("meta"):
        network = network_class(**arguments)
        maps = network.feature_maps(torch.empty(1, 3, 16, 112, 112))
        classifier = nn.Linear(network.feature_dim, 400)
    assert network.feature_dim == feature_dim
    assert maps["conv1"].shape == (1, 64, 16, 56, 56)
    assert maps["layer1"].shape == (1, feature_dim // 8, 8, 28, 28)
    assert maps["layer4"].shape == (1, feature_dim, 1, 4, 4)
    counted = [parameter.numel() for module in (network, classifier) for parameter in module.parameters()]
    assert sum(counted) == parameters


def test_gradients_reach_every_parameter_and_pass_shortcut_a() -> None:
    for network in (ResNet3D((8, 16), (1, 1), shortcut="A"), ResNeXt3D((8, 16), (1, 1), cardinality=4)):
        network(random_clip(2, 3, 8, 24, 24)).square().sum().backward()
        assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters())
    block = ResNet3D((8, 16), (1, 1), shortcut="A").layer2[0]
    nn.init.zeros_(block.bn2.weight)
    nn.init.ones_(block.bn2.bias)
    clip = random_clip(1, 8, 4, 8, 8).abs().requires_grad_()
    block(clip).sum().backward()
    assert clip.grad[:, :, ::2, ::2, ::2].eq(1).all()  # through the shortcut alone
    assert clip.grad.sum() == clip[:, :, ::2, ::2, ::2].numel()


def test_stage_features_are_the_means_of_the_maps() -> None:
    network = ResNet3D((8, 16, 32), (1, 1, 1), in_channels=2, max_pool=False).eval()
    clip = random_clip(2, 2, 8, 16, 16)
    maps = network.feature_maps(clip)
    features = network.stage_features(clip, ["layer1", "layer2"])
    assert [tuple(feature.shape) for feature in features] == [(2, 8), (2, 16), (2, 32)]
    for name, feature in zip(("layer1", "layer2", "layer3"), features, strict=True):
        torch.testing.assert_close(feature, maps[name].mean(dim=(2, 3, 4)))
    torch.testing.assert_close(features[-1], network(clip))
    with pytest.raises(ValueError, match=r"\(B, 2, T, H, W\) clip, got torch.float32 \(2, 3, 8, 16, 16\)"):
        network(random_clip(2, 3, 8, 16, 16))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"in_channels": 0}, "in_channels=0 must be positive"),
        ({"shortcut": "C"}, "shortcut='C' must be A or B"),
        ({"blocks": (1, 1)}, "blocks must be one positive number for each of 4 stages"),
    ],
)
def test_impossible_arguments_are_named(arguments, message) -> None:
    for network_class in (ResNet3D, ResNeXt3D):
        with pytest.raises(ValueError, match=message):
            network_class(**arguments)


def test_cardinality_must_divide_the_channels() -> None:
    with pytest.raises(ValueError, match="cardinality=32 must divide twice each of widths"):
        ResNeXt3D(widths=(8, 16), blocks=(1, 1))


# Published files, made from random networks


def narrow(network_class, **arguments):
    if network_class is ResNet3D:
        network = ResNet3D(widths=(8, 16), blocks=(1, 1), **arguments)
    else:
        network = ResNeXt3D(widths=(8, 16), blocks=(1, 1), cardinality=4, **arguments)
    draw_weights(network)
    return network.eval()


def published(path, network, old=False):
    """A file as of the sources: weights under data-parallel names, a classifier, and the optimizer's state."""
    state = {f"module.{key}": value for key, value in network.state_dict().items()}
    if old:  # PyTorch 0.2 had no counters
        state = {key: value for key, value in state.items() if "num_batches" not in key}
    state |= {f"module.fc.{key}": value for key, value in nn.Linear(network.feature_dim, 5).state_dict().items()}
    torch.save({"epoch": 200, "arch": "resnet-18", "state_dict": state, "optimizer": {"state": {}}}, path)
    return path


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(
    ("network_class", "arguments"),
    [
        (ResNet3D, {"shortcut": "A"}),
        (ResNet3D, {}),
        (ResNeXt3D, {}),
        (ResNeXt3D, {"in_channels": 2}),
    ],
    ids=["2017", "2020", "resnext", "flow"],
)
def test_published_files_load_strictly(tmp_path, network_class, arguments, old) -> None:
    source = narrow(network_class, **arguments)
    network = network_class(**source.arguments).eval()
    report = load_weights(network, published(tmp_path / "published.pth", source, old))
    assert report.format == "hara" and report.dropped == ("fc.weight", "fc.bias")
    assert bool(report.fresh) == old
    clip = random_clip(2, source.in_channels, 8, 24, 24)
    with torch.no_grad():
        assert torch.equal(network(clip), source(clip))


def test_a_missing_key_and_another_shortcut_are_named(tmp_path) -> None:
    path = published(tmp_path / "published.pth", narrow(ResNet3D))
    content = torch.load(path)
    del content["state_dict"]["module.layer2.0.bn2.bias"]
    torch.save(content, tmp_path / "cut.pth")
    with pytest.raises(WeightsError, match=r"1 missing \(layer2.0.bn2.bias\)"):
        load_weights(narrow(ResNet3D), tmp_path / "cut.pth")
    with pytest.raises(WeightsError, match=r"unexpected .* \(shortcut \(B in the file, A in the network\)\)"):
        load_weights(narrow(ResNet3D, shortcut="A"), path)
    with pytest.raises(WeightsError, match="It looks like a ResNet3D"):
        load_weights(narrow(ResNeXt3D), path)


def test_full_size_files_say_how_clips_are_prepared(tmp_path) -> None:
    clip = torch.randint(0, 256, (16, 112, 112, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for arguments, expected in (
        ({"shortcut": "A"}, clip.float() - torch.tensor([114.7748, 107.7354, 99.4750])),
        ({}, (clip / 255 - torch.tensor([0.4345, 0.4051, 0.3775])) / torch.tensor([0.2768, 0.2713, 0.2737])),
    ):
        network, prepare = load_pretrained(published(tmp_path / "published.pth", ResNet3D(**arguments)))
        assert network.arguments["shortcut"] == arguments.get("shortcut", "B")
        torch.testing.assert_close(prepare(clip)[0].permute(1, 2, 3, 0), expected, rtol=1e-4, atol=1e-4)


def test_flow_is_prepared_as_published() -> None:
    # 8-bit pictures of displacements up to 20 pixels, seen in frames of twice the size, less 127.5
    flow = torch.empty(16, 128, 128, 2, dtype=torch.float16).uniform_(
        -15, 15, generator=torch.Generator().manual_seed(0)
    )
    stored = torch.floor((2 * flow.float().clamp(-10, 10) + 20) / 40 * 255)
    prepared = FLOW(flow)
    assert prepared.shape == (1, 2, 16, 112, 112)
    same_size = Preprocessing(16, 128, 128, FLOW.mean, FLOW.std, flow_bound=20, flow_short_side=256)(flow)
    torch.testing.assert_close(same_size[0].permute(1, 2, 3, 0), stored - 127.5, rtol=0, atol=1.01)
    assert (same_size[0].permute(1, 2, 3, 0) - (stored - 127.5)).mean().abs() < 0.6  # 8 bits round down
    with pytest.raises(ValueError, match=r"expected a float clip \(T, H, W, 2\)"):
        FLOW(torch.zeros(16, 128, 128, 3, dtype=torch.uint8))
