"""The index of features: what it finds, and what is left of it after a kill."""

import numpy as np
import pytest

from lightning_modules import feature_index
from lightning_modules.feature_index import Entry, FeatureIndex, cosines

ROWS = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32)
ENTRIES = [Entry(f"ä {number}", [number]) for number in range(40)]


@pytest.fixture
def index(tmp_path):
    index = FeatureIndex(tmp_path, {"by": "a"})
    for entry, row in zip(ENTRIES, ROWS, strict=True):
        index.add(entry, row)
    return index


def wanted(query):
    return ROWS @ query / np.linalg.norm(ROWS, axis=1) / np.linalg.norm(query)


def test_search(index, monkeypatch):
    monkeypatch.setattr(feature_index, "ROWS_AT_ONCE", 7)
    query = ROWS[3] + 0.1
    similarity = wanted(query)
    order = np.argsort(-similarity)[:5]
    found = index.search(query, 5)
    assert [entry for entry, _ in found] == [ENTRIES[row] for row in order]
    np.testing.assert_allclose([value for _, value in found], similarity[order], rtol=1e-5)
    assert len(index.search(query, 100)) == 40
    np.testing.assert_allclose(cosines(index.rows.astype(np.float16), query), similarity, atol=2e-3)


def test_opened_again(index, tmp_path):
    assert FeatureIndex(tmp_path, {"by": "a"}).entries == ENTRIES
    assert len(FeatureIndex(tmp_path, {"by": "b"})) == 0
    assert FeatureIndex(tmp_path, {"by": "b"}).search(ROWS[0], 3) == []


def test_what_changed_is_dropped(index, tmp_path):
    now = [*ENTRIES[:10], Entry(ENTRIES[10].name, [99]), *ENTRIES[20:], Entry("new", [0])]
    assert index.keep(now) == [now[10], now[-1]]
    again = FeatureIndex(tmp_path, {"by": "a"})
    assert again.entries == [*ENTRIES[:10], *ENTRIES[20:]]
    assert again.search(ROWS[25], 1)[0] == (ENTRIES[25], pytest.approx(1))


@pytest.mark.parametrize("cut", ["rows", "manifest", "line"])
def test_a_kill_leaves_what_is_whole(index, tmp_path, cut):
    rows, manifest = tmp_path / feature_index.ROWS, tmp_path / feature_index.MANIFEST
    if cut == "rows":
        rows.write_bytes(rows.read_bytes()[:-3])
    else:
        text = manifest.read_text(encoding="utf-8")
        manifest.write_text(text[:-4] if cut == "line" else "".join(text.splitlines(True)[:-1]), encoding="utf-8")
    again = FeatureIndex(tmp_path, {"by": "a"})
    assert again.entries == ENTRIES[:39]
    again.add(ENTRIES[39], ROWS[39])
    assert FeatureIndex(tmp_path, {"by": "a"}).search(ROWS[39], 1)[0] == (ENTRIES[39], pytest.approx(1))


@pytest.mark.parametrize("row", [np.zeros(6), np.full(6, np.nan), np.ones(5)])
def test_features_that_are_none(index, row):
    with pytest.raises(ValueError, match="new: its feature is"):
        index.add(Entry("new", []), row)
    assert len(index) == 40
