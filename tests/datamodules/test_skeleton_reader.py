"""Skeleton text: read as a plain loop reads it, or refused with file and line."""

import re

import numpy as np
import pytest
from skeleton_fakes import FIRST_ID, skeleton_text, standing_body

from datamodules.readers.skeleton import (
    _parse_any_ntu,
    _parse_plain_ntu,
    parse_ntu,
    parse_pku,
    read_ntu,
    read_num_frames,
    read_pku,
)

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE)


def plain(text):
    """Read a .skeleton value by value: list of (frame, order, ID, 25 x 3), or ValueError."""
    lines = [re.findall(r"[^ \t\r]+", line) for line in text.decode("ascii").split("\n")]
    position = 0

    def line(fields):
        nonlocal position
        position += 1
        words = lines[position - 1] if position <= len(lines) else []
        if len(words) != fields or not all(NUMBER.fullmatch(word) for word in words):
            raise ValueError(f"line {position}")
        return words

    def whole(word):
        if not re.fullmatch(r"\d+", word):
            raise ValueError(f"line {position}")
        return int(word)

    rows = []
    frames = whole(line(1)[0])
    for frame in range(frames):
        ids = []
        for order in range(whole(line(1)[0])):
            ids.append(whole(line(10)[0]))
            if whole(line(1)[0]) != 25:
                raise ValueError("joints")
            joints = [[float(word) for word in line(12)[:3]] for _ in range(25)]
            if not all(abs(value) <= 50 for joint in joints for value in joint):
                raise ValueError("metres")
            rows.append((frame, order, ids[-1], joints))
        if len(set(ids)) < len(ids):
            raise ValueError("twice")
    if any(lines[position:]):
        raise ValueError("more")
    return frames, rows


def coming_and_going(newline="\n"):
    """Five frames: nobody, one, both (the second named first), the second, both with a third."""
    a, b, c = (standing_body(5, seed, seed) for seed in range(3))
    frames = [{}, {0: a[1]}, {1: b[2], 0: a[2]}, {1: b[3]}, {0: a[4], 2: c[4], 1: b[4]}]
    return skeleton_text(frames, newline), (a, b, c)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_bodies_that_come_and_go(newline):
    text, (a, b, c) = coming_and_going(newline)
    recording = parse_ntu(text, "x")
    assert recording.num_frames == 5
    assert recording.ids == (FIRST_ID, FIRST_ID + 1, FIRST_ID + 2)  # a float64 takes them for one
    zero = np.zeros((25, 3))
    tracked = [[zero, a[1], a[2], zero, a[4]], [zero, zero, b[2], b[3], b[4]], [zero, zero, zero, zero, c[4]]]
    np.testing.assert_array_equal(recording.tracked(), np.float32(tracked))
    listed = [[zero, a[1], b[2], b[3], a[4]], [zero, zero, a[2], zero, c[4]]]
    np.testing.assert_array_equal(recording.listed(2), np.float32(listed))
    assert recording.listed(4).shape == (4, 5, 25, 3)
    np.testing.assert_array_equal(recording.first(3).tracked(), np.float32(tracked)[:, :3])
    assert recording.first(9).num_frames == 5


@pytest.mark.parametrize("text", [b"0\n", b"2\n0\n0\n", b"2\r\n0\r\n0\r\n", b"2\n0\n0"])
def test_no_body(text):
    recording = parse_ntu(text, "x")
    assert recording.joints.shape == (0, 25, 3)
    assert recording.tracked().shape == (0, recording.num_frames, 25, 3)
    assert not recording.listed().any()


def edited(line, old, new):
    lines = coming_and_going()[0].split(b"\n")
    assert old in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(old, new, 1)
    return b"\n".join(lines)


# Lines: 1 frames; 2 and 3 bodies of frames 1 and 2; 4 header, 5 joints, 6 to 30 values; 31 bodies of frame 3.
@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        (b"", 1, "ends where the number of frames"),
        (b"\n", 1, "'' is not the number of frames"),
        (b"two\n", 1, "'two' is not a number"),
        (b"-1\n", 1, "'-1' is not the number of frames"),
        (edited(1, b"5", b"6"), 196, "ends where the number of bodies of frame 6 of 6"),
        (edited(1, b"5", b"4"), 114, "follows after the 4 frames that line 1 tells"),
        (edited(3, b"1", b"1.5"), 3, "'1.5' is not the number of bodies of frame 2 of 5"),
        (edited(5, b"25", b"24"), 5, "a body has '24' joints, not 25"),
        (edited(4, b" 2", b""), 4, "a body's header has 9 values, not 10"),
        (edited(4, b"7205", b"-7205"), 4, "is not the ID of a body"),
        (edited(9, b" 2", b" 2 2"), 9, "a joint has 13 values, not 12"),
        (edited(9, b" 277.419", b""), 9, "a joint has 11 values, not 12"),
        (edited(30, b"277.419", b"277,419"), 30, "'277,419' is not a number"),
        (edited(30, b"277.419", b"2.77.419"), 30, "'2.77.419' is not a number"),
        (edited(30, b"277.419", b"27\x007"), 30, "is not a number"),
        (edited(30, b"277.419", b"\xff"), 30, "is not a number"),
        (edited(59, b"72057594037931101", b"72057594037931102"), 59, "occurs twice in frame 3"),
        (coming_and_going()[0][:-30], 195, "values, not 12"),
        (b"\n".join(coming_and_going()[0].split(b"\n")[:180]), 181, "the file ends in frame 5 of 5"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else None,
)
def test_what_is_wrong_is_said_with_file_and_line(text, line, what):
    with pytest.raises(ValueError, match=re.escape(what)) as error:
        parse_ntu(text, "S001.skeleton")
    assert str(error.value).startswith(f"S001.skeleton:{line}: ")
    assert str(error.value).endswith("; copy the file again from the dataset, or leave it out")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999", "50.1", "-3.5e30"])
def test_coordinates_that_cannot_be(value):
    text, (a, _, _) = coming_and_going()
    coordinate = f"{a[1, 0, 1]:.7g}".encode()
    with pytest.raises(ValueError, match=r"^x:6: a joint lies .* m away"):
        parse_ntu(text.replace(coordinate, value.encode(), 1), "x")
    # Fields that are not used may be what the sensor writes for a joint outside the picture.
    assert parse_ntu(text.replace(b"277.419", value.encode(), 1), "x").num_frames == 5


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(ValueError, match=r"none\.skeleton:1: cannot be read \(No such file or directory\); copy"):
        read_ntu(tmp_path / "none.skeleton")


def test_too_many_bodies():
    body = standing_body(1)[0]
    text = skeleton_text([{number: body} for number in range(101)])
    with pytest.raises(ValueError, match="names more than 100 bodies"):
        parse_ntu(text, "x")


def mutations(text, generator):
    """Damage a text in one of the ways of a disk, an editor or a transfer."""
    junk = b"0123456789.-+eE \n\r\tnaif_,\x00\x0b\x0c\xff"
    text = bytearray(text)
    for _ in range(generator.integers(1, 4)):
        kind = generator.integers(7)
        place = int(generator.integers(len(text))) if text else 0
        if kind == 0:
            text[place : place + 1] = bytes([junk[generator.integers(len(junk))]])
        elif kind == 1:
            text[place:place] = bytes(junk[i] for i in generator.integers(len(junk), size=generator.integers(1, 4)))
        elif kind == 2:
            del text[place : place + int(generator.integers(1, 60))]
        elif kind == 3:
            del text[place:]
        else:
            lines = text.split(b"\n")
            a, b = generator.integers(len(lines), size=2)
            if kind == 4:
                lines[a], lines[b] = lines[b], lines[a]
            elif kind == 5:
                lines.insert(a, lines[b])
            else:
                del lines[a]
            text = bytearray(b"\n".join(lines))
    return bytes(text)


def test_damaged_files_are_refused_or_read_as_they_are():
    generator = np.random.default_rng(0)
    a, b = standing_body(2, 0), standing_body(2, 1, 1.0)
    base = skeleton_text([{0: a[0]}, {}, {1: b[1], 0: a[1]}])
    refused = fast = 0
    for number in range(3000):
        text = mutations(base, generator)
        if number % 2:
            text = text.replace(b"\n", b"\r\n")
        try:
            expected = plain(text)
        except ValueError:
            refused += 1
            assert _parse_plain_ntu(text) is None
            with pytest.raises(ValueError, match=r"^x:\d+: ") as error:
                parse_ntu(text, "x")
            assert 1 <= int(str(error.value).split(":")[1]) <= text.count(b"\n") + 2
            continue
        recording = parse_ntu(text, "x")
        frames, rows = expected
        assert recording.num_frames == frames
        got = [(int(f), int(o), recording.ids[i]) for f, o, i in zip(*recording[1:4], strict=True)]
        assert got == [row[:3] for row in rows]
        np.testing.assert_array_equal(recording.joints, np.float32([row[3] for row in rows]).reshape(-1, 25, 3))
        if (plainly := _parse_plain_ntu(text)) is not None:
            fast += 1
            for one, other in zip(plainly, _parse_any_ntu(text, "x"), strict=True):
                np.testing.assert_array_equal(one, other)
                assert np.asarray(one).dtype == np.asarray(other).dtype
    assert 1500 < refused < 2900
    assert fast > 200


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_what_the_sensor_writes_is_read_fast(newline):
    assert _parse_plain_ntu(coming_and_going(newline)[0]) is not None


def test_real_files_are_read_as_a_loop_reads_them(shared_data):
    files = sorted((shared_data / "ntu_rgbd" / "skeletons").glob("*.skeleton"))
    found = {}
    for file in files:
        recording = read_ntu(file)
        frames, rows = plain(file.read_bytes())
        assert recording.num_frames == frames
        np.testing.assert_array_equal(recording.joints, np.float32([row[3] for row in rows]))
        assert _parse_plain_ntu(file.read_bytes()) is not None
        found[file.stem] = (frames, len(recording.ids))
    assert found == {
        "S001C001P001R001A001": (103, 1),
        "S001C001P001R001A005": (54, 1),
        "S001C001P001R001A050": (74, 2),
        "S001C003P008R002A058": (70, 2),
        "S002C001P003R001A003": (100, 1),
        "S017C003P020R002A056": (80, 2),
    }


def pku_text(num_frames=4, newline="\n "):
    first, second = standing_body(num_frames, 0), standing_body(num_frames, 1)
    second[1] = 0
    rows = np.stack([first, second], 1).reshape(num_frames, 150)
    return newline.join(" ".join(f"{v:.6f}" for v in row) for row in rows).encode() + b"\n", first, second


@pytest.mark.parametrize("newline", ["\n ", "\r\n", "\n"])
def test_pku_text(newline):
    text, first, second = pku_text(newline=newline)
    sequences = parse_pku(text, "x")
    np.testing.assert_array_equal(sequences, np.float32([first, second]))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda text: b"", "x:1: the file is empty"),
        (lambda text: text[:-20], "x:4: a frame has 148 values, not 150"),
        (lambda text: text.replace(b"0.000000", b"nil", 1), "x:2: 'nil' is not a number"),
        (lambda text: text.replace(b"0.000000", b"nan", 1), "x:2: a joint lies nan m away"),
        (lambda text: text.replace(b"0.000000", b"5e5", 1), "x:2: a joint lies 500000 m away"),
        (lambda text: text.replace(b"\n", b"\n\n", 1), "x:2: a frame has 0 values, not 150"),
    ],
)
def test_damaged_pku_text(edit, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_pku(edit(pku_text()[0]), "x")


def plain_pku(text):
    """Read a skeleton text of PKU-MMD word by word: frames of 150 numbers, or ValueError."""
    lines = [re.findall(r"[^ \t\r]+", line) for line in text.decode("ascii").split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise ValueError("empty")
    for words in lines:
        if len(words) != 150 or not all(NUMBER.fullmatch(word) and abs(float(word)) <= 50 for word in words):
            raise ValueError("line")
    return [[float(word) for word in words] for words in lines]


def test_damaged_pku_texts_are_refused_or_read_as_they_are():
    generator = np.random.default_rng(0)
    base, _, _ = pku_text(3)
    refused = 0
    for _ in range(2000):
        text = mutations(base, generator)
        try:
            expected = plain_pku(text)
        except ValueError:
            refused += 1
            with pytest.raises(ValueError, match=r"^x:\d+: ") as error:
                parse_pku(text, "x")
            assert 1 <= int(str(error.value).split(":")[1]) <= text.count(b"\n") + 1
            continue
        got = parse_pku(text, "x").transpose(1, 0, 2, 3).reshape(len(expected), 150)
        np.testing.assert_array_equal(got, np.float32(expected))
    assert 800 < refused < 1900


def test_real_pku_text(shared_data):
    file = shared_data / "pku_mmd" / "skeletons" / "A10N08-L.txt"
    sequences = read_pku(file)
    assert sequences.shape == (2, 1040, 25, 3)
    assert sequences[1].any((1, 2)).sum() == 728
    np.testing.assert_array_equal(sequences[0, 0, 0], np.float32([-0.304560, 0.212575, 2.728912]))


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_number_of_frames_is_known_from_the_first_line(tmp_path, newline):
    file = tmp_path / "a.skeleton"
    file.write_bytes(skeleton_text([{0: joints} for joints in standing_body(12)], newline))
    assert read_num_frames(file) == 12
    for text in ("", "many", "1 2", "12345678901234567890123"):
        file.write_text(text)
        with pytest.raises(ValueError, match=r"a.skeleton:1: .*copy the file again"):
            read_num_frames(file)
    with pytest.raises(ValueError, match="cannot be read"):
        read_num_frames(tmp_path / "none.skeleton")
