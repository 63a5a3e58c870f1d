"""Writes a log line, a count and a span for every request."""

import logging
import time
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from distillery.api.metrics import HttpMetrics
from distillery.telemetry import logs, traces

log = logging.getLogger("api.access")
V1 = "/v1/"
QUIET = frozenset({"/v1/health", "/v1/ready", "/metrics"})  # requested every few seconds
IDS = {"job_id": "job", "model_id": "model", "dataset_id": "dataset", "upload_id": "upload"}


class AccessLogMiddleware:
    """Outermost ASGI middleware. Logs routes by their templates, and no keys."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics):
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request and log it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start_s = time.perf_counter()
        status, response_s = 0, 0.0

        async def watched_send(message: Message) -> None:
            nonlocal status, response_s
            if message["type"] == "http.response.start":
                status, response_s = message["status"], time.perf_counter() - start_s
            await send(message)

        parent = Headers(scope=scope).get("traceparent")
        with traces.span("request", parent, **{"http.request.method": scope["method"]}) as span:
            try:
                await self.app(scope, receive, watched_send)
            finally:
                route = template(scope)
                seconds = time.perf_counter() - start_s
                self.metrics.count(scope["method"], route, status or 499, response_s or seconds)
                _log(scope, route, status, seconds)
                if span is not None:
                    _describe(span, scope, route, status)


def template(scope: Scope) -> str:
    """Return the template of the request's route, with its prefix; `(none)` without a route."""
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
