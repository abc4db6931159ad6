"""The cache of features: reading, interruptions, damage, and what its place depends on."""

import json
import logging

import numpy as np
import pytest
import torch

from lightning_modules.feature_cache import CacheError, FeatureCache, VideoFeatures, digest_of_weights
from lightning_modules.networks import ResNet3D

NAMES = [f"S{number:03d}" for number in range(70)]
FACTS = {"weights": "a", "data": "b"}


def videos(names=NAMES, dim=5):
    for name in names:
        random = np.random.default_rng(int(name[1:]))
        yield VideoFeatures(name, random.normal(size=(1 + int(name[1:]) % 3, dim)).astype(np.float32))


def complete(root, names=NAMES, **changes):
    cache = FeatureCache(root, **{"facts": FACTS, "dim": 5, **changes})
    if not cache.open(names):
        cache.write_parts(videos(names, cache.dim))
        assert cache.merge(names) == []
        assert cache.open(names)
    return cache


def test_features_come_back_as_they_were(tmp_path) -> None:
    written = complete(tmp_path)
    assert {path.name for path in written.folder.iterdir()} == {".lock", "clips.npy", "index.json", "videos.npy"}
    cache = FeatureCache(tmp_path, FACTS, 5)
    assert cache.open(NAMES[3:9])
    clip = torch.tensor([[0, 2], [0, -1]])
    clips, video, known = cache.look_up(["S008", "S033"], clip)
    expected = {name: features for name, features in videos()}
    np.testing.assert_array_equal(clips[0], expected["S008"][[0, 2]])
    np.testing.assert_array_equal(clips[1], np.stack([expected["S033"][0], np.zeros(5)]))
    np.testing.assert_allclose(video, [expected["S008"].mean(0), expected["S033"].mean(0)], rtol=1e-6)
    assert known.all() and cache.num_clips("S008") == 3


def test_an_interrupted_run_is_continued(tmp_path) -> None:
    def cut():
        yield from videos(NAMES[:40])
        raise KeyboardInterrupt

    cache = FeatureCache(tmp_path, FACTS, 5)
    counts = []
    with pytest.raises(KeyboardInterrupt):
        cache.write_parts(cut(), counts.append)
    assert counts == list(range(1, 41))
    again = FeatureCache(tmp_path, FACTS, 5)
    assert not again.open(NAMES)
    done = again.done()
    assert done == set(NAMES[:32])  # a part is 32 videos
    again.write_parts(videos(name for name in NAMES if name not in done))
    assert again.merge(NAMES) == [] and again.open(NAMES)
    reference = complete(tmp_path / "other")
    for name in ("clips.npy", "videos.npy"):
        assert (again.folder / name).read_bytes() == (reference.folder / name).read_bytes()


def test_a_damaged_part_is_computed_anew(tmp_path, caplog) -> None:
    cache = FeatureCache(tmp_path, FACTS, 5)
    cache.write_parts(videos())
    part = min(cache.folder.glob("part-*.npz"))
    part.write_bytes(part.read_bytes()[:200])
    with caplog.at_level(logging.WARNING):
        done = cache.done()
    assert len(done) in (70 - 32, 70 - 6) and not part.exists()
    assert f"{part}: is computed anew, as it cannot be read" in caplog.text


def cut_off(folder):
    path = folder / "clips.npy"
    path.write_bytes(path.read_bytes()[:-8])


def change_a_number(folder):
    array = np.load(folder / "videos.npy")
    array[7, 2] += 1
    np.save(folder / "videos.npy", array)


def change_the_length(folder):
    index = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps(index | {"dim": 8}))


def change_the_facts(folder):
    index = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps(index | {"facts": {"weights": "c", "data": "b"}}))


def cut_the_index(folder):
    path = folder / "index.json"
    path.write_text(path.read_text()[:-30])


def other_type(folder):
    np.save(folder / "clips.npy", np.load(folder / "clips.npy").astype(np.float64))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (cut_off, "clips.npy cannot be read"),
        (change_a_number, "videos.npy is damaged"),
        (change_the_length, "it holds features of length 8, the network gives 5"),
        (change_the_facts, "its index is of something else"),
        (cut_the_index, "its index cannot be read"),
        (other_type, "clips.npy is float64"),
        (lambda folder: (folder / "videos.npy").unlink(), "videos.npy cannot be read"),
    ],
)
def test_a_damaged_cache_is_named_in_one_line_and_computed_anew(tmp_path, damage, reason, caplog) -> None:
    folder = complete(tmp_path).folder
    damage(folder)
    cache = FeatureCache(tmp_path, FACTS, 5)
    with caplog.at_level(logging.WARNING):
        assert not cache.open(NAMES)
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{folder}: cached features are computed anew, as {reason}")
    assert "\n" not in record.getMessage()
    assert not list(folder.glob("*.npy")) and not (folder / "index.json").exists()
    assert complete(tmp_path).num_clips("S001") == 2


def test_a_video_that_the_cache_lacks_is_computed_with_the_rest(tmp_path, caplog) -> None:
    complete(tmp_path, NAMES[:10])
    with caplog.at_level(logging.WARNING):
        assert not FeatureCache(tmp_path, FACTS, 5).open(NAMES[:12])
    assert "2 videos are not in it, such as S010" in caplog.text


def test_other_facts_have_another_place(tmp_path) -> None:
    folders = {
        FeatureCache(tmp_path, facts, 5).folder
        for facts in (FACTS, {"weights": "a2", "data": "b"}, {"weights": "a", "data": "b2"}, FACTS | {"more": ""})
    }
    assert len(folders) == 4
    assert FeatureCache(tmp_path, dict(reversed(FACTS.items())), 5).folder in folders


def test_missing_videos_are_cached_as_missing(tmp_path) -> None:
    cache = FeatureCache(tmp_path, FACTS, 5)
    cache.write_parts(videos(NAMES[2:6]))
    assert cache.merge(NAMES[:6]) == NAMES[:2]
    assert cache.open(NAMES[:6])
    clips, video, known = cache.look_up(["S001", "S002"], torch.tensor([[0], [0]]))
    assert known.tolist() == [False, True]
    assert not clips[0].any() and not video[0].any() and video[1].any()


def test_two_runs_at_once_make_one_cache(tmp_path) -> None:
    first, second = FeatureCache(tmp_path, FACTS, 5), FeatureCache(tmp_path, FACTS, 5)
    first.write_parts(videos())
    second.write_parts(videos(NAMES[:40]))
    assert first.merge(NAMES) == []
    second.write_parts(videos(NAMES[40:]))  # goes on, although the first is done
    index = (first.folder / "index.json").stat().st_mtime_ns
    assert second.merge(NAMES) == []
    assert (first.folder / "index.json").stat().st_mtime_ns == index
    assert not list(first.folder.glob("part-*"))


def test_no_videos_at_all(tmp_path) -> None:
    cache = FeatureCache(tmp_path, FACTS, 5)
    cache.write_parts([])
    assert cache.merge(NAMES[:2]) == NAMES[:2]
    assert cache.open(NAMES[:2])
    assert cache.look_up(NAMES[:2], torch.zeros(2, 1, dtype=torch.int64))[2].tolist() == [False, False]


def test_features_of_another_length_are_refused(tmp_path) -> None:
    cache = FeatureCache(tmp_path, FACTS, 5)
    with pytest.raises(CacheError, match=r"S000: its features are \(1, 7\), not \(clips, 5\)"):
        cache.write_parts(videos(NAMES[:1], dim=7))


def test_a_digest_tells_weights_and_arguments_apart() -> None:
    torch.manual_seed(0)
    network = ResNet3D((4, 8), (1, 1))
    first = digest_of_weights(network)
    assert first == digest_of_weights(network)
    twin = ResNet3D((4, 8), (1, 1), max_pool=False)
    twin.load_state_dict(network.state_dict())
    assert digest_of_weights(twin) != first
    network.bn1.running_mean[0] += 1e-6
    assert digest_of_weights(network) != first
