"""Byte strings in one buffer: what comes out is what was put in, however they lie there."""

from __future__ import annotations

import numpy as np
import pytest

from agent.decode.pieces import Pieces, sizes


def lying(data, *bounds):
    starts, ends = np.array(bounds, dtype=np.int64).reshape(-1, 2).T
    return Pieces(data, starts, ends)


@pytest.mark.parametrize("strings", [[], [b""], [b"a"], [b"ab", b"", b"c\n"], [b"ab", b"cd"]])
def test_strings_are_themselves_in_one_buffer(strings):
    pieces = Pieces.of(strings)
    assert list(pieces) == strings
    assert [pieces[index] for index in range(len(pieces))] == strings
    assert pieces.sizes.tolist() == sizes(strings).tolist() == [len(string) for string in strings]
    assert Pieces.of(pieces) is pieces


def test_some_of_them_and_parts_of_them():
    pieces = Pieces.of([b"abc", b"defg", b"hi"])
    assert list(pieces.only(np.array([True, False, True]))) == [b"abc", b"hi"]
    assert list(pieces.only(np.array([2, 1]))) == [b"hi", b"defg"]
    assert list(pieces[:2]) == [b"abc", b"defg"]
    assert list(pieces.within(1, 1)) == [b"b", b"ef", b""]


@pytest.mark.parametrize(
    "pieces",
    [Pieces.of([b"abc", b"def"]), lying(b"abcdef", (0, 3), (3, 6)), lying(b".abc..def", (1, 4), (6, 9))],
    ids=["apart", "adjoining", "scattered"],
)
def test_those_of_one_size_make_a_table(pieces):
    table = pieces.table()
    assert table is not None
    assert [bytes(row) for row in table] == [b"abc", b"def"]


@pytest.mark.parametrize("strings", [[], [b"", b""], [b"ab", b"c"]])
def test_others_make_none(strings):
    assert Pieces.of(strings).table() is None


@pytest.mark.parametrize(
    ("pieces", "joined"),
    [
        (lying(b"1,2\n3,4\n5", (0, 3), (4, 7), (8, 9)), b"1,2;3,4;5"),
        (lying(b"?1\r\n2\r\n3!", (1, 2), (4, 5), (7, 8)), b"1; 2; 3"),
        (lying(b"1\n2\n\n3", (0, 1), (2, 3), (5, 6)), b"1;2;3"),
        (lying(b"12", (0, 1), (1, 2)), b"1;2"),
        (Pieces.of([b"1\n", b"2"]), b"1\n;2"),
        (Pieces.of([b"1"]), b"1"),
        (Pieces.of([]), b""),
    ],
)
def test_they_are_joined_by_one_byte(pieces, joined):
    assert pieces.joined(b";") == joined
