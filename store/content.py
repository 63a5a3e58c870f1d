"""A first look at uploaded bytes, cheap and without trust: truncated or of another kind."""

from typing import Any, Literal

from pydantic_core import from_json

from kdcore.spec.parts import DatasetFormat, WeightsFormat
from store.blobs import Blobs
from store.errors import Invalid

MAX_HEADER_BYTES = 32 * 2**20
_ZIP_START = b"PK\x03\x04"
_ZIP_END = b"PK\x05\x06"
_ZIP_TAIL_BYTES = 22 + 65_535  # the end record, and the longest comment behind it


def check(blobs: Blobs, sha256: str, format: WeightsFormat | DatasetFormat) -> None:
    """Raises Invalid (`truncated`, `bad_weights`, `bad_archive`; pointer /upload)."""
    if format == "safetensors":
        _check_safetensors(blobs, sha256)
    elif format != "state_dict":
        _check_zip(blobs, sha256)


def _check_zip(blobs: Blobs, sha256: str) -> None:
    """Folders, npz and idx all arrive as zip files; those end with a directory of members."""
    size = blobs.size(sha256)
    if not _bytes(blobs, sha256, 0, 4).startswith((_ZIP_START, _ZIP_END)):
        raise _invalid("bad_archive", "not a zip file (npz files are zip files too)")
    if _ZIP_END not in _bytes(blobs, sha256, max(0, size - _ZIP_TAIL_BYTES), size):
        raise _invalid("truncated", "the zip file has no end: it was cut off")


def _check_safetensors(blobs: Blobs, sha256: str) -> None:
    """Eight bytes of length, so many of JSON, then exactly the bytes that the JSON describes."""
    size = blobs.size(sha256)
    length = int.from_bytes(_bytes(blobs, sha256, 0, 8), "little")
    if size < 8 or not 2 <= length <= MAX_HEADER_BYTES:
        raise _invalid("bad_weights", "not a safetensors file")
    try:
        header = from_json(_bytes(blobs, sha256, 8, 8 + length))
    except ValueError:
        raise _invalid("bad_weights", "not a safetensors file: its header is no JSON") from None
    described = _described_bytes(header)
    if 8 + length + described > size:
        raise _invalid("truncated", f"{8 + length + described} bytes are described, {size} came")
    if 8 + length + described < size:
        raise _invalid("bad_weights", "there are bytes behind the tensors")


def _described_bytes(header: Any) -> int:
    if not isinstance(header, dict):
        raise _invalid("bad_weights", "not a safetensors file: its header is no object")
    ends = [0]
    for name, tensor in header.items():
        if name == "__metadata__":
            continue
        offsets = tensor.get("data_offsets") if isinstance(tensor, dict) else None
        match offsets:
            case [int(start), int(end)] if 0 <= start <= end:
                ends.append(end)
            case _:
                raise _invalid("bad_weights", f"tensor {name!r} has no valid data_offsets")
    return max(ends)


def _bytes(blobs: Blobs, sha256: str, start: int, end: int) -> bytes:
    return b"".join(blobs.open(sha256, start, end))


def _invalid(code: Literal["truncated", "bad_weights", "bad_archive"], message: str) -> Invalid:
    return Invalid(message, code=code, pointer="/upload")
