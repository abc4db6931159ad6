"""``lightning predict`` and ``lightning search`` by weights alone: exports, shared folders and the catalogue's."""

import json

import numpy as np
import prediction_fakes
import pytest
from fakes import moving_texture, write_video
from skeleton_fakes import write_skeleton

import cli
from lightning_modules import create_network
from lightning_modules.weights.catalogue.embedded import ENTRIES
from lightning_modules.weights.export import export


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("videos") / "a.mp4", moving_texture(50, seed=1))


def predict(source, given, out, *more):
    code = cli.main(["predict", "--checkpoint", str(source), "--input", str(given), "--out", str(out), *more])
    return code, json.loads((out / "predictions.jsonl").read_text()) if code == 0 else None


def features(out, line):
    with np.load(out / line["features"]) as packed:
        return packed["features"]


def shared(folder, checkpoint, classes=("jump", "run", "sit")):
    """What ``save_pretrained`` writes, without huggingface_hub."""
    from safetensors.torch import save_file

    network = create_network("r2plus1d_18", num_classes=None)
    del network
    return save_file, folder, checkpoint, classes


def test_an_export_says_what_its_checkpoint_says(video, tmp_path):
    checkpoint = prediction_fakes.recognition(tmp_path / "last.ckpt")
    export(checkpoint, tmp_path / "model.safetensors", classifier=True)
    code, wanted = predict(checkpoint, video, tmp_path / "a")
    assert code == 0 and len(wanted["top"]) == 3
    code, line = predict(tmp_path / "model.safetensors", video, tmp_path / "b")
    assert code == 0 and {**line, "state": 0} == {**wanted, "state": 0}
    np.testing.assert_array_equal(features(tmp_path / "a", wanted), features(tmp_path / "b", line))
