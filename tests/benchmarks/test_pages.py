import json

import pytest
from documented_commands import ROOT

from benchmarks.pages import complaints, filled

RECORD = {
    "command": "python -m benchmarks.decode",
    "machine": {"cpu": "a processor", "cores": 2, "memory_gib": 4.0, "threads": 1, "gpu": None, "load_average": 0.25},
    "versions": {"python": "3.11.7", "torch": "2.11.0", "cuda": None},
    "seed": 0,
    "tables": {"clips": [{"way": "ours", "ms": 49.04}]},
}
BEFORE, AFTER = "# Page\n\n<!-- table decode/clips -->\n", "<!-- end -->\n\nAfter.\n"


@pytest.fixture
def page(tmp_path):
    (tmp_path / "decode.json").write_text(json.dumps(RECORD))
    page = tmp_path / "page.md"
    page.write_text(f"{BEFORE}old{AFTER}")
    return page


def test_a_table_is_that_of_its_record(page, tmp_path):
    assert len(complaints(page, tmp_path)) == 1
    assert "table decode/clips is not that of its record" in complaints(page, tmp_path)[0]
    text = filled(page, tmp_path)
    assert text.startswith(f"{BEFORE}\n| way | ms |\n| --- | --- |\n| ours | 49 |\n\n*`python -m benchmarks.decode`; ")
    assert "2 cores of a processor, 1 thread; load average 0.2 at the start; torch 2.11.0; seed 0*" in text
    assert text.endswith(AFTER)
    page.write_text(text)
    assert filled(page, tmp_path) == text
    assert complaints(page, tmp_path) == []
    page.write_text(text.replace("| 49 |", "| 48 |"))
    assert len(complaints(page, tmp_path)) == 1


def test_a_gpu_and_a_note_are_named(page, tmp_path):
    machine = {"gpu": "H200"}
    (tmp_path / "decode.json").write_text(json.dumps({**RECORD, "machine": machine, "note": "from an earlier run"}))
    assert "*`python -m benchmarks.decode`; H200; torch 2.11.0; seed 0; from an earlier run*" in filled(page, tmp_path)


def test_without_a_record_nothing_was_measured(page, tmp_path):
    (tmp_path / "decode.json").unlink()
    assert filled(page, tmp_path) == f"{BEFORE}\nNot measured.\n\n{AFTER}"


def test_an_unknown_table_and_a_missing_end_are_named(page, tmp_path):
    page.write_text(f"{BEFORE}{BEFORE}{AFTER}")
    assert "page.md: a line <!-- table NAME/TABLE --> without" in complaints(page, tmp_path)[0]
    page.write_text(f"{BEFORE}{AFTER}".replace("decode/clips", "decode/other"))
    assert complaints(page, tmp_path) == ["page.md: decode.json has no table 'other', it has clips"]


def test_all_tables_of_the_documentation_are_those_of_their_records():
    pages = sorted((ROOT / "docs").rglob("*.md"))
    assert [line for page in pages for line in complaints(page)] == []
    assert sum(page.read_text(encoding="utf-8").count("<!-- table ") for page in pages) > 10
