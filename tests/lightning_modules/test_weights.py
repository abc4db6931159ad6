"""Every weights format, made from random networks, and damaged copies of each."""

import hashlib
import json
import logging
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from network_fakes import pyvrl_state
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision.models import video as torchvision_video

from lightning_modules.networks import I3D, R3D, ProjectionHead, R2Plus1D, VideoNetwork
from lightning_modules.weights import (
    Preprocessing,
    WeightsError,
    catalogue,
    describe,
    load_pretrained,
    load_weights,
)
from lightning_modules.weights.export import export

FACTS = {
    "num_frames": 8,
    "crop_size": 24,
    "short_side": 32,
    "mean": [0.5, 0.4, 0.3],
    "std": [0.2, 0.25, 0.3],
    "stride": 2,
    "fps": None,
    "flow_bound": None,
    "flow_short_side": None,
    "depth_range": None,
}


def narrow(network_class: type[VideoNetwork] = R2Plus1D, **arguments) -> VideoNetwork:
    if network_class is I3D:
        network: VideoNetwork = I3D(width_multiplier=0.125, **arguments)
    else:
        network = network_class(widths=(8, 16), blocks=(1, 1), **arguments)
    for key, buffer in network.named_buffers():  # as if trained
        if "running" in key:
            buffer.add_(torch.rand_like(buffer))
    return network.eval()


def features(network: VideoNetwork) -> Tensor:
    clip = torch.randn(1, 3, 8, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return network.eval()(clip)


def save(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def write_checkpoint(path: Path, network: VideoNetwork, **header) -> Path:
    """What a momentum-contrast run saves, as far as weights go."""
    encoder = nn.Sequential(OrderedDict(network=network, head=ProjectionHead(network.feature_dim, out_dim=8)))
    state = {
        f"{name}.{key}": value
        for name in ("query_encoder", "key_encoder")
        for key, value in encoder.state_dict().items()
    }
    state |= {"queue.keys": torch.zeros(4, 8), "queue.count": torch.zeros((), dtype=torch.long)}
    zoo = describe(network, "TubeletContrast", "KineticsDataModule", FACTS) | header
    return save(path, {"state_dict": state, "zoo": zoo, "global_step": 3, "optimizer_states": []})


def tubelet_contrast_state(network: VideoNetwork) -> dict[str, Tensor]:
    """As pyvrl/models/pretraining/tubeletcontrast/model.py: the key encoder holds other weights than the backbone."""
    state = pyvrl_state(network, "backbone.")
    state |= {key: value + 1 for key, value in pyvrl_state(network, "key_encoder.").items()}
    for head in ("fc", "key_fc"):
        state |= {f"{head}.{key}": value for key, value in ProjectionHead(network.feature_dim).state_dict().items()}
    return state | {"queue": torch.zeros(128, 4), "queue_ptr": torch.zeros(1, dtype=torch.long)}


# Round trips of our own files


@pytest.mark.parametrize(("network_class", "norm"), [(R2Plus1D, "batch"), (R3D, "group"), (I3D, "batch")])
def test_export_and_load_give_identical_features(tmp_path, network_class, norm) -> None:
    network = narrow(network_class, norm=norm, batch_norm_eps=2e-3)
    checkpoint = write_checkpoint(tmp_path / "last.ckpt", network)
    header = export(checkpoint, tmp_path / "new" / "model.safetensors").header
    assert header["architecture"] == network_class.__name__
    assert header["arguments"] == network.arguments
    (exported,) = (tmp_path / "new").iterdir()
    assert exported.name == "model.safetensors"
    assert exported.stat().st_mode == checkpoint.stat().st_mode  # readable for whom new files are
    for source in (checkpoint, tmp_path / "new" / "model.safetensors"):
        loaded, preprocessing = load_pretrained(source)
        assert type(loaded) is network_class and not loaded.training
        assert loaded.arguments == network.arguments
        torch.testing.assert_close(features(loaded), features(network), rtol=0, atol=0)
        assert preprocessing.crop_size == 24 and preprocessing.mean == (0.5, 0.4, 0.3)
        start = narrow(network_class, norm=norm)
        report = load_weights(start, source)
        assert report.loaded == len(network.state_dict()) and report.batch_norm_eps == 2e-3
        torch.testing.assert_close(features(start), features(network), rtol=0, atol=0)


def test_checkpoint_report_names_what_is_dropped(tmp_path, caplog) -> None:
    checkpoint = write_checkpoint(tmp_path / "last.ckpt", narrow())
    with caplog.at_level(logging.INFO):
        report = load_weights(narrow(), checkpoint)
    assert "query_encoder.head.0.weight" in report.dropped and "queue.keys" in report.dropped
    assert report.fresh == ()
    assert caplog.messages == [str(report)]
    assert "\n" not in str(report)
    assert "queue.* (2)" in str(report) and "key_encoder.* (" in str(report) and "fresh none" in str(report)


def test_compiled_and_channels_last_networks_export(tmp_path) -> None:
    network = narrow().to(memory_format=torch.channels_last_3d)
    checkpoint = write_checkpoint(tmp_path / "last.ckpt", network)
    content = torch.load(checkpoint)
    content["state_dict"] = {k.replace("network.", "network._orig_mod."): v for k, v in content["state_dict"].items()}
    export(save(checkpoint, content), tmp_path / "model.safetensors")
    loaded, _ = load_pretrained(tmp_path / "model.safetensors")
    torch.testing.assert_close(features(loaded), features(network))


def test_training_arguments_may_differ_but_strides_may_not(tmp_path) -> None:
    checkpoint = write_checkpoint(tmp_path / "last.ckpt", narrow(stem_stride=1, motion_stem=True, samples_per_norm=4))
    load_weights(narrow(stem_stride=1), checkpoint)
    with pytest.raises(WeightsError, match=r"1 set otherwise \(stem_stride \(1 in the file, 2 in the network\)\)"):
        load_weights(narrow(), checkpoint)


# Other people's files


def test_torchvision_in_and_out_again(tmp_path) -> None:
    reference = torchvision_video.r2plus1d_18().eval()
    path = save(tmp_path / "r2plus1d_18.pth", reference.state_dict())
    network, preprocessing = load_pretrained(path)
    assert (preprocessing.crop_size, preprocessing.short_side, preprocessing.num_frames) == (112, 128, 16)
    assert load_weights(network, path).dropped == ("fc.weight", "fc.bias")
    exported = tmp_path / "model.safetensors"
    export(write_checkpoint(tmp_path / "last.ckpt", network), exported)
    other = torchvision_video.r2plus1d_18()
    result = other.load_state_dict(load_file(exported), strict=False)
    assert result.missing_keys == ["fc.weight", "fc.bias"] and result.unexpected_keys == []
    other.fc = reference.fc = nn.Identity()
    torch.testing.assert_close(features(other), features(reference))
    torch.testing.assert_close(features(network), features(reference))


def test_pyvrl_names_are_the_published_ones() -> None:
    assert {
        "stem.conv_s.weight",
        "stem.bn_t.running_mean",
        "layer1.0.conv1.conv_s.weight",
        "layer1.0.bn2.bias",
        "layer2.0.conv2.bn_s.running_var",
        "layer2.0.conv1.conv_t.weight",
        "layer2.0.downsample.conv.weight",
        "layer2.0.downsample_bn.num_batches_tracked",
    } < pyvrl_state(narrow(), "").keys()
    assert {"stem.conv.weight", "stem.bn.bias", "layer1.0.conv1.conv.weight"} < pyvrl_state(narrow(R3D), "").keys()


@pytest.mark.parametrize(("network_class", "eps"), [(R2Plus1D, 1e-3), (R3D, 1e-3), (I3D, 1e-5)])
def test_tubelet_contrast_files(tmp_path, network_class, eps) -> None:
    network = narrow(network_class, batch_norm_eps=eps)
    state = tubelet_contrast_state(network)
    path = save(tmp_path / "epoch_100.pth", {"meta": {"epoch": 100}, "state_dict": state, "optimizer": {"state": {}}})
    start = narrow(network_class)
    report = load_weights(start, path)
    assert report.format == "tubelet_contrast" and report.batch_norm_eps == eps
    assert start.arguments["batch_norm_eps"] == eps
    assert {key.split(".")[0] for key in report.dropped} == {"key_encoder", "fc", "key_fc", "queue", "queue_ptr"}
    torch.testing.assert_close(features(start), features(network), rtol=0, atol=0)


@pytest.mark.parametrize("network_class", [R2Plus1D, R3D])
def test_ctp_files_of_data_parallel_training(tmp_path, network_class) -> None:
    network = narrow(network_class, batch_norm_eps=1e-3)
    state = pyvrl_state(network, "module.backbone.") | {"module.head.fc.weight": torch.zeros(2, 2)}
    state = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    start = narrow(network_class)
    report = load_weights(start, save(tmp_path / "ctp.pth", {"state_dict": state}))
    assert report.format == "ctp" and report.dropped == ("head.fc.weight",)
    assert report.fresh and all(key.endswith("num_batches_tracked") for key in report.fresh)
    assert report.loaded + len(report.fresh) == len(network.state_dict())
    torch.testing.assert_close(features(start), features(network), rtol=0, atol=0)


def test_load_pretrained_knows_a_published_i3d(tmp_path) -> None:
    published = I3D()
    path = save(tmp_path / "i3d.pth", {"state_dict": tubelet_contrast_state(published)})
    network, preprocessing = load_pretrained(path)
    assert isinstance(network, I3D) and (preprocessing.crop_size, preprocessing.short_side) == (224, 256)
    torch.testing.assert_close(features(network), features(published), rtol=0, atol=0)


def test_old_and_safetensors_files_of_a_plain_state_dict(tmp_path) -> None:
    network = narrow()
    torch.save(network.state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    save_file(network.state_dict(), tmp_path / "plain.safetensors")
    for name in ("old.pth", "plain.safetensors"):
        start = narrow()
        assert load_weights(start, tmp_path / name).format == "torchvision"
        torch.testing.assert_close(features(start), features(network), rtol=0, atol=0)


# Files that do not fit


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("backbone.layer1.0.bn1.bias"), r"1 missing \(layer1.0.conv1.1.bias\)"),
        (lambda s: s.update({"backbone.layer3.0.bn1.bias": torch.ones(8)}), r"1 unexpected \(layer3.0.conv1.1.bias\)"),
        (lambda s: s.update({"decoder.weight": torch.ones(8)}), r"1 unexpected \(decoder.weight\)"),
        (
            lambda s: s.update({"backbone.stem.bn_t.bias": torch.ones(9)}),
            r"1 of another shape \(stem.4.bias \(9 in the file, 8 in the network\)\)",
        ),
    ],
)
def test_strict_about_every_key(tmp_path, change, message) -> None:
    state = tubelet_contrast_state(narrow())
    change(state)
    start = narrow()
    before = features(start)
    with pytest.raises(WeightsError, match=message):
        load_weights(start, save(tmp_path / "weights.pth", {"state_dict": state}))
    torch.testing.assert_close(features(start), before, rtol=0, atol=0)  # nothing half loaded


def test_another_architecture_or_width_is_named(tmp_path) -> None:
    r3d = save(tmp_path / "r3d.pth", {"state_dict": pyvrl_state(narrow(R3D), "backbone.")})
    with pytest.raises(WeightsError, match=r"\d+ missing \(.*, \.\.\.\).*looks like a R3D: set the network to"):
        load_weights(narrow(), r3d)
    with pytest.raises(WeightsError, match="widths, blocks and norm"):
        load_weights(narrow(norm="group"), save(tmp_path / "plain.pth", narrow().state_dict()))
    checkpoint = write_checkpoint(tmp_path / "last.ckpt", narrow(R3D))
    with pytest.raises(WeightsError, match=r"It holds R3D\(widths=\[8, 16\], .*configure the network like that"):
        load_weights(narrow(), checkpoint)


def test_formats_are_checked(tmp_path) -> None:
    plain = save(tmp_path / "plain.pth", narrow().state_dict())
    assert load_weights(narrow(), plain, format="torchvision").format == "torchvision"
    with pytest.raises(WeightsError, match=r"is not a ctp file; its keys are stem.0.weight"):
        load_weights(narrow(), plain, format="ctp")
    with pytest.raises(WeightsError, match="format 'simclr' is unknown"):
        load_weights(narrow(), plain, format="simclr")
    other = save(tmp_path / "other.pth", {"encoder.weight": torch.ones(1)})
    with pytest.raises(WeightsError, match=r"is not one of checkpoint, .*; its keys are encoder.weight"):
        load_weights(narrow(), other)


# Damaged files


class Payload:
    """Its unpickling leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


def test_code_in_a_file_is_not_run(tmp_path) -> None:
    trace = tmp_path / "trace"
    for zipped in (True, False):
        path = tmp_path / "evil.pth"
        content = {"state_dict": narrow().state_dict(), "meta": Payload(trace)}
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
        with pytest.raises(WeightsError, match=r"holds more than tensors \(.*\), and loading that would run code"):
            load_weights(narrow(), path)
    assert not trace.exists()


def damaged(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.pth"
    if kind == "cut zip":
        whole = save(folder / "whole.pth", narrow().state_dict()).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "cut legacy":
        torch.save(narrow().state_dict(), path, _use_new_zipfile_serialization=False)
        path.write_bytes(path.read_bytes()[:-1000])
    elif kind == "cut safetensors":
        path = folder / "cut.safetensors"
        save_file(narrow().state_dict(), path)
        path.write_bytes(path.read_bytes()[:-1000])
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("weights/r3d.pth", b"")
    elif kind == "list":
        save(path, [torch.ones(1)])
    elif kind == "no tensors":
        save(path, {"epoch": 3, "config": {}})
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_bytes(
            {
                "html": b"\n<!DOCTYPE html><html>",
                "lfs": b"version https://git-lfs.github.com/",
                "empty": b"",
                "noise": bytes(range(100)),
            }[kind]
        )
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("html", "is a web page"),
        ("lfs", "Git LFS pointer"),
        ("empty", "is empty"),
        ("noise", "is damaged or no PyTorch file"),
        ("cut zip", r"is cut off after [\d,]+ bytes"),
        ("cut legacy", "is damaged or no PyTorch file"),
        ("cut safetensors", "is damaged or cut off"),
        ("zip", "ordinary zip archive; unpack it"),
        ("list", "holds a list, not a state dict"),
        ("no tensors", r"no state dict of tensors, but epoch, config"),
        ("folder", "is not a file"),
    ],
)
def test_damaged_files_say_so_in_one_line(tmp_path, kind, message) -> None:
    path = damaged(tmp_path, kind)
    with pytest.raises(WeightsError, match=message) as caught:
        load_weights(narrow(), path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"format": "video-efficient-zoo/9"}, "this version reads 'video-efficient-zoo/1'"),
        ({"format": None}, "header is damaged"),
        ({"method": 3}, "lacks or has wrong method"),
        ({"extra": 3}, "lacks or has wrong extra"),
        ({"architecture": "AlexNet"}, "holds a AlexNet, which lightning_modules.networks lacks"),
        ({"architecture": "ProjectionHead"}, "holds a ProjectionHead"),
        ({"arguments": {"depth": 18}}, "arguments do not fit R2Plus1D"),
        ({"preprocessing": {"crop_size": 24}}, "its preprocessing .* does not fit"),
        ({"preprocessing": FACTS | {"crop_size": 64}}, "1 <= crop_size <= short_side"),
        ({"preprocessing": {}}, "does not say how clips are prepared"),
    ],
)
def test_damaged_headers(tmp_path, header, message) -> None:
    checkpoint = write_checkpoint(tmp_path / "last.ckpt", narrow(), **header)
    with pytest.raises(WeightsError, match=message):
        load_pretrained(checkpoint)


def test_export_refuses_what_it_cannot_do(tmp_path) -> None:
    checkpoint = write_checkpoint(tmp_path / "last.ckpt", narrow())
    with pytest.raises(ValueError, match=r"must end in \.safetensors"):
        export(checkpoint, tmp_path / "model.pth")
    plain = save(tmp_path / "plain.pth", narrow().state_dict())
    with pytest.raises(WeightsError, match="was not written by this project"):
        export(plain, tmp_path / "model.safetensors")
    (tmp_path / "taken.safetensors").mkdir()
    with pytest.raises(WeightsError, match="cannot be written"):
        export(checkpoint, tmp_path / "taken.safetensors")
    assert not list(tmp_path.glob(".*"))  # no partial file stays behind


def test_header_is_plain_json_and_complete() -> None:
    network = narrow(I3D)
    header = describe(network, "TubeletContrast", "KineticsDataModule", FACTS)
    assert json.loads(json.dumps(header)) == header
    assert header["format"] == "video-efficient-zoo/1" and header["torch"] == str(torch.__version__)
    assert header["preprocessing"] == FACTS
    preprocessing = Preprocessing(8, 24, 32, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3), stride=2)
    assert describe(network, "TubeletContrast", "KineticsDataModule", preprocessing) == header
    with pytest.raises(WeightsError, match="does not fit"):
        describe(network, "TubeletContrast", "KineticsDataModule", {"crop_size": 3})


# The catalogue


def test_catalogue_says_where_to_get_and_where_to_put(tmp_path) -> None:
    with pytest.raises(
        WeightsError, match=r"nothing is downloaded: fetch it from https://drive\S+, save it as \S+r3d_18"
    ):
        load_pretrained("tubelet_contrast/r3d_18_mini_kinetics", folder=tmp_path)
    with pytest.raises(WeightsError, match="has not published it"):
        load_weights(narrow(), "tubelet_contrast/i3d_kinetics400", folder=tmp_path)
    with pytest.raises(WeightsError, match=r"near names: torchvision/r3d_18"):
        load_weights(narrow(), "torchvision/r3d18", folder=tmp_path)
    (tmp_path / "r3d_18-b3b3357e.pth").write_bytes(b"other")
    digest = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(WeightsError, match=f"its SHA-256 is {digest}, not b3b3357e"):
        load_weights(narrow(R3D), "torchvision/r3d_18", folder=tmp_path)


def test_catalogue_file_in_its_folder_is_used(tmp_path) -> None:
    name = "tubelet_contrast/r3d_18_mini_kinetics"
    network = narrow(R3D, batch_norm_eps=1e-3)
    save(tmp_path / catalogue.CATALOGUE[name].file_name, {"state_dict": tubelet_contrast_state(network)})
    start = narrow(R3D)
    load_weights(start, name, folder=tmp_path)
    torch.testing.assert_close(features(start), features(network), rtol=0, atol=0)


def test_catalogue_entries_are_complete() -> None:
    for name, entry in catalogue.CATALOGUE.items():
        if entry.shipped is not None:
            assert name.startswith("embedded_") and entry.shipped.is_file() and len(entry.sha256 or "") == 64
            continue
        assert name.startswith(entry.format + "/")
        assert entry.architecture in ("R2Plus1D", "R3D", "I3D", "ResNet3D", "ResNeXt3D")
        assert entry.page.startswith("https://") and (entry.url or "https://").startswith("https://")
        assert all(0 < value < 100 for value in entry.reported.values())
    assert len({entry.file_name for entry in catalogue.CATALOGUE.values()}) == len(catalogue.CATALOGUE)


# Preprocessing


def test_preprocessing_crops_the_centre_and_normalises() -> None:
    preprocessing = Preprocessing(2, 4, 6, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.5))
    clip = torch.randint(0, 256, (3, 6, 9, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = clip[:, 1:5, 2:6].float() / 255
    expected = (expected - torch.tensor([0.5, 0.4, 0.3])) / torch.tensor([0.2, 0.25, 0.5])
    output = preprocessing(clip)
    assert output.shape == (1, 3, 3, 4, 4) and output.is_contiguous()
    torch.testing.assert_close(output[0], expected.permute(3, 0, 1, 2))
    batch = torch.stack([clip, clip.flip(0)])
    torch.testing.assert_close(preprocessing(batch)[1], output[0].flip(1))


@pytest.mark.parametrize("size", [(240, 320), (321, 240), (20, 31), (32, 33)])
def test_preprocessing_scales_the_short_side(size) -> None:
    ramp = torch.linspace(0, 255, size[1]).round().to(torch.uint8)
    clip = ramp[None, None, :, None].expand(2, *size, 3)
    output = Preprocessing(2, 24, 32, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))(clip)
    assert output.shape == (1, 3, 2, 24, 24)
    row = output[0, 0, 0, 0]
    assert (row.diff() > 0).all()
    # The crop spans 24 of 32 * long side / short side columns, about the middle.
    width = 32 * max(size[1] / size[0], 1)
    assert (row[-1] - row[0]).item() == pytest.approx(23 / width, rel=0.1)
    assert row.mean().item() == pytest.approx(0.5, abs=0.03)


def test_preprocessing_refuses_other_clips_and_sizes() -> None:
    preprocessing = Preprocessing(2, 4, 6, (0.5,) * 3, (0.2,) * 3)
    with pytest.raises(ValueError, match=r"got torch.float32 \(3, 6, 9, 3\)"):
        preprocessing(torch.zeros(3, 6, 9, 3))
    with pytest.raises(ValueError, match="crop_size=7, short_side=6"):
        Preprocessing(2, 7, 6, (0.5,) * 3, (0.2,) * 3)
    with pytest.raises(ValueError, match="three numbers"):
        Preprocessing(2, 4, 6, (0.5,) * 3, (0.2, 0.2, 0.0))
