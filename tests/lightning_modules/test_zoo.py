"""Networks by name, their classifiers, and sharing them through folders."""

import importlib
import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from lightning_modules import create_network, list_networks
from lightning_modules.networks import R2Plus1D
from lightning_modules.weights import WeightsError, describe, skeleton_input
from lightning_modules.weights.catalogue import CATALOGUE, locate
from lightning_modules.weights.catalogue.embedded import ENTRIES, FOLDER
from lightning_modules.zoo import hub, models, zoo_network
from lightning_modules.zoo.zoo_network import ZooNetwork

SMALL = list_networks("*_embedded")


def random_input(network, batch: int = 2):
    return torch.randn(batch, *network.preprocessing.shape, generator=torch.Generator().manual_seed(0))


def checkpoint(path, num_classes: int = 3, actions: tuple[str, ...] = ("run", "jump", "fall")):
    """What a run of recognition saves, as far as weights go."""
    network = models._SMALL_R2PLUS1D()
    facts = {"num_frames": 8, "crop_size": 24, "short_side": 30, "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    state = {f"networks.0.{key}": value for key, value in network.state_dict().items()}
    state |= {"classifier.weight": torch.randn(num_classes, 64), "classifier.bias": torch.randn(num_classes)}
    zoo = describe(network, "ActionRecognition", "UCF101DataModule", facts)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": state, "zoo": zoo, "actions": list(actions)}, path)
    return state


@pytest.mark.parametrize("name", SMALL)
def test_every_network_has_the_same_surface(name) -> None:
    network = create_network(name)
    clip = random_input(network)
    assert not network.training and network.preprocessing.layout[1] == "B"
    with torch.no_grad():
        features = network.forward_features(clip)
        assert features.shape == (2, network.feature_dim)
        torch.testing.assert_close(network(clip), features, rtol=0, atol=0)
        network.reset_classifier(5)
        expected = features @ network.classifier.weight.T + network.classifier.bias
        torch.testing.assert_close(network(clip), expected)
    network.reset_classifier(0)
    assert network(clip).shape == (2, network.feature_dim)
    with pytest.raises(ValueError, match="num_classes=-1 must be 0 or more"):
        network.reset_classifier(-1)


def test_listed_networks_are_the_thesis_sizes() -> None:
    sizes = {}
    for model in models.MODELS:
        with torch.device("meta"):
            sizes[model.name] = sum(parameter.numel() for parameter in model.build().parameters())
        assert model.weights is None or model.weights in CATALOGUE
    assert sizes["r2plus1d_18"] == 31_300_125  # torchvision's 31,505,325 without the classifier of 400 classes
    assert sizes["resnet3d_18"] == 33_203_904 and sizes["resnext3d_101"] == 47_521_216
    assert sizes["skeleton_bigru"] == 44_998_656 and sizes["skeleton_agcn"] == 3_454_090
    assert sizes["skeleton_hcn"] == 519_424 and sizes["skeleton_stgcn"] == 3_083_412
    assert list_networks("skeleton_a*") == ["skeleton_agcn", "skeleton_agcn_embedded"]
    assert list_networks("no*") == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "r2plus1d_19"}, r"no network 'r2plus1d_19'; did you mean r2plus1d_18"),
        ({"name": "xxxx"}, r"no network 'xxxx'; list_networks\(\) has the names"),
        ({"name": "skeleton_hcn_embedded", "pretrained": True}, "no weights of skeleton_hcn_embedded are published"),
        ({"name": "skeleton_agcn_embedded", "in_channels": 3}, "leave in_channels out"),
        ({"name": "r2plus1d_embedded", "in_channels": 4}, "in_channels=4 must be 3"),
        ({"name": "r2plus1d_embedded", "pretrained": "embedded_transfer"}, "does not fit R2Plus1D"),
        ({"name": "r2plus1d_embedded", "pretrained": "embedded_tubelets"}, "near names: embedded_tubelet"),
    ],
)
def test_what_cannot_be_built_is_said_in_one_line(arguments, message) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        create_network(**arguments)
    assert "\n" not in str(raised.value)


def test_classifier_and_preprocessing_come_from_the_checkpoint(tmp_path) -> None:
    state = checkpoint(tmp_path / "last.ckpt")
    network = create_network("r2plus1d_embedded", tmp_path / "last.ckpt", num_classes=3)
    assert network.classes == ("run", "jump", "fall") and network.preprocessing.mean == (0.1, 0.2, 0.3)
    torch.testing.assert_close(network.classifier.weight, state["classifier.weight"])
    torch.testing.assert_close(network.network.state_dict()["stem.0.weight"], state["networks.0.stem.0.weight"])
    frames = torch.from_numpy(np.random.default_rng(0).integers(0, 255, (8, 40, 50, 3), dtype=np.uint8))
    assert network(network.preprocessing(frames)).shape == (1, 3)
    other = create_network("r2plus1d_embedded", tmp_path / "last.ckpt", num_classes=4)
    assert other.classes == () and other.classifier.weight.shape == (4, 64)
    assert create_network("r2plus1d_embedded", tmp_path / "last.ckpt").num_classes == 0


def test_weights_of_other_channels_are_adapted() -> None:
    network = create_network("r2plus1d_embedded", pretrained=True, in_channels=2)
    rgb = create_network("r2plus1d_embedded", pretrained=True)
    assert network.preprocessing.modality == "flow" and network.preprocessing.shape[0] == 2
    stems = [built.network.get_parameter("stem.0.weight").sum(1) for built in (network, rgb)]
    torch.testing.assert_close(*stems)
    assert torch.isfinite(network(random_input(network))).all()


def test_skeleton_input_cuts_the_centre() -> None:
    prepare = skeleton_input.SkeletonInput(4)
    frames = torch.arange(40.0).view(1, 1, 40, 1, 1).expand(1, 3, 40, 25, 2)
    whole = prepare(frames)
    assert whole.shape == (1, *prepare.shape)
    torch.testing.assert_close(whole[0, 0, :, 0, 0], torch.tensor([5.25, 14.75, 24.25, 33.75]))
    torch.testing.assert_close(prepare(frames[0]), whole)
    with pytest.raises(ValueError, match="expected sequences"):
        prepare(torch.zeros(3, 4, 24, 2))


# Weights that ship


@pytest.mark.parametrize("name", list(ENTRIES))
def test_shipped_weights_fill_their_network(name) -> None:
    names = [model.name for model in models.MODELS if model.weights == name]
    architecture = ENTRIES[name].architecture
    like = {"R2Plus1D": "r2plus1d_embedded", "ResNet3D": "resnet3d_embedded", "BiGRU": "skeleton_bigru_embedded"}
    listed = names[0] if names else like[architecture]
    channels = 2 if name == "embedded_transfer_teacher" else None
    network = create_network(listed, pretrained=name, in_channels=channels)
    assert type(network.network).__name__ == architecture
    features = network(random_input(network, 4))
    assert torch.isfinite(features).all() and features.std(0).mean() > 1e-3
    assert locate(name).stat().st_size < 500_000
    assert "for demos only" in ENTRIES[name].data and "demos" in network.provenance["data"]


def test_embedded_preprocessing_is_that_of_the_run() -> None:
    assert create_network("resnet3d_embedded", pretrained=True).preprocessing.depth_range == (1500.0, 4500.0)
    teacher = create_network("resnet3d_embedded", pretrained="embedded_transfer_teacher", in_channels=2)
    assert teacher.preprocessing.flow_bound == 4.0


def test_damaged_shipped_weights_are_found_out(tmp_path, monkeypatch) -> None:
    entry = ENTRIES["embedded_tubelet"]
    damaged = tmp_path / "embedded_tubelet.safetensors"
    tensors = load_file(FOLDER / entry.file_name)
    save_file({key: value + 1 for key, value in tensors.items()}, damaged)
    monkeypatch.setitem(entry.__dict__, "shipped", damaged)
    with pytest.raises(WeightsError, match="install the package again"):
        create_network("r2plus1d_embedded", pretrained=True)


# Sharing


def test_a_folder_gives_the_same_network_back(tmp_path, capsys) -> None:
    pytest.importorskip("huggingface_hub")
    network = create_network("skeleton_bigru_embedded", pretrained=True)
    network.reset_classifier(2, ["sit", "stand"])
    network.save_pretrained(tmp_path / "shared", model_card_kwargs={"licence": "MIT"})
    assert {path.name for path in (tmp_path / "shared").iterdir()} == {"README.md", "config.json", "model.safetensors"}
    again = ZooNetwork.from_pretrained(tmp_path / "shared")
    assert not again.training and again.config == network.config and again.classes == ("sit", "stand")
    sequence = random_input(network)
    torch.testing.assert_close(again(sequence), network(sequence), rtol=0, atol=0)
    card = (tmp_path / "shared" / "README.md").read_text()
    assert "license: mit" in card and "2: sit, stand." in card and "trained on synthetic shapes" in card
    assert "probe/knn_top1" in card


def test_the_card_of_a_run_has_its_recipe_and_numbers(tmp_path) -> None:
    pytest.importorskip("huggingface_hub")
    run = tmp_path / "runs" / "mine"
    checkpoint(run / "checkpoints" / "last.ckpt")
    (run / "config.yaml").write_text(f"run_dir: {run}\nseed_everything: 7\ndata: {{root: {run}/clips, cache: null}}\n")
    (run / "logs").mkdir()
    (run / "logs" / "metrics.csv").write_text("epoch,train/loss,val/top1\n0,1.5,\n0,,0.25\n1,,0.75\n")
    network = create_network("r2plus1d_embedded", run / "checkpoints" / "last.ckpt", num_classes=3)
    assert network.provenance["metrics"] == {"val/top1": 0.75}
    network.save_pretrained(tmp_path / "shared")
    card = (tmp_path / "shared" / "README.md").read_text()
    assert "seed_everything: 7" in card and "root: clips" in card and "| val/top1 | 0.75 |" in card
    assert str(tmp_path) not in card and str(tmp_path) not in (tmp_path / "shared" / "config.json").read_text()
    assert "## Licence\n\nNot stated." in card and "3: run, jump, fall." in card
    assert "pipeline_tag: video-classification" in card


def test_a_folder_whose_parts_do_not_fit_is_refused(tmp_path) -> None:
    pytest.importorskip("huggingface_hub")
    create_network("skeleton_stgcn_embedded").save_pretrained(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    config = json.loads((tmp_path / "b" / "config.json").read_text())
    (tmp_path / "b" / "config.json").write_text(json.dumps(config | {"num_classes": 4}))
    with pytest.raises(WeightsError, match=r"does not fit its config\.json"):
        ZooNetwork.from_pretrained(tmp_path / "b")
    (tmp_path / "b" / "config.json").write_text(json.dumps(config | {"architecture": "Nothing"}))
    with pytest.raises(WeightsError, match="holds a Nothing"):
        ZooNetwork.from_pretrained(tmp_path / "b")


def test_without_huggingface_hub_one_line_says_so(monkeypatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "huggingface_hub" else find(name))
    try:
        importlib.reload(hub)
        importlib.reload(zoo_network)
        network = create_network("skeleton_stgcn_embedded")
        with pytest.raises(ModuleNotFoundError, match=r"pip install 'video-efficient-zoo\[hub\]'"):
            network.save_pretrained("folder")
        with pytest.raises(ModuleNotFoundError, match="from_pretrained needs huggingface_hub"):
            type(network).from_pretrained("folder")
    finally:
        monkeypatch.undo()
        importlib.reload(hub)
        importlib.reload(zoo_network)


def test_torch_hub_finds_the_networks() -> None:
    root = str(Path(__file__).parents[2])
    assert torch.hub.load(root, "list_networks", "*_embedded", source="local") == SMALL
    network = torch.hub.load(root, "r2plus1d_embedded", source="local", pretrained=True)
    assert network.feature_dim == 64 and isinstance(network.network, R2Plus1D)
