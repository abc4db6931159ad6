"""``lightning predict`` and ``lightning search`` by weights alone: exports, shared folders, the catalogue's."""

import json

import numpy as np
import prediction_fakes
import pytest
import torch
from fakes import moving_texture, write_video
from safetensors import safe_open
from skeleton_fakes import write_skeleton

import cli
from lightning_modules import create_network, load_pretrained
from lightning_modules.weights.contents import inspect
from lightning_modules.weights.export import export


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("videos") / "a.mp4"
    write_video(path, moving_texture(50, seed=1))
    return path


def predict(source, given, out):
    code = cli.main(["predict", "--checkpoint", str(source), "--input", str(given), "--out", str(out)])
    assert code == 0
    line = json.loads((out / "predictions.jsonl").read_text())
    with np.load(out / line["features"]) as packed:
        return line, packed["features"]


def test_an_export_says_what_its_checkpoint_says(video, tmp_path, capsys):
    checkpoint = prediction_fakes.recognition(tmp_path / "last.ckpt")
    wanted, features = predict(checkpoint, video, tmp_path / "a")
    export(checkpoint, tmp_path / "whole.safetensors", classifier=True)
    with safe_open(tmp_path / "whole.safetensors", "pt") as file:
        assert json.loads(file.metadata()["class_names"]) == ["jump", "run", "sit"]
    assert inspect(tmp_path / "whole.safetensors").classes == ("jump", "run", "sit")
    line, found = predict(tmp_path / "whole.safetensors", video, tmp_path / "b")
    assert line == wanted and len(line["top"]) == 3
    np.testing.assert_array_equal(found, features)
    assert "holds no classifier" not in capsys.readouterr().out
    export(checkpoint, tmp_path / "alone.safetensors")
    line, found = predict(tmp_path / "alone.safetensors", video, tmp_path / "c")
    assert set(line) == {"name", "path", "seconds", "features", "state"}
    np.testing.assert_array_equal(found, features)
    assert "holds no classifier: features are written, no classes are told" in capsys.readouterr().out
    network, _ = load_pretrained(tmp_path / "whole.safetensors")  # which the classifier is no part of
    assert not any(key.startswith("classifier") for key in network.state_dict())


def test_shipped_weights_with_a_classifier(video, tmp_path, capsys):
    line, _ = predict("embedded_severe", video, tmp_path / "a")
    assert len(line["top"]) == 5 and line["top"][0]["class"].isalpha()
    assert (tmp_path / "a" / line["picture"]).is_file()
    assert "trained on synthetic shapes, for demos only" in capsys.readouterr().out
    name = write_skeleton(tmp_path / "S001C001P001R001A001.skeleton", 40)
    line, _ = predict("embedded_skeleton_linear", name, tmp_path / "b")
    assert len(line["top"]) == 5 and not line["top"][0]["class"].startswith("class ")
    out = tmp_path / "found"
    asked = {"checkpoint": "embedded_severe", "index": video.parent, "query": video, "out": out, "k": 1}
    assert cli.main(["search", *(f"--{key}={value}" for key, value in asked.items())]) == 0
    assert (out / "a.mp4.png").is_file()


def test_a_shared_folder_says_what_its_network_says(video, tmp_path):
    pytest.importorskip("huggingface_hub")
    network = create_network("r2plus1d_embedded", "embedded_severe", num_classes=10)
    assert len(network.classes) == 10
    network.save_pretrained(tmp_path / "shared")
    wanted, features = predict("embedded_severe", video, tmp_path / "a")
    line, found = predict(tmp_path / "shared", video, tmp_path / "b")
    assert line == wanted
    np.testing.assert_array_equal(found, features)
    skeletons = create_network("skeleton_bigru_embedded", pretrained=True)
    skeletons.save_pretrained(tmp_path / "skeletons")
    again, prepared = load_pretrained(tmp_path / "skeletons")
    sequence = prepared(torch.randn(3, 30, 25, 2))
    torch.testing.assert_close(again(sequence), skeletons(sequence), rtol=0, atol=0)
    (tmp_path / "shared" / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json is damaged .*; save the network again"):
        load_pretrained(tmp_path / "shared")


def test_scores_of_several_labels_do_not_exclude_each_other(video, tmp_path):
    checkpoint = prediction_fakes.recognition(tmp_path / "last.ckpt")
    content = torch.load(checkpoint)
    del content["zoo_config"]
    content["zoo"]["method"] = "MultiLabelRecognition"
    content["state_dict"]["classifier.bias"] += 4
    torch.save(content, checkpoint)
    line, features = predict(checkpoint, video, tmp_path / "out")
    state = content["state_dict"]
    logits = torch.from_numpy(features) @ state["classifier.weight"].T + state["classifier.bias"]
    expected = logits.sigmoid().amax(0).sort(descending=True).values
    np.testing.assert_allclose([one["score"] for one in line["top"]], expected, atol=1e-3)
    assert expected.sum() > 1


def test_what_is_not_enough_is_said_in_one_line(video, tmp_path, capsys):
    export(prediction_fakes.detection(tmp_path / "rc3d.ckpt"), tmp_path / "rc3d.safetensors")
    (tmp_path / "model.pt2").write_bytes(b"a graph")
    for name, said in (
        (tmp_path / "rc3d.safetensors", "holds the network of RC3D without the heads"),
        (tmp_path / "model.pt2", "is a graph that runs without this project; give the checkpoint"),
        ("embedded_transfer_teacher", "takes optical flow"),
        ("embedded_transfer", "takes folders of depth maps"),
        ("embedded_severed", "near names: embedded_severe"),
    ):
        code = cli.main(["predict", "--checkpoint", str(name), "--input", str(video), "--out", str(tmp_path / "out")])
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("lightning: error: ")]
        assert code == 1 and len(lines) == 1 and said in lines[0]
