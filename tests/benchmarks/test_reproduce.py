"""``python -m benchmarks.reproduce``: what it says of orders, and that it makes what is missing and no more."""

import csv
import json

import documented_commands as documented
import numpy as np
import pytest

from benchmarks import reproduce
from benchmarks.reproduction.fine_gym import share_right
from benchmarks.reproduction.runs import Run, SevereRun, in_order, make, recipe
from benchmarks.reproduction.tables import Column, Figure, Order, Row, Table, judge, markdown, thesis_difference

RUNS = {run.name: run for table in reproduce.TABLES.values() for run, _ in table.wanted(1, False)}
SOURCE = Run("source", ("fit", "--config", "tubelet.yaml"), once=True)
LOW = Run("low", ("fit", "--config", "tubelet.yaml"))
HIGH = Run("high", ("fit", "--config", "temporal.yaml"), SOURCE)
TABLE = Table(
    "5.2",
    (Column("top-1", "thesis: Gym"),),
    (
        Row("low", (Figure(LOW, "val/top1"),), (28.2,)),
        Row("high", (Figure(HIGH, "val/top1"),), (45.6,)),
    ),
    (Order("high", "low"),),
)
LOWS = {0: 11.0, 1: 10.0, 2: 12.0}


@pytest.fixture
def reproduced(tmp_path, monkeypatch):
    """``main`` on one small table with a runner that trains nothing; the page, and the commands that were run."""
    commands = []

    def run(arguments):
        folder = reproduce.Path(arguments[arguments.index("--run_dir") + 1])
        seed = int(arguments[arguments.index("--seed_everything") + 1])
        commands.append(arguments)
        if folder.parent.name in run.fails:
            return 1
        number = {"low": 0.1, "high": 0.3}.get(folder.parent.name, 0) + 0.01 * seed
        write_run(folder, number)
        return 0

    run.fails = set()
    page = tmp_path / "results.md"
    page.write_text("Before.\n\n<!-- reproduce 5.2 -->\n<!-- end -->\n\nAfter.\n")
    monkeypatch.setattr(reproduce, "TABLES", {"5.2": TABLE})
    monkeypatch.setattr(reproduce, "PAGE", page)
    monkeypatch.setattr(reproduce, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(reproduce, "run_alone", run)
    monkeypatch.setattr(reproduce, "run_here", run)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return lambda *options: reproduce.main(["--out", str(tmp_path / "runs"), *options]), page, commands, run


def write_run(folder, number):
    """A finished run that logged one number."""
    (folder / "logs").mkdir(parents=True)
    (folder / "versions.json").write_text(json.dumps([{"subcommand": "fit", "finished": {"epoch": 1}}]))
    with (folder / "logs" / "metrics.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("step", "epoch", "val/top1"), (1, 0, number)])


@pytest.mark.parametrize(
    ("lows", "highs", "kind"),
    [
        (LOWS, {0: 31.0, 1: 33.0, 2: 35.0}, "holds (+22.0 in 3 of 3 seeds, thesis +17.4)"),
        (LOWS, {0: 12.0, 1: 9.0, 2: 15.0}, "not told apart (+1.0 in 2 of 3 seeds, thesis +17.4)"),
        (LOWS, {0: 12.5, 1: 13.0, 2: 11.9}, "not told apart (+1.5 in 2 of 3 seeds, thesis +17.4)"),
        (LOWS, {0: 1.0, 1: 2.0, 2: 3.0}, "**does not hold** (-9.0 in 0 of 3 seeds, thesis +17.4)"),
        (LOWS, {0: 31.0}, "not settled by one seed (+20.0, thesis +17.4)"),
        (LOWS, {}, "not run (thesis +17.4)"),
    ],
)
def test_an_order_in_words(lows, highs, kind):
    values = {("low", "top-1"): lows, ("high", "top-1"): highs}
    text = markdown(TABLE, values)
    assert text.splitlines()[-1] == f"- *high* ahead of *low*: {kind}"


def test_a_low_error_is_ahead():
    columns = (Column("error", lower_is_better=True, digits=3), Column("top-1"))
    rows = tuple(Row(name, (Figure(run, "a"), Figure(run, "b"))) for name, run in (("low", LOW), ("high", HIGH)))
    table = Table("4.4", columns, rows, (Order("high", "low"),))
    values = {("low", "error"): {0: 0.5, 1: 0.52}, ("high", "error"): {0: 0.2, 1: 0.21}}
    assert [verdict.kind for verdict in judge(table, table.orders[0], values)] == ["holds", "not run"]
    lines = markdown(table, values).splitlines()
    assert lines[3] == "| high | **0.205 ± 0.007**, 2 seeds | not run |"
    assert lines[-1].endswith("holds for error (-0.305 in 2 of 2 seeds); not run for top-1")


def test_what_is_missing_is_made_and_the_page_written(reproduced, capsys):
    run, page, commands, _ = reproduced
    assert run() == 0
    assert [command[command.index("--run_dir") + 1].rpartition("runs/")[2] for command in commands] == [
        *("low/seed_0", "source", "low/seed_1", "low/seed_2"),
        *("high/seed_0", "high/seed_1", "high/seed_2"),
    ]
    weights = commands[-1][commands[-1].index("--model.weights") + 1]
    assert weights.endswith("runs/source/checkpoints/last.ckpt")
    assert page.read_text() == (
        "Before.\n\n<!-- reproduce 5.2 -->\n\n"
        "| run | top-1 (thesis: Gym) |\n| --- | --- |\n"
        "| low | 11.0 ± 1.0 (28.2) |\n| high | **31.0 ± 1.0** (45.6) |\n\n"
        "- *high* ahead of *low*: holds (+20.0 in 3 of 3 seeds, thesis +17.4)\n\n"
        "<!-- end -->\n\nAfter.\n"
    )
    before, text = len(commands), page.read_text()
    assert run("--jobs", "1") == 0
    assert len(commands) == before and page.read_text() == text


def test_numbers_of_runs_that_are_gone_are_kept(reproduced, tmp_path):
    run, page, commands, _ = reproduced
    record = reproduce.record_path(TABLE, tmp_path / "results")
    assert run("--collect") == 0 and not commands
    assert "| high | not run (45.6) |" in page.read_text()
    rows = json.loads(record.read_text())["tables"]["5.2"]
    assert rows[1]["from"].startswith("val/top1 of lightning fit --config temporal.yaml --model.weights CKPT")
    rows[0]["seed 1"], rows[0]["seed 2"] = 10.5, 11.5
    record.write_text(json.dumps({"tables": {"5.2": rows}}))
    write_run(tmp_path / "runs" / "low" / "seed_1", 0.2)
    assert run("--collect") == 0
    row = json.loads(record.read_text())["tables"]["5.2"][0]
    assert [row[f"seed {seed}"] for seed in range(3)] == [None, 20.0, 11.5]


def test_a_run_that_fails_leaves_the_others(reproduced, capsys):
    run, page, _, stub = reproduced
    stub.fails.add("low")
    assert run() == 1
    assert "low/seed_1: stopped with exit code 1" in capsys.readouterr().err
    assert "| low | not run (28.2) |\n| high | **31.0 ± 1.0** (45.6) |" in page.read_text()


def test_what_starts_from_a_failed_run_is_not_started(tmp_path):
    assert "source, which it starts from, is not finished" in make(HIGH, 1, tmp_path, False, pytest.fail)


@pytest.mark.parametrize("code", [130, 143])
def test_a_stopped_pass_goes_on(code, reproduced, monkeypatch, capsys):
    run, page, commands, stub = reproduced

    def stop(arguments):
        return code if len(commands) == 3 else stub(arguments)

    monkeypatch.setattr(reproduce, "run_alone", stop)
    text = page.read_text()
    assert run() == 130 and len(commands) == 3 and page.read_text() == text
    assert "the same command goes on" in capsys.readouterr().err
    monkeypatch.setattr(reproduce, "run_alone", stub)
    assert run() == 0 and len(commands) == 7


def test_a_quick_pass_leaves_page_and_records_alone(reproduced, tmp_path):
    run, page, commands, _ = reproduced
    text = page.read_text()
    assert run("--quick") == 0
    assert page.read_text() == text and not (tmp_path / "results").exists()
    assert len(commands) == 3 and all("--trainer.limit_train_batches" in command for command in commands)
    assert "not settled by one seed" in (tmp_path / "runs" / "results.md").read_text()


def test_a_page_without_a_marker_is_named_before_anything_runs(reproduced):
    run, page, commands, _ = reproduced
    page.write_text("No marker.\n")
    with pytest.raises(ValueError, match=r"<!-- reproduce 5\.2 --> .* table 5\.2"):
        run()
    assert not commands


def test_the_orders_are_those_of_the_thesis_numbers():
    judged = 0
    for table in reproduce.TABLES.values():
        titles = [column.title for column in table.columns]
        for order in table.orders:
            assert set(order.columns) <= set(titles), f"{table.name}: {order}"
            verdicts = judge(table, order, {})
            assert verdicts, f"{table.name}: {order} is said of no column"
            for verdict in verdicts:
                index = titles.index(verdict.column)
                difference = thesis_difference(table.row(order.higher), table.row(order.lower), index)
                if difference is not None:
                    sign = -1 if table.columns[index].lower_is_better else 1
                    assert sign * difference > 0, f"{table.name}, {verdict.column}: {order}"
                    judged += 1
    assert judged > 80


def test_a_name_is_of_one_run():
    wanted = [job for table in reproduce.TABLES.values() for job in table.wanted(table.seeds, False)]
    layers = in_order(wanted)
    recipes = {}
    for run, _ in (job for layer in layers for job in layer):
        assert recipes.setdefault(run.name, recipe(run)) == recipe(run)
    assert len(layers) == 3  # teachers, transfers, fine-tuning


@pytest.mark.slow
def test_commands_parse(monkeypatch, capsys):
    monkeypatch.setattr("argparse.ArgumentParser.parse_known_args", documented.stop_after_parsing)
    runs = dict(RUNS)
    for run in RUNS.values():
        while run.start is not None:
            run = runs.setdefault(run.start.name, run.start)
    for run in runs.values():
        words = run.command(reproduce.Path("out"), 1, isinstance(run, SevereRun))
        assert documented.lightning_complaint(words, capsys) is None, run.name


def test_every_table_has_its_place_in_the_page():
    text = reproduce.PAGE.read_text(encoding="utf-8")
    for name in reproduce.TABLES:
        table = reproduce.TABLES[name]
        values = reproduce.known_values(table, reproduce.RESULTS)
        assert f"{reproduce.marker(table)}\n\n{markdown(table, values)}\n\n<!-- end -->" in text, name


@pytest.mark.slow
def test_a_table_for_real(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert reproduce.main(["--quick", "--tables", "3.3", "C.7", "--out", str(tmp_path / "quick")]) == 0
    text = (tmp_path / "quick" / "results.md").read_text()
    assert "not settled by one seed for 5 % (" in text
    assert "not run for 10 %" in text
    assert text.count("not settled by one seed") == 2


def test_what_of_a_class_is_right(tmp_path):
    """Five videos of a leap without turns: all right, other turns, another kind, another event, a class of no video."""
    said = [6, 7, 8, 0, 3]
    scores = np.full((5, 99), 0.001, np.float32)
    scores[range(5), said] = 1
    path = tmp_path / "predictions.npz"
    np.savez(path, score=scores, label=np.full(5, 6), name=[f"video {row}" for row in range(5)])
    found = {level: share_right(path, level) for level in ("class", "event", "kind", "turns")}
    assert found == {"class": 1 / 5, "event": 3 / 5, "kind": 2 / 3, "turns": 1 / 2}
    np.savez(path, score=scores[4:], label=[6], name=["video"])
    assert share_right(path, "event") == 0
    assert share_right(path, "kind") is None


def test_predictions_of_a_benchmark_job(tmp_path):
    """They start from its checkpoint of the same seed, and are there once they are written."""
    job = SevereRun("none", "gym99", "finetune", None)
    run = Run("levels", ("predict", "--config", "severe_embedded/gym99.yaml"), job, "--ckpt_path")
    assert in_order([(run, 1)]) == [[(job, 1)], [(run, 1)]]
    command = run.command(tmp_path, 1, False)
    assert command[command.index("--ckpt_path") + 1] == str(job.folder(tmp_path, 1) / "checkpoints" / "last.ckpt")
    assert not run.finished(tmp_path, 1)
    run.folder(tmp_path, 1).mkdir(parents=True)
    scores = np.eye(99, dtype=np.float32)[[6, 7]]
    np.savez(run.folder(tmp_path, 1) / "predictions.npz", score=scores, label=[6, 6], name=["one", "other"])
    assert run.finished(tmp_path, 1)
    assert run.read(tmp_path, 1, "turns") == 0.5
