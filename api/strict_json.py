"""Reads JSON bodies strictly: bounded in size and time, and only values that can be stored."""

import asyncio
import json
import math
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from distillery.api.problems import Refusal
from distillery.wire.common import FieldError
from distillery.wire.request_codes import RequestCode
from kdcore.spec.faults import pointer_to, syntax_fault

MAX_DEPTH = 32
MAX_INTEGER = 2**53 - 1  # exact in every JSON implementation (RFC 7493)
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class StrictRequest(Request):
    """A request whose body is bounded in size and time and whose JSON is checked."""

    async def body(self) -> bytes:
        """Return the whole body. Raises Refusal 413 if it is too large, 408 if it is too slow."""
        if not hasattr(self, "_body"):
            settings = self.app.state.services.settings
            chunks: list[bytes] = []
            try:
                async with asyncio.timeout(settings.body_timeout_s):
                    await self._collect(chunks, settings.max_body_bytes)
            except TimeoutError:
                raise Refusal(RequestCode.REQUEST_TIMEOUT, "the body came too slowly") from None
            self._body = b"".join(chunks)
        return self._body

    async def _collect(self, chunks: list[bytes], limit: int) -> None:
        size = 0
        async for chunk in self.stream():
            size += len(chunk)
            if size > limit:
                raise Refusal(RequestCode.BODY_TOO_LARGE, f"a JSON body has at most {limit} bytes")
            chunks.append(chunk)

    async def json(self) -> Any:
        """Return the parsed body. Raises Refusal 400 unless it is JSON, 422 for bad values."""
        return parse(await self.body())


class StrictRoute(APIRoute):
    """A route that reads its JSON body strictly."""

    def get_route_handler(self) -> Handler:
        """Return FastAPI's handler with a StrictRequest."""
        handle = super().get_route_handler()
        takes_json = self.body_field is not None

        async def strict(request: Request) -> Response:
            if takes_json:
                _check_media_type(request)
            return await handle(StrictRequest(request.scope, request.receive))

        return strict


def _check_media_type(request: Request) -> None:
    headers = request.headers
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Refusal(RequestCode.UNSUPPORTED_MEDIA_TYPE, "send the body as application/json")


def parse(text: bytes) -> Any:
    """Parse JSON; refuse NaN, infinities, NULs, lone surrogates and inexact integers."""
    try:
        value = json.loads(text.decode("utf-8"), parse_int=_integer)
    except (ValueError, RecursionError) as error:
        fault = syntax_fault(error)
        raise Refusal(fault.code, fault.message) from None
    found = _bad_values(value)
    if found:
        code, first = found[0]
        raise Refusal(code, first.message, errors=[error for _, error in found])
    return value


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= 17 else math.inf


def _bad_values(root: Any) -> list[tuple[RequestCode, FieldError]]:
    found: list[tuple[RequestCode, FieldError]] = []
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), root)]
    while waiting:
        path, value = waiting.pop()
        fault = _fault(value, len(path))
        if fault is not None:
            code, message = fault
            error = FieldError(code=code, message=message, pointer=_safe_pointer(path))
            found.append((code, error))
        elif isinstance(value, dict):
            waiting += [((*path, key), key) for key in value if _fault(key, 0)]
            waiting += [((*path, key), item) for key, item in value.items()]
        elif isinstance(value, list):
            waiting += [((*path, index), item) for index, item in enumerate(value)]
        if len(found) == 10:
            break
    return found


def _fault(value: Any, depth: int) -> tuple[RequestCode, str] | None:
    match value:
        case str() if "\0" in value:
            return RequestCode.BAD_TEXT, "text may not hold NUL"
        case str() if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
            return RequestCode.BAD_TEXT, "text may not hold lone surrogates"
        case float() if not math.isfinite(value):
            return RequestCode.BAD_NUMBER, "numbers must be finite and integers below 2^53"
        case int() if abs(value) > MAX_INTEGER:
            return RequestCode.BAD_NUMBER, "numbers must be finite and integers below 2^53"
        case dict() | list() if depth > MAX_DEPTH:
            return RequestCode.TOO_DEEP, f"at most {MAX_DEPTH} levels"
    return None


def _safe_pointer(path: tuple[str | int, ...]) -> str:
    return pointer_to(path).encode("utf-8", "replace").decode()
