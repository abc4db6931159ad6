"""The files of the SEVERE benchmark's nine methods and Supervised, made from random networks under their keys."""

import argparse
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from network_fakes import draw_weights, pyvrl_state, random_clip
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models.video import resnet as torchvision_resnet

import cli
from lightning_modules.networks import R3D, R2Plus1D, VideoNetwork
from lightning_modules.weights import WeightsError, catalogue, describe, load_weights
from lightning_modules.weights.contents import inspect
from lightning_modules.weights.pretrained import preprocessing_of

FORMATS = (
    "moco",
    "selavi",
    "pretext_contrast",
    "rspnet",
    "avid_cma",
    "ctp",
    "tclr",
    "gdt",
    "torchvision",
)
DROPPED = {
    "moco": {"encoder_q", "encoder_k", "queue", "queue_ptr"},
    "selavi": {"audio_network", *(f"mlp_{modality}{head}" for modality in "va" for head in range(10))},
    "pretext_contrast": {"fc", "projector"},
    "rspnet": {"encoder_q", "encoder_k", "queue", "queue_ptr"},
    "avid_cma": {"audio_model", "video_proj", "audio_proj"},
    "ctp": {"head"},
    "tclr": {"1"},
    "gdt": {"audio_network", "mlp_v", "mlp_a"},
    "torchvision": {"fc"},
}


def narrow(format: str, network_class: type[VideoNetwork] = R2Plus1D, **changes: Any) -> VideoNetwork:
    arguments = {
        "widths": (8, 16),
        "blocks": (1, 1),
        "batch_norm_eps": 1e-3 if format == "ctp" else 1e-5,
        "dilated_last_stage": format == "tclr",
        **changes,
    }
    network = network_class(**arguments)
    draw_weights(network)
    return network.eval()


def prefixed(prefix: str, state: dict[str, Tensor], change: float = 0) -> dict[str, Tensor]:
    return {prefix + key: value + change if change else value for key, value in state.items()}


def linear(name: str) -> dict[str, Tensor]:
    return {f"{name}.weight": torch.zeros(2, 3), f"{name}.bias": torch.zeros(2)}


def in_sequence(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Keys of torchvision's children as a sequence of them has."""
    return {f"0.{key[5:]}" if key.startswith("stem.") else key.removeprefix("layer"): v for key, v in state.items()}


def published(format: str, network: VideoNetwork) -> dict[str, Any]:
    """What the training code of a method saves of a network; its momentum copies hold other weights."""
    state = dict(network.state_dict())
    queue = {"queue": torch.zeros(2, 4), "queue_ptr": torch.zeros(1, dtype=torch.long)}
    if format == "moco":
        heads = linear("encoder_q.fc.0") | linear("encoder_q.fc.2") | linear("encoder_k.fc.0")
        moco = prefixed("encoder_q.", state) | prefixed("encoder_k.", state, 1) | heads | queue
        return {"epoch": 200, "arch": "r2plus1d_18", "state_dict": prefixed("module.", moco)}
    if format == "selavi":
        sound = {"audio_network.base.conv1.weight": torch.zeros(4, 1, 7, 7)}
        heads = {}
        for modality in "va":
            for head in range(10):
                heads |= linear(f"mlp_{modality}{head}.block_forward.8")
        model = prefixed("module.", prefixed("video_network.base.", state) | sound | heads)
        return {"epoch": 200, "model": model, "selflabels": torch.zeros(3, 10)}
    if format == "pretext_contrast":
        return prefixed("module.", prefixed("base_network.", in_sequence(state)) | linear("fc") | linear("projector.0"))
    if format == "rspnet":
        sequence = in_sequence(state)
        query = prefixed("encoder_q.encoder.base_network.", sequence) | linear("encoder_q.fc1.2")
        key = prefixed("encoder_k.encoder.base_network.", sequence, 1) | linear("encoder_k.fc2.2")
        return {"epoch": 200, "arch": "rspnet-r2plus1d", "model": query | key | queue, "best_loss": 1.5}
    if format == "avid_cma":
        sound = {"audio_model.conv1.0.weight": torch.zeros(4, 1, 7, 7)}
        heads = linear("video_proj.projection.0") | linear("audio_proj.projection.4")
        model = prefixed("module.", prefixed("video_model.", state) | sound | heads)
        return {"epoch": 20, "model": model, "optimizer": {"state": {}}, "train_criterion": {"view1": torch.zeros(2)}}
    if format == "ctp":
        return {"meta": {"epoch": 90}, "state_dict": pyvrl_state(network, "backbone.") | linear("head.fc")}
    if format == "tclr":
        state = state | {"stem.0.weight": state["stem.0.weight"].flip(1)}
        head = prefixed("1.", linear("fc1") | {"bn1.running_mean": torch.zeros(2)})
        scaler = torch.amp.GradScaler("cpu")
        return {"epoch": 100, "state_dict": prefixed("module.", prefixed("0.", state) | head), "amp_scaler": scaler}
    if format == "gdt":
        sound = {"audio_network.base.conv1.weight": torch.zeros(4, 1, 7, 7)}
        heads = linear("mlp_v.block_forward.2") | linear("mlp_a.block_forward.2")
        model = prefixed("video_network.base.", state) | sound | heads
        weight = nn.Parameter(torch.ones(2))
        optimizer = torch.optim.SGD([weight], 0.1, momentum=0.9)
        weight.grad = torch.ones(2)
        optimizer.step()
        schedule = {"multiplier": 64, "after_scheduler": torch.optim.lr_scheduler.MultiStepLR(optimizer, [3])}
        return {"model": model, "lr_scheduler": schedule, "args": argparse.Namespace(hypothesis=7)}
    return state | linear("fc")


def keys_of(content: dict[str, Any]) -> dict[str, Tensor]:
    wrapped = content.get("state_dict", content.get("model", content))
    assert isinstance(wrapped, dict)
    return wrapped


def save(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def full_size(format: str) -> dict[str, Any]:
    """The published content for the full network, its tensors of one number each on disk."""
    with torch.device("meta"):
        network = R2Plus1D(dilated_last_stage=format == "tclr")
    content = published(format, network)
    tensors = keys_of(content)
    for key, value in tensors.items():
        tensors[key] = torch.zeros((), dtype=value.dtype).expand(value.shape)
    return content


@torch.no_grad()
def features(network: nn.Module, clip: Tensor | None = None) -> Tensor:
    output: Tensor = network.eval()(random_clip(1, 3, 8, 32, 32) if clip is None else clip)
    return output


# Loading


@pytest.mark.parametrize("format", FORMATS)
def test_published_file_loads_and_gives_the_features_of_its_network(tmp_path, format) -> None:
    source = narrow(format)
    path = save(tmp_path / "weights.pth", published(format, source))
    start = R2Plus1D((8, 16), (1, 1), dilated_last_stage=format == "tclr")
    report = load_weights(start, path)
    assert report.format == format and report.loaded == len(source.state_dict()) and report.fresh == ()
    assert {key.split(".")[0] for key in report.dropped} == DROPPED[format]
    assert report.turned == (format == "tclr") == ("turned from BGR" in str(report))
    torch.testing.assert_close(features(start), features(source), rtol=0, atol=0)
    again = R2Plus1D((8, 16), (1, 1), dilated_last_stage=format == "tclr")
    assert load_weights(again, path, format=format).dropped == report.dropped


@pytest.mark.parametrize("format", ["moco", "pretext_contrast", "rspnet", "tclr"])
def test_methods_over_torchvisions_r3d(tmp_path, format) -> None:
    source = narrow(format, R3D)
    start = R3D((8, 16), (1, 1), dilated_last_stage=format == "tclr")
    assert load_weights(start, save(tmp_path / "weights.pth", published(format, source))).format == format
    torch.testing.assert_close(features(start), features(source), rtol=0, atol=0)


@pytest.mark.parametrize("format", FORMATS)
def test_what_does_not_fit_is_named_in_one_line(tmp_path, format) -> None:
    content = published(format, narrow(format))
    state = keys_of(content)
    path = tmp_path / "weights.pth"

    def complaint(network: VideoNetwork) -> str:
        before = {key: value.clone() for key, value in network.state_dict().items()}
        with pytest.raises(WeightsError) as caught:
            load_weights(network, save(path, content))
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
        after = network.state_dict()
        assert all(value.equal(after[key]) for key, value in before.items())
        return str(caught.value)

    state["module.decoder.weight" if all(key.startswith("module.") for key in state) else "decoder.weight"] = (
        torch.zeros(2)
    )
    if format != "torchvision":  # a plain state dict has no key that is not the network's
        assert "1 unexpected (decoder.weight)" in complaint(narrow(format))
    del state[list(state)[-1]]
    assert "looks like a R2Plus1D: set the network to lightning_modules.networks.R2Plus1D" in complaint(
        narrow(format, R3D)
    )
    lost = next(
        key for key in state if key.endswith(("layer1.0.conv2.1.bias", ".1.0.conv2.1.bias", "layer1.0.bn2.bias"))
    )
    del state[lost]
    assert "1 missing (layer1.0.conv2.1.bias)" in complaint(narrow(format))


def test_same_keys_but_for_the_heads_tell_selavi_from_gdt(tmp_path) -> None:
    for format in ("selavi", "gdt"):
        path = save(tmp_path / f"{format}.pth", published(format, narrow(format)))
        assert inspect(path).format == format
    with pytest.raises(WeightsError, match=r"gdt.pth is not a selavi file; its keys are video_network\.base\."):
        load_weights(narrow("selavi"), path, format="selavi")


def test_authors_avid_cma_is_another_network(tmp_path) -> None:
    state = {"module.video_model.conv1.0.weight": torch.zeros(64, 3, 3, 7, 7)}
    path = save(tmp_path / "avid.pth.tar", {"model": state})
    with pytest.raises(WeightsError, match=r"\(avid_cma\) does not fit R2Plus1D: \d+ missing .*1 unexpected \(conv1"):
        load_weights(narrow("avid_cma"), path)


# Wrappers


def test_two_state_dicts_in_a_file_are_not_chosen_from(tmp_path) -> None:
    state = dict(narrow("torchvision").state_dict())
    path = save(tmp_path / "both.pth", {"state_dict": state, "model": state})
    with pytest.raises(WeightsError, match=r"holds several state dicts \(state_dict, model\); save the one that you"):
        load_weights(narrow("torchvision"), path)
    path = save(tmp_path / "named.pth", {"state_dict": state, "model": "r2plus1d_18"})
    assert load_weights(narrow("torchvision"), path).format == "torchvision"
    path = save(tmp_path / "other.pth", {"model": {"weights": "elsewhere"}})
    with pytest.raises(WeightsError, match="no state dict of tensors, but weights"):
        load_weights(narrow("torchvision"), path)


def test_gradient_scalers_of_past_pytorch_are_left_out(tmp_path) -> None:
    with pytest.warns(FutureWarning):
        scaler = torch.cuda.amp.grad_scaler.GradScaler(enabled=False)
    content = published("tclr", narrow("tclr")) | {"amp_scaler": scaler}
    for zipped in (True, False):
        torch.save(content, tmp_path / "tclr.pth", _use_new_zipfile_serialization=zipped)
        assert load_weights(narrow("tclr"), tmp_path / "tclr.pth").format == "tclr"


# TCLR's network


def test_tclrs_network_computes_what_torchvisions_with_its_changes_does(tmp_path) -> None:
    """The changes of build_r3d_backbone in DAVEISHAN/TCLR, made to torchvision's network."""
    reference = torchvision_resnet.VideoResNet(
        torchvision_resnet.BasicBlock,
        [torchvision_resnet.Conv2Plus1D] * 4,
        [1, 1, 1, 1],
        torchvision_resnet.R2Plus1dStem,
    )
    first = reference.layer4[0]
    first.conv1[0] = nn.Conv3d(
        256, 512, kernel_size=3, stride=(1, 2, 2), padding=(2, 1, 1), dilation=(2, 1, 1), bias=False
    )
    first.downsample[0] = nn.Conv3d(256, 512, kernel_size=1, stride=(1, 2, 2), bias=False)
    reference.fc = nn.Identity()
    draw_weights(reference)
    path = save(tmp_path / "tclr.pth", {"state_dict": prefixed("module.0.", dict(reference.state_dict()))})
    network = R2Plus1D(blocks=(1, 1, 1, 1), dilated_last_stage=True)
    load_weights(network, path)
    clip = random_clip(1, 3, 16, 32, 32)  # red first; the reference takes blue first
    torch.testing.assert_close(features(network, clip), features(reference, clip.flip(1)))
    maps = network.feature_maps(clip)
    assert maps["layer3"].shape[2:] == (4, 4, 4) and maps["layer4"].shape[2:] == (4, 2, 2)
    assert network.temporal_strides == (1, 2, 2, 1)
    twin = R2Plus1D(**json.loads(json.dumps(network.arguments)))
    twin.load_state_dict(network.state_dict())
    torch.testing.assert_close(features(twin, clip), features(network, clip), rtol=0, atol=0)


def test_dilation_honours_strides_that_are_given_and_learns() -> None:
    network = R2Plus1D((8, 16), (1, 1), temporal_strides=(1, 2), spatial_strides=(1, 1), dilated_last_stage=True)
    clip = random_clip(2, 3, 8, 16, 16)
    assert network.feature_maps(clip)["layer2"].shape == (2, 16, 4, 8, 8)
    network(clip).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())
    assert features(R2Plus1D((8,), (1,), dilated_last_stage=True)).shape == (1, 8)


@pytest.mark.parametrize("network_class", [R2Plus1D, R3D])
def test_tclr_needs_the_dilated_network(tmp_path, network_class) -> None:
    path = save(tmp_path / "tclr.pth", published("tclr", narrow("tclr", network_class)))
    with pytest.raises(
        WeightsError, match=r"set otherwise \(dilated_last_stage \(True in the file, False in the"
    ) as caught:
        load_weights(network_class((8, 16), (1, 1)), path)
    assert f"tclr needs {network_class.__name__}(dilated_last_stage=True)" in str(caught.value)


# Preprocessing


@pytest.mark.parametrize("format", [format for format in FORMATS if format not in ("ctp", "torchvision")])
def test_clips_are_prepared_as_the_benchmark_does(tmp_path, format) -> None:
    network = narrow(format)
    preprocessing = preprocessing_of(save(tmp_path / "weights.pth", published(format, network)), network)
    assert preprocessing is not None
    assert (preprocessing.num_frames, preprocessing.fps) == (32, 16)
    assert (preprocessing.crop_size, preprocessing.short_side) == (112, 128)
    plain = format == "tclr"
    assert preprocessing.mean == ((0, 0, 0) if plain else (0.485, 0.456, 0.406))
    assert preprocessing.std == ((1, 1, 1) if plain else (0.229, 0.224, 0.225))


# The catalogue


def test_catalogue_has_the_rows_of_the_thesis() -> None:
    """Columns of table 4.4, and HMDB51 of table B.3."""
    rows = {
        entry.method: list(entry.reported.values())
        for entry in catalogue.CATALOGUE.values()
        if "SSv2" in entry.reported
    }
    assert set(rows) == {
        *("MoCo", "VideoMoCo", "SeLaVi", "Pretext-Contrast", "RSPNet", "AVID-CMA", "CtP", "TCLR", "GDT"),
        *("supervised", "TubeletContrast"),
    }
    assert rows["VideoMoCo"] == [84.9, 58.0, 59.0, 90.3, 65.4, 20.6, 57.3, 83.9, 0.185, 10.5]
    assert rows["GDT"] == [91.3, 64.8, 58.0, 90.5, 78.4, 45.6, 66.0, 83.4, 0.123, 8.5]
    assert rows["supervised"][1:] == [93.9, 68.5, 60.8, 92.1, 86.6, 51.3, 79.0, 87.1, 0.132, 23.5]
    assert catalogue.CATALOGUE["torchvision/r2plus1d_18"].sha256 == "91a641e6"


def test_catalogue_says_what_is_inside_an_archive(tmp_path) -> None:
    with pytest.raises(WeightsError, match=r"fetch it from https://surfdrive\S+, an archive with check\S+, save"):
        load_weights(narrow("rspnet"), "rspnet/r2plus1d_18_kinetics400", folder=tmp_path)


# The command


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, str]:
    """Texts by their names, which must be aligned; further lines of one have no name."""
    assert cli.main(["weights", *arguments]) == 0
    rows = [re.fullmatch(r"((\S+( \S+)*)? {2,})(.*)", line) for line in capsys.readouterr().out.splitlines()]
    assert all(rows) and len({row.end(1) for row in rows if row}) == 1
    return {row[2]: row[4] for row in rows if row}


@pytest.mark.parametrize("format", FORMATS)
def test_show_says_what_of_a_full_size_file_would_load(tmp_path, capsys, format) -> None:
    content = full_size(format)
    rows = printed(capsys, "show", str(save(tmp_path / "weights.pth", content)))
    dilated = ", dilated_last_stage=True" if format == "tclr" else ""
    assert rows["format"] == format
    assert rows["network"] == f"R2Plus1D(batch_norm_eps={0.001 if format == 'ctp' else 1e-05}{dilated})"
    with torch.device("meta"):
        tensors = R2Plus1D(dilated_last_stage=format == "tclr").state_dict()
    assert rows["loads"] == f"yes: {len(tensors)} tensors, {sum(t.numel() for t in tensors.values()):,} numbers"
    assert rows["fresh"] == "none" and all(name in rows["dropped"] for name in DROPPED[format])
    assert ("colours" in rows) == (format == "tclr")
    assert rows["clips"].startswith(
        "rgb, 16 frames" if format in ("ctp", "torchvision") else "rgb, 32 frames at 16 a sec"
    )


def test_show_says_what_would_not_load(tmp_path, capsys) -> None:
    path = save(tmp_path / "moco.pth", full_size("moco"))
    rows = printed(capsys, "show", str(path), "--network", "R3D")
    assert rows["loads"] == "no: it does not fit R3D" and " missing (" in rows["because"]
    assert rows["remedy"].startswith("It looks like a R2Plus1D")
    content = full_size("moco")
    keys_of(content).pop("module.encoder_q.layer4.1.conv2.1.weight")
    rows = printed(capsys, "show", str(save(path, content)))
    assert rows["loads"].startswith("no: ") and rows["because"] == "1 missing (layer4.1.conv2.1.weight)"


def test_show_of_our_own_file(tmp_path, capsys) -> None:
    network = narrow("torchvision")
    header = describe(network, "TubeletContrast", "KineticsDataModule", {})
    metadata = {"zoo": json.dumps(header)}
    save_file(network.state_dict(), tmp_path / "model.safetensors", metadata=metadata)
    rows = printed(capsys, "show", str(tmp_path / "model.safetensors"))
    assert (rows["format"], rows["method"], rows["data"]) == ("safetensors", "TubeletContrast", "KineticsDataModule")
    assert rows["network"].startswith("R2Plus1D(widths=[8, 16], blocks=[1, 1]") and rows["loads"].startswith("yes: ")
    assert rows["clips"] == "how they are prepared is not known"
    metadata = {"zoo": json.dumps(header | {"architecture": "AlexNet"})}
    save_file(network.state_dict(), tmp_path / "model.safetensors", metadata=metadata)
    rows = printed(capsys, "show", str(tmp_path / "model.safetensors"))
    assert (
        rows["network"].startswith("AlexNet(") and rows["loads"] == "no: lightning_modules.networks has no such network"
    )


def test_show_and_list_know_the_catalogue(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    rows = printed(capsys, "show", "tclr/r2plus1d_18_kinetics400")
    assert rows["licence"] == "MIT" and "Charades (mAP) 12.2" in rows["published"]
    assert rows["on disk"].endswith(
        "save it as " + str(tmp_path / ".cache" / "video-efficient-zoo" / "rpd18kin400.pth")
    )
    folder = tmp_path / ".cache" / "video-efficient-zoo"
    folder.mkdir(parents=True)
    save(folder / "rpd18kin400.pth", full_size("tclr"))
    assert cli.main(["weights", "show", "tclr/r2plus1d_18_kinetics400"]) == 0
    out = capsys.readouterr().out
    assert "\nlicence    MIT\n" in out and "\nloads    yes: " in out
    assert cli.main(["weights", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(catalogue.CATALOGUE) and lines[0].startswith("name ")
    at = lines[0].index("on disk")
    there = {line.split()[0] for line in lines[1:] if line[at:].startswith("yes ")}
    shipped = {name for name, entry in catalogue.CATALOGUE.items() if entry.shipped}
    assert there == {"tclr/r2plus1d_18_kinetics400"} | shipped and len(shipped) == 7


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["weights"], 2, "weights: as in: lightning weights show FILE"),
        (["weights", "show"], 2, "as in: lightning weights show FILE"),
        (["weights", "list", "x"], 2, "as in: lightning weights show FILE"),
        (["weights", "describe"], 2, "weights: argument action: invalid choice: 'describe'"),
        (["weights", "show", "absent.pth"], 1, "absent.pth is neither a file nor a name in the catalogue"),
        (
            ["weights", "show", "absent.pth", "--network", "Network"],
            1,
            "there is no network Network; take one of AGCN, ",
        ),
    ],
)
def test_wrong_usage_is_one_line(capsys, arguments, code, message) -> None:
    assert cli.main(arguments) == code
    error = capsys.readouterr().err
    assert error.startswith("lightning: error: ") and message in error and error.count("\n") == 1
