"""What ``lightning export`` writes gives the numbers of its source, and says so."""

import json

import pytest
import torch
from network_fakes import draw_weights

import cli
from lightning_modules.networks import AGCN, HCN, I3D, R3D, STGCN, BiGRU, R2Plus1D, ResNet3D, ResNeXt3D, VideoNetwork
from lightning_modules.weights import WeightsError, catalogue, describe, load_pretrained
from lightning_modules.weights import export as export_module
from lightning_modules.weights.export import export
from lightning_modules.weights.graph import run_onnx, run_torch_export

FACTS = {"num_frames": 4, "crop_size": 16, "short_side": 20, "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}


def checkpoint(path, network, facts=FACTS, num_classes: int = 3, features: int | None = None):
    draw_weights(network)
    state = {f"networks.0.{key}": value for key, value in network.state_dict().items()}
    state |= {"classifier.weight": torch.randn(num_classes, features or network.feature_dim)}
    state |= {"classifier.bias": torch.randn(num_classes)}
    zoo = describe(network, "FineTuning", "Toy", facts)
    torch.save({"state_dict": state, "zoo": zoo}, path)
    return network.eval(), state


def run_command(*arguments: object) -> int:
    return cli.main(["export", *map(str, arguments)])


def test_onnx_takes_any_number_of_samples(tmp_path, capsys) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    network, state = checkpoint(tmp_path / "last.ckpt", R2Plus1D((4, 8), (1, 1)))
    out = tmp_path / "model.onnx"
    assert run_command("--checkpoint", tmp_path / "last.ckpt", "--out", out, "--classifier") == 0
    printed = capsys.readouterr().out
    assert "R2Plus1D of FineTuning" in printed and "checked on random input, 1 and 3 x 3x4x16x16" in printed
    model = onnx.load(out)
    assert [node.name for node in (*model.graph.input, *model.graph.output)] == ["input", "logits"]
    (header,) = (json.loads(field.value) for field in model.metadata_props if field.key == "zoo")
    assert header["architecture"] == "R2Plus1D" and header["preprocessing"]["crop_size"] == 16
    clip = torch.randn(5, 3, 4, 16, 16)
    with torch.no_grad():
        expected = network(clip) @ state["classifier.weight"].T + state["classifier.bias"]
    torch.testing.assert_close(run_onnx(out, clip), expected, rtol=1e-4, atol=1e-5)
    assert not list(tmp_path.glob(".*"))


def test_torch_export_takes_any_number_of_samples(tmp_path) -> None:
    network, _ = checkpoint(tmp_path / "last.ckpt", STGCN(4, (1, 1, 1)), facts={})
    exported = export(tmp_path / "last.ckpt", tmp_path / "model.pt2")
    assert exported.format == "torch_export" and exported.difference <= 1e-5 < exported.scale
    sequence = torch.randn(4, *exported.shape)
    with torch.no_grad():
        torch.testing.assert_close(run_torch_export(tmp_path / "model.pt2", sequence), network(sequence))
    extra = {"zoo": ""}
    torch.export.load(tmp_path / "model.pt2", extra_files=extra)
    assert json.loads(extra["zoo"])["architecture"] == "STGCN"


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
@pytest.mark.parametrize(
    "build",
    [
        lambda: R3D((4, 8), (1, 1)),
        lambda: I3D(0.125),
        lambda: ResNet3D((4, 8), (1, 1), shortcut="A"),
        lambda: ResNeXt3D((8, 8), (1, 1), cardinality=4),
        lambda: BiGRU(4, 2),
        lambda: BiGRU(4, 2, reading="bidirectional"),
        lambda: AGCN(4, (1, 1, 1)),
        lambda: HCN(4, 16, 16),
    ],
)
def test_every_network_is_exported(tmp_path, build, suffix) -> None:
    pytest.importorskip("onnxruntime")
    network = build()
    facts = FACTS | {"crop_size": 32, "short_side": 32} if isinstance(network, VideoNetwork) else {}
    checkpoint(tmp_path / "last.ckpt", network, facts)
    assert export(tmp_path / "last.ckpt", tmp_path / f"model{suffix}").scale > 0


def test_safetensors_of_half_the_size(tmp_path) -> None:
    network, _ = checkpoint(tmp_path / "last.ckpt", R2Plus1D((16, 32), (1, 1)))
    whole = export(tmp_path / "last.ckpt", tmp_path / "whole.safetensors")
    half = export(tmp_path / "last.ckpt", tmp_path / "half.safetensors", half=True)
    assert whole.difference == 0.0 and 0 < half.difference < 0.02 * half.scale
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("half", "whole")]
    assert sizes[0] < 0.6 * sizes[1]
    loaded, _ = load_pretrained(tmp_path / "half.safetensors")
    assert all(parameter.dtype == torch.float32 for parameter in loaded.parameters())
    clip = torch.randn(2, 3, 4, 16, 16)
    torch.testing.assert_close(loaded(clip), network(clip), rtol=0, atol=0.02 * half.scale)


def test_what_differs_from_its_source_is_not_kept(tmp_path, monkeypatch) -> None:
    checkpoint(tmp_path / "last.ckpt", R2Plus1D((4, 8), (1, 1)))
    monkeypatch.setattr(export_module, "_HALF_TOLERANCE", 1e-9)
    with pytest.raises(WeightsError, match=r"differs from its source by \S+ where .+ and is not kept"):
        export(tmp_path / "last.ckpt", tmp_path / "model.safetensors", half=True)
    assert {path.name for path in tmp_path.iterdir()} == {"last.ckpt"}
    network, _ = checkpoint(tmp_path / "last.ckpt", R2Plus1D((4, 8), (1, 1)))
    torch.nn.init.constant_(network.stem[0].weight, float("nan"))
    content = torch.load(tmp_path / "last.ckpt", weights_only=True)
    content["state_dict"] |= {f"networks.0.{key}": value for key, value in network.state_dict().items()}
    torch.save(content, tmp_path / "nan.ckpt")
    with pytest.raises(WeightsError, match="are the weights finite"):
        export(tmp_path / "nan.ckpt", tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("--out a.onnx", 2, "export needs --checkpoint FILE and --out FILE"),
        ("--checkpoint last.ckpt --out a.pt2 --fast", 2, "export: unknown argument --fast"),
        ("--checkpoint last.ckpt --out a.pth", 1, "must end in .safetensors, .onnx, .pt2, is a.pth"),
        ("--checkpoint last.ckpt --out a.onnx --format torch_export", 1, "a file of torch_export must end in .pt2"),
        ("--checkpoint last.ckpt --out a.pt2 --half", 1, "half is of safetensors, not of torch_export"),
        ("--checkpoint last.ckpt --out a.safetensors --classifier", 1, "holds no classifier of one R2Plus1D"),
        ("--checkpoint last.ckpt --out a.pt2 --classifier", 1, "holds no classifier of one R2Plus1D"),
        ("--checkpoint none.ckpt --out a.pt2", 1, "none.ckpt is neither a file nor a name in the catalogue"),
    ],
)
def test_the_command_says_what_is_wrong(tmp_path, monkeypatch, capsys, arguments, code, message) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint(tmp_path / "last.ckpt", R2Plus1D((4, 8), (1, 1)), features=9)
    assert run_command(*arguments.split()) == code
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_without_onnx_one_line_says_so(tmp_path, monkeypatch) -> None:
    checkpoint(tmp_path / "last.ckpt", R2Plus1D((4, 8), (1, 1)))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(WeightsError, match=r"pip install 'video-efficient-zoo\[onnx\]'"):
        export(tmp_path / "last.ckpt", tmp_path / "model.onnx")


def test_names_of_the_catalogue_are_exported(tmp_path) -> None:
    exported = export("embedded_skeleton_graph", tmp_path / "model.safetensors")
    assert exported.header["architecture"] == "AGCN" and exported.difference == 0.0
    assert catalogue.locate("embedded_skeleton_graph").name == "embedded_skeleton_graph.safetensors"
