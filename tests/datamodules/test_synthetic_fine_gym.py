"""The embedded FineGym: names, lists, categories, a balanced and a long-tailed list, and elements by their motion."""

import re

import numpy as np
import pytest

from datamodules import SyntheticFineGymDataModule
from datamodules.synthetic_fine_gym import ELEMENTS, categories, draw_pose, performances, render


def tiny(cache, **changes):
    arguments = {"train_repetitions": 3, "val_repetitions": 1, "video_frames": 6, "num_frames": 4, "num_workers": 0}
    return SyntheticFineGymDataModule(cache=cache, **{**arguments, **changes})


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gym")
    tiny(folder).prepare_data()
    return folder


def counts(samples):
    numbers = np.bincount(samples.labels.tolist())
    return {label: int(number) for label, number in enumerate(numbers) if number}


@pytest.mark.parametrize(
    ("subset", "num_classes", "labels"),
    [
        ("gym99", 99, [0, 1, 2, 6, 7, 8, 9, 10, 11, 17, 18, 74, 75, 76, 77]),
        ("vault", 6, [0, 1, 2]),
        ("floor", 35, [0, 1, 2, 3, 4, 5, 11, 12]),
        ("fx_s1", 11, [0, 1, 2, 3, 4, 5]),
        ("ub_s1", 15, [0, 1, 2, 3]),
    ],
)
def test_every_subset_is_read_and_balanced(cache, subset, num_classes, labels):
    data = tiny(cache, subset=subset, global_batch_size=3)
    data.prepare_data()
    data.setup("fit")
    assert counts(data.train_samples) == dict.fromkeys(labels, 3)
    assert counts(data.val_samples) == dict.fromkeys(labels, 1)
    assert data.num_classes == num_classes
    assert next(iter(data.train_dataloader()))["clip"].shape == (3, 1, 4, 32, 32, 3)


def test_gym288_has_a_long_tail(cache):
    data = tiny(cache, subset="gym288")
    data.setup("fit")
    numbers = [counts(data.train_samples)[element.gym288] for element in ELEMENTS]
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[0] == 3
    assert numbers[-1] == 1
    assert counts(data.val_samples) == dict.fromkeys(sorted(element.gym288 for element in ELEMENTS), 1)
    assert data.num_classes == 288


def test_names_and_lists_are_those_of_finegym(cache):
    data = tiny(cache)
    rows = {split: (data.root / "annotations" / f"gym99_{split}.txt").read_text() for split in ("train", "val")}
    for text in rows.values():
        for line in text.splitlines():
            assert re.fullmatch(r"[\w-]{11}_E_\d{6}_\d{6}_A_\d{4}_\d{4} \d+", line)
    names = {split: {line.split()[0] for line in text.splitlines()} for split, text in rows.items()}
    assert len(names["train"]) == 45
    assert not {name[:11] for name in names["train"]} & {name[:11] for name in names["val"]}


def test_every_element_is_in_its_set():
    for name in ("gym99", "gym288"):
        lines = categories(name).splitlines()
        for element in ELEMENTS:
            label = getattr(element, name)
            if label is not None:
                assert lines[label].startswith(f"Clabel: {label:3d}; set: {element.set:2d};")
                assert lines[label].endswith(f"; {element.name}")
    assert len({element.name for element in ELEMENTS}) == len(ELEMENTS)


def test_performances_of_a_gymnast_are_of_one_event_and_look_alike():
    rows = performances([4] * len(ELEMENTS), 10, np.random.default_rng(0))
    assert len({row.name for row in rows}) == 4 * len(ELEMENTS)
    events = {}
    for row in rows:
        events.setdefault(row.gymnast, set()).add(ELEMENTS[row.element].event)
        assert 0 <= row.action < 6
    assert all(len(event) == 1 for event in events.values())
    assert min(events) == 10

    def middle(element, gymnast, action):
        rngs = np.random.default_rng(gymnast), np.random.default_rng([gymnast, action])
        return np.median(render(element, 2, 40, 48, *rngs)[0], (0, 1))

    first, second = ELEMENTS[1], ELEMENTS[4]
    assert np.abs(middle(first, 1, 0) - middle(second, 1, 1)).max() < 5
    assert np.abs(middle(first, 1, 0) - middle(second, 2, 1)).max() > 10


@pytest.mark.parametrize("element", ELEMENTS, ids=lambda element: element.name)
def test_motion_is_that_of_its_element(element):
    for seed in range(4):
        pose = draw_pose(element, 60, 40, 48, np.random.default_rng(seed))
        assert all(values.dtype == np.float32 and values.shape == (60,) for values in pose)
        x, y, _, angle = (np.diff(values) for values in pose)
        if element.kind in ("flight", "travelling leap"):
            assert (np.sign(x) == np.sign(x[0])).all()
            assert np.sign(angle[0]) == element.turns * np.sign(x[0])
            low, high = (0.06, 0.09) if element.kind == "flight" else (0.02, 0.04)
            assert low * 40 < np.abs(x).mean() < high * 40
        elif element.kind == "circle":
            around = np.sign(x[:-1] * y[1:] - x[1:] * y[:-1])
            assert (around == around[0]).all()
            assert np.sign(angle[0]) == element.turns * around[0]
        if element.kind in ("leap", "spot"):
            assert (x == 0).all()
        rounds = np.abs(angle.sum()) / (2 * np.pi)
        assert abs(element.turns) * 59 / 18 <= rounds + 1e-3
        assert rounds - 1e-3 <= abs(element.turns) * 59 / 12
        if element.kind == "spot":
            assert (y == 0).all()
        else:
            assert 0.1 * 40 < np.ptp(pose.y) < 0.6 * 40


def test_content_depends_on_its_seed_alone(cache, tmp_path):
    first, again = tiny(cache), tiny(tmp_path)
    again.prepare_data()
    files = [path.relative_to(first.root) for path in first.root.rglob("*") if path.is_file()]
    assert len(files) == 72  # 45 and 3 of the tail to train with, 18 to test with, 6 lists
    for file in files:
        assert (again.root / file).read_bytes() == (first.root / file).read_bytes()
    assert tiny(tmp_path, content_seed=1).root != again.root


def test_arguments_out_of_range(tmp_path):
    with pytest.raises(ValueError, match="width=47"):
        tiny(tmp_path, width=47)
    with pytest.raises(ValueError, match="train_repetitions"):
        tiny(tmp_path, train_repetitions=0)
