"""``lightning analyse``: what each analysis writes, and what it says of wrong input."""

import csv
import re
import sys
from collections import Counter
from pathlib import Path

import av
import matplotlib.image
import numpy as np
import pytest
import torch

import cli
from configs.analysis.activation_maps import overlay
from configs.analysis.attributes import AXES, PUBLISHED, Attribute, draw, radius, read_attributes
from configs.analysis.labels import label_overlap, read_same, words_of
from configs.child import Child
from configs.severe_benchmark.tables import read_published
from lightning_modules.networks import R2Plus1D

NETWORK = dict(widths=(16, 32, 64), blocks=(1, 1, 1), stem_width=16, spatial_strides=(2, 2, 2), motion_stem=True)


SMALL = ("--data.cache=cache", "--data.groups=8", "--data.clips=1", "--data.num_workers=0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working directory with weights; the small UCF101 is written there once: 10 training videos, 70 others."""
    folder = tmp_path_factory.mktemp("analyse")
    torch.manual_seed(1)
    torch.save(R2Plus1D(**NETWORK).state_dict(), folder / "own.pt")
    return folder


@pytest.fixture
def analyse(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def run(*arguments):
        other = {"tubelet.yaml", "skeleton.yaml"} & set(arguments)
        return cli.main(["analyse", *arguments, *([] if other else SMALL)])

    return run


def table(path):
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def picture(path):
    pixels = matplotlib.image.imread(path)
    assert min(pixels.shape[:2]) > 200 and pixels.std() > 0.02
    return pixels


def test_cka(analyse, capfd):
    assert analyse("cka", "--weights", "own.pt", "again=own.pt", "none", "--videos", "40", "--out", "cka") == 0
    assert "wrote cka/cka.png and .csv" in capfd.readouterr().out
    picture("cka/cka.png")
    rows = table("cka/cka.csv")
    layers = ["stem", "layer1.0", "layer2.0", "layer3.0"]
    assert Counter((row["reference"], row["other"]) for row in rows) == {("own", "again"): 16, ("own", "none"): 16}
    value = {(row["other"], row["reference_layer"], row["other_layer"]): float(row["cka"]) for row in rows}
    for layer in layers:
        assert value["again", layer, layer] == pytest.approx(1, abs=1e-6)
        assert value["none", layer, layer] < 0.99
    pairs = [(one, other) for one in layers for other in layers]
    np.testing.assert_allclose(
        [value["again", a, b] for a, b in pairs], [value["again", b, a] for a, b in pairs], atol=1e-5
    )


def test_cka_of_one_is_with_a_network_from_scratch(analyse):
    assert (
        analyse("cka", "--weights", "a=own.pt", "--videos", "10", "--depth", "stages", "--pooled", "--out", "one") == 0
    )
    rows = table("one/cka.csv")
    assert {row["other"] for row in rows} == {"none"} and len(rows) == 16


def test_activation_maps(analyse, capfd):
    options = ("--videos", "20", "--shown", "3", "--frames", "2")
    assert analyse("activation_maps", "--weights", "a=own.pt", "none", *options, "--out", "maps") == 0
    assert "mean correlation of the maps (layer1) with the motion: a " in capfd.readouterr().out
    picture("maps/activation_maps.png")
    rows = table("maps/activation_maps.csv")
    assert len(rows) == 40 and {row["weights"] for row in rows} == {"a", "none"}
    assert {row["class"] for row in rows} >= {"Bouncing", "Spinning"}
    assert all(-1 <= float(row["correlation_with_motion"] or 0) <= 1 for row in rows)
    with av.open("maps/activation_maps.mp4") as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert len(frames) == 3 * 8 and frames[0].shape == (3 * 160, 80 + 3 * 160, 3)


def test_overlay_leaves_what_is_not_seen_grey():
    clip = np.full((1, 2, 2, 3), 100, np.uint8)
    maps = np.array([[[0.0, 1.0], [0.0, 0.0]]], np.float32)
    shown = overlay(clip, maps)[0]
    assert (shown[0, 0] == 100).all() and np.ptp(shown[0, 1].astype(int)) > 20


def test_tsne(analyse):
    assert analyse("tsne", "--weights", "a=own.pt", "none", "--classes", "4", "--out", "tsne") == 0
    picture("tsne/tsne.png")
    rows = table("tsne/tsne.csv")
    assert Counter(row["panel"] for row in rows) == {"a": 28, "none": 28}
    assert len({row["class"] for row in rows}) == 4
    assert [row["name"] for row in rows[:28]] == [row["name"] for row in rows[28:]]
    assert rows[0]["name"].startswith("v_") and [row["x"] for row in rows[:28]] != [row["x"] for row in rows[28:]]


def test_temporal_awareness_and_motion_without_training(analyse, capfd):
    arguments = ("--weights", "a=own.pt", "none", "--embedded", "--mode", "neighbours")
    assert analyse("temporal_awareness", *arguments, "--frames", "4", "1", "2", "--out", "time") == 0
    assert "temporal awareness in frames: ucf101 with a " in capfd.readouterr().out
    picture("time/temporal_awareness.png")
    rows = table("time/temporal_awareness.csv")
    assert [(row["weights"], row["frames"]) for row in rows] == [
        (name, number) for name in ("a", "none") for number in "124"
    ]
    assert all(0 < float(row["top1"]) < 1 and 1 <= int(row["temporal_awareness"]) <= 4 for row in rows)
    assert analyse("motion_appearance", *arguments, "--settings", "ucf101", "ucf101_5", "--out", "motion") == 0
    picture("motion/motion_appearance.png")
    rows = table("motion/motion_appearance.csv")
    assert [(row["weights"], row["setting"]) for row in rows] == [
        (name, setting) for name in ("a", "none") for setting in ("ucf101", "ucf101_5")
    ]


def test_runs_are_those_of_severe(analyse, monkeypatch, capfd):
    monkeypatch.setattr(Child, "run", lambda self, arguments, keep_open=(): cli.main(arguments))
    options = ("--embedded", "--mode", "linear", "--trainer.max_epochs=1", "--trainer.enable_progress_bar=false")
    again = ("temporal_awareness", "--weights", "a=own.pt", *options, "--frames", "1", "2", "--out", "runs")
    assert analyse(*again) == 0
    rows = table("runs/temporal_awareness.csv")
    found = Path("runs/runs/frames_2/a/severe_embedded_linear/ucf101/seed_0")
    assert float(rows[1]["top1"]) == pytest.approx(
        float(table(found / "logs/test/metrics.csv")[-1]["test/top1"]), abs=1e-5
    )
    capfd.readouterr()
    assert analyse(*again) == 0
    assert capfd.readouterr().out.count("finished before") == 2


def test_published_values_of_table_5_6():
    temporal, tubelet = read_published("table_5_6")
    keys = ["severe_linear/ucf101/top1", "severe_linear/gym99/top1", "severe/ucf101/top1", "severe/gym99/top1"]
    assert [temporal.cells[key].mean for key in keys] == [58.9, 19.7, 87.1, 90.8]
    assert [tubelet.cells[key].mean for key in keys] == [30.0, 34.1, 91.0, 92.8]


def test_attributes(analyse):
    Path("more.csv").write_text("dataset,attribute,value,source\nucf101,environment,homes,mine\n")
    Path("time.csv").write_text("weights,setting,temporal_awareness\na,ucf101,4\na,ucf101,4\n")
    config = ("--config", "severe_embedded/ucf101.yaml", "--source", "severe_embedded/ucf101.yaml", "--videos", "5")
    assert analyse("attributes", *config, "--attributes", "more.csv", "time.csv", "--out", "kinds") == 0
    picture("kinds/attributes.png")
    rows = table("kinds/attributes.csv")
    own = {row["attribute"]: row["value"] for row in rows if row["dataset"] == "ucf101"}
    assert own == {"action_length": "2.5", "label_overlap": "1", "environment": "homes", "temporal_awareness": "4"}
    assert len(rows) == len(read_attributes(PUBLISHED)) + 4
    assert all(row["source"] for row in rows)


def test_published_attributes_say_what_the_thesis_says():
    values = {(one.dataset, one.name): one for one in read_attributes(PUBLISHED)}
    assert len({dataset for dataset, _ in values}) == 8
    assert values["UCF101", "temporal_awareness"].value == "7" and values["EK-100", "temporal_awareness"].value == "32"
    assert values["Gym-99", "environment"][2:] == ("stadium", "thesis, B.5")
    assert {name for _, name in values} == set(AXES)


def test_radius_is_the_distance_to_kinetics():
    places = {
        ("label_overlap", "1"): 0,
        ("label_overlap", "0.25"): 0.75,
        ("point_of_view", "first person"): 1,
        ("environment", "laboratory"): 1,
        ("temporal_awareness", "32"): 1,
        ("action_length", "1"): 0,
    }
    for (name, value), expected in places.items():
        assert radius(Attribute("a", name, value, "")) == pytest.approx(expected)
    assert draw([Attribute("a", name, value, "") for name, value in places]).std() > 5


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a,colour,3,x", "no attribute 'colour'; there are label_overlap"),
        ("a,label_overlap,30,x", "label_overlap '30' is no share in 0..1"),
        ("a,action_length,long,x", "action_length 'long' is no number above 0"),
        ("a,environment,moon,x", "environment 'moon' is none of YouTube"),
        ("a,environment", "environment '' is none of"),
    ],
)
def test_wrong_attributes(line, message, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f"# about\ndataset,attribute,value,source\n\n{line}\n")
    with pytest.raises(ValueError, match=rf"a\.csv:4: {message}"):
        read_attributes(path)
    path.write_text(f'# about\ndataset,attribute,value,source\na,action_length,3,"two\nlines"\n{line}\n')
    with pytest.raises(ValueError, match=rf"a\.csv:5: {message}"):
        read_attributes(path)
    path.write_text("dataset,value\n")
    with pytest.raises(ValueError, match="columns are dataset,value; they have to be dataset,attribute,value,source"):
        read_attributes(path)


def test_labels_are_the_same_whatever_their_wording(tmp_path):
    assert words_of("HeadMassage") == words_of("massaging person's head")
    assert words_of("brushing teeth") == words_of("BrushTeeth") != words_of("brushing hair")
    source = ["massaging person's head", "swimming", "playing cello"]
    same = tmp_path / "same.csv"
    same.write_text("Crawl,swimming\n\n")
    found = label_overlap(["HeadMassage", "PlayingCello", "Crawl", "Archery"], source, read_same(same))
    assert found == (0.75, ["HeadMassage", "PlayingCello", "Crawl"])
    assert label_overlap(["Crawl", "Archery"], source) == (0, [])
    same.write_text("Crawl,swimming\nArchery\n")
    with pytest.raises(ValueError, match=r"same\.csv:2: `Archery` is not `class,class of the source`"):
        read_same(same)


W = ("--weights", "none", "a=own.pt")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("cca", *W), 2, "no analysis 'cca'; there are cka"),
        (("cka", *W), 2, "analyse cka needs --out FOLDER"),
        (("cka", "--out", "o"), 2, "analyse cka needs --weights NAME=FILE"),
        (("cka", "--weights", "none", "--out", "o"), 2, "compares weights: give two"),
        (("cka", *W, "--out", "o", "--videos", "0"), 2, "--videos 0 must be at least 1"),
        (("cka", *W, "--out", "o", "--videos", "3"), 1, "3 videos in a batch are too few for CKA: take at least 4"),
        (("cka", *W, "--out", "o", "--depth", "deep"), 2, "invalid choice: 'deep'"),
        (("cka", *W, "--out", "o", "--nothing"), 2, "unknown argument --nothing"),
        (("cka", "--weights", "a=own.pt", "a=none", "--out", "o"), 2, "two are called 'a'"),
        (("cka", "--weights", "a=", "none", "--out", "o"), 2, "--weights a=: give NAME=FILE"),
        (("cka", "--weights", "a=gone.pt", "none", "--out", "o"), 1, "gone.pt"),
        (
            ("cka", *W, "--out", "o", "--config", "tubelet.yaml"),
            2,
            "is of TubeletContrast; give a config of ActionRecog",
        ),
        (("cka", *W, "--out", "o", "--config", "gone.yaml"), 2, "no config 'gone.yaml'"),
        (("cka", *W, "--out", "o", "--model.network.widths=[8,16,32]"), 1, "own.pt.*does not fit"),
        (("activation_maps", *W, "--out", "o", "--layer", "layer9"), 2, "layer9: none has no such stage; it has stem"),
        (("activation_maps", *W, "--out", "o", "--shown", "0"), 2, "--shown 0 and --frames 4 must be at least 1"),
        (("tsne", *W, "--out", "o", "--videos", "2"), 1, "2 labelled videos are too few for t-SNE"),
        (("tsne", *W, "--out", "o", "--classes", "0"), 2, "--classes 0 must be at least 1"),
        (("temporal_awareness", *W, "--out", "o", "--frames", "4"), 2, "--frames 4: give at least two numbers"),
        (("temporal_awareness", *W, "--out", "o", "--settings", "ucf"), 2, "no setting 'ucf'"),
        (
            ("temporal_awareness", *W, "--out", "o", "--mode", "neighbours"),
            1,
            "ucf101 is not there; put the data there",
        ),
        (("motion_appearance", *W, "--out", "o", "--settings", "ucf101", "ucf101"), 2, "--settings takes two"),
        (("attributes", "--out", "o", "--videos", "0"), 2, "--videos 0 must be at least 1"),
        (("attributes", "--out", "o", "--config", "skeleton.yaml"), 2, "SkeletonDataModule|no argument|has no videos"),
    ],
)
def test_one_clear_line(arguments, code, message, analyse, capfd):
    assert analyse(*arguments) == code
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("lightning: error: ")]
    assert len(said) == 1
    assert re.search(message, said[0]), said[0]
    assert not Path("o").exists()


def test_help(capfd):
    assert cli.main(["analyse", "--help"]) == 0
    said = capfd.readouterr().out
    assert all(name in said for name in ("cka", "activation_maps", "tsne", "temporal_awareness", "attributes"))
    assert cli.main(["analyse"]) == 2
    assert "no analysis ''; there are cka, activation_maps" in capfd.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["analyse", "cka", "--help"])
    assert "--depth" in capfd.readouterr().out
