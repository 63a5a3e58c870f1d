"""A growing file: every complete line once, in order, and no memory for an endless one."""

import io

import pytest

from kdcore.spec.tail import TAIL_BYTES, last_lines, read_lines


def test_complete_lines_are_read_once_and_an_unfinished_one_is_left() -> None:
    file = io.BytesIO(b"one\ntwo\nthr")
    first = read_lines(file, 0)
    assert first == ([b"one", b"two"], 8, False)
    assert read_lines(file, first.end) == ([], 8, False)
    file.write(b"ee\n")
    assert read_lines(file, first.end) == ([b"three"], 14, False)


@pytest.mark.parametrize("limit", [4, 5, 7])
def test_a_limit_splits_between_lines(limit: int) -> None:
    file, offset, lines = io.BytesIO(b"a\nbb\nccc\n"), 0, []
    for _ in range(9):
        found, offset, _ = read_lines(file, offset, limit)
        lines += found
    assert lines == [b"a", b"bb", b"ccc"]


def test_the_read_says_whether_there_may_be_more() -> None:
    assert read_lines(io.BytesIO(b"a\nb\n"), 0, 2) == ([b"a"], 2, True)
    assert read_lines(io.BytesIO(b"a\nb\n"), 2, 8) == ([b"b"], 4, False)


def test_a_line_beyond_the_limit_is_skipped() -> None:
    file, offset, lines = io.BytesIO(b"x" * 20 + b"\nafter\n"), 0, []
    for _ in range(5):
        found, offset, _ = read_lines(file, offset, 8)
        lines += found
    assert lines == [b"xxxx", b"after"], "the end of the long line is a line for the parser to drop"


def test_the_last_lines_of_a_long_file() -> None:
    file = io.BytesIO(b"x" * 2 * TAIL_BYTES + b"\n" + b"caf\xe9\nlast\n\n")
    assert last_lines(file, 2) == ["caf\N{REPLACEMENT CHARACTER}", "last"]
    assert last_lines(io.BytesIO(b""), 3) == []
    assert last_lines(io.BytesIO(b"only"), 3) == ["only"]
