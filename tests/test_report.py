"""``lightning report``: run folders in, one page out, looked at by a real browser where there is one."""

import json
import re

import numpy as np
import pytest
import yaml
from browser import CHROMIUM, Browser
from torch.utils.tensorboard import SummaryWriter

import cli
from callbacks.curve_panels import Series, draw_panel
from callbacks.curves import Curve
from callbacks.pictures import write_picture
from callbacks.run_folder import MetricsTable
from configs.report.page import make_page
from configs.report.runs import SPEED, group_runs, read_runs, read_speed

EVIL = '<script>alert("x")</script><b>&'


def make_run(folder, seed=0, rate=0.1, last=0.5, steps=60, finished=True, command="lightning fit"):
    """A run folder, as `lightning fit` writes it."""
    (folder / "logs").mkdir(parents=True)
    table = MetricsTable(folder / "logs" / "metrics.csv")
    for step in range(0, steps, 2):
        table.log_metrics({"epoch": step // 20, "train/loss": 3 / (1 + step) + seed, "data/broken": 0.0}, step)
    table.log_metrics({"val/top1": last / 2}, steps // 2)
    table.log_metrics({"val/top1": last, "val/loss": 7.0}, steps)
    config = {"seed_everything": seed, "run_dir": str(folder), "model": {"init_args": {"rate": rate, "name": EVIL}}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    start = {"subcommand": "fit", "date": "2026-01-01T10:00:00+00:00", "command": command, "python": "3.12"}
    if finished:
        start["finished"] = {"date": "2026-01-01T11:05:00+00:00", "epoch": 3, "step": steps}
    (folder / "versions.json").write_text(json.dumps([{**start, "device": EVIL, "host": "a"}]))
    return folder


def report(capsys, *arguments):
    code = cli.main(["report", *map(str, arguments)])
    output = capsys.readouterr()
    return code, (output.out + output.err).strip()


def rows(page, section):
    """First cell and the other cells of each row of a section's tables, without marks."""
    page = page.partition(f'<section id="{section}">')[2].partition("</section>")[0]
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr.*?</tr>", page)]
    texts = [[re.sub(r"<[^>]*>", "", cell) for cell in row] for row in cells]
    return {row[0]: row[1:] for row in texts if row}


def test_seeds_are_put_together(tmp_path, capsys):
    for seed, last in enumerate((0.2, 0.4, 0.6)):
        make_run(tmp_path / "tubelet" / f"seed_{seed}", seed, last=last)
    make_run(tmp_path / "other", rate=0.2, finished=False)
    out = tmp_path / "page.html"
    code, line = report(capsys, tmp_path / "tubelet", f"none={tmp_path / 'other'}", "--out", out)
    assert (code, line) == (0, f"wrote {out}, 0.0 MiB: 4 runs")
    page = out.read_text()
    found = rows(page, "results")
    assert found["val/top1"] == ["0.4000 ± 0.2000", "0.5000"]
    assert found["tubelet/seed_1"] == ["7.0000", "0.4000"]
    found = rows(page, "configs")
    assert found["model.init_args.rate"] == ["0.1", "0.2"]
    assert "seed_everything" not in found
    found = rows(page, "runs")
    assert found["tubelet/seed_1"][:4] == ["finished", "3 epochs, 60 steps", "1 h 05 min", "1"]
    assert found["none"][:3] == ["not finished", "-", "-"]
    assert "4 runs of 2 recipes, 1 of them not finished." in page
    assert "1 of 2 values differ." in page
    # A thin line a seed and their mean; the other run as logged and smoothed.
    assert len(re.findall('id="series-0-panel-0-', page)) == 4
    assert len(re.findall('id="series-1-panel-0-', page)) == 1
    headings = re.findall("<figcaption>(.*?)</figcaption>", page)
    assert headings == ["train/loss", "val/top1"]  # one value of val/loss, and nothing broken


def test_axes_say_what_the_curves_are():
    curve = Curve("run", np.arange(0, 50, 10), np.array([0.01, 0.015, 0.02, 0.03, 0.06]))
    svg = draw_panel([Series(9, [curve])], "panel-0")
    ticks = re.findall(r'<text[^>]* y="([\d.]+)"[^>]*>(0\.\d+)</text>', svg)
    height, value = np.array(ticks, dtype=float).T
    slopes = np.diff(height) / np.diff(value)
    assert len(ticks) >= 3 and np.allclose(slopes, slopes[0], rtol=0.01)
    assert 'id="series-9-panel-0-0"' in svg and "var(--series-1)" in svg  # the colours come round
    assert "#01" not in svg and "font-family" not in svg and "<script" not in svg


def test_one_name_puts_runs_together(tmp_path):
    paths = [make_run(tmp_path / name, rate=rate) for name, rate in (("a-0", 0.1), ("a-1", 0.1), ("b", 0.3))]
    assert [group.name for group in group_runs(read_runs([str(path) for path in paths]))] == ["a", "b"]
    groups = group_runs(read_runs([f"x={path}" for path in paths]))
    assert [(group.name, len(group.runs)) for group in groups] == [("x", 3)]
    assert len({run.name for run in groups[0].runs}) == 3


def test_nothing_of_a_run_becomes_markup(tmp_path):
    folder = make_run(tmp_path / "run", command=f"lightning fit {EVIL}")
    table = MetricsTable(folder / "logs" / "metrics.csv")
    for step in (61, 62):
        table.log_metrics({EVIL: 1.0 + step, f"val/{EVIL}": 2.0}, step)
    (folder / "data").mkdir()
    (folder / "data" / "broken.txt").write_text("a: b\nc: d\n")
    page = make_page(group_runs(read_runs([f"{EVIL.replace('/', ' ')}={folder}"])))
    assert "<script" not in page and "<b>" not in page
    assert page.count("&lt;script&gt;") >= 8
    assert "2 broken" in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org/", "")


def test_pictures_are_inside_and_small(tmp_path, capsys):
    folder = make_run(tmp_path / "run")
    write_picture(folder / "pictures" / "sheet.png", np.random.default_rng(0).integers(0, 255, (8, 2000, 3), np.uint8))
    page = make_page(group_runs(read_runs([str(folder)])))
    assert page.count('src="data:image/webp;base64,') == 1
    (folder / "pictures" / "half.png").write_bytes(b"\x89PNG")
    code, line = report(capsys, folder, "--out", tmp_path / "a.html")
    assert code == 1
    assert line == f"lightning: error: {folder / 'pictures' / 'half.png'}: is no picture or a damaged one; remove it"


def test_speed_comes_from_the_times_of_the_logs(tmp_path):
    writer = SummaryWriter(tmp_path / "logs")
    for step in range(0, 60, 10):
        pause = 3600 if step > 20 else 0  # the run was stopped
        writer.add_scalar("train/loss", 1.0, step, walltime=1e9 + step / 2 + pause)
    writer.close()
    curve = read_speed("run", tmp_path / "logs")
    assert curve.step.tolist() == [10, 20, 40, 50]
    assert curve.value.tolist() == pytest.approx([2.0] * 4)
    assert read_speed("run", tmp_path) is None


def test_bad_input_is_one_line(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    broken = make_run(tmp_path / "broken")
    (broken / "versions.json").write_text("[")
    for code, arguments, line in (
        (2, [], "report needs folders of runs"),
        (2, [broken, "--out", "a.pdf"], "the page is an HTML file"),
        (2, [broken, "--size", "3"], "report: unknown argument --size"),
        (1, [tmp_path / "gone"], f"{tmp_path / 'gone'}: no such folder"),
        (1, [tmp_path / "empty"], "is no run and holds none"),
        (1, [broken], f"{broken / 'versions.json'}: is not what a run writes"),
    ):
        found = report(capsys, *arguments)
        assert found[0] == code and line in found[1] and "\n" not in found[1]


def test_a_run_without_logs_is_shown(tmp_path):
    folder = tmp_path / "evaluated"
    folder.mkdir()
    start = {"subcommand": "test", "date": "2026-01-01T10:00:00+00:00", "command": "lightning test"}
    (folder / "versions.json").write_text(json.dumps([start]))
    page = make_page(group_runs(read_runs([str(folder)])))
    assert "1 run." in page and "lightning test" in page
    assert 'id="curves"' not in page and SPEED not in page


@pytest.fixture
def browser(tmp_path):
    made = Browser(tmp_path / "profile")
    yield made
    made.close()


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_page_in_a_browser_without_network(tmp_path, browser):
    picture = np.zeros((200, 1500, 3), np.uint8)
    for seed in range(2):
        write_picture(make_run(tmp_path / "one" / f"seed_{seed}", seed) / "pictures" / "sheet.png", picture)
    given = [str(tmp_path / "one")]
    for number in range(7):
        name = "a_long_name_without_a_place_to_break_it_" * 3 + str(number)
        given.append(f"{name}={make_run(tmp_path / str(number), rate=number, command='x' * 300)}")
    file = tmp_path / "page.html"
    file.write_text(make_page(group_runs(read_runs(given))))
    for width in (390, 1440):
        for dark in (False, True):
            browser.open(file, width, dark=dark)
            browser.value("document.querySelectorAll('details').forEach(one => one.open = true)")
            assert browser.value("[innerWidth, document.documentElement.scrollWidth]") == [width, width]
            assert browser.value("document.images.length && [...document.images].every(one => one.naturalWidth > 0)")
            colours = browser.value("['backgroundColor', 'color'].map(name => getComputedStyle(document.body)[name])")
            light = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours]
            assert (light[0] < 200 and light[1] > 600) if dark else (light[0] > 600 and light[1] < 200)
    # The curves of a run go with its switch.
    lines = "[0, 1].map(n => getComputedStyle(document.querySelector(`[id^=series-${n}-]`)).display)"
    assert browser.value(lines) == ["inline", "inline"]
    browser.value("document.getElementById('show-0').click()")
    assert browser.value(lines) == ["none", "inline"]
    assert browser.complaints == []
    assert {address for address in browser.requests if not address.startswith("data:")} == {file.as_uri()}
