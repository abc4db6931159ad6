"""Elements of FineGym cut out of raw videos, to the frame, and goes on where it was."""

import json
import os
import re

import numpy as np
import pytest
from fakes import moving_texture, write_video

import cli
from datamodules.prepare_finegym import prepare_finegym
from datamodules.readers.video import VideoReader

FIRST, SECOND, THIRD = "first-45678", "second_5678", "third678901"
FPS = 20
# Of the first video: a key frame is 1.2 s before the first element, the second follows at once, the last is the end.
EVENTS = {
    FIRST: {
        "E_000001_000004": {
            "timestamps": [[1.5, 4.5]],
            "segments": {
                "A_0000_0001": {"stages": 1, "timestamps": [[0.3, 1.0]]},
                "A_0001_0001": {"stages": 3, "timestamps": [[1.0, 1.12], [1.12, 1.2], [1.2, 1.37]]},
                "A_0002_0003": {"stages": 1, "timestamps": [[2.5, 3.0]]},
            },
        },
        "E_000005_000006": {"timestamps": [[5.0, 6.0]], "segments": None},
    },
    SECOND: {
        "E_000000_000001": {
            "timestamps": [[0.0, 1.0]],
            "segments": {"A_0000_0000": {"stages": 1, "timestamps": [[0.0, 0.5]]}},
        }
    },
}
FRAMES = {
    f"{FIRST}_E_000001_000004_A_0000_0001": range(36, 50),
    f"{FIRST}_E_000001_000004_A_0001_0001": range(50, 58),  # 2.87 s is within the frame 57
    f"{FIRST}_E_000001_000004_A_0002_0003": range(80, 90),
    f"{SECOND}_E_000000_000001_A_0000_0000": range(10),
}


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """A raw folder and annotations; not to be changed."""
    folder = tmp_path_factory.mktemp("finegym")
    for name, seed in ((f"some/Final [{FIRST}].mkv", 0), (f"{SECOND}.mp4", 1)):
        write_video(folder / "raw" / name, moving_texture(90, 66, 86, seed), fps=FPS)
    write_video(folder / "raw" / "not of FineGym.mp4", 2)
    (folder / "times.json").write_text(json.dumps(EVENTS))
    return folder


def frames_of(path):
    with VideoReader(path) as video:
        assert video.fps == pytest.approx(FPS)
        return video.read(np.arange(video.num_frames))


def which(shown, raw):
    """Return the raw frame that each shown one is most like."""
    distances = np.abs(shown[:, None].astype(np.float32) - raw[None]).mean((2, 3, 4))
    assert (distances.min(1) < 12).all()
    return distances.argmin(1).tolist()


def run(material, out, **arguments):
    return prepare_finegym(
        material / "raw", material / "times.json", out, **{"workers": 1, "progress": False, **arguments}
    )


def test_elements_are_exact(material, tmp_path, monkeypatch):
    monkeypatch.setattr("datamodules.prepare_finegym._BYTES_AT_ONCE", 5 * 66 * 86 * 3)  # in parts of 5 frames
    done = run(material, tmp_path / "out", short_side=None)
    assert (done.elements, done.wanted, done.trimmed) == (4, 4, 4)
    assert not done.missing
    assert not done.broken
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert files == {"settings.json", *(f"{name}.mp4" for name in FRAMES)}
    raw = {
        FIRST: frames_of(material / "raw" / "some" / f"Final [{FIRST}].mkv"),
        SECOND: frames_of(material / "raw" / f"{SECOND}.mp4"),
    }
    for name, numbers in FRAMES.items():
        shown = frames_of(tmp_path / "out" / f"{name}.mp4")
        assert shown.shape[1:3] == (66, 86)
        assert which(shown, raw[name[:11]]) == list(numbers)


def test_frames_are_shrunk_to_even_sides_and_never_grown(material, tmp_path):
    name = next(iter(FRAMES))
    run(material, tmp_path / "small", short_side=33)
    assert frames_of(tmp_path / "small" / f"{name}.mp4").shape == (14, 32, 42, 3)
    run(material, tmp_path / "large", short_side=500)
    assert frames_of(tmp_path / "large" / f"{name}.mp4").shape == (14, 66, 86, 3)


def test_it_goes_on_where_it_was_and_lists_choose(material, tmp_path):
    out, file = tmp_path / "out", tmp_path / "list.txt"
    first, second, *others = FRAMES
    file.write_text(f"{second}.avi 3\n")
    done = run(material, out, lists=[file])
    assert (done.elements, done.wanted, done.trimmed) == (1, 1, 1)
    before = (out / f"{second}.mp4").stat().st_mtime_ns
    (out / f"{first}.mp4.1.part").write_bytes(b"of a run that was killed")
    done = run(material, out, workers=2)
    assert (done.elements, done.wanted, done.trimmed) == (4, 4, 3)
    assert (out / f"{second}.mp4").stat().st_mtime_ns == before
    (out / f"{others[0]}.mp4").unlink()
    assert run(material, out).trimmed == 1


def test_what_is_missing_or_broken_is_listed_until_it_is_there(material, tmp_path):
    raw, out, times, chosen = (tmp_path / name for name in ("raw", "out", "times.json", "list.txt"))
    raw.mkdir()
    os.link(material / "raw" / f"{SECOND}.mp4", raw / f"{SECOND}.mp4")
    (raw / f"{THIRD}.mp4").write_bytes(b"no video")
    late = {"E_000000_000009": {"timestamps": [[0, 9]], "segments": {"A_0004_0006": {"timestamps": [[4.2, 6.0]]}}}}
    short = {"E_000000_000005": {"timestamps": [[0, 5]], "segments": {"A_0004_0004": {"timestamps": [[4.2, 4.6]]}}}}
    times.write_text(json.dumps({**EVENTS, THIRD: late, SECOND: {**EVENTS[SECOND], **late, **short}}))
    done = prepare_finegym(raw, times, out, workers=1, progress=False)
    assert (done.elements, done.wanted) == (2, 7)
    assert done.missing == [FIRST]
    assert (out / "missing.txt").read_text() == f"{FIRST}\n"
    late_name, third_name = f"{SECOND}_E_000000_000009_A_0004_0006", f"{THIRD}_E_000000_000009_A_0004_0006"
    assert done.broken[0] == (
        f"{late_name}: {raw}/{SECOND}.mp4: ends after 4.50 s, the element at 6.00 s; get the whole video"
    )
    assert done.broken[1].startswith(f"{third_name}: {raw}/{THIRD}.mp4: ")
    assert (out / "broken.txt").read_text().splitlines() == done.broken
    assert "2 of 7 elements" in str(done)
    assert "1 raw videos are missing, such as first-45678 (all in" in str(done)
    assert "2 elements could not be had, such as" in str(done)
    # 4.6 s is a little after the end: the last frames are taken.
    assert len(frames_of(out / f"{SECOND}_E_000000_000005_A_0004_0004.mp4")) == 6
    chosen.write_text(f"{SECOND}_E_000000_000001_A_0000_0000 1\n{SECOND}_E_000000_000001_A_0000_0001 1\n")
    done = prepare_finegym(raw, times, out, [chosen], workers=1, progress=False)
    assert done.broken == [f"{SECOND}_E_000000_000001_A_0000_0001: is not in {times}; give annotations that have it"]
    assert (done.elements, done.wanted, done.missing) == (1, 2, [])
    assert not (out / "missing.txt").exists()


def test_what_is_refused(material, tmp_path):
    raw, times, out = material / "raw", material / "times.json", tmp_path / "out"

    def refused(words, *arguments, **options):
        with pytest.raises(ValueError, match=re.escape(words)) as caught:
            prepare_finegym(*arguments, **{"workers": 1, "progress": False, **options})
        assert "\n" not in str(caught.value)

    refused("no such folder", tmp_path / "none", times, out)
    refused(f"{tmp_path / 'none.json'}: cannot be read", raw, tmp_path / "none.json", out)
    refused("short_side=1 must be at least 2", raw, times, out, short_side=1)
    refused("is there and is no folder of elements of FineGym", raw, times, raw)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.mp4").touch()
    refused("holds no videos named by a YouTube id", tmp_path / "raw", times, out)
    for name in (f"{FIRST}.mp4", f"Final [{FIRST}].mp4"):
        (tmp_path / "raw" / name).touch()
    refused(f"{FIRST}.mp4: is also at Final [{FIRST}].mp4; keep one", tmp_path / "raw", times, out)
    (tmp_path / "raw" / f"{FIRST}.mp4").unlink()
    refused("none of the 4 elements could be cut out: first-45678_E_0", tmp_path / "raw", times, tmp_path / "other")
    run(material, out)
    refused("was made in another way", raw, times, out, short_side=32)
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps({FIRST: EVENTS[FIRST]}))
    refused("was made in another way", raw, changed, out)


def test_the_command(material, tmp_path, capsys):
    arguments = ["prepare", "finegym", "--root", str(material / "raw"), "--out", str(tmp_path / "out")]
    assert cli.main(arguments) == 2
    assert "prepare finegym needs --annotations FILE" in capsys.readouterr().err
    arguments += ["--annotations", str(material / "times.json"), "--workers", "1"]
    assert cli.main([*arguments, "--short_side", "0"]) == 0
    assert "4 of 4 elements in" in capsys.readouterr().out
    assert frames_of(tmp_path / "out" / f"{next(iter(FRAMES))}.mp4").shape == (14, 66, 86, 3)
    assert cli.main(arguments) == 1
    assert "was made in another way" in capsys.readouterr().err
