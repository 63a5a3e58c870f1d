"""Reads the lines of a file that another process is still appending to."""

from typing import BinaryIO, NamedTuple

TAIL_BYTES = 16 << 10


class NewLines(NamedTuple):
    """Lines read from `offset` on."""

    lines: list[bytes]
    end: int  # where to read next
    is_full: bool  # the read reached its limit: there may be more


def read_lines(file: BinaryIO, offset: int, limit_bytes: int = 1 << 20) -> NewLines:
    """Read the complete lines that start at `offset`, at most `limit_bytes` of them.

    A last line without a newline is still being written and is left for the next call. A line
    longer than `limit_bytes` is skipped, piece by piece.
    """
    file.seek(offset)
    data = file.read(limit_bytes)
    is_full = len(data) == limit_bytes
    whole = data[: data.rfind(b"\n") + 1]
    if not whole and is_full:
        return NewLines([], offset + len(data), is_full)
    return NewLines(whole.splitlines(), offset + len(whole), is_full)


def last_lines(file: BinaryIO, count: int) -> list[str]:
    """The last `count` lines among the last `TAIL_BYTES`, undecodable bytes replaced."""
    file.seek(0, 2)
    file.seek(max(0, file.tell() - TAIL_BYTES))
    return file.read(TAIL_BYTES).decode(errors="replace").rstrip().splitlines()[-count:]
