"""Errors as RFC 9457 problem+json: a stable code, and a JSON pointer for each wrong field."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from distillery.store.errors import (
    Conflict,
    Invalid,
    NoSpace,
    NotFound,
    NotReady,
    StoreError,
    Unavailable,
)
from distillery.wire.common import FieldError, Problem

MEDIA_TYPE = "application/problem+json"
RETRY_DATABASE_S = 5
RETRY_NOT_READY_S = 2


class Refusal(HTTPException):
    """A request we refuse: status, stable code, message, and the fields at fault."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ):
        super().__init__(status, detail, headers=dict(headers or {}))
        self.code = code
        self.errors = tuple(errors)


def problem(
    request_id: str | None,
    path: str | None,
    status: int,
    code: str,
    detail: str,
    *,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The response that says what is wrong."""
    body = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        code=code,
        instance=path,
        request_id=request_id,
        errors=list(errors),
    )
    return Response(body.model_dump_json(), status, dict(headers or {}), MEDIA_TYPE)


def _answer(
    request: Request,
    status: int,
    code: str,
    detail: str,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    request_id = request.scope.get("request_id")
    path = request.url.path
    return problem(request_id, path, status, code, detail, errors=errors, headers=headers)


def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error, Refusal):
        return _answer(
            request, error.status_code, error.code, error.detail, error.errors, error.headers
        )
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
    headers = error.headers
    if error.status_code == 405:
        headers = {"Allow": ", ".join(_allowed(request))}
    return _answer(request, error.status_code, code, error.detail, (), headers)


def _allowed(request: Request) -> list[str]:
    """Methods that some route of this address takes."""
    methods = ("GET", "HEAD", "POST", "PUT", "DELETE")
    routes = request.app.routes
    tries = {method: {**request.scope, "method": method} for method in methods}
    return [m for m in methods if any(r.matches(tries[m])[0] is Match.FULL for r in routes)]


def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = field_errors(error.errors(), error.body)
    codes = {e.code for e in errors}
    code = codes.pop() if len(codes) == 1 else "invalid_request"
    return _answer(request, 422, code, "; ".join(e.message for e in errors[:5]), errors)


def _on_store(request: Request, error: Exception) -> Response:
    assert isinstance(error, StoreError)
    headers: dict[str, str] = {}
    match error:
        case NotFound():
            status = 404 if error.pointer is None else 422
        case NotReady():
            status, headers = 409, {"Retry-After": str(RETRY_NOT_READY_S)}
        case Conflict():
            status = 409
        case Invalid():
            status = 422
        case NoSpace():
            status = 507  # waiting does not help: somebody must free space
        case Unavailable():
            status, headers = 503, {"Retry-After": str(RETRY_DATABASE_S)}
        case _:
            raise error
    errors: tuple[FieldError, ...] = ()
    if status == 422 or error.pointer is not None:
        errors = (FieldError(code=error.code, message=error.message, pointer=error.pointer),)
    return _answer(request, status, error.code, error.message, errors, headers)


def _on_gone(request: Request, error: Exception) -> Response:
    return _answer(request, 400, "client_gone", "the connection ended within the body")


def install(app: FastAPI) -> None:
    """Make every error of the app a problem; bugs are `guard`'s."""
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(StoreError, _on_store)
    app.add_exception_handler(ClientDisconnect, _on_gone)


# --- pydantic's errors, told in the terms of the request ---

ABSENT = ("missing", "teacher_needed")  # what they point at need not be there


def field_errors(errors: Sequence[Mapping[str, Any]], body: Any) -> list[FieldError]:
    """One error per wrong place; a union's several complaints about one value are joined."""
    found: dict[tuple[str | None, str], FieldError] = {}
    for error in errors:
        one = _field_error(error, body)
        same = (one.pointer, "" if one.pointer is not None else one.message)
        if same in found:
            before = found[same]
            message = f"{before.message}, or {one.message}"
            one = FieldError(code="invalid_type", message=message, pointer=one.pointer)
        found[same] = one
    return _causes(list(found.values()))


def _causes(errors: list[FieldError]) -> list[FieldError]:
    """Without the `too_short` that pydantic adds to a list all of whose items are wrong."""
    places = [error.pointer or "" for error in errors]
    return [
        error
        for error in errors
        if error.code != "too_short" or not any(p.startswith(f"{error.pointer}/") for p in places)
    ]


def _field_error(error: Mapping[str, Any], body: Any) -> FieldError:
    place, *path = error["loc"]
    kind, message = error["type"], error["msg"]
    if place != "body":
        name = ".".join(str(part) for part in path)
        return FieldError(code="bad_parameter", message=f"{place} parameter `{name}`: {message}")
    parts = _real_path(path, body, keep_last=kind in ABSENT)
    context = error.get("ctx", {})
    if kind == "union_tag_invalid":
        tag_key = str(context["discriminator"]).strip("'")
        code = f"unknown_{tag_key}" if tag_key != "name" else f"unknown_{parts[-1]}"
        message = f"unknown {code.removeprefix('unknown_')} `{context['tag']}`"
        message += f"; known: {context['expected_tags'].replace(chr(39), '')}"
        return FieldError(code=code, message=message, pointer=pointer([*parts, tag_key]))
    if kind == "union_tag_not_found":
        parts = [*parts, str(context["discriminator"]).strip("'")]
        kind, message = "missing", "Field required"
    elif kind == "value_error":
        message = message.removeprefix("Value error, ")
    where = f"`{pointer(parts)}`: " if parts else ""
    return FieldError(code=kind, message=f"{where}{message}", pointer=pointer(parts))


def _real_path(path: Sequence[str | int], body: Any, *, keep_last: bool) -> list[str | int]:
    """The path without the names of union members, which are not in the body."""
    real: list[str | int] = []
    here = body
    for index, part in enumerate(path):
        last = index == len(path) - 1
        if isinstance(here, dict) and part in here:
            here = here[str(part)]
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            here = here[part]
        elif not (last and keep_last):
            continue
        real.append(part)
    return real


def pointer(parts: Sequence[str | int]) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)
