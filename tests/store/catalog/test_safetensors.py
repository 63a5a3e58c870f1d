"""A safetensors header that lies about its file is refused, with what is wrong."""

import json
from typing import Any

import pytest

from distillery.store.catalog.safetensors import (
    LENGTH_BYTES,
    MAX_HEADER_BYTES,
    check_header,
    header_length,
)
from distillery.store.errors import Invalid
from tests.api.makers import safetensors


def check(content: bytes) -> None:
    """As the store does with an upload."""
    length = header_length(content[:LENGTH_BYTES], len(content))
    check_header(content[LENGTH_BYTES : LENGTH_BYTES + length], len(content))


def with_header(header: Any, body: bytes = b"") -> bytes:
    """A file of this header and body."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


GOOD = safetensors({"a": [2, 3], "b": [], "c": [0, 4]})
ENTRY = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


def test_good_files_pass() -> None:
    check(GOOD)
    check(with_header({"__metadata__": {"format": "pt"}, "a": ENTRY}, bytes(4)))


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"PK\3\4" + bytes(50), "state_dict"),
        (b"\x80\x02" + bytes(50), "pickle"),
        (b"", "short"),
        (bytes(9), "short"),
        ((MAX_HEADER_BYTES + 1).to_bytes(8, "little") + bytes(20), "too long"),
        ((100).to_bytes(8, "little") + bytes(20), "within its header"),
        (with_header(b"{x}"), "JSON"),
        (with_header(b"[" * 100_000), "JSON"),
        (with_header(b"\xff\xff\xff"), "JSON"),
        (with_header([]), "object"),
        (with_header({}), "no tensors"),
        (GOOD[:-1], "truncated"),
        (GOOD + b"x", "follow the last"),
        (with_header({"a": 1}), "not an object"),
        (with_header({"a": ENTRY | {"dtype": "F31"}}, bytes(4)), "F31"),
        (with_header({"a": ENTRY | {"shape": [2]}}, bytes(4)), "does not match"),
        (with_header({"a": ENTRY | {"shape": [True]}}, bytes(4)), "invalid"),
        (with_header({"a": ENTRY | {"shape": [-1]}}, bytes(4)), "invalid"),
        (with_header({"a": ENTRY | {"shape": [1 << 61] * 60}}, bytes(4)), "does not match"),
        (with_header({"a": ENTRY | {"data_offsets": [0]}}, bytes(4)), "invalid"),
        (with_header({"a": ENTRY, "b": ENTRY}, bytes(4)), "start where"),
        (with_header({"a": ENTRY | {"data_offsets": [4, 8]}}, bytes(8)), "start where"),
    ],
)
def test_bad_files(content: bytes, word: str) -> None:
    with pytest.raises(Invalid, match=word):
        check(content)
