"""Responses to reads: page limits, weak ETags, 304."""

import hashlib
from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import BaseModel

MAX_LIMIT = 200
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Maximum number of items.")]
After = Annotated[
    str | None, Query(max_length=400, description="`next_cursor` of the previous page.")
]


def answer(request: Request, view: BaseModel, *, retry_after_s: int | None = None) -> Response:
    """Return the view with a weak ETag of its content, or 304 if the caller has it already."""
    body = view.model_dump_json().encode()
    etag = f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    if matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")


def matches(condition: str | None, etag: str) -> bool:
    """Compare If-None-Match weakly with an ETag (RFC 9110, 13.1.2)."""
    if condition is None:
        return False
    given = {part.strip().removeprefix("W/") for part in condition.split(",")}
    return "*" in given or etag.removeprefix("W/") in given
