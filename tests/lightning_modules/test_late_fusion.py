"""Late fusion of predictions: by hand, by samples' names, and through the command line."""

import numpy as np
import pytest

import cli
from lightning_modules.metrics.late_fusion import fuse, read_predictions

NAMES = np.array(["S001", "S002", "S003"])
LABELS = np.array([0, 1, -1])
ONE = np.array([[0.9, 0.1], [0.6, 0.4], [0.5, 0.5]], np.float32)
OTHER = np.array([[0.7, 0.3], [0.1, 0.9], [0.0, 1.0]], np.float32)


def write(path, order=(0, 1, 2), scores=ONE, **changes):
    rows = list(order)
    path.parent.mkdir(exist_ok=True)
    arrays = {"name": NAMES[rows], "label": LABELS[rows], "score": scores[rows], **changes}
    np.savez(path, **{name: values for name, values in arrays.items() if values is not None})
    return path


@pytest.fixture
def runs(tmp_path):
    """A run's folder, and a file in another order."""
    write(tmp_path / "one/predictions.npz")
    return tmp_path / "one", write(tmp_path / "other.npz", (2, 0, 1), OTHER)


def test_fusion_by_hand(runs):
    one, other = map(read_predictions, runs)
    assert (one.top1(), other.top1()) == (0.5, 1)
    fused = fuse([one, other])
    assert fused.name.tolist() == NAMES.tolist() and fused.label.tolist() == LABELS.tolist()
    assert fused.score.dtype == np.float32
    np.testing.assert_allclose(fused.score, (ONE + OTHER) / 2)
    assert fused.top1() == 1
    np.testing.assert_allclose(fuse([one, other], [3, 1]).score, 0.75 * ONE + 0.25 * OTHER, rtol=1e-6)
    assert fuse([one, other], [1, 0]).top1() == 0.5


def test_command(runs, tmp_path, capsys):
    out = tmp_path / "new/fused.npz"
    assert cli.main(["fuse", *map(str, runs), "--weights", "1", "3", "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines[1:]] == ["50.0", "100.0", "100.0"]
    assert lines[0].endswith("top-1 of 3 in %") and lines[3].startswith("fusion")
    np.testing.assert_allclose(read_predictions(out).score, 0.25 * ONE + 0.75 * OTHER, rtol=1e-6)


def test_without_labels(tmp_path, capsys):
    path = str(write(tmp_path / "a.npz", label=np.full(3, -1)))
    assert cli.main(["fuse", path, path]) == 0
    assert capsys.readouterr().out.count("no labels") == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"order": (0, 1)}, "b.npz: lacks 1 samples of .*a.npz, such as S003"),
        ({"name": np.array(["S001", "S002", "S004"])}, "b.npz: lacks 1 samples of .*a.npz, such as S003"),
        ({"name": np.array(["S001", "S002", "S002"])}, "b.npz: holds samples of the same name"),
        ({"score": np.ones((3, 3))}, "b.npz: has 3 classes, .*a.npz 2"),
        ({"score": None}, "b.npz: has no score, but name, label; predict with a method that gives scores"),
        ({"score": np.array([[1, np.nan]] * 3)}, "b.npz: 3 samples have no finite score"),
        ({"score": np.ones((2, 2))}, r"b.npz: score \(2, 2\), name"),
        ({"label": np.array([1, 1, -1])}, "b.npz: S001 has label 1, in .*a.npz 0"),
        ({"name": np.array([{}] * 3, object)}, "b.npz: is no file of lightning predict"),
    ],
)
def test_what_does_not_fit(changes, message, tmp_path, capsys):
    files = write(tmp_path / "a.npz"), write(tmp_path / "b.npz", **changes)
    with pytest.raises(ValueError, match=message):
        fuse([read_predictions(file) for file in files])
    assert cli.main(["fuse", *map(str, files)]) == 1
    assert capsys.readouterr().err.startswith("lightning: error: ")


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(ValueError, match="x: no such file; write it with lightning predict"):
        read_predictions(tmp_path / "x")
    (tmp_path / "text.npz").write_text("PK no archive")
    with pytest.raises(ValueError, match=r"text.npz: is no file of lightning predict"):
        read_predictions(tmp_path / "text.npz")
    np.save(tmp_path / "array.npy", ONE)
    with pytest.raises(ValueError, match=r"array.npy: is no file of lightning predict"):
        read_predictions(tmp_path / "array.npy")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("fuse a", "fuse needs at least two runs"),
        ("fuse a b --weights x", "fuse: argument --weights: invalid float value"),
        ("fuse a b --fast", "fuse: unknown argument --fast"),
    ],
)
def test_wrong_usage(arguments, message, capsys):
    assert cli.main(arguments.split()) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("weights", [[1], [0, 0], [1, -1], [1, float("nan")]])
def test_wrong_weights(weights, runs):
    with pytest.raises(ValueError, match="for 2 runs: give one each, at least 0 and not all of them 0"):
        fuse([read_predictions(run) for run in runs], weights)
