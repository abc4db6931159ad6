"""Annotation files: what is read, and what is said of those that cannot be."""

import re

import pytest

from datamodules.readers.annotations import find_file, read_json, read_lines, read_table, read_text


def refused(words, call, *arguments):
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)


def test_text_that_is_none(tmp_path):
    file = tmp_path / "a.txt"
    refused(f"{file}: cannot be read (No such file or directory); copy", read_text, file)
    file.write_bytes(b"one\ntwo\n\xff\xfe\n")
    refused(f"{file}:3: is no UTF-8 text; copy", read_text, file)
    file.write_bytes(b"\xef\xbb\xbfone")
    assert read_text(file) == "one"


def test_json_names_the_line(tmp_path):
    file = tmp_path / "a.json"
    file.write_text('[\n{"id": 1},\n{"id": }\n]')
    refused(f"{file}:3: is no JSON (Expecting value); copy", read_json, file)


def test_a_table(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text('\ufeffid,key,more\r\n0,"a, b\u2028c",x\r\n\r\n1,d,"two\r\nlines"\r\n')
    assert [(line, row["id"], row["key"]) for line, row in read_table(file, ("id", "key"))] == [
        (2, "0", "a, b\u2028c"),
        (5, "1", "d"),
    ]
    refused(f"{file}:1: columns verb, noun are missing", list, read_table(file, ("verb", "id", "noun")))
    for row in ("0,a", "0,a,b,c"):
        file.write_text(f"id,key,more\n1,b,c\n{row}\n")
        refused(f"{file}:3: has not as many values", list, read_table(file, ("id",)))
    file.write_text("")
    refused(f"{file}:1: columns id are missing", list, read_table(file, ("id",)))


def test_where_a_file_is_looked_for(tmp_path):
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    for folder in (root / "annotations", root / "mine", elsewhere):
        folder.mkdir(parents=True)
    names = ("first.txt", "second.txt")
    refused(f"first.txt or second.txt: no such list in {root}, ", find_file, root, None, ["annotations"], names)
    refused(f"second.txt: no such list in {root / elsewhere}, ", find_file, root, elsewhere, ["annotations"], names)
    (root / "second.txt").touch()
    assert find_file(root, None, ["annotations"], names) == root / "second.txt"
    (root / "annotations" / "first.txt").touch()
    assert find_file(root, None, ["annotations"], names) == root / "annotations" / "first.txt"
    (root / "mine" / "first.txt").touch()
    assert find_file(root, "mine", ["annotations"], names) == root / "mine" / "first.txt"
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "third.txt").touch()
    assert find_file(root, None, ["labels"], ["third.txt"]) == tmp_path / "labels" / "third.txt"
    (elsewhere / "second.txt").touch()
    assert find_file(root, elsewhere, ["annotations"], names) == elsewhere / "second.txt"


def test_lines_keep_their_numbers(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbf\r\n a b \r\n\n\t\nc\xff")
    assert list(read_lines(tmp_path / "list.txt")) == [(2, "a b"), (5, "c\udcff")]
    with pytest.raises(ValueError, match=r"none.txt: no such list; put the official one there"):
        list(read_lines(tmp_path / "none.txt"))
