"""The embedded skeletons: real files, written once, in which only motion tells the class."""

import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from motion_oracle import oracle

from datamodules import NTUSkeletonDataModule, SyntheticNTUDataModule
from datamodules.depth_camera import INFERRED, SeenBody, cameras, film, pixels
from datamodules.kinematic_body import BONES, CLASSES, ONE_PERSON, Performer, perform
from datamodules.ntu_protocol import OFFICIAL_COUNTS, missing_skeletons, parse_name
from datamodules.readers.skeleton import read_ntu
from datamodules.synthetic_ntu import Content
from datamodules.transforms.skeleton import preprocess
from datamodules.writers.skeleton import write_skeleton


def performance(label, seed, speed=None):
    rng = np.random.default_rng([label, seed])
    performers = (Performer.draw(rng), Performer.draw(rng))
    if speed is not None:
        performers = tuple(performer._replace(speed=speed) for performer in performers)
    return perform(label, performers, rng)


@pytest.mark.parametrize("label", range(len(CLASSES)), ids=CLASSES)
def test_an_oracle_tells_the_action_from_the_motion(label):
    assert [oracle(performance(label, seed)) for seed in range(60)] == [label] * 60


def test_actions_come_in_reversed_pairs():
    for label in range(len(CLASSES)):
        assert oracle(performance(label, 0)[:, ::-1]) == label ^ 1


def nearest(bank, queries):
    """Share of queries whose nearest neighbour is of their class, one-person actions only."""
    right = 0
    known = np.array([features for _, features in bank])
    for label, features in queries:
        right += bank[int(np.square(known - features).sum(1).argmin())][0] == label
    return right / len(queries)


def test_a_single_frame_carries_little():
    rng = np.random.default_rng(0)
    single, change = [], []
    for seed in range(45):
        for label in range(ONE_PERSON):
            sequence, frames = preprocess(np.float32(performance(label, seed)))
            frame = sequence[:, int(rng.integers(frames)), :, 0]
            alone, _ = preprocess(frame.T[None, None], 1)
            single.append((label, alone[:, 0, :, 0].reshape(-1)))
            change.append((label, (sequence[:, frames - 1, :, 0] - sequence[:, 0, :, 0]).reshape(-1)))
    half = len(single) * 2 // 3
    assert nearest(single[:half], single[half:]) < 0.2  # chance is 0.1
    assert nearest(change[:half], change[half:]) > 0.5


def test_bones_keep_their_length_and_feet_the_ground():
    for label in range(len(CLASSES)):
        for body in performance(label, 1):
            for joint, (parent, _) in BONES.items():
                length = np.linalg.norm(body[:, joint] - body[:, parent], axis=-1)
                np.testing.assert_allclose(length, length[0], rtol=1e-9)
            np.testing.assert_allclose(body[..., 1].min(1), 0, atol=1e-9)
            assert 0.3 < body[:, 0, 1].min() < body[..., 1].max() < 2.6
    assert sorted(BONES) == list(range(1, 25))


def test_performers_differ_in_size_and_speed():
    performers = [Content(8, 1, 0, 1.0).performer(number) for number in range(1, 9)]
    sizes = [performer.bones.mean() for performer in performers]
    assert max(sizes) / min(sizes) > 1.1
    assert len({performer.speed for performer in performers}) == 8
    np.testing.assert_array_equal(performers[0].bones[4:8], performers[0].bones[8:12])
    assert performance(0, 0, speed=0.7).shape[1] > performance(0, 0, speed=1.4).shape[1] * 1.8


def test_left_is_left():
    """Somebody who faces the middle camera has the left hand where it sees smaller x, as in the real files."""
    body = performance(4, 0)
    seen = cameras(1)[1].see(body)[0]
    to_camera = np.cross(body[0, 0, 12] - body[0, 0, 16], [0, 1, 0])[2] > 0
    assert to_camera
    assert seen[0, 12, 0] < seen[0, 16, 0]
    assert (seen[..., 2] > 1).all()
    assert seen[0, 3, 1] > seen[0, 0, 1]


def test_three_cameras_see_the_same_body():
    body = performance(10, 3)
    views = [camera.see(body).reshape(-1, 3) for camera in cameras(2)]
    for view in views:
        np.testing.assert_allclose(
            np.linalg.norm(view[:50, None] - view[:50], axis=-1),
            np.linalg.norm(body.reshape(-1, 3)[:50, None] - body.reshape(-1, 3)[:50], axis=-1),
            atol=1e-9,
        )
    assert not np.allclose(views[0], views[1], atol=0.1)
    # Seen from the front, the middle of the first two is turned by 45 degrees from either.
    angle = [np.arctan2(*(view[12] - view[16])[[2, 0]]) for view in views]
    np.testing.assert_allclose(np.abs(np.diff(angle)), np.pi / 4, atol=0.2)


def test_pixels_are_those_of_the_sensor(shared_data):
    lines = (shared_data / "ntu_rgbd" / "skeletons" / "S001C001P001R001A001.skeleton").read_text().splitlines()
    values = np.array([line.split() for line in lines if len(line.split()) == 12], float)
    depth, colour = pixels(values[:, :3])
    assert np.abs(depth - values[:, 3:5]).max() < 4
    assert np.abs(colour - values[:, 5:7]).max() < 25


def test_the_sensor_errs():
    body = performance(0, 0)[:, :40].repeat(5, 1)
    frames = film(body, cameras(1)[0], np.random.default_rng(0))
    seen = np.array([bool(bodies) for bodies in frames])
    assert 0 < (~seen).sum() < 20
    truth = cameras(1)[0].see(body)[0]
    error = np.array([bodies[0].joints - truth[time] for time, bodies in enumerate(frames) if bodies])
    tracking = np.array([bodies[0].tracking for bodies in frames if bodies])
    assert error[tracking == INFERRED].std() == pytest.approx(0.03, rel=0.2)
    assert error[tracking != INFERRED].std() == pytest.approx(0.006, rel=0.1)
    exact = film(body, cameras(1)[0], np.random.default_rng(0), noise=0)
    np.testing.assert_array_equal([bodies[0].joints for bodies in exact], truth)


def test_what_is_written_is_read(tmp_path):
    body = np.round(np.random.default_rng(0).uniform(0.5, 3, (2, 3, 25, 3)), 5)
    tracking = np.full(25, 2)
    frames = [[SeenBody(2**56 + m, body[m, t], tracking) for m in range(t)] for t in range(3)]
    path = tmp_path / "S001C001P001R001A001.skeleton"
    write_skeleton(path, frames)
    recording = read_ntu(path)
    assert recording.ids == (2**56, 2**56 + 1)
    assert recording.frame.tolist() == [1, 2, 2]
    np.testing.assert_array_equal(recording.joints, np.float32([body[0, 1], body[0, 2], body[1, 2]]))


def test_the_format_is_that_of_real_files(shared_data, tmp_path):
    """Line by line as many values, whole where the real ones are whole."""
    path = tmp_path / "S001C001P001R001A001.skeleton"
    write_skeleton(path, film(performance(0, 0), cameras(1)[0], np.random.default_rng(0), noise=0))
    real = (shared_data / "ntu_rgbd" / "skeletons" / "S001C001P001R001A001.skeleton").read_text().splitlines()
    ours = path.read_text().splitlines()
    for a, b in zip(ours[1:29], real[1:29], strict=True):
        assert len(a.split()) == len(b.split())
        assert re.fullmatch(r"\d+", a.split()[-1])


def tiny(cache, **changes):
    return SyntheticNTUDataModule(**{"cache": cache, "performers": 3, "repetitions": 1, "num_workers": 0, **changes})


def test_writes_an_ntu_and_reads_it(tmp_path, caplog):
    data = tiny(tmp_path, global_batch_size=8)
    assert isinstance(data, NTUSkeletonDataModule)
    data.prepare_data()
    files = sorted(path.stem for path in data.root.iterdir())
    assert len(files) == 3 * 14 * 3
    assert {parse_name(name).camera for name in files} == {1, 2, 3}
    assert {parse_name(name).action for name in files} == set(range(1, 15))
    with caplog.at_level("INFO"):
        data.setup("fit")
    assert "84 training sequences, 42 to test" in caplog.text
    assert "official" not in caplog.text
    assert data.num_classes == len(CLASSES)
    assert data.class_names == CLASSES
    batch = next(iter(data.train_dataloader()))
    assert batch["skeleton"].shape == (8, 3, 300, 25, 2)
    for skeleton, label, name in zip(batch["skeleton"], batch["label"], batch["name"], strict=True):
        assert parse_name(name).action == label + 1
        assert bool(skeleton[..., 1].any()) == (label >= ONE_PERSON)
    assert {parse_name(name).subject for name in batch["name"]} <= {1, 2}


def test_each_protocol_trains_and_tests(tmp_path):
    for protocol, train in (("xsub", 84), ("xview", 84), ("xsetup", 84)):
        data = tiny(tmp_path, protocol=protocol)
        data.prepare_data()
        data.setup("fit")
        assert len(data.train_samples) + len(data.val_samples) == 126
        assert len(data.train_samples) == train
    assert len(list(tmp_path.iterdir())) == 1
    assert OFFICIAL_COUNTS["ntu60", "xsub"] == (40_091, 16_487)


def test_none_of_ours_has_the_name_of_an_unusable_one():
    names = {str(name._replace(camera=c)) for name in Content(40, 2, 0, 1.0).performances() for c in (1, 2, 3)}
    assert len(names) == 40 * 2 * 14 * 3
    assert not names & missing_skeletons("ntu120")


def test_written_once_and_the_same_again(tmp_path):
    first, second = tiny(tmp_path / "a", performers=1), tiny(tmp_path / "b", performers=1)
    first.prepare_data()
    times = {path: path.stat().st_mtime_ns for path in first.root.parent.rglob("*")}
    first.prepare_data()
    assert {path: path.stat().st_mtime_ns for path in first.root.parent.rglob("*")} == times
    second.prepare_data()
    for path in first.root.iterdir():
        assert path.read_bytes() == (second.root / path.name).read_bytes()
    assert tiny(tmp_path / "a", performers=1, content_seed=1).root != first.root


def test_modules_that_start_together_share_one_folder(tmp_path):
    modules = [tiny(tmp_path, performers=1) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda module: module.prepare_data(), modules))
    assert sorted(path.name for path in modules[0].root.parent.iterdir()) == ["listed", "skeletons"]
    assert len(list(modules[0].root.iterdir())) == 42


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("datamodules.synthetic_ntu.write_skeleton", full_disk)
    data = tiny(tmp_path)
    with pytest.raises(OSError, match="No space left"):
        data.prepare_data()
    assert not list(data.root.parent.iterdir())


@pytest.mark.parametrize("changes", [{"performers": 41}, {"performers": 0}, {"repetitions": 0}, {"noise": -1}])
def test_what_is_refused(tmp_path, changes):
    with pytest.raises(ValueError, match=f"{next(iter(changes))}="):
        tiny(tmp_path, **changes)
