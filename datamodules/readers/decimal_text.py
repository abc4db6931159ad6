"""Words of a text of plain decimal numbers, found and turned into numbers many at once, exactly.

A text is plain where it begins with a digit and its words are digits, perhaps with a point between them and a minus
before them, each followed by one space or line end (LF or CRLF). A few words may have another form (``1.5E-05``,
``nan``); they are read one by one. All rules are checked on whole arrays of characters: a few passes over bytes cost
less than one call for each number.
"""

import re
from typing import NamedTuple

import numpy as np

_NUMBER = re.compile(rb"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|nan|inf|infinity)", re.IGNORECASE)
_WORD = re.compile(rb"[^ \r\n]+")
_MOST_STRANGE = 1000  # more of other characters, and a reader that takes any text is as fast

_LF, _CR, _SPACE, _MINUS, _POINT, _ZERO = b"\n\r -.0"
_DIGITS = 8  # as many as an unsigned 64-bit integer has bytes
_POWERS = 10.0 ** np.arange(_DIGITS + 1)
_KEPT = np.array([(2**64 - 1) << 8 * (_DIGITS - count) & (2**64 - 1) for count in range(_DIGITS + 1)], np.uint64)


def is_number(word: bytes) -> bool:
    """Tell whether a word is a number as C writes it: decimal, with or without exponent, finite or not."""
    return _NUMBER.fullmatch(word) is not None


class DecimalText(NamedTuple):
    """A plain text and where its words are.

    Attributes:
        text: ends with a line end.
        characters: uint8, the text's; words of another form and the CR of line ends have become zeros.
        ends: int64 (words,), places of the spaces and LF, one behind each word.
    """

    text: bytes
    characters: np.ndarray
    ends: np.ndarray

    def last_words(self) -> np.ndarray:
        """Return which is the last word of each line, int64 (lines,)."""
        return np.flatnonzero(self.characters[self.ends] == _LF)

    def words(self, numbers: np.ndarray) -> list[bytes]:
        """Return words by their numbers, int64 (n,), counted from 0."""
        ends = self.ends[numbers]
        spans = zip(self._begins(numbers).tolist(), ends.tolist(), strict=True)
        return [self.text[begin:end].rstrip(b"\r") for begin, end in spans]

    def values(self, numbers: np.ndarray) -> np.ndarray:
        """Turn words into numbers, each the nearest one of its type.

        One or two digits, a point and up to eight digits make two exact integers, and their quotient with a power of
        ten is rounded once, as `float` rounds; other words go to `float`.

        Args:
            numbers: int64 (n,), of words that do not end a line.

        Returns:
            float64 (n,).
        """
        characters = self.characters
        begins, ends = self._begins(numbers), self.ends[numbers]
        negative = characters[begins] == _MINUS
        first = begins + negative
        two = characters[first + 1] != _POINT
        point = np.minimum(first + 1 + two, ends)
        decimals = ends - point - 1
        usual = (characters[point] == _POINT) & (decimals <= _DIGITS) & (ends >= _DIGITS)
        decimals[~usual] = 0
        eight = np.ndarray((len(characters) - _DIGITS + 1,), "<u8", characters, 0, (1,))
        # Eight characters up to the word's end, those before the point as zeros; then pairs, fours and all as one.
        sums = eight[np.maximum(ends - _DIGITS, 0)] & _KEPT[decimals] & np.uint64(0x0F0F0F0F0F0F0F0F)
        for digits, mask in ((1, 0x00FF00FF00FF00FF), (2, 0x0000FFFF0000FFFF), (4, 0x00000000FFFFFFFF)):
            sums = (sums * np.uint64(10**digits) + (sums >> np.uint64(8 * digits))) & np.uint64(mask)
        whole = (characters[point - 1] & 15) + (characters[first] & 15) * (two * np.uint8(10))
        powers = _POWERS[decimals]
        sizes = (whole * powers + sums) / powers
        values: np.ndarray = np.where(negative, -sizes, sizes)
        unusual = np.flatnonzero(~usual)
        spans = zip(begins[unusual].tolist(), ends[unusual].tolist(), strict=True)
        values[unusual] = [float(self.text[begin:end]) for begin, end in spans]
        return values

    def _begins(self, numbers: np.ndarray) -> np.ndarray:
        begins: np.ndarray = np.where(numbers > 0, self.ends[numbers - 1] + 1, 0)
        return begins


def plain(text: bytes) -> DecimalText | None:
    """Find the words of a plain text.

    Returns:
        None where the text is not plain, or is shorter than eight characters; it may still be a text of numbers.
    """
    if len(text) < _DIGITS:
        return None
    if not text.endswith(b"\n"):
        text += b"\n"
    characters: np.ndarray = np.frombuffer(text, np.uint8)
    line_ends = characters == _LF
    if b"\r" in text:
        returns = characters == _CR
        returns[:-1] &= line_ends[1:]
        returns[1:] &= characters[:-1] >= _ZERO
        characters = characters + returns * np.uint8(_ZERO - _CR)
    digits = characters - np.uint8(_ZERO) <= 9
    points, minuses = characters == _POINT, characters == _MINUS
    spaces = line_ends | (characters == _SPACE)
    strange = np.flatnonzero(~(digits | points | minuses | spaces))
    if len(strange) > _MOST_STRANGE:
        return None
    if len(strange):
        characters = characters.copy()
        for place in strange.tolist():
            begin = max(text.rfind(b" ", 0, place), text.rfind(b"\n", 0, place)) + 1
            found = _WORD.match(text, begin)
            if found is None or found.end() <= place or not is_number(found[0]):
                return None
            word = slice(begin, found.end())
            characters[word], digits[word], points[word], minuses[word] = _ZERO, True, False, False
    others = ~digits
    follows = others[1:] & others[:-1]
    # Two characters that are no digits follow each other only where the second is a minus, and the first a space.
    if others[0] or (follows != minuses[1:]).any() or (minuses[1:] & ~spaces[:-1]).any():
        return None
    if _two_in_a_run(points, digits):
        return None
    return DecimalText(text, characters, np.flatnonzero(spaces))


def _two_in_a_run(points: np.ndarray, digits: np.ndarray) -> bool:
    """Tell whether two points have nothing but digits between them.

    As one long integer, one bit a character: adding a bit behind each point carries it to the end of the digits there.
    """
    point, digit = (
        int.from_bytes(np.packbits(where, bitorder="little").tobytes(), "little") for where in (points, digits)
    )
    return ((point << 1) + digit) & ~digit & point != 0
