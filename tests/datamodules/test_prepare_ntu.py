"""From .skeleton files to a cache: complete, resumable, atomic, and nothing broken in silence."""

import multiprocessing
import time

import numpy as np
import pytest
from skeleton_fakes import skeleton_text, standing_body, write_skeleton

import cli
from datamodules import prepare_ntu
from datamodules.prepare_ntu import find_recordings, prepare
from datamodules.readers.skeleton import read_ntu
from datamodules.skeleton_dataset import read_index
from datamodules.transforms.skeleton import preprocess


def raw_folder(root, count=40, num_frames=4):
    for number in range(count):
        name = f"S001C{number % 3 + 1:03d}P{number % 5 + 1:03d}R001A{number // 3 + 1:03d}"
        write_skeleton(root / f"part{number % 2}" / f"{name}.skeleton", num_frames, 1 + number % 2, number)
    return root


@pytest.mark.parametrize("workers", [1, 2])
def test_each_row_is_its_file_preprocessed(tmp_path, workers):
    root = raw_folder(tmp_path / "raw")
    done = prepare(root, tmp_path / "out", workers, progress=False)
    assert (done.samples, done.broken, done.read) == (40, [], 40)
    index = read_index(tmp_path / "out")
    assert [sample.name for sample in index] == sorted(path.stem for path in root.rglob("*.skeleton"))
    array = np.load(tmp_path / "out" / "skeletons.npy", mmap_mode="r")
    assert array.shape == (40, 3, 300, 25, 2)
    assert array.dtype == np.float32
    for sample in index[::7]:
        (path,) = root.rglob(f"{sample.name}.skeleton")
        sequence, frames = preprocess(read_ntu(path).listed())
        np.testing.assert_array_equal(array[sample.row], sequence)
        assert sample.frames == frames == 4
        assert sample.name == f"S{sample.setup:03d}C{sample.camera:03d}P{sample.subject:03d}R001A{sample.action:03d}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "raw"]


def test_a_body_is_known_by_its_place_or_by_its_number(tmp_path):
    """The first leaves: as published, the second takes its place."""
    a, b = standing_body(6, 0, energy=0.5), standing_body(6, 1, 1.0)
    frames = [{0: a[t], 1: b[t]} if t < 3 else {1: b[t]} for t in range(6)]
    path = tmp_path / "raw" / "S001C001P001R001A050.skeleton"
    path.parent.mkdir()
    path.write_bytes(skeleton_text(frames))
    zero = np.zeros((3, 25, 3))
    for bodies, sequences in (
        ("listed", [[*a[:3], *b[3:]], [*b[:3], *zero]]),
        ("tracked", [[*a[:3], *zero], b]),
    ):
        prepare(path.parent, tmp_path / bodies, 1, bodies, progress=False)
        expected, _ = preprocess(np.float32(sequences))
        np.testing.assert_array_equal(np.load(tmp_path / bodies / "skeletons.npy")[0], expected)


def test_broken_files_are_listed_and_counted(tmp_path, capsys):
    root = raw_folder(tmp_path / "raw", 6)
    (root / "S001C001P001R001A051.skeleton").write_bytes(b"3\n0\n0\n0\n")
    whole = next(root.rglob("*A001.skeleton"))
    (root / "S001C001P001R001A052.skeleton").write_bytes(whole.read_bytes()[:2000].rpartition(b"\n")[0])
    (root / "S001C001P001A053.skeleton").write_bytes(whole.read_bytes())
    (root / "S001C002P005R002A008.skeleton").write_bytes(b"")  # in the official list
    (root / "._S001C001P001R001A055.skeleton").write_bytes(b"not looked at")
    assert cli.main(["prepare", "ntu", "--root", str(root), "--out", str(tmp_path / "out"), "--workers", "1"]) == 0
    lines = (tmp_path / "out" / "broken.txt").read_text().splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(f"{root}/S001C001P001A053.skeleton:1: 'S001C001P001A053' is not a name such as S001C002")
    assert lines[1] == f"{root}/S001C001P001R001A051.skeleton:1: no body is seen in any frame; leave the file out"
    assert lines[2].startswith(f"{root}/S001C001P001R001A052.skeleton:25: the file ends in frame 1 of 4; ")
    out = capsys.readouterr().out
    assert out.startswith(f"6 samples in {tmp_path}/out, 1 without usable skeletons left out (official list); 3 broken")
    assert out.count("\n") == 1
    index = read_index(tmp_path / "out")
    assert len(index) == 8
    assert sum(sample.frames == 0 for sample in index) == 2


def test_nothing_is_done_twice(tmp_path):
    root = raw_folder(tmp_path / "raw", 6)
    prepare(root, tmp_path / "out", 1, progress=False)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    again = prepare(root, tmp_path / "out", 1, progress=False)
    assert (again.samples, again.read) == (6, 0)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == times
    with pytest.raises(ValueError, match="in another way; remove it"):
        prepare(root, tmp_path / "out", 1, "tracked", progress=False)
    write_skeleton(root / "S009C001P001R001A001.skeleton")
    with pytest.raises(ValueError, match="was prepared from other files"):
        prepare(root, tmp_path / "out", 1, progress=False)


def test_a_killed_run_goes_on(tmp_path, monkeypatch):
    root = raw_folder(tmp_path / "raw", 60)
    prepare(root, tmp_path / "whole", 1, progress=False)
    read = []

    def slow_read(path):
        time.sleep(0.01)
        return read_ntu(path)

    monkeypatch.setattr(prepare_ntu, "read_ntu", slow_read)
    process = multiprocessing.get_context("fork").Process(
        target=prepare, args=(root, tmp_path / "out", 1), kwargs={"progress": False}
    )
    process.start()
    started, done = (tmp_path / "out.part" / name for name in ("settings.json", "done.npy"))
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and (not started.is_file() or (np.load(done) > 0).sum() < 16):
        time.sleep(0.005)
    process.kill()
    process.join()
    assert not (tmp_path / "out").exists()
    finished = int((np.load(done) > 0).sum())
    assert 16 <= finished < 60

    def counted_read(path):
        read.append(path)
        return read_ntu(path)

    monkeypatch.setattr(prepare_ntu, "read_ntu", counted_read)
    assert prepare(root, tmp_path / "out", 1, progress=False).read == len(read) == 60 - finished
    for file in ("skeletons.npy", "num_frames.npy", "index.csv", "broken.txt"):
        assert (tmp_path / "out" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "raw", "whole"]


def test_a_stopped_command_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    def interrupt(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare_ntu, "read_ntu", interrupt)
    root = raw_folder(tmp_path / "raw", 3)
    assert cli.main(["prepare", "ntu", "--root", str(root), "--out", str(tmp_path / "out"), "--workers", "1"]) == 130
    assert capsys.readouterr().err.endswith("lightning: error: stopped; the same command goes on\n")


def test_a_part_of_other_files_is_not_taken_up(tmp_path):
    root = raw_folder(tmp_path / "raw", 4)
    part = tmp_path / "out.part"
    part.mkdir()
    (part / "settings.json").write_text('{"version": 0}')
    (part / "done.npy").write_bytes(b"old")
    assert prepare(root, tmp_path / "out", 1, progress=False).read == 4


def test_two_runs_at_once(tmp_path):
    root = raw_folder(tmp_path / "raw", 20)
    context = multiprocessing.get_context("fork")
    runs = [
        context.Process(target=prepare, args=(root, tmp_path / "out", 1), kwargs={"progress": False}) for _ in range(3)
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join(30)
    assert [run.exitcode for run in runs] == [0, 0, 0]
    assert sum(sample.frames > 0 for sample in read_index(tmp_path / "out")) == 20
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "raw"]


def test_what_is_refused(tmp_path, monkeypatch):
    root = raw_folder(tmp_path / "raw", 2)
    with pytest.raises(ValueError, match=r"no such folder; give the folder that holds the \.skeleton files"):
        prepare(tmp_path / "none", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"holds no \.skeleton files of NTU"):
        prepare(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(ValueError, match="raw: is there and is no folder of prepared skeletons"):
        prepare(root, root)
    with pytest.raises(ValueError, match="workers=0 must be at least 1"):
        prepare(root, tmp_path / "out", 0)
    with pytest.raises(ValueError, match="cannot be written"):
        prepare(root, "/proc/out")
    name = next(root.rglob("*.skeleton")).name
    write_skeleton(root / "again" / name)
    with pytest.raises(ValueError, match=r"is also at .*; keep one of the two"):
        find_recordings(root)

    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / name).write_bytes(b"1\n")
    with pytest.raises(ValueError, match=r"all 1 \.skeleton files are broken, such as .*:2: the file ends"):
        prepare(bad, tmp_path / "out", 1, progress=False)
    (bad / name).write_bytes((root / "again" / name).read_bytes())
    assert prepare(bad, tmp_path / "mended", 1, progress=False).samples == 1
    assert not (tmp_path / "out").exists()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.pwrite", full)
    with pytest.raises(ValueError, match=r"out: cannot be written \(No space left on device\); make room"):
        prepare(tmp_path / "raw" / "part0", tmp_path / "out", 1, progress=False)


def test_links_to_folders_are_followed_once(tmp_path):
    root = raw_folder(tmp_path / "raw", 4)
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "a").symlink_to(root)
    (root / "part0" / "round").symlink_to(tmp_path / "linked")
    assert len(find_recordings(tmp_path / "linked").files) == 4


def test_real_files(shared_data, tmp_path):
    done = prepare(shared_data / "ntu_rgbd", tmp_path / "out", 1, progress=False)
    assert (done.samples, done.broken) == (6, [])
    index = {sample.name: sample for sample in read_index(tmp_path / "out")}
    assert index["S017C003P020R002A056"][2:] == (20, 3, 17, 56, 80)
    array = np.load(tmp_path / "out" / "skeletons.npy", mmap_mode="r")
    two_people = [array[sample.row, ..., 1].any() for sample in index.values()]
    assert [sample.action for sample, two in zip(index.values(), two_people, strict=True) if two] == [50, 58, 56]
    np.testing.assert_allclose(array[:, :, :, 1, 0], 0, atol=1e-6)
