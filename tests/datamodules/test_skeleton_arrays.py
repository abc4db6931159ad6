"""Other projects' files of arrays: read by explicit format, without running what is in them."""

import pickle
import re

import numpy as np
import pytest
from skeleton_fakes import standing_body

import cli
from datamodules import NTUSkeletonDataModule
from datamodules.prepare_arrays import prepare_arrays
from datamodules.readers.skeleton_arrays import describe, load_plain, read_arrays
from datamodules.skeleton_dataset import read_index
from datamodules.transforms.skeleton import preprocess

NAMES = ["S001C001P001R001A001", "S001C002P003R001A002", "S002C003P002R001A050"]


def recordings():
    bodies = [standing_body(frames, frames)[None] for frames in (5, 7, 9)]
    bodies[2] = np.concatenate([bodies[2], standing_body(9, 1, 1.0)[None]])
    return [np.float16(body) for body in bodies]


def write_pyskl(path, protocol=4, **changes):
    annotations = [
        {"frame_dir": name, "label": int(name[-3:]) - 1, "keypoint": body, "total_frames": body.shape[1], **changes}
        for name, body in zip(NAMES, recordings(), strict=True)
    ]
    split = {"xsub_train": NAMES[::2], "xsub_val": NAMES[1:2]}
    path.write_bytes(pickle.dumps({"split": split, "annotations": annotations}, protocol))
    return path


def write_agcn(folder, part, rows):
    sequences = [preprocess(np.float32(recordings()[row]))[0] for row in rows]
    np.save(folder / f"{part}_data_joint.npy", np.stack(sequences))
    labels = ([f"{NAMES[row]}.skeleton" for row in rows], [int(NAMES[row][-3:]) - 1 for row in rows])
    (folder / f"{part}_label.pkl").write_bytes(pickle.dumps(labels))
    return folder / f"{part}_data_joint.npy"


def check(folder):
    index = read_index(folder)
    assert [(sample.name, sample.frames) for sample in index] == list(zip(NAMES, (5, 7, 9), strict=True))
    array = np.load(folder / "skeletons.npy", mmap_mode="r")
    for sequence, body in zip(array, recordings(), strict=True):
        np.testing.assert_array_equal(sequence, preprocess(np.float32(body))[0])
    data = NTUSkeletonDataModule(folder, num_workers=0)
    data.prepare_data()
    data.setup("fit")
    assert [data.train_samples.path(row) for row in range(2)] == NAMES[::2]


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_pyskl(tmp_path, protocol):
    file = write_pyskl(tmp_path / "ntu60_3d.pkl", protocol)
    done = prepare_arrays([file], tmp_path / "out", "pyskl", progress=False)
    assert (done.samples, done.broken, done.read) == (3, [], 3)
    check(tmp_path / "out")
    assert prepare_arrays([file], tmp_path / "out", "pyskl", progress=False).read == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ntu60_3d.pkl", "out"]


def test_agcn(tmp_path, capsys):
    files = [str(write_agcn(tmp_path, part, rows)) for part, rows in (("train", (0, 2)), ("val", (1,)))]
    out = tmp_path / "out"
    assert cli.main(["prepare", "ntu", "--format", "agcn", "--root", *files, "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"3 samples in {out}\n"
    check(out)


def test_broken_sequences_are_listed(tmp_path):
    bodies = [*recordings(), np.full((1, 4, 25, 3), np.nan, np.float16), np.zeros((1, 4, 25, 3)), np.ones((4, 25))]
    names = [*NAMES, *(f"S001C001P001R001A{action:03d}" for action in (3, 4, 5)), "a walk", "S001C001P001R001A007"]
    bodies += recordings()[:2]
    annotations = [
        {"frame_dir": name, "label": int(name[-3:]) - 1 if name[-1].isdigit() and name[-1] != "7" else 0, "keypoint": b}
        for name, b in zip(names, bodies, strict=True)
    ]
    file = tmp_path / "x.pkl"
    file.write_bytes(pickle.dumps({"annotations": annotations}))
    done = prepare_arrays([file], tmp_path / "out", "pyskl", progress=False)
    assert done.samples == 3
    for line, what in zip(
        sorted(done.broken),
        [
            "A003: the coordinates are not all numbers of up to 50 m",
            "A004: no body is seen in any frame",
            r"A005: keypoint is (4, 25), not (M, T, 25, 3)",
            "A007: its label is 0, which is not that of its name",
            "a walk: 'a walk' is not a name such as S001C002P003R002A013; give the file its official name",
        ],
        strict=True,
    ):
        assert line.startswith(f"{file}: ")
        assert line.endswith(what)


class Command:
    """Runs a command when it is unpickled by trusting code."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        import os

        return os.system, (f"touch {self.file}",)


def test_nothing_in_a_pickle_is_run(tmp_path):
    (tmp_path / "bad.pkl").write_bytes(pickle.dumps({"annotations": [Command(tmp_path / "touched")]}))
    with pytest.raises(ValueError, match=r"it names \w+\.system, and only arrays and plain values are read"):
        read_arrays(tmp_path / "bad.pkl", "pyskl")
    assert not (tmp_path / "touched").exists()
    values = {"a": np.arange(3), "b": [np.float32(2), "text", b"bytes", None, (1, 2.5)], "c": np.array(["x", "y"])}
    (tmp_path / "good.pkl").write_bytes(pickle.dumps(values))
    loaded = load_plain(tmp_path / "good.pkl")
    assert loaded["b"] == values["b"]
    assert loaded["a"].tolist() == [0, 1, 2]


def test_a_wrong_guess_says_what_the_file_looks_like(tmp_path):
    pyskl, agcn = write_pyskl(tmp_path / "ntu60_3d.pkl"), write_agcn(tmp_path, "train", (0,))
    np.savez(tmp_path / "NTU60_CS.npz", x_train=np.zeros((1, 300, 150)), y_train=np.zeros((1, 60)))
    (tmp_path / "words.txt").write_text("not arrays")
    (tmp_path / "cut.pkl").write_bytes(pyskl.read_bytes()[:500])
    for file, format, what in (
        (pyskl, "agcn", "a pickled dict with 'split', 'annotations'"),
        (agcn, "pyskl", "one array float32 (1, 3, 300, 25, 2) (.npy, as of agcn)"),
        (tmp_path / "train_label.pkl", "pyskl", "a pickled tuple"),
        (tmp_path / "NTU60_CS.npz", "agcn", "an archive of x_train, y_train (.npz, as of ctrgcn)"),
        (tmp_path / "words.txt", "pyskl", "text"),
        (tmp_path / "cut.pkl", "pyskl", "a damaged file, or one that holds more than arrays"),
        (tmp_path, "pyskl", "a folder"),
        (tmp_path / "none.npy", "agcn", "nothing: there is no such file"),
    ):
        with pytest.raises(ValueError, match=re.escape(f"it looks like {what}; set another format")) as error:
            read_arrays(file, format)
        assert str(error.value).startswith(f"{file}: cannot be read as {format} (")
        assert describe(file) == what


def test_what_is_refused(tmp_path):
    file = write_pyskl(tmp_path / "a.pkl")
    with pytest.raises(ValueError, match="occurs twice; give each sample once"):
        prepare_arrays([file, file], tmp_path / "out", "pyskl", progress=False)
    with pytest.raises(ValueError, match=r"a\.pkl: is there and is no folder of prepared skeletons"):
        prepare_arrays([file], file, "pyskl", progress=False)
    write_pyskl(file, keypoint=np.zeros((1, 4, 17, 3)))
    with pytest.raises(ValueError, match=r"all 3 sequences are broken, such as .* keypoint is \(1, 4, 17, 3\)"):
        prepare_arrays([file], tmp_path / "out", "pyskl", progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["a.pkl"]
    (tmp_path / "train_label.pkl").write_bytes(pickle.dumps((NAMES, [0])))
    np.save(tmp_path / "train_data_joint.npy", np.zeros((2, 3, 300, 25, 2), np.float32))
    with pytest.raises(ValueError, match=r"2 sequences, but train_label.pkl has 3 names, 1 labels"):
        read_arrays(tmp_path / "train_data_joint.npy", "agcn")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[:, :, :, :17], r"A001: the sequence is \(3, 300, 17, 2\), not \(3, 300, 25, 2\)"),
        (lambda x: x * np.float32(np.nan), "A001: the coordinates are not all numbers of up to 50 m"),
        (lambda x: x * 0, "A001: no body is seen in any frame"),
    ],
)
def test_sequences_of_agcn_that_cannot_be(tmp_path, change, message):
    file = write_agcn(tmp_path, "train", (0,))
    np.save(file, change(np.load(file)))
    with pytest.raises(ValueError, match=f"all 1 sequences are broken, such as .*{message}"):
        prepare_arrays([file], tmp_path / "out", "agcn", progress=False)


def test_a_file_of_agcn_that_is_cut_short(tmp_path):
    file = write_agcn(tmp_path, "train", (0,))
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"train_data_joint\.npy: cannot be read as agcn \(mmap length is greater"):
        prepare_arrays([file], tmp_path / "out", "agcn", progress=False)
