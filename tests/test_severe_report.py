"""``lightning severe report``: published numbers against each other, own ones by hand, and the files."""

import csv
import json
import re
import statistics

import matplotlib.image
import numpy as np
import pytest

import cli
from configs.severe_benchmark.figures import class_differences, correlations, samples
from configs.severe_benchmark.formats import Table, to_csv, to_latex, to_markdown
from configs.severe_benchmark.report import collect, own_table, thesis_table
from configs.severe_benchmark.tables import (
    LAYOUTS,
    PUBLISHED,
    SEVERE,
    Cell,
    Column,
    Row,
    averages,
    own_cell,
    published_rows,
    ranks,
    read_published,
)

LAYOUT = {layout.name: layout for layout in LAYOUTS}
PARTS = {"severe/ucf101/top1": (0.8, 0.9), "severe/ssv2/top1": (0.5, 0.6), "severe/gym99/top1": (0.9, 0.9)}


def put(out, name="ours", family="severe", setting="ucf101", seed=0, config="c", weights="w", **numbers):
    """Write a result as a job does."""
    folder = out / name / family / setting / f"seed_{seed}"
    folder.mkdir(parents=True)
    samples = int(setting.partition("_")[2]) if setting.partition("_")[2].isdigit() else None
    identity = {"name": name, "weights": weights, "family": family, "setting": setting, "seed": seed}
    identity |= {"config": config, "arguments": []}
    metrics = {f"test/{key}": value for key, value in numbers.items()}
    content = {**identity, "metrics": metrics, "samples": samples, "version": {"video-efficient-zoo": "0.1.0"}}
    (folder / "job.json").write_text(json.dumps(identity))
    (folder / "result.json").write_text(json.dumps(content))
    return folder


def test_published_tables_agree_with_each_other():
    """The same number stands in several tables of the thesis: 4.1 to 4.4, B.3, B.4 and 5.8."""
    seen, compared = {}, 0
    for table in ("4_1", "4_2", "4_3", "4_4", "b_3", "b_4", "5_8"):
        for row in read_published(f"table_{table}"):
            if row.network != "R(2+1)D-18" or row.name == "Tubelet-Contrast":
                continue
            for key, cell in row.cells.items():
                compared += (row.name, key) in seen
                assert seen.setdefault((row.name, key), cell.mean) == cell.mean, (table, row.name, key)
    assert compared == 11 * (1 + 7 + 9 + 1 + 8)


def test_published_tables_have_all_rows_and_numbers():
    sizes = {path.stem: len(read_published(path.stem)) for path in PUBLISHED.glob("*.csv")}
    assert sizes == {
        **{f"table_{name}": 11 for name in ("4_1", "4_2", "4_3", "4_4", "b_3", "b_4")},
        **{"table_5_6": 2, "table_5_7": 13, "table_5_8": 15, "table_c_1": 5, "table_c_2": 19},
    }
    for table in sizes:
        full = max(len(row.cells) for row in read_published(table))
        short = [row.name for row in read_published(table) if len(row.cells) < full]
        assert short == (["None"] if table == "table_4_1" else [])  # no linear evaluation from scratch
        for row in read_published(table):
            for key, cell in row.cells.items():
                assert 0 < cell.mean < (1 if key.endswith(("error", "video_map")) else 100)
                assert (cell.deviation is not None) == (table == "table_b_3")


def test_differences_that_the_text_names():
    """Chapter 5 and appendix C subtract numbers of their tables; its 19.6 over TCLR on FX-S1 is 19.4 in table 5.8."""
    rows = {(row.name, row.pretraining): row.cells for row in read_published("table_5_8")}
    ours, kinetics = rows["Tubelet-Contrast", "Kinetics-400"], "Kinetics-400"
    gains = {("TCLR", "gym99_1000"): 20.7, ("CtP", "gym99_1000"): 14.1, ("GDT", "fx_s1"): 14.1, ("GDT", "ub_s1"): 7.6}
    for (name, setting), gain in gains.items():
        key = next(column.key for column in SEVERE if column.key.split("/")[1] == setting)
        assert ours[key].mean - rows[name, kinetics][key].mean == pytest.approx(gain, abs=0.06)
    standard = {row.name: [cell.mean for cell in row.cells.values()] for row in read_published("table_5_7")}
    for name, gain in {"CtP": (2.6, 2.4), "TCLR": (2.8, 4.1), "TE": (2.8, 1.9)}.items():
        assert np.subtract(standard["Tubelet-Contrast"], standard[name]) == pytest.approx(gain, abs=0.06)
    diving = [row.cells["severe/diving48/top1"].mean for row in read_published("table_c_1")]
    assert [round(diving[4] - one, 1) for one in (diving[1], diving[2], diving[0])] == [7.9, 6.6, 4.5]


def test_the_printed_means_and_ranks_come_out():
    """Means: all but VideoMAE's. Ranks: all, where the larger error of repetition counting has the better rank."""
    rows = published_rows(LAYOUT["severe"])
    means = averages(rows, list(SEVERE))
    off = [row.name for place, row in enumerate(rows) if abs(means[place][0] - float(row.printed["mean"])) > 0.051]
    assert off == ["VideoMAE"] and means[1][0] == pytest.approx(58.8)
    as_printed = [ranks([row.cells[column.key].mean for row in rows]) for column in SEVERE]
    for place, row in enumerate(rows):
        assert statistics.mean(one[place] for one in as_printed) == pytest.approx(float(row.printed["rank"]), abs=0.051)
    right = [means[place][1] for place, row in enumerate(rows) if row.name in ("Supervised", "Tubelet-Contrast")]
    assert right == [2.375, 5.0, 3.75]


def test_mean_deviation_and_rank_by_hand():
    error = Column("severe/ucfrep/error", "RC")
    cell = own_cell(error, [0.1, 0.2, 0.3])
    assert (cell.mean, cell.deviation, cell.runs) == (pytest.approx(0.2), pytest.approx(0.1), 3)
    assert error.score(0.2) == 80 and error.text(0.2) == "0.200"
    top1 = Column("severe/ssv2/top1", "SSv2")
    assert own_cell(top1, [0.5]) == Cell(50.0, None, 1)
    assert own_cell(top1, [0.5, 0.6]).deviation == pytest.approx(10 / 2**0.5)
    assert ranks([3.0, 5.0, 5.0, 1.0]) == [3, 1, 1, 4]
    rows = [Row(name, cells={}) for name in "abc"]
    for row, one, other in zip(rows, (50.0, 60.0, 50.0), (0.1, 0.3, 0.1), strict=True):
        row.cells = {top1.key: Cell(one), error.key: Cell(other)}
    # Ranks 2 1 2 and 1 3 1; means (50 + 90) / 2 and (60 + 70) / 2.
    assert averages(rows, [top1, error]) == {0: (70, 1.5), 1: (65, 2), 2: (70, 1.5)}
    del rows[2].cells[error.key]
    assert averages(rows, [top1, error]) == {0: (70, 1.5), 1: (65, 1.5)}  # who lacks a column is in no average


def test_own_rows_stand_below_published_ones(tmp_path):
    for seed in (0, 1):
        for key, values in PARTS.items():
            put(tmp_path, setting=key.split("/")[1], seed=seed, top1=values[seed])
    put(tmp_path, family="severe_linear", setting="kinetics400", top1=0.3)
    results = collect([tmp_path])
    table = thesis_table(LAYOUT["severe"], results)
    *published, own = table.rows
    assert len(published) == 15 and all(row.published for row in published) and not own.published
    assert own.cells["severe/ssv2/top1"].mean == pytest.approx(55)
    assert own.cells["severe/gym99/top1"].deviation == 0
    assert [column.title for column in table.averaged] == ["SSv2", "Gym-99"]
    assert "Mean and rank are over 2 columns" in table.notes[1] and "UCF (1000)" in table.notes[1]
    mean, rank = averages(table.rows, table.averaged)[15]
    # 55.0 is better than AVID-CMA's 52.0 alone; 90.0 than None's 89.8, SeLaVi's 88.9, SVT and VideoMAE.
    assert (mean, rank) == (pytest.approx(72.5), (15 + 12) / 2)
    domains = thesis_table(LAYOUT["domains"], results).rows[-1]
    assert domains.cells["severe_linear/kinetics400/top1"] == Cell(30.0, None, 1)
    assert thesis_table(LAYOUT["diving48"], results) is None


@pytest.fixture
def table():
    columns = [Column("severe/a/top1", "A_1", "Group"), Column("severe/b/error", "B", "Group")]
    published = Row("Old & co", "R3D", "K", "thesis, table 1", {"severe/a/top1": Cell(50, 1.25, printed="50.0±1.2")})
    own = Row("mi_ne|", cells={"severe/a/top1": Cell(51.26, 0.5, 3), "severe/b/error": Cell(0.125, None, 1)})
    return Table("t", "T", columns, [published, own], columns, True, ["A note."])


def test_markdown(table):
    assert to_markdown(table).splitlines() == [
        "| pretraining | network | data | Group: A_1 | Group: B | mean | rank | source |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | --- |",
        "| Old & co | R3D | K | 50.0 ± 1.2 | - | - | - | published: thesis, table 1 |",
        "| mi_ne\\| | - | - | 51.3 ± 0.5 | 0.125 | 69.4 | 1.0 | own, 1-3 seeds |",
    ]


def test_csv(table):
    header, published, own = csv.reader(to_csv(table).splitlines())
    assert header[4:] == [
        *(f"severe/a/top1{part}" for part in ("", "/std", "/runs")),
        *(f"severe/b/error{part}" for part in ("", "/std", "/runs")),
        *("mean of 2", "rank of 2"),
    ]
    assert published == ["Old & co", "R3D", "K", "published: thesis, table 1", "50", "1.25", "", "", "", "", "", ""]
    assert own[4:] == ["51.26", "0.5", "3", "0.125", "", "1", "69.38", "1.0"]


def test_latex(table):
    assert to_latex(table).splitlines() == [
        "% T",
        r"\begin{tabular}{lllrrrrl}",
        r"\toprule",
        r" &  &  & \multicolumn{2}{c}{Group} &  &  &  \\",
        r"\cmidrule(lr){4-5}",
        r"pretraining & network & data & A\_1 & B & mean & rank & source \\",
        r"\midrule",
        r"Old \& co & R3D & K & 50.0$\pm$1.2 & -- & -- & -- & published: thesis, table 1 \\",
        r"\midrule",
        r"mi\_ne| & -- & -- & 51.3$\pm$0.5 & 0.125 & 69.4 & 1.0 & own, 1-3 seeds \\",
        r"\bottomrule",
        r"\end{tabular}",
        "% A note.",
    ]


def test_the_report_of_embedded_data_is_apart(tmp_path, capsys):
    for name, shift in (("none", 0.0), ("ours", 0.1)):
        for setting, value in (("ucf101", 0.6), ("fx_s1", 0.4)):
            folder = put(
                tmp_path / "in", name, "severe_embedded", setting, top1=0.99, mean_class_accuracy=value + shift
            )
            (folder / "class_accuracy.csv").write_text(f"class,name,accuracy\n0,up,{0.5 + shift}\n1,down,0.5\n")
    assert cli.main(["severe", "report", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 0
    assert "1 tables, 2 figures of 4 results" in capsys.readouterr().out
    text = (tmp_path / "out" / "report.md").read_text()
    assert "| none | - | - | 99.0 | 40.0 | 69.5 | 1.5 | own, 1 seed |" in text
    assert "| ours | - | - | 99.0 | 50.0 | 74.5 | 1.0 | own, 1 seed |" in text
    assert "cannot be compared with published ones" in text and "TCLR" not in text
    for name in re.findall(r"\]\((.+\.png)\)", text):
        assert matplotlib.image.imread(tmp_path / "out" / name).ndim == 3


def test_unfinished_jobs_are_named_and_contradictions_refused(tmp_path):
    put(tmp_path, top1=0.5)
    half = put(tmp_path, seed=1, top1=0.6) / "result.json"
    half.write_text(half.read_text()[:40])
    results = collect([tmp_path])
    assert len(results.all) == 1
    assert results.notes == [f"left out, not started: {half.parent}"]
    put(tmp_path / "b", seed=2, weights="other", top1=0.5)
    with pytest.raises(ValueError, match="both are called ours, but are of other weights"):
        collect([tmp_path])
    put(tmp_path / "c", name="theirs", config="other", top1=0.5)
    with pytest.raises(ValueError, match="ucf101 was run with different configs or arguments"):
        collect([tmp_path / "ours", tmp_path / "c"])
    put(tmp_path / "d", top1=0.7)
    with pytest.raises(ValueError, match="results of the same job; give one of the folders"):
        collect([tmp_path / "ours", tmp_path / "d"])
    assert len(collect([tmp_path / "ours", tmp_path / "ours"]).all) == 1


def test_own_rows_tell_network_and_data(tmp_path):
    network = "model.init_args.network."
    small = {f"{network}class_path": "lightning_modules.networks.R2Plus1D", f"{network}init_args.widths": [16, 32]}
    large = {f"{network}class_path": "lightning_modules.networks.R2Plus1D", f"{network}init_args.widths": None}
    for name, values, more in (
        ("ours", small, {"pretraining": "SyntheticKinetics"}),
        ("full", large, {"pretraining": "Kinetics-400"}),
        ("none", {f"{network}class_path": "lightning_modules.networks.I3D"}, {"weights": None}),
    ):
        file = put(tmp_path, name=name, top1=0.5) / "result.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"values": values} | more))
    rows = thesis_table(LAYOUT["severe"], collect([tmp_path])).rows[-3:]
    assert {row.name: (row.network, row.pretraining) for row in rows} == {
        "full": ("R(2+1)D-18", "Kinetics-400"),
        "none": ("I3D", "none"),
        "ours": ("R(2+1)D, widths 16 32", "SyntheticKinetics"),
    }


def test_own_table_orders_settings(tmp_path):
    for setting in ("zebra", "gym99", "ucf101"):
        put(tmp_path, family="mine", setting=setting, top1=0.5)
    put(tmp_path, family="mine", setting="silent", loss=0.5)
    assert [column.title for column in own_table("mine", collect([tmp_path])).columns] == ["ucf101", "gym99", "zebra"]


def test_figures_have_what_there_is(tmp_path):
    for setting, value in (("ucf101_1000", 0.6), ("ucf101_2000", 0.7), ("ucf101", 0.9), ("ssv2", 0.5)):
        for seed in (0, 1):
            folder = put(tmp_path, setting=setting, seed=seed, top1=value + 0.01 * seed)
    results = collect([tmp_path]).all
    picture = samples(results, "severe")
    assert picture.name == "samples_severe" and "published, tables 4.1 and 4.4" in picture.caption
    assert samples(results, "severe_linear") is None
    one, two = Column("severe/ucf101/top1", "UCF101"), Column("severe/ssv2/top1", "SSv2")
    models = {name: {one.key: value, two.key: 2 * value} for name, value in (("GDT", 1.0), ("TCLR", 2.0))}
    assert correlations("x", one, [two], models, {}) is None  # two points say nothing
    own = {"ours": {one.key: 3.0, two.key: 1.0}}
    assert correlations("x", one, [two], models, own).pixels.ndim == 3
    assert class_differences(results, "ours", "ours") == []
    (folder / "class_accuracy.csv").write_text("class,name\n0,a\n")
    with pytest.raises(ValueError, match="is not what a test writes"):
        class_differences(results, "ours", "theirs")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "severe report needs folders and --out"),
        (["nowhere", "--out", "x"], 1, "nowhere: no such folder"),
        ([".", "--out", "x"], 1, ".: no result of a job there"),
        ([".", "--sed", "x"], 2, "severe report: unknown argument --sed"),
    ],
)
def test_wrong_usage(arguments, code, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["severe", "report", *arguments]) == code
    said = capsys.readouterr().err
    assert message in said and len(said.splitlines()) == 1


def test_compared_names_have_to_be_there(tmp_path, capsys):
    put(tmp_path, top1=0.5)
    assert cli.main(["severe", "report", str(tmp_path), "--out", str(tmp_path), "--compare", "ours", "none"]) == 1
    assert "--compare none: no such results; there are: ours" in capsys.readouterr().err
