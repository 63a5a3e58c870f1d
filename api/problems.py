"""Errors as RFC 9457 problem+json: a stable code, and a JSON pointer for each wrong field."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from distillery.store.errors import CodedError, NoSpace, NotReady, Unavailable
from distillery.wire.common import FieldError, Problem
from distillery.wire.request_codes import RequestCode
from kdcore.spec.codes import ErrorCode
from kdcore.spec.faults import faults_in

MEDIA_TYPE = "application/problem+json"
RETRY_DATABASE_S = 5
RETRY_NOT_READY_S = 2
FRAMEWORK = {404: RequestCode.NOT_FOUND, 405: RequestCode.METHOD_NOT_ALLOWED}
DETAILED = 5  # errors that `detail` repeats


class Refusal(HTTPException):  # what FastAPI lets through while it reads a body
    """A request we refuse: code, message, and the fields at fault."""

    def __init__(
        self,
        code: ErrorCode,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ):
        assert code.status is not None, f"{code} is not for requests"
        super().__init__(code.status, detail, headers=dict(headers or {}))
        self.code = code
        self.errors = tuple(errors)


def problem(
    request_id: str | None,
    path: str | None,
    code: ErrorCode,
    detail: str,
    *,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The response that says what is wrong and what to do next."""
    assert code.status is not None, f"{code} is not for requests"
    body = Problem(
        title=HTTPStatus(code.status).phrase,
        status=code.status,
        detail=detail,
        code=code,
        next_step=code.next_step,
        instance=path,
        request_id=request_id,
        errors=list(errors),
    )
    return Response(body.model_dump_json(), code.status, dict(headers or {}), MEDIA_TYPE)


def _answer(
    request: Request,
    code: ErrorCode,
    detail: str,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    request_id = request.scope.get("request_id")
    return problem(request_id, request.url.path, code, detail, errors=errors, headers=headers)


def _on_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return _answer(request, error.code, error.detail, error.errors, error.headers)


def _on_http(request: Request, error: Exception) -> Response:
    """What the framework refuses by itself."""
    assert isinstance(error, HTTPException)
    code = FRAMEWORK.get(error.status_code, RequestCode.BAD_REQUEST)
    headers = error.headers
    if code is RequestCode.METHOD_NOT_ALLOWED:
        headers = {"Allow": ", ".join(_allowed(request))}
    return _answer(request, code, error.detail, (), headers)


def _allowed(request: Request) -> list[str]:
    """Methods that some route of this address takes."""
    methods = ("GET", "HEAD", "POST", "PUT", "DELETE")
    routes = request.app.routes
    tries = {method: {**request.scope, "method": method} for method in methods}
    return [m for m in methods if any(r.matches(tries[m])[0] is Match.FULL for r in routes)]


def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = request_faults(error.errors(), error.body)
    codes = {code for code, _ in found}
    code = codes.pop() if len(codes) == 1 else RequestCode.INVALID_REQUEST
    errors = [one for _, one in found]
    shown = (f"{e.pointer}: {e.message}" if e.pointer else e.message for e in errors[:DETAILED])
    return _answer(request, code, "; ".join(shown), errors)


def request_faults(
    errors: Sequence[Mapping[str, Any]], body: Any
) -> list[tuple[ErrorCode, FieldError]]:
    """What pydantic says of a request: first its parameters, then its body."""
    found: list[tuple[ErrorCode, FieldError]] = []
    in_body = []
    for error in errors:
        place, *path = error["loc"]
        if place == "body":
            in_body.append({**error, "loc": path})
            continue
        name = ".".join(str(part) for part in path)
        message = f"{place} parameter `{name}`: {error['msg']}"
        code = RequestCode.BAD_PARAMETER
        found.append((code, FieldError(code=code, message=message)))
    for fault in faults_in(body, in_body):
        one = FieldError(code=fault.code, message=fault.message, pointer=fault.pointer)
        found.append((fault.code, one))
    return found


def _on_store(request: Request, error: Exception) -> Response:
    assert isinstance(error, CodedError)
    headers: dict[str, str] = {}
    if isinstance(error, NotReady):
        headers = {"Retry-After": str(RETRY_NOT_READY_S)}
    elif isinstance(error, Unavailable) and not isinstance(error, NoSpace):
        headers = {"Retry-After": str(RETRY_DATABASE_S)}
    errors: tuple[FieldError, ...] = ()
    if error.code.status == 422 or error.pointer is not None:
        errors = (FieldError(code=error.code, message=error.message, pointer=error.pointer),)
    return _answer(request, error.code, error.message, errors, headers)


def _on_gone(request: Request, error: Exception) -> Response:
    return _answer(request, RequestCode.CLIENT_GONE, "the connection ended within the body")


def install(app: FastAPI) -> None:
    """Make every error of the app a problem; bugs are for `middleware.security`."""
    app.add_exception_handler(Refusal, _on_refusal)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(CodedError, _on_store)
    app.add_exception_handler(ClientDisconnect, _on_gone)
