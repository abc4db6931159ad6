"""Mean and standard deviation over runs, and what must not be averaged in silence."""

import csv
import json
import math

import pytest

from callbacks.run_summary import runs_in, summarise


def make_run(folder, rows, seed=0, finished=True, lr=0.1):
    """Write what a run writes: rows are dictionaries by metric."""
    (folder / "logs").mkdir(parents=True)
    columns = ["step", "epoch", *dict.fromkeys(name for row in rows for name in row)]
    with (folder / "logs" / "metrics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows({"step": number, "epoch": 0, **row} for number, row in enumerate(rows))
    start = {"subcommand": "fit", **({"finished": {"step": 9}} if finished else {})}
    (folder / "versions.json").write_text(json.dumps([start]))
    (folder / "config.yaml").write_text(
        f"seed_everything: {seed}\nrun_dir: {folder}\nmodel: {{lr: {lr}, seed: {seed}}}\n"
    )
    return folder


def test_mean_and_deviation_by_hand(tmp_path):
    for seed, value in enumerate((2.0, 4.0, 9.0)):
        rows = [{"val/top1": 77, "train/loss": 1}, {"val/top1": value, "probe/knn": 5.0}, {"train/loss": 0.5}]
        make_run(tmp_path / f"seed_{seed}", rows, seed)
    summary = summarise([tmp_path])
    assert list(summary.spreads) == ["probe/knn", "val/top1"]
    spread = summary.spreads["val/top1"]
    assert spread.values == [2.0, 4.0, 9.0]
    assert spread.mean == 5.0
    assert spread.deviation == pytest.approx(math.sqrt((9 + 1 + 16) / 2))
    assert summary.spreads["probe/knn"].deviation == 0
    assert summary.notes == []
    summary.write(tmp_path / "out" / "summary.csv")
    rows = list(csv.reader((tmp_path / "out" / "summary.csv").open()))
    assert rows[0] == ["metric", "mean", "std", "runs", "seed_0", "seed_1", "seed_2"]
    assert rows[2] == ["val/top1", "5.0", str(spread.deviation), "3", "2.0", "4.0", "9.0"]
    assert [str(column.header) for column in summary.table().columns][:3] == ["metric", "mean", "± std"]


def test_one_run_has_no_deviation(tmp_path):
    summary = summarise([make_run(tmp_path / "a", [{"val/top1": 3}])])
    assert summary.spreads["val/top1"].deviation is None
    summary.write(tmp_path / "summary.csv")
    assert (tmp_path / "summary.csv").read_text().splitlines()[1] == "val/top1,3.0,,1,3.0"


def test_seeds_in_order_of_their_numbers(tmp_path):
    for seed in (10, 9, 2):
        make_run(tmp_path / f"seed_{seed}", [{"val/top1": seed}], seed)
    assert [run.name for run in runs_in(tmp_path)] == ["seed_2", "seed_9", "seed_10"]
    assert summarise([tmp_path, tmp_path / "seed_9"]).spreads["val/top1"].values == [2, 9, 10]  # none counts twice


def test_unfinished_runs_are_named(tmp_path):
    make_run(tmp_path / "seed_0", [{"val/top1": 1}], 0)
    make_run(tmp_path / "seed_1", [{"val/top1": 3}], 1)
    make_run(tmp_path / "seed_2", [{"val/top1": 500}], 2, finished=False)
    (tmp_path / "seed_3").mkdir()
    summary = summarise([tmp_path])
    assert summary.spreads["val/top1"].mean == 2
    assert summary.notes == [
        f"left out, not finished: {tmp_path / 'seed_2'}",
        f"left out, not started: {tmp_path / 'seed_3'}",
    ]
    with pytest.raises(ValueError, match=r"no run is finished \(left out, not finished: .*seed_2\); the same"):
        summarise([tmp_path / "seed_2"])


def test_a_run_that_was_continued_is_finished_only_at_its_new_end(tmp_path):
    run = make_run(tmp_path / "a", [{"val/top1": 1}])
    starts = json.loads((run / "versions.json").read_text())
    (run / "versions.json").write_text(json.dumps([*starts, {"subcommand": "fit"}, {"subcommand": "test"}]))
    with pytest.raises(ValueError, match="not finished"):
        summarise([run])
    (run / "versions.json").write_text(json.dumps([{"subcommand": "fit"}, *starts, {"subcommand": "test"}]))
    assert summarise([run]).spreads["val/top1"].mean == 1


def test_numbers_of_the_test_command_are_taken_too(tmp_path):
    run = make_run(tmp_path / "a", [{"val/top1": 1}])
    tables = {"test": "step,epoch,test/top1\n5,1,40\n5,1,50\n", "validate": "step,epoch,val/top1\n5,1,7\n"}
    for split, rows in tables.items():
        (run / "logs" / split).mkdir()
        (run / "logs" / split / "metrics.csv").write_text(rows)
    values = {name: spread.values for name, spread in summarise([run]).spreads.items()}
    assert values == {"val/top1": [1], "test/top1": [50]}


def test_what_differs_is_said(tmp_path):
    make_run(tmp_path / "seed_0", [{"val/top1": 1, "val/loss": 4}], 0)
    make_run(tmp_path / "seed_1", [{"val/top1": 3}], 0, lr=0.2)
    summary = summarise([tmp_path])
    assert summary.spreads["val/loss"].values == [4, None]
    assert summary.spreads["val/loss"].mean == 4
    assert summary.notes == [
        f"val/loss is missing in {tmp_path / 'seed_1'}: its mean is over the other runs",
        "the configs differ: model.lr is 0.1 or 0.2",
        f"seed 0 is that of both {tmp_path / 'seed_0'} and {tmp_path / 'seed_1'}",
    ]


def test_values_that_are_not_finite_are_not_hidden(tmp_path):
    for seed, value in enumerate((1.0, "nan")):
        make_run(tmp_path / f"seed_{seed}", [{"val/loss": value}], seed)
    spread = summarise([tmp_path]).spreads["val/loss"]
    assert math.isnan(spread.mean) and math.isnan(spread.deviation)


def test_chosen_metrics(tmp_path):
    run = make_run(tmp_path / "a", [{"val/top1": 1, "val/top5": 2, "train/loss": 3}])
    assert list(summarise([run], ("train/loss", "*top5")).spreads) == ["train/loss", "val/top5"]
    with pytest.raises(ValueError, match="no metric is called top9; there are: val/top1, val/top5, train/loss"):
        summarise([run], ("top9",))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("versions.json", "{", "versions.json: is not what a run writes"),
        ("config.yaml", "a: [", "config.yaml: is no YAML"),
        ("logs/metrics.csv", "step,epoch,val/top1\n1,1,often\n", "metrics.csv:2: val/top1 is 'often', not a number"),
    ],
)
def test_damaged_runs_are_one_line(name, content, message, tmp_path):
    run = make_run(tmp_path / "a", [{"val/top1": 1}])
    (run / name).write_text(content)
    with pytest.raises(ValueError, match=message) as error:
        summarise([run])
    assert "\n" not in str(error.value)


def test_folders_without_runs(tmp_path):
    with pytest.raises(ValueError, match="is no run and holds none"):
        summarise([tmp_path])
    with pytest.raises(ValueError, match="no such folder"):
        summarise([tmp_path / "b"])
