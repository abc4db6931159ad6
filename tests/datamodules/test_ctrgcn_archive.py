"""CTR-GCN's archives: read row by row, with the split of the file, damage told in one line."""

import re

import numpy as np
import pytest
from skeleton_fakes import names, standing_body, write_cache

import cli
from datamodules import NTUSkeletonDataModule
from datamodules.ntu_protocol import OFFICIAL_COUNTS
from datamodules.prepare_arrays import prepare_arrays
from datamodules.readers.array_archive import ArchivedArray
from datamodules.readers.skeleton_arrays import read_arrays
from datamodules.skeleton_dataset import read_index
from datamodules.transforms.skeleton import preprocess

LABELS = {"train": (4, 0, 59), "test": (7, 1)}


def recording(seed, two):
    """A sequence as of CTR-GCN: (M, T, 25, 3) less where the first one's spine is at first."""
    bodies = [standing_body(5 + seed, seed)] + ([standing_body(5 + seed, 50 + seed, 1.0)] if two else [])
    return np.float32(np.stack(bodies) - bodies[0][0, 1])


def recordings():
    numbers = iter(range(9))
    return {part: [recording(number := next(numbers), number % 2) for _ in labels] for part, labels in LABELS.items()}


def arrays(lone_twice=False, **changes):
    content = {}
    for part, sequences in recordings().items():
        x = np.zeros((len(sequences), 300, 150), np.float32)
        for row, bodies in zip(x, sequences, strict=True):
            if lone_twice:
                bodies = bodies[[0, -1]]
            row[: bodies.shape[1], : 75 * len(bodies)] = bodies.transpose(1, 0, 2, 3).reshape(bodies.shape[1], -1)
        content |= {f"x_{part}": x, f"y_{part}": np.eye(60)[list(LABELS[part])]}
    return content | changes


def check(folder):
    index = read_index(folder)
    assert [sample.name for sample in index] == [
        *(f"test_00000{i}" for i in (0, 1)),
        *(f"train_00000{i}" for i in (0, 1, 2)),
    ]
    assert [sample.action - 1 for sample in index] == [*LABELS["test"], *LABELS["train"]]
    sequences = recordings()
    for sample, row in zip(index, np.load(folder / "skeletons.npy", mmap_mode="r"), strict=True):
        part, _, number = sample.name.partition("_")
        expected, frames = preprocess(sequences[part][int(number)])
        np.testing.assert_array_equal(row, expected)
        assert sample.frames == frames == sequences[part][int(number)].shape[1]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("lone_twice", [False, True])
def test_each_row_is_its_sequence_preprocessed(tmp_path, save, lone_twice):
    save(tmp_path / "NTU60_CS.npz", **arrays(lone_twice))
    done = prepare_arrays([tmp_path / "NTU60_CS.npz"], tmp_path / "out", "ctrgcn", progress=False)
    assert (done.samples, done.broken) == (5, [])
    check(tmp_path / "out")


def test_the_split_is_the_files_own(tmp_path, capsys, monkeypatch):
    np.savez(tmp_path / "NTU60_CV.npz", **arrays())
    out = tmp_path / "out"
    arguments = ["prepare", "ntu", "--format", "ctrgcn", "--root", str(tmp_path / "NTU60_CV.npz"), "--out", str(out)]
    assert cli.main(arguments) == 0
    assert capsys.readouterr().out == f"5 samples in {out}\n"

    def parts(**arguments):
        data = NTUSkeletonDataModule(out, num_workers=0, **arguments)
        data.setup("fit")
        return [[part.path(row) for row in range(len(part))] for part in (data.train_samples, data.val_samples)]

    own = [["train_000000", "train_000001", "train_000002"], ["test_000000", "test_000001"]]
    assert parts(protocol="file") == own
    with pytest.raises(
        ValueError, match="3 and 2 sequences of ntu60, which is not the official xview; set protocol=file"
    ):
        parts(protocol="xview")
    monkeypatch.setitem(OFFICIAL_COUNTS, ("ntu60", "xview"), (3, 2))
    assert parts(protocol="xview") == own
    with pytest.raises(ValueError, match="which is not the official xsub"):
        parts(protocol="xsub")


def test_a_cache_of_names_has_no_split_of_its_own(tmp_path):
    data = NTUSkeletonDataModule(write_cache(tmp_path / "c", names(), 8), protocol="file")
    with pytest.raises(ValueError, match="its samples have names and no split of their own; set another protocol"):
        data.setup("fit")


def test_broken_sequences_are_listed(tmp_path):
    content = arrays()
    content["x_train"][1, 3, 7] = np.nan
    content["x_test"][0] = 0
    content["y_train"][0, 5] = 1
    content["y_test"][1] = 0.5
    np.savez(tmp_path / "a.npz", **content)
    done = prepare_arrays([tmp_path / "a.npz"], tmp_path / "out", "ctrgcn", progress=False)
    assert done.samples == 1
    assert sorted(done.broken) == [
        f"{tmp_path}/a.npz: test_000000: no body is seen in any frame",
        f"{tmp_path}/a.npz: test_000001: its label is not one-hot",
        f"{tmp_path}/a.npz: train_000000: its label is not one-hot",
        f"{tmp_path}/a.npz: train_000001: the coordinates are not all numbers of up to 50 m",
    ]


class Unsafe:
    def __reduce__(self):
        return print, ("run",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_train": np.zeros((3, 3, 300, 25, 2))}, "x_train is float64 (3, 3, 300, 25, 2), not float (N, T, 150)"),
        ({"x_test": np.zeros((2, 300, 75))}, "x_test is float64 (2, 300, 75), not float (N, T, 150)"),
        ({"x_test": np.zeros((2, 300, 150), np.int32)}, "x_test is int32 (2, 300, 150), not float (N, T, 150)"),
        ({"y_train": np.zeros(3)}, "y_train is float64 (3,), not one-hot (N, classes)"),
        ({"y_train": np.zeros((2, 60))}, "3 sequences in x_train, 2 in y_train"),
        ({"y_test": np.array([[Unsafe()]])}, "y_test is object (1, 1), which is not read row by row"),
        ({"x_test": np.zeros((2, 300, 150)).T}, "x_test is float64 (150, 300, 2), which is not read row by row"),
    ],
)
def test_arrays_that_are_something_else(tmp_path, changes, message, capsys):
    np.savez(tmp_path / "a.npz", **arrays(**changes))
    with pytest.raises(
        ValueError, match=re.escape(f"a.npz: cannot be read as ctrgcn ({message}); it looks like")
    ) as error:
        read_arrays(tmp_path / "a.npz", "ctrgcn")
    assert "\n" not in str(error.value)
    assert capsys.readouterr().out == ""


def test_files_that_are_something_else(tmp_path):
    content = arrays()
    del content["y_test"]
    np.savez(tmp_path / "part.npz", **content)
    np.save(tmp_path / "one.npy", np.zeros((1, 3, 300, 25, 2), np.float32))
    np.savez(tmp_path / "whole.npz", **arrays())
    (tmp_path / "cut.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:-2000])
    for name, message in (
        (
            "part.npz",
            "no array y_test, only x_train, y_train, x_test); it looks like an archive of x_train, y_train, x_test",
        ),
        (
            "one.npy",
            "File is not a zip file); it looks like one array float32 (1, 3, 300, 25, 2) (.npy, as of agcn); set",
        ),
        ("cut.npz", "File is not a zip file); it looks like an archive that is cut short (.npz); copy the file"),
        ("none.npz", "No such file or directory); it looks like nothing: there is no such file; set another"),
    ):
        with pytest.raises(ValueError, match=re.escape(f"{name}: cannot be read as ctrgcn ({message}")):
            prepare_arrays([tmp_path / name], tmp_path / "out", "ctrgcn", progress=False)
    with pytest.raises(
        ValueError, match=r"it looks like an archive of x_train, .* \(\.npz, as of ctrgcn\); set another"
    ):
        prepare_arrays([tmp_path / "whole.npz"], tmp_path / "out", "pyskl", progress=False)


def test_damage_inside_is_found_by_its_sum(tmp_path):
    file = tmp_path / "a.npz"
    np.savez(file, **arrays())
    content = bytearray(file.read_bytes())
    place = content.index(np.float32(recordings()["train"][1][0, 2]).tobytes())
    content[place] ^= 1
    file.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"a\.npz: is damaged \(Bad CRC-32 for file 'x_train\.npy'\); copy the file again"
    ):
        prepare_arrays([file], tmp_path / "out", "ctrgcn", progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_rows_in_any_order(tmp_path, save):
    values = np.random.default_rng(0).standard_normal((5, 4, 3))
    save(tmp_path / "a.npz", values=values, none=np.zeros((0, 3)))
    array = ArchivedArray(tmp_path / "a.npz", "values")
    assert (array.shape, array.dtype) == (values.shape, values.dtype)
    for number in (2, 4, 4, 0, 1):
        np.testing.assert_array_equal(array.row(number), values[number])
    np.testing.assert_array_equal(array.rows(), values)
    assert ArchivedArray(tmp_path / "a.npz", "none").rows().shape == (0, 3)
