import pytest

from benchmarks.prediction import (
    CLIP_BYTES,
    KEY_BYTES,
    Machine,
    Measured,
    first_bottleneck,
    parameter_bytes,
    per_run,
    per_step,
)
from benchmarks.scaling import draw, exponent, growth, measure, predictions, slope

PLAIN = Machine(nodes=2, gpus=4, cores=10, within=1e9, between=1e8, disk=1e9, opens=100)
SLOW = Measured(
    pair_seconds=0.5,
    clips_a_second=2,
    video_bytes=1e6,
    draw_seconds=0.001,
    row_seconds=0.01,
    row_bytes_peak=2**20,
    row_bytes_kept=2**10,
)


def curve(power, values=(1, 10, 100, 1000)):
    return [{"rows": value, "set up s": 3 + 2 * value**power, "set up MiB": 5 * value} for value in values]


def test_exponents_are_of_the_large_values():
    assert exponent(curve(2), "rows", "set up s") == pytest.approx(2, abs=0.01)
    assert exponent(curve(1), "rows", "set up MiB") == pytest.approx(1)
    assert exponent(curve(1)[:1], "rows", "set up s") is None
    assert exponent([{"rows": 1, "MiB": 0.0}, {"rows": 2, "MiB": 1.0}], "rows", "MiB") is None
    assert slope(curve(1), "set up s") == pytest.approx(2)
    assert slope(curve(1)[:1], "set up MiB") == pytest.approx(5)
    row = growth({"rows": curve(2), "prediction": [{"a": 1}]})
    assert [line["values"] for line in row] == ["1 to 1,000"]
    assert row[0]["memory grows with power"] == pytest.approx(1)


def test_a_step_by_hand():
    parts = per_step(PLAIN, SLOW, 80, clips=2)
    took = {part["part"]: part["ms a step"] for part in parts}
    assert took["the GPU's own work"] == pytest.approx(5000)  # 10 pairs each
    assert took["decoding"] == pytest.approx(1000)  # 20 clips each, 10 cores, 2 a second
    assert took["views drawn for the global batch"] == pytest.approx(80)
    ring = 2 * parameter_bytes() * (3 / 4 / 1e9 + 1 / 2 / 1e8)
    assert took["gradients, ring of rings"] == pytest.approx(1000 * ring)
    assert took["key clips, dealt out anew"] == pytest.approx(1000 * 10 * CLIP_BYTES / 2 * 4 / 1e8)
    assert took["key clips, were they gathered"] == pytest.approx(1000 * 80 * CLIP_BYTES / 2 / 1e8)
    assert took["keys"] == pytest.approx(1000 * 80 * KEY_BYTES / 2 / 1e8)
    assert took["reading, nothing cached"] == pytest.approx(160)
    assert took["opening files"] == pytest.approx(1600)
    assert parts[1]["% of the GPU's time"] == pytest.approx(20)
    assert first_bottleneck(parts) == "the GPU's own work"
    assert first_bottleneck(per_step(PLAIN, SLOW, 8)) == "gradients, ring of rings"


def test_r2plus1d_has_31_million_parameters():
    assert 31.2e6 < parameter_bytes() / 4 < 31.8e6


def test_a_run_by_hand():
    values = {row["of the run"]: row["value"] for row in per_run(PLAIN, SLOW, 80, 8040, 1000)}
    assert values["steps an epoch"] == 100
    assert values["an epoch at the GPU's own speed, s"] == pytest.approx(500)
    assert values["videos a second for that"] == pytest.approx(16)
    assert values["an epoch at the disks' speed, s"] == pytest.approx(80.4)  # 100 files a second are 100 MB
    assert values["list, at each start, s"] == pytest.approx(80.4)
    assert values["list while it is read, GiB a node"] == pytest.approx(8040 * 4 / 1024)
    assert values["an epoch's permutation, GiB a node"] == pytest.approx(8040 * 8 * 4 / 2**30)
    checkpoint = values["checkpoint: two encoders, momentum, keys, MB"]
    assert checkpoint == pytest.approx((3 * parameter_bytes() + 512_000) / 1e6)


def test_points_are_measured_drawn_and_predicted_from(tmp_path):
    points = [measure("queue", value, "cpu") for value in (64, 20_000)]
    assert points[1]["MiB"] > points[1]["of it keys, MiB"] > 9
    rows = [measure("rows", 400, "cpu")]
    assert rows[0]["set up s"] > 0
    draws = [measure("draws", 8, "cpu")]
    lines = measure("list", 400, "cpu")
    assert lines.keys() == rows[0].keys()
    assert lines["permutation MiB"] == pytest.approx(400 * 8 / 2**20)
    tables = {"queue": points, "rows": rows, "draws": draws}
    draw(
        tables | {"frames": [{"frames": n, "step ms": n, "MiB": n} for n in (1, 2, 4)]},
        tmp_path / "new" / "picture.png",
    )
    assert 0 < (tmp_path / "new" / "picture.png").stat().st_size < 100_000
    predicted = predictions(tables, Machine())
    assert [len(table) for table in predicted.values()] == [18, 10]
    start = next(row for row in predicted["prediction of a run"] if row["of the run"] == "list, at each start, s")
    assert start["100 million videos, batch 8,192"] == pytest.approx(rows[0]["set up s"] / 400 * 1e8)


def test_a_point_that_fails_is_told(tmp_path):
    with pytest.raises(RuntimeError, match="queue -1 failed"):
        measure("queue", -1, "cpu")
