"""The shipped recognition configs from the command line, on a few prepared sequences."""

import csv

import numpy as np
import pytest
from skeleton_fakes import write_prepared

import cli


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_prepared(tmp_path / "prepared")


def run(subcommand, config, prepared, *arguments):
    data = ["--data", "NTUSkeletonDataModule", "--data.root", str(prepared), "--data.num_workers", "0"]
    small = ["--trainer.accelerator", "cpu", "--run_dir", config.removesuffix(".yaml"), "--data.global_batch_size", "8"]
    return cli.main([subcommand, "--config", config, *data, *small, *arguments])


def test_pretrain_probe_tune_predict_fuse(prepared, capsys):
    epochs = ["--trainer.max_epochs", "2", "--trainer.check_val_every_n_epoch", "1"]
    assert run("fit", "skeleton.yaml", prepared, *epochs, "--trainer.max_steps", "2") == 0
    weights = ["--model.weights", "skeleton/checkpoints/last.ckpt"]
    for config in ("skeleton_linear.yaml", "skeleton_semi_supervised.yaml"):
        fraction = ["--data.labelled_fraction", "0.5"]
        assert run("fit", config, prepared, *epochs, *fraction, *weights) == 0
        folder = config.removesuffix(".yaml")
        with open(f"{folder}/logs/metrics.csv", newline="") as file:
            logged = [row for row in csv.DictReader(file) if row["val/top1"]]
        assert [row["epoch"] for row in logged] == ["0", "1"]
        assert run("predict", config, prepared) == 0
        with np.load(f"{folder}/predictions.npz") as predictions:
            assert predictions["score"].shape == (12, 60)
            top1 = (predictions["score"].argmax(1) == predictions["label"]).mean()
        assert top1 == pytest.approx(float(logged[-1]["val/top1"]))
    capsys.readouterr()
    assert cli.main(["fuse", "skeleton_linear", "skeleton_semi_supervised", "--out", "fused.npz"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    with np.load("fused.npz") as fused:
        assert fused["score"].shape == (12, 60)


def test_a_list_of_weights_and_what_is_wrong_is_one_line(prepared, capsys):
    assert run("fit", "skeleton_linear.yaml", prepared, "--model.weights", "[none.ckpt]") == 2
    assert "none.ckpt" in capsys.readouterr().err.splitlines()[-1]
    few = ["--model.num_classes", "3", "--trainer.max_epochs", "1"]
    assert run("fit", "skeleton_linear.yaml", prepared, *few) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("lightning: error: the data have 60 classes")
    only = ["--model.train_only", "['networks.0.l10.*']"]
    assert run("fit", "skeleton_semi_supervised.yaml", prepared, *only) == 1
    assert "train_only: no parameter is called networks.0.l10.*" in capsys.readouterr().err.splitlines()[-1]
