"""Checks the header of a safetensors file, which is length-prefixed JSON, without torch."""

import json
import math
from typing import Any

from distillery.store.blobs.blobs import Blobs
from distillery.store.errors import Invalid
from distillery.wire.request_codes import RequestCode
from kdcore.spec.codes import RunCode

MAX_HEADER_BYTES = 16 << 20
LENGTH_BYTES = 8
_ITEM_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8,
    "U16": 16, "I16": 16, "F16": 16, "BF16": 16,
    "U32": 32, "I32": 32, "F32": 32,
    "U64": 64, "I64": 64, "F64": 64, "C64": 64,
}  # fmt: skip
_PICKLE_OR_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def check(blobs: Blobs, sha256: str) -> None:
    """Raise Invalid (`truncated`, `bad_weights`; pointer /upload) unless the blob is valid."""
    size = blobs.size(sha256)
    length = header_length(_read(blobs, sha256, 0, LENGTH_BYTES), size)
    check_header(_read(blobs, sha256, LENGTH_BYTES, LENGTH_BYTES + length), size)


def _read(blobs: Blobs, sha256: str, start: int, end: int) -> bytes:
    return b"".join(blobs.open(sha256, start, end))


def _bad(message: str) -> Invalid:
    return Invalid(message, code=RunCode.BAD_WEIGHTS, pointer="/upload")


def _truncated(message: str) -> Invalid:
    return Invalid(f"the file is truncated{message}", code=RequestCode.TRUNCATED, pointer="/upload")


def header_length(start: bytes, size: int) -> int:
    """Return the header's length, read from the first eight bytes of the file. Raises Invalid."""
    if start.startswith(_PICKLE_OR_ZIP):
        raise _bad(
            "this is a pickle or zip archive, as torch.save writes, not safetensors: register it "
            'with format "state_dict", or convert it with safetensors.torch.save_file'
        )
    if size < LENGTH_BYTES + 2:
        raise _bad("the file is too short to be safetensors")
    length = int.from_bytes(start, "little")
    if length > MAX_HEADER_BYTES:
        raise _bad("this is not a safetensors file: its header would be too long")
    if LENGTH_BYTES + length > size:
        raise _truncated(" within its header")
    return length


def check_header(text: bytes, size: int) -> None:
    """Raise Invalid unless the header describes exactly the bytes of a file of `size` bytes."""
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        raise _bad("this is not a safetensors file: its header is not JSON") from None
    if not isinstance(header, dict):
        raise _bad("the header is not a JSON object")
    header.pop("__metadata__", None)
    if not header:
        raise _bad("the file holds no tensors")
    spans = [_span(name, entry) for name, entry in header.items()]
    _check_layout(spans, available=size - LENGTH_BYTES - len(text))


def _check_layout(spans: list[tuple[int, int, str]], available: int) -> None:
    position = 0
    for start, end, name in sorted(spans):
        if start != position:
            raise _bad(f"tensor `{name[:200]}` does not start where the one before ends")
        position = end
    if position > available:
        raise _truncated(f": the header announces {position} bytes of tensors, {available} follow")
    if position < available:
        raise _bad(f"{available - position} bytes follow the last tensor")


def _span(name: str, entry: Any) -> tuple[int, int, str]:
    """Return start, end and name of one tensor, whose shape must fill exactly those bytes."""
    shown = f"tensor `{name[:200]}`"
    if not isinstance(entry, dict):
        raise _bad(f"the entry of {shown} is not an object")
    bits = _ITEM_BITS.get(str(entry.get("dtype")))
    if bits is None:
        raise _bad(f"{shown} has the unknown dtype {str(entry.get('dtype'))[:40]!r}")
    shape, offsets = _sizes(entry.get("shape")), _sizes(entry.get("data_offsets"))
    if shape is None or offsets is None or len(offsets) != 2:
        raise _bad(f"{shown} has an invalid shape or data_offsets")
    items = math.prod(shape)
    if offsets[1] - offsets[0] != items * bits // 8:
        raise _bad(f"{shown} has a shape that does not match its data_offsets")
    return offsets[0], offsets[1], name


def _sizes(value: Any) -> list[int] | None:
    """Return the value if it is a short list of sizes."""
    if not isinstance(value, list) or len(value) > 64:
        return None
    return value if all(type(item) is int and 0 <= item < 1 << 62 for item in value) else None
