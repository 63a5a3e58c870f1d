"""Serves /docs, a list of every operation in plain HTML that loads nothing from other hosts."""

from html import escape
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>
<body><h1>{title}</h1><pre>{description}</pre>
<p>Shapes and examples: <a href="/openapi.json">openapi.json</a>, for any OpenAPI viewer.</p>
{sections}</body></html>"""


def install(app: FastAPI) -> None:
    """Serve the page."""

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(page(app.openapi()))


def page(document: dict[str, Any]) -> str:
    """Render the document's operations by tag."""
    rows: dict[str, list[str]] = {tag["name"]: [] for tag in document["tags"]}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            summary = escape(operation["description"].partition("\n")[0])
            head = f"<dt><code>{method.upper()} {escape(path)}</code></dt>"
            rows[operation["tags"][0]].append(f"{head}<dd>{summary}</dd>")
    sections = [
        f"<h2>{escape(tag['name'])}</h2><p>{escape(tag['description'])}</p>"
        f"<dl>{''.join(rows[tag['name']])}</dl>"
        for tag in document["tags"]
    ]
    info = document["info"]
    return _PAGE.format(
        title=escape(info["title"]),
        description=escape(info["description"]),
        sections="".join(sections),
    )
