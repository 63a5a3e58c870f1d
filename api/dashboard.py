"""Serves the built dashboard at `/`: its files, and the page itself for every other path."""

from pathlib import Path

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, HTMLResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from distillery.api.problems import Refusal
from distillery.wire.request_codes import RequestCode

_NOT_BUILT = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Distillery</title>
</head><body><h1>Distillery</h1><p>The service runs. Its dashboard is not built: run
<code>make web</code> (needs Node) and reload.</p><p>The API is under <code>/v1</code>,
listed at <a href="/docs">/docs</a>.</p></body></html>"""


def dashboard(web_dir: Path) -> ASGIApp:
    """An ASGI app for paths without a route: a file of `web_dir`, else the page; 404 below /v1."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        response = await run_in_threadpool(_answer, web_dir, Request(scope))
        await response(scope, receive, send)

    return serve


def _answer(web_dir: Path, request: Request) -> Response:
    path = request.scope["path"].lstrip("/")
    if path == "v1" or path.startswith("v1/") or request.method not in ("GET", "HEAD"):
        raise Refusal(RequestCode.NOT_FOUND, "there is no such address")
    file = find(web_dir, path)
    if file is None:
        if path.startswith("assets/"):
            raise Refusal(RequestCode.NOT_FOUND, "there is no such file")
        file = find(web_dir, "index.html")
    if file is None:
        return HTMLResponse(_NOT_BUILT)
    hashed = path.startswith("assets/")  # Vite puts a hash of the content into these names
    cache = "public, immutable, max-age=31536000" if hashed else "no-cache"
    return FileResponse(file, headers={"Cache-Control": cache})


def find(web_dir: Path, path: str) -> Path | None:
    """The regular file `path` below `web_dir`; None where it is missing or leads outside."""
    root = web_dir.resolve()
    try:
        file = (root / path).resolve()
        return file if file.is_relative_to(root) and file.is_file() else None
    except (OSError, ValueError, RuntimeError):  # a name too long, NUL, a loop of links
        return None
