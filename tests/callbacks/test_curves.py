"""``lightning curves``: the numbers of several runs in one picture and one table."""

import csv

import matplotlib.image
import numpy as np
import pytest

import cli
from callbacks.curves import Curve, draw_curves, read_curve, smooth
from callbacks.run_folder import MetricsTable


@pytest.fixture
def runs(tmp_path):
    for name, slope in (("none", 1.0), ("pose", 2.0)):
        table = MetricsTable(tmp_path / name / "logs" / "metrics.csv")
        (tmp_path / name / "logs").mkdir(parents=True)
        for step in range(0, 60, 10 if slope == 1 else 20):
            table.log_metrics({"epoch": step // 20, "train/loss": slope * step}, step)
            table.log_metrics({"val/loss": 7.0}, step)
    return tmp_path


def curves(capsys, *arguments):
    code = cli.main(["curves", *map(str, arguments)])
    output = capsys.readouterr()
    return code, (output.out + output.err).strip()


def test_picture_and_table(runs, capsys):
    code, line = curves(capsys, runs / "none", f"shear={runs / 'pose'}", "--out", runs / "both.png")
    assert code == 0
    assert line.endswith("both.csv: train/loss of none, shear")
    with (runs / "both.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[:3] == [["step", "none", "shear"], ["0", "0.0", "0.0"], ["10", "10.0", ""]]
    assert len(rows) == 7
    assert matplotlib.image.imread(runs / "both.png").std() > 0.05


def test_another_metric(runs, capsys):
    assert curves(capsys, runs / "none", "--metric", "val/loss", "--out", runs / "a.png")[0] == 0
    assert read_curve(str(runs / "none"), "val/loss").value.tolist() == [7.0] * 6


def test_folder_with_an_equals_sign(runs):
    (runs / "none").rename(runs / "lr=1")
    assert read_curve(str(runs / "lr=1"), "train/loss").name == "lr=1"
    assert read_curve(f"one={runs / 'lr=1'}", "train/loss").name == "one"


def test_a_step_logged_twice_and_infinite_values(runs):
    file = runs / "none" / "logs" / "metrics.csv"
    file.write_text("step,epoch,train/loss\n0,0,5\n0,0,6\n1,0,inf\n2,0,nan\n3,0,1\n4,0,")
    curve = read_curve(str(runs / "none"), "train/loss")
    assert (curve.step.tolist(), curve.value.tolist()) == ([0, 3], [6, 1])


def test_smoothing_keeps_level_and_length():
    np.testing.assert_allclose(smooth(np.full(200, 3.0)), 3)
    noisy = np.random.default_rng(0).normal(size=400)
    assert smooth(noisy).shape == (400,)
    assert smooth(noisy).std() < 0.4 * noisy.std()
    assert smooth(np.array([1.0, 5.0])).tolist() == [1, 5]


def test_picture_shows_each_curve():
    first = Curve("a", np.arange(100), np.random.default_rng(0).normal(size=100))
    second = Curve("b", np.arange(100), first.value + 2)
    pictures = [draw_curves(part, "train/loss") for part in ([first], [first, second], [second, first])]
    pictures += [draw_curves([first], "val/loss"), draw_curves([first._replace(name="c")], "train/loss")]
    assert len({picture.tobytes() for picture in pictures}) == 5
    assert draw_curves([Curve("a", np.array([3]), np.array([1.0]))], "train/loss").std() > 10


def test_bad_input_is_one_line(runs, capsys):
    file = runs / "none" / "logs" / "metrics.csv"
    for code, arguments, line in (
        (2, [], "curves needs folders of runs"),
        (2, ["a", "--size", "3"], "curves: unknown argument --size"),
        (1, [runs / "gone"], f"{runs / 'gone'}: no such run"),
        (1, [f"name={runs / 'gone'}"], f"{runs / 'gone'}: no such run"),
        (1, [runs], "is not the folder of a run"),
        (1, [runs / "none", "--metric", "train/los"], f"{file}: no train/los in it; it has train/loss, val/loss"),
        (1, [runs / "none", "--out", "a.pdf"], "a.pdf: the picture is a PNG file; give it a name such as a.png"),
    ):
        found = curves(capsys, *arguments)
        assert found[0] == code
        assert found[1].startswith("lightning: error: ")
        assert line in found[1]
        assert "\n" not in found[1]
    file.write_text("step,epoch,train/loss\n0,0,5\n1,0,many\n")
    assert f"{file}:3: train/loss 'many' is no number" in curves(capsys, runs / "none")[1]
    file.write_text("step,epoch,train/loss\n")
    assert "it has nothing yet" in curves(capsys, runs / "none")[1]
