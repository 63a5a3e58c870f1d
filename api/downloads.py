"""Ranged downloads of blobs: strong ETags, If-None-Match, If-Range, 206 and 416."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from distillery.api.problems import Refusal
from distillery.api.responses import matches
from distillery.store.blobs.blobs import Blobs
from distillery.wire.request_codes import RequestCode

_BYTES = {
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
}
DOWNLOAD_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The whole file.", **_BYTES},
    206: {"description": "The requested range.", **_BYTES},
}
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def download(
    request: Request, blobs: Blobs, sha256: str, size: int, name: str, media_type: str
) -> Response:
    """Return a blob's bytes or the requested range; the whole blob for several ranges."""
    etag = f'"{sha256}"'
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, immutable, max-age=31536000",
        "Content-Disposition": disposition(name),
    }
    if matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    start, end, status = 0, size, 200
    if request.headers.get("if-range", etag) == etag:
        wanted = byte_range(request.headers.get("range"), size)
        if wanted is not None:
            (start, end), status = wanted, 206
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    headers["Content-Length"] = str(end - start)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=media_type)
    return StreamingResponse(
        _bytes(blobs, sha256, start, end), status, headers=headers, media_type=media_type
    )


def _bytes(blobs: Blobs, sha256: str, start: int, end: int) -> Iterator[bytes]:
    yield from blobs.open(sha256, start, end)


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the half-open range, or None for the whole file. Raises Refusal 416 outside it."""
    match = _RANGE.fullmatch(header.replace(" ", "")) if header else None
    if match is None or not any(match.groups()):
        return None
    first, last = match.groups()
    if first:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < int(first):
            return None
    else:
        start, end = max(size - int(last), 0), size
    if start >= end:
        headers = {"Content-Range": f"bytes */{size}"}
        raise Refusal(
            RequestCode.RANGE_NOT_SATISFIABLE, f"the file has {size} bytes", headers=headers
        )
    return start, end


def disposition(name: str) -> str:
    """Return a Content-Disposition that cannot inject headers."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name.rpartition("/")[2]) or "file"
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
