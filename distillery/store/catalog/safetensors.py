"""The header of a safetensors file, checked without torch: it is length-prefixed JSON."""

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
    """Raises Invalid (`truncated`, `bad_weights`; pointer /upload) unless the blob is sound."""
    size = blobs.size(sha256)
    length = header_length(_read(blobs, sha256, 0, LENGTH_BYTES), size)
    check_header(_read(blobs, sha256, LENGTH_BYTES, LENGTH_BYTES + length), size)


def _read(blobs: Blobs, sha256: str, start: int, end: int) -> bytes:
    return b"".join(blobs.open(sha256, start, end))


def _bad(message: str) -> Invalid:
    return Invalid(message, code=RunCode.BAD_WEIGHTS, pointer="/upload")


def _cut_off(message: str) -> Invalid:
    return Invalid(f"the file is cut off{message}", code=RequestCode.TRUNCATED, pointer="/upload")


def header_length(start: bytes, size: int) -> int:
    """Bytes of the header, from the file's first eight; Invalid where there can be none."""
    if start.startswith(_PICKLE_OR_ZIP):
        raise _bad(
            "this is a pickle or zip archive (torch.save?), not safetensors: register it with "
            'format "state_dict", or convert it with safetensors.torch.save_file'
        )
    if size < LENGTH_BYTES + 2:
        raise _bad("the file is too short to be safetensors")
    length = int.from_bytes(start, "little")
    if length > MAX_HEADER_BYTES:
        raise _bad("this is not a safetensors file: its header would be too long")
    if LENGTH_BYTES + length > size:
        raise _cut_off(" within its header")
    return length


def check_header(text: bytes, size: int) -> None:
    """Invalid unless the header is JSON that describes exactly the bytes of a file of `size`."""
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
    _check_layout(spans, room=size - LENGTH_BYTES - len(text))


def _check_layout(spans: list[tuple[int, int, str]], room: int) -> None:
    position = 0
    for start, end, name in sorted(spans):
        if start != position:
            raise _bad(f"tensor `{name[:200]}` does not follow the one before")
        position = end
    if position > room:
        raise _cut_off(f": {position} bytes of tensors announced, {room} there")
    if position < room:
        raise _bad(f"{room - position} bytes follow the last tensor")


def _span(name: str, entry: Any) -> tuple[int, int, str]:
    """Start, end and name of one tensor; its shape must fill exactly that."""
    shown = f"tensor `{name[:200]}`"
    if not isinstance(entry, dict):
        raise _bad(f"{shown} has no description")
    bits = _ITEM_BITS.get(str(entry.get("dtype")))
    if bits is None:
        raise _bad(f"{shown} has the unknown dtype {str(entry.get('dtype'))[:40]!r}")
    shape, offsets = _sizes(entry.get("shape")), _sizes(entry.get("data_offsets"))
    if shape is None or offsets is None or len(offsets) != 2:
        raise _bad(f"{shown} has a broken shape or offsets")
    items = math.prod(shape)
    if offsets[1] - offsets[0] != items * bits // 8:
        raise _bad(f"{shown} does not fill its bytes")
    return offsets[0], offsets[1], name


def _sizes(value: Any) -> list[int] | None:
    """The value if it is a short list of sizes."""
    if not isinstance(value, list) or len(value) > 64:
        return None
    return value if all(type(item) is int and 0 <= item < 1 << 62 for item in value) else None
