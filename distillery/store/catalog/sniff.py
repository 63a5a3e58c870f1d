"""Quick checks of uploaded bytes, which are not trusted: truncated, or another file type."""

from distillery.store.blobs.blobs import Blobs
from distillery.store.catalog import safetensors
from distillery.store.errors import Invalid
from distillery.wire.request_codes import RequestCode
from kdcore.spec.codes import ErrorCode, RunCode
from kdcore.spec.recipe import DatasetFormat, WeightsFormat

_ZIP_START = b"PK\x03\x04"
_ZIP_END = b"PK\x05\x06"
_ZIP_TAIL_BYTES = 22 + 65_535  # the end record, and the longest comment behind it


def check(blobs: Blobs, sha256: str, format: WeightsFormat | DatasetFormat) -> None:
    """Raise Invalid (`truncated`, `bad_weights`, `bad_archive`; pointer /upload)."""
    if format == "safetensors":
        safetensors.check(blobs, sha256)
    elif format != "state_dict":
        _check_zip(blobs, sha256)


def _check_zip(blobs: Blobs, sha256: str) -> None:
    """Folders, npz and idx are all uploaded as zip files, which end with a table of members."""
    size = blobs.size(sha256)
    if not _bytes(blobs, sha256, 0, 4).startswith((_ZIP_START, _ZIP_END)):
        raise _invalid(RunCode.BAD_ARCHIVE, "not a zip file (npz files are zip files too)")
    if _ZIP_END not in _bytes(blobs, sha256, max(0, size - _ZIP_TAIL_BYTES), size):
        raise _invalid(RequestCode.TRUNCATED, "the zip file has no end: it is truncated")


def _bytes(blobs: Blobs, sha256: str, start: int, end: int) -> bytes:
    return b"".join(blobs.open(sha256, start, end))


def _invalid(code: ErrorCode, message: str) -> Invalid:
    return Invalid(message, code=code, pointer="/upload")
