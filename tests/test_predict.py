"""``lightning predict --input`` and ``lightning search``."""

import csv
import json
import os
import shutil
from pathlib import Path

import av
import matplotlib.image
import numpy as np
import prediction_fakes
import pytest
import recognition_fakes
import torch
import yaml
from fakes import moving_texture, write_video
from skeleton_fakes import write_skeleton

import cli
from configs.prediction.checkpoint import open_checkpoint
from lightning_modules import LinearProbe


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three videos, one of which is in a folder below, and a broken one."""
    folder = tmp_path_factory.mktemp("videos")
    write_video(folder / "in" / "a.mp4", moving_texture(50, seed=1))
    write_video(folder / "in" / "below" / "b.avi", moving_texture(30, seed=2))
    write_video(folder / "in" / "short.mp4", 6)
    (folder / "in" / "broken.mp4").write_bytes(b"no video at all")
    return folder


def predict(checkpoint, given, out, *more):
    return cli.main(["predict", "--checkpoint", str(checkpoint), "--input", str(given), "--out", str(out), *more])


def lines_of(out):
    return {line["name"]: line for line in map(json.loads, (out / "predictions.jsonl").read_text().splitlines())}


def check_picture(path):
    pixels = matplotlib.image.imread(path)
    assert min(pixels.shape[:2]) > 150 and pixels.std() > 0.02


def test_recognition(folder, tmp_path, capsys):
    checkpoint = prediction_fakes.recognition(tmp_path / "checkpoints" / "last.ckpt")
    out = tmp_path / "out"
    assert predict(checkpoint, folder / "in", out, "--top", "2") == 1
    captured = capsys.readouterr()
    assert "1 of 4 cannot be read" in captured.out and "broken.mp4: " in captured.err
    assert (out / "broken.txt").read_text().startswith(f"{folder / 'in' / 'broken.mp4'}: ")
    lines = lines_of(out)
    assert list(lines) == ["a.mp4", "below/b.avi", "short.mp4"]
    line = lines["a.mp4"]
    assert line["seconds"] == pytest.approx(2.0)
    # Clips of 4 frames at 8 fps last half a second, and one begins each quarter; the last ends with the video.
    assert [clip["start"] for clip in line["clips"]][:3] == [0, 0.25, 0.5] and line["clips"][-1]["end"] == 2
    with np.load(out / line["features"]) as packed:
        features, times = packed["features"], packed["times"]
    assert len(features) == len(line["clips"]) and times.shape == (len(features), 2)
    method = open_checkpoint(checkpoint).method
    scores = method.classify(torch.from_numpy(features)).softmax(1).detach().numpy()
    assert scores.std(0).max() > 1e-4
    names = ("jump", "run", "sit")
    for said, wanted in [(line["top"], scores.mean(0)), *zip((c["top"] for c in line["clips"]), scores, strict=True)]:
        order = np.argsort(-wanted)[:2]
        assert [one["class"] for one in said] == [names[label] for label in order]
        np.testing.assert_allclose([one["score"] for one in said], wanted[order], atol=1e-3)
    check_picture(out / line["picture"])


def test_a_second_run_does_what_is_new_or_changed(folder, tmp_path, capsys):
    checkpoint = prediction_fakes.recognition(tmp_path / "last.ckpt")
    given, out = tmp_path / "in", tmp_path / "out"
    shutil.copytree(folder / "in" / "below", given)
    shutil.copy(folder / "in" / "a.mp4", given)
    assert predict(checkpoint, given, out) == 0
    first = {file: file.stat().st_mtime_ns for file in (out / "features").iterdir()}
    write_video(given / "c.mp4", 8)
    write_video(given / "b.avi", 20)
    with (out / "predictions.jsonl").open("a") as file:
        file.write('{"name": "c.m')  # as a kill leaves it
    assert predict(checkpoint, given, out) == 0
    assert "3 videos" in capsys.readouterr().out
    second = {file: file.stat().st_mtime_ns for file in (out / "features").iterdir()}
    assert [file.name for file in second if first.get(file) == second[file]] == ["a.mp4.npz"]
    assert set(lines_of(out)) == {"a.mp4", "b.avi", "c.mp4"}
    assert predict(checkpoint, given, out, "--top", "1") == 1
    assert "made with another top; give another --out" in capsys.readouterr().err


def test_one_video_annotated(folder, tmp_path):
    checkpoint = prediction_fakes.recognition(tmp_path / "last.ckpt")
    assert predict(checkpoint, folder / "in" / "a.mp4", tmp_path / "out", "--video") == 0
    line = lines_of(tmp_path / "out")["a.mp4"]
    with av.open(str(tmp_path / "out" / line["video"])) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
        assert float(video.streams.video[0].average_rate) == 25
    assert len(frames) == 50 and frames[0].shape[0] > 360
    bar = frames[-1][362, :, 0].astype(int)  # how much of the video is behind
    assert (bar < 150).mean() > 0.9 and (frames[1][362, :, 0] < 150).mean() < 0.1


@pytest.mark.parametrize(("make", "width"), [("temporal", 8), ("skeleton_contrast", 12)])
def test_pretraining_gives_features_alone(folder, tmp_path, make, width):
    checkpoint = getattr(prediction_fakes, make)(tmp_path / "last.ckpt")
    name = "a.mp4" if make == "temporal" else "S001C001P001R001A001.skeleton"
    given = folder / "in" / name if make == "temporal" else write_skeleton(tmp_path / name, 100)
    assert predict(checkpoint, given, tmp_path / "out") == 0
    line = lines_of(tmp_path / "out")[name]
    assert not {"top", "detections", "picture", "video"} & set(line)
    with np.load(tmp_path / "out" / line["features"]) as packed:
        features, times = packed["features"], packed["times"]
    assert features.shape == (len(times), width) and features.std(0).max() > 0 and len(times) > 1
    assert times[-1, 1] == pytest.approx(line["seconds"], abs=1e-3)


def test_skeletons(tmp_path):
    checkpoint = prediction_fakes.skeleton_probe(tmp_path / "last.ckpt")
    for action, frames in ((1, 100), (2, 12)):
        write_skeleton(tmp_path / "in" / f"S001C001P001R001A00{action}.skeleton", frames, bodies=action)
    (tmp_path / "in" / "S001C001P001R001A003.skeleton").write_text("2\n1\n")
    for out, more in ((tmp_path / "pictures", ()), (tmp_path / "videos", ("--video",))):
        assert predict(checkpoint, tmp_path / "in", out, *more) == 1
        lines = list(lines_of(out).values())
        # Windows of 64 frames each 32: 0, 32, and the one that ends with the sequence.
        assert [round(30 * clip["start"]) for clip in lines[0]["clips"]] == [0, 32, 36] and len(lines[1]["clips"]) == 1
        assert "A003.skeleton:" in (out / "broken.txt").read_text()
        if more:
            with av.open(str(out / lines[1]["video"])) as video:
                assert len(list(video.decode(video=0))) == 12
        else:
            check_picture(out / lines[1]["picture"])


def test_detection(folder, tmp_path):
    checkpoint = prediction_fakes.detection(tmp_path / "last.ckpt")
    assert predict(checkpoint, folder / "in" / "a.mp4", tmp_path / "out", "--min_score", "0") == 0
    line = lines_of(tmp_path / "out")["a.mp4"]
    found = line["detections"]
    assert found and {one["class"] for one in found} <= {"a", "b", "c"}
    assert all(0 <= one["start"] < one["end"] <= 2 for one in found)
    assert [one["score"] for one in found] == sorted((one["score"] for one in found), reverse=True)
    with np.load(tmp_path / "out" / line["features"]) as packed:
        assert packed["features"].shape == (len(packed["times"]), 8) and packed["times"].max() == 2
    check_picture(tmp_path / "out" / line["picture"])


def test_what_the_checkpoint_does_not_hold(folder, tmp_path, capsys):
    checkpoint = prediction_fakes.recognition(tmp_path / "checkpoints" / "last.ckpt")
    content = torch.load(checkpoint)
    recipe = content.pop("zoo_config")
    del content["class_names"]
    torch.save({**content, "zoo": None}, checkpoint)
    video = folder / "in" / "short.mp4"
    assert predict(checkpoint, video, tmp_path / "out") == 1
    assert "does not say which network it holds" in capsys.readouterr().err
    torch.save(content, checkpoint)
    assert predict(checkpoint, video, tmp_path / "header") == 0  # which is enough for a network and a classifier
    (tmp_path / "config.yaml").write_text(recipe)
    assert predict(checkpoint, video, tmp_path / "out") == 0
    assert lines_of(tmp_path / "header") == lines_of(tmp_path / "out")
    assert "does not know the names of its classes" in capsys.readouterr().out
    assert lines_of(tmp_path / "out")["short.mp4"]["top"][0]["class"].startswith("class ")
    names = tmp_path / "names.txt"
    names.write_text("eins\nzwei\ndrei\n")
    assert predict(checkpoint, video, tmp_path / "named", "--classes", str(names)) == 0
    assert lines_of(tmp_path / "named")["short.mp4"]["top"][0]["class"] in ("eins", "zwei", "drei")
    names.write_text("eins\n")
    assert predict(checkpoint, video, tmp_path / "other", "--classes", str(names)) == 1
    assert "names 1 classes" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", ["weights", "damaged", "method", "shape", "preprocessing"])
def test_wrong_checkpoints(folder, tmp_path, capsys, wrong):
    checkpoint = prediction_fakes.recognition(tmp_path / "last.ckpt")
    content = torch.load(checkpoint)
    recipe = yaml.safe_load(content["zoo_config"])
    if wrong == "weights":
        content = content["state_dict"]
    elif wrong == "method":
        recipe["model"]["class_path"] = "lightning_modules.Unknown"
    elif wrong == "shape":
        recipe["model"]["init_args"]["network"]["init_args"]["widths"] = [4, 16]
    elif wrong == "preprocessing":
        content["zoo"]["preprocessing"] = {}
    if wrong != "weights":
        content["zoo_config"] = yaml.safe_dump(recipe)
    torch.save(content, checkpoint)
    if wrong == "damaged":
        checkpoint.write_bytes(b"damaged")
    assert predict(checkpoint, folder / "in", tmp_path / "out") == 1
    said = {
        "weights": "does not say which network it holds",
        "damaged": "is damaged or no PyTorch file",
        "method": "cannot be built",
        "shape": "do not fit",
        "preprocessing": "does not tell how its clips were prepared",
    }[wrong]
    error = capsys.readouterr().err
    assert said in error and str(checkpoint) in error and error.count("\n") == 1


def test_wrong_usage(folder, tmp_path, capsys):
    checkpoint = prediction_fakes.skeleton_contrast(tmp_path / "last.ckpt")
    assert cli.main(["predict", "--input", str(folder)]) == 2
    assert "predict needs --checkpoint, --out" in capsys.readouterr().err
    assert predict(checkpoint, folder / "in", tmp_path / "out") == 1
    assert "holds no skeleton files (.skeleton)" in capsys.readouterr().err
    assert predict(checkpoint, tmp_path / "gone", tmp_path / "out") == 1
    assert "no such file or folder" in capsys.readouterr().err
    assert cli.main(["search", "--checkpoint", "a"]) == 2


def search(checkpoint, index, query, out, *more):
    arguments = {"checkpoint": checkpoint, "index": index, "query": query, "out": out}
    return cli.main(
        ["search", *(text for name, value in arguments.items() for text in (f"--{name}", str(value))), *more]
    )


def test_search(folder, tmp_path, capsys):
    checkpoint = prediction_fakes.temporal(tmp_path / "last.ckpt")
    given, out = tmp_path / "in", tmp_path / "out"
    shutil.copytree(folder / "in", given)
    (given / "broken.mp4").unlink()
    shutil.copy(given / "a.mp4", tmp_path / "query.mp4")

    def found():
        with (out / "query.mp4.csv").open(newline="") as file:
            return [(Path(row["path"]).name, float(row["cosine"])) for row in csv.DictReader(file)]

    assert search(checkpoint, given, tmp_path / "query.mp4", out, "--k", "2") == 0
    hits = found()
    assert hits[0] == ("a.mp4", pytest.approx(1, abs=1e-5)) and len(hits) == 2 and hits[1][1] < 1
    check_picture(out / "query.mp4.png")
    rows = (out / "index" / "features.float32").read_bytes()
    # One is gone, one has changed: the others' rows stay.
    shutil.move(given / "a.mp4", given / "below" / "moved.mp4")
    os.utime(given / "short.mp4", ns=(1, 1))
    assert search(checkpoint, given, tmp_path / "query.mp4", out) == 0
    hits = found()
    assert hits[0][0] == "moved.mp4" and len(hits) == 3 and "a.mp4" not in dict(hits)
    size = len(rows) // 3
    assert (out / "index" / "features.float32").read_bytes()[:size] == rows[size : 2 * size]  # below/b.avi
    # A query in the folder does not find itself.
    assert search(checkpoint, given, given / "short.mp4", out) == 0
    assert "short.mp4" not in (out / "short.mp4.csv").read_text()


def test_search_of_skeletons(tmp_path):
    checkpoint = prediction_fakes.skeleton_contrast(tmp_path / "last.ckpt")
    for action in (1, 2, 3):
        write_skeleton(tmp_path / "in" / f"S001C001P001R001A00{action}.skeleton", 20, seed=action)
    query = tmp_path / "in" / "S001C001P001R001A002.skeleton"
    assert search(checkpoint, tmp_path / "in", query, tmp_path / "out") == 0
    check_picture(tmp_path / "out" / f"{query.name}.png")


def test_a_run_keeps_the_names_of_its_classes(tmp_path):
    data, fit = recognition_fakes.data(tmp_path), recognition_fakes.trainer(tmp_path, max_steps=1)
    fit.fit(LinearProbe([recognition_fakes.gru()], crop=recognition_fakes.crop(), crops=1), data)
    fit.save_checkpoint(tmp_path / "last.ckpt")
    names = torch.load(tmp_path / "last.ckpt")["class_names"]
    assert names == list(data.class_names) and "drink water" in names
