"""Words of plain texts: found as a regular expression finds them, and read to the last bit as ``float`` does."""

import re

import numpy as np
import pytest

from datamodules.readers.decimal_text import is_number, plain

PLAIN = re.compile(rb"(?=\d)(?:-?\d+(?:\.\d+)?[ ]|-?\d+(?:\.\d+)?\r?\n)+")


def random_word(random):
    """A number as the sensor's software writes it, or nearly so."""
    value = random.normal() * 10.0 ** random.integers(-6, 4)
    kind = random.integers(8)
    if kind == 0:
        return str(random.integers(-1000, 1000))
    if kind == 1:
        return f"{value:.{random.integers(1, 17)}f}"
    if kind == 2:
        return f"{value:.6E}"
    return f"{np.float32(value):.7g}"


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_values_are_those_of_float(newline):
    random = np.random.default_rng(0)
    lines = [[random_word(random) for _ in range(9)] for _ in range(300)]
    text = "".join(" ".join(line) + newline for line in lines).encode()
    found = plain(text)
    assert found is not None
    words = [word for line in lines for word in line]
    inner = np.flatnonzero(np.arange(len(words)) % 9 != 8)
    expected = np.array([float(words[number]) for number in inner])
    np.testing.assert_array_equal(found.values(inner).view(np.int64), expected.view(np.int64))
    assert found.words(np.arange(len(words))) == [word.encode() for word in words]
    np.testing.assert_array_equal(found.last_words(), np.arange(8, len(words), 9))


def test_hard_numbers():
    words = "0.0 -0.0 -0 0 00.5 99.99999999 0.00000001 1.000000005 123.5 0.123456789 -12.3456789 nan -inf +1.5 5e-324"
    found = plain(f"1 2 {words} 9\n".encode())
    assert found is not None
    values = found.values(np.arange(2, 2 + len(words.split())))
    np.testing.assert_array_equal(values.view(np.int64), np.array([float(w) for w in words.split()]).view(np.int64))


@pytest.mark.parametrize(
    "text",
    [
        "1.2.3 4.5 6",
        "12..3 4 5 6",
        "1  2 3 4 5 6",
        " 1 2 3 4 5 6",
        "1 2 3 4 5 6 \n1",
        "1 2 3\n\n4 5 6",
        "1 2-3 4 5 6 7",
        "1 --3 4 5 6 7",
        "1 -.3 4 5 6 7",
        "1 .3 4 5 6 7 8",
        "1 3. 4 5 6 7 8",
        "1 - 4 5 6 7 8",
        "1 2\r3 4 5 6 7",
        "1 2\t3 4 5 6 7",
        "1 2,3 4 5 6 7",
        "1 2e 3 4 5 6 7",
        "1 1_0 3 4 5 6 7",
        "1 2\x003 4 5 6",
        "1 2 3",
    ],
)
def test_other_texts_are_left_to_another_reader(text):
    assert plain(text.encode()) is None


def test_damaged_texts_are_plain_or_not_as_a_regular_expression_says():
    random = np.random.default_rng(1)
    base = b"0.2181153 -0.1725972 3.785547\r\n25\r\n-1.5 0.25 7\n"
    junk = np.frombuffer(b"0123456789.. --  \n\r", np.uint8)
    kept = 0
    for _ in range(4000):
        text = bytearray(base)
        for _ in range(random.integers(1, 4)):
            place = int(random.integers(len(text)))
            text[place : place + int(random.integers(2))] = bytes([junk[random.integers(len(junk))]])
        line_end = b"" if text.endswith(b"\n") else b"\n"
        is_plain = PLAIN.fullmatch(bytes(text) + line_end) is not None
        assert (plain(bytes(text)) is not None) == is_plain
        kept += is_plain
    assert 500 < kept < 3500


def test_what_is_a_number():
    assert all(map(is_number, (b"1", b"+1.", b"-.5e-7", b"NaN", b"-Infinity")))
    assert not any(map(is_number, (b"", b".", b"1e", b"0x10", b"1_0", b"1,5", b"nano", b"1 ")))
