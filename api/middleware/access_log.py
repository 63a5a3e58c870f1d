"""One line in the log, one count and one span for every request."""

import logging
import time
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from distillery.api.metrics import HttpMetrics
from distillery.telemetry import logs, traces

log = logging.getLogger("api.access")
V1 = "/v1/"
QUIET = frozenset({"/v1/health", "/v1/ready", "/metrics"})  # asked every few seconds for ever
IDS = {"job_id": "job", "model_id": "model", "dataset_id": "dataset", "upload_id": "upload"}


class AccessLog:
    """ASGI middleware around all others. Knows routes by their templates; never sees a key."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics):
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request be answered, and note it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began_s = time.perf_counter()
        status, started_s = 0, 0.0

        async def watched_send(message: Message) -> None:
            nonlocal status, started_s
            if message["type"] == "http.response.start":
                status, started_s = message["status"], time.perf_counter() - began_s
            await send(message)

        parent = Headers(scope=scope).get("traceparent")
        with traces.span("request", parent, **{"http.request.method": scope["method"]}) as span:
            try:
                await self.app(scope, receive, watched_send)
            finally:
                route = template(scope)
                seconds = time.perf_counter() - began_s
                self.metrics.count(scope["method"], route, status or 499, started_s or seconds)
                _log(scope, route, status, seconds)
                if span is not None:
                    _describe(span, scope, route, status)


def template(scope: Scope) -> str:
    """The route's template, with its prefix; one word for whatever has no route."""
    path = getattr(scope.get("route"), "path", None)
    if path is None:
        return "(none)"
    is_v1 = scope["path"].startswith(V1) and not path.startswith(V1)
    return f"/v1{path}" if is_v1 else str(path)


def _log(scope: Scope, route: str, status: int, seconds: float) -> None:
    level = logging.DEBUG if route in QUIET else logging.INFO
    if not log.isEnabledFor(level):
        return
    params = scope.get("path_params", {})
    logs.log_fields(
        log,
        level,
        f"{scope['method']} {route} {status or 'cut off'}",
        request_id=scope.get("request_id"),
        tenant=scope.get("tenant"),
        method=scope["method"],
        route=route,
        status=status,
        duration_ms=round(seconds * 1000, 1),
        **{name: params[param] for param, name in IDS.items() if param in params},
    )


def _describe(span: Any, scope: Scope, route: str, status: int) -> None:
    span.update_name(f"{scope['method']} {route}")
    span.set_attribute("http.route", route)
    span.set_attribute("http.response.status_code", status)
    for name, value in (("request_id", "request_id"), ("tenant", "tenant")):
        if value in scope:
            span.set_attribute(f"kd.{name}", scope[value])
