"""Adds request ids and security headers, and checks hosts and origins."""

import logging
import re
import secrets
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from distillery.api.problems import problem
from distillery.telemetry.logs import log_context
from distillery.wire.request_codes import RequestCode
from kdcore.spec.codes import ErrorCode

Refused = tuple[ErrorCode, str]  # code, detail
log = logging.getLogger(__name__)
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; "
        "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}


class SecurityMiddleware:
    """ASGI middleware that refuses requests which another site's page makes a browser send.

    The host check stops DNS rebinding, the origin check cross-site request forgery.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str] | None):
        self.app = app
        self.hosts = None if hosts is None else frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve or refuse one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        scope["request_id"] = request_id

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                out = MutableHeaders(scope=message)
                out["X-Request-Id"] = request_id
                for name, value in _HEADERS.items():
                    out.setdefault(name, value)
            await send(message)

        refused = self._refuse(scope, headers)
        if refused is None:
            with log_context(request_id=request_id):
                refused = await self._run(scope, receive, send_with_headers)
        if refused is not None:
            response = problem(request_id, scope["path"], *refused)
            await response(scope, receive, send_with_headers)

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> Refused | None:
        """Run the app; log a bug and report it without its details."""
        started = False

        async def watched_send(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, watched_send)
            return None
        except Exception as error:  # noqa: BLE001 - outermost: whatever a route lets through
            bug = error
        if started:
            raise bug  # the server closes the connection: half a response must not look complete
        log.error("the request failed", exc_info=bug)
        return RequestCode.INTERNAL_ERROR, "the request failed; find its request id in the log"

    def _refuse(self, scope: Scope, headers: Headers) -> Refused | None:
        host = headers.get("host", "")
        if self.hosts is not None and host_name(host) not in self.hosts:
            return RequestCode.WRONG_HOST, "Host header not allowed; add it to KD_ALLOWED_HOSTS"
        if scope["method"] not in _SAFE_METHODS and is_foreign(headers, host):
            return RequestCode.CROSS_ORIGIN, "another site's page may not send this request"
        if "\0" in scope["path"] or b"%00" in scope["query_string"]:
            return RequestCode.BAD_REQUEST, "the address must not contain NUL"
        return None


def host_name(host: str) -> str:
    """Return the name in a Host header, without port or brackets, in lower case."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def is_foreign(headers: Headers, host: str) -> bool:
    """Whether a browser sent this request for a page of another origin."""
    site = headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    return origin is not None and origin.partition("://")[2] != host
