import json
import sys

import numpy as np
import pytest
import torch

from benchmarks.record import RESULTS, markdown, record


def test_a_record_is_printed_and_written(tmp_path, monkeypatch, capsys):
    video = tmp_path / "folder" / "a video.mp4"
    monkeypatch.setattr(sys, "argv", ["decode.py", "--clips", "3", f"--out={tmp_path}/o", str(video)])
    rows = [{"way": "ours", "ms": np.float32(1234.5678)}, {"way": "theirs", "ms": 0.012345, "ratio": float("inf")}]
    path = record("decode", {"clips": rows}, seed=7, folder=tmp_path / "results")
    assert path == tmp_path / "results" / "decode.json"
    text = path.read_text(encoding="utf-8")
    kept = json.loads(text)
    assert kept["command"].endswith(" --clips 3 --out=o 'a video.mp4'")
    assert str(tmp_path) not in text
    assert kept["seed"] == 7
    assert kept["versions"]["torch"] == torch.__version__
    assert kept["versions"]["numpy"] == np.__version__
    assert set(kept["machine"]) == {"cpu", "cores", "memory_gib", "threads", "gpu", "load_average"}
    assert kept["tables"]["clips"][0] == {"way": "ours", "ms": 1234.57}
    assert kept["tables"]["clips"][1]["ratio"] == "not finite"
    printed = capsys.readouterr().out
    assert "| way | ms | ratio |\n| --- | --- | --- |\n| ours | 1,235 |  |\n| theirs | 0.0123 | not finite |" in printed
    assert "seed 7" in printed
    assert f"numpy {np.__version__}" in printed


def test_cells():
    row = {"a": 40091, "b": 99.97, "c": 3.0, "d": None, "e": True, "f": "x|y", "g": 2576.4, "h": 0.5}
    assert markdown([row]).splitlines()[2] == "| 40,091 | 100 | 3 |  | yes | x\\|y | 2,576 | 0.5 |"


def test_what_is_no_number_is_refused(tmp_path):
    with pytest.raises(TypeError, match="numbers and strings"):
        record("decode", {"clips": [{"ms": [1.0]}]}, folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_kept_records_name_no_folder():
    for path in RESULTS.glob("*.json"):
        kept = json.loads(path.read_text(encoding="utf-8"))
        assert {"command", "machine", "versions", "seed", "tables"} <= set(kept), path
        assert " /" not in kept["command"], path
