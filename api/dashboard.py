"""The built dashboard at `/`: static files, the page itself for every other address."""

from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, HTMLResponse

from api.problems import Refusal

_NOT_BUILT = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Distillery</title>
</head><body><h1>Distillery</h1><p>The service runs. Its dashboard is not built: run
<code>make web</code> (needs Node) and reload.</p><p>The API is under <code>/v1</code>,
described by <a href="/openapi.json">openapi.json</a>.</p></body></html>"""


def install(app: FastAPI, web_dir: Path) -> None:
    """Serve the dashboard from `web_dir`; must come after every other route."""

    @app.api_route("/{path:path}", methods=["GET", "HEAD"], include_in_schema=False)
    def dashboard(path: str, request: Request) -> Response:
        """A file of the dashboard, or its page."""
        if path == "v1" or path.startswith("v1/"):
            raise Refusal(404, "not_found", "there is no such address")
        file = find(web_dir, path)
        if file is None:
            if path.startswith("assets/"):
                raise Refusal(404, "not_found", "there is no such file")
            file = find(web_dir, "index.html")
        if file is None:
            return HTMLResponse(_NOT_BUILT)
        hashed = path.startswith("assets/")  # Vite puts a hash of the content into these names
        cache = "public, immutable, max-age=31536000" if hashed else "no-cache"
        return FileResponse(file, headers={"Cache-Control": cache})


def find(web_dir: Path, path: str) -> Path | None:
    """The regular file below `web_dir` of that name, wherever links or dots may lead."""
    root = web_dir.resolve()
    file = (root / path).resolve()
    return file if file.is_file() and file.is_relative_to(root) else None
