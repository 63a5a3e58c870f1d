"""Builds docs/rest.md: every endpoint with parameters, bodies, responses and errors."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distillery.api.main import create_app
from scripts.markdown import cell, table
from scripts.reference import shapes

PAGE = Path(__file__).parents[2] / "docs" / "rest.md"
PROBLEM = "#/components/responses/Problem"
INTRO = Path(__file__).with_name("rest.md").read_text(encoding="utf-8")


def build() -> str:
    """Build the page."""
    document = create_app().openapi()
    blocks = [INTRO.rstrip(), "## Status codes of errors", _problems(document)]
    for tag in document["tags"]:
        blocks.append(f"## Endpoints: {tag['name']}\n\n{tag['description']}")
        blocks += _operations(document, tag["name"])
    schemas = document["components"]["schemas"]
    blocks.append(
        "## Shapes\n\nThe schemas of bodies and responses, by name. Times are RFC 3339 in UTC."
    )
    blocks += [shapes.section(n, schemas[n]) for n in sorted(schemas) if shapes.is_listed(n)]
    return "\n\n".join(blocks) + "\n"


def _problems(document: dict[str, Any]) -> str:
    found = document["components"]["responses"]
    rows = [
        (f"`{name.removeprefix('Problem')}`", cell(r["description"])) for name, r in found.items()
    ]
    return table(("status", "meaning"), sorted(rows))


def _operations(document: dict[str, Any], tag: str) -> Iterator[str]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if operation["tags"][0] == tag:
                yield _operation(method.upper(), path, operation)


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    scopes = [scope for entry in operation.get("security", ()) for scope in entry["key"]]
    blocks = [
        f"### `{method} {path}`",
        operation["description"].replace("*", "\\*"),
        f"Scope: {', '.join(f'`{scope}`' for scope in scopes)}." if scopes else "No key is needed.",
        _parameters(operation.get("parameters", ())),
        _body(operation),
        _responses(operation["responses"]),
    ]
    return "\n\n".join(filter(None, blocks))


def _parameters(parameters: Any) -> str:
    rows = [
        (
            f"`{p['name']}`",
            p["in"],
            shapes.kind(p["schema"]) + ("" if p["required"] else _default(p["schema"])),
            cell(". ".join(filter(None, _words(p)))),
        )
        for p in parameters
    ]
    return table(("parameter", "in", "type", "what it is"), rows) if rows else ""


def _words(parameter: dict[str, Any]) -> tuple[str, str]:
    return parameter.get("description", "").rstrip("."), shapes.parameter_range(parameter["schema"])


def _default(schema: dict[str, Any]) -> str:
    value = schema.get("default")
    return "" if value is None else f", default `{json.dumps(value)}`"


def _body(operation: dict[str, Any]) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    blocks = []
    for media_type, body in content.items():
        plain = "" if media_type == "application/json" else f" as `{media_type}`"
        blocks.append(f"Body: {shapes.kind(body['schema'])}{plain}.")
        for name, example in body.get("examples", {}).items():
            text = json.dumps(example["value"], indent=2)
            blocks.append(f"Example `{name}`:\n\n```json\n{text}\n```")
    return "\n\n".join(blocks)


def _responses(responses: dict[str, Any]) -> str:
    rows, problems = [], []
    for status, response in responses.items():
        if response.get("$ref", "").startswith(PROBLEM):
            problems.append(status)
        else:
            rows.append((f"`{status}`", _content(response), cell(_description(response))))
    text = table(("status", "answer", "when"), rows)
    errors = ", ".join(f"`{status}`" for status in problems)
    return f"{text}\n\nErrors: {errors}." if problems else text


def _content(response: dict[str, Any]) -> str:
    content = response.get("content", {})
    if not content:
        return "no body"
    json_body = content.get("application/json")
    others = [f"`{media_type}`" for media_type in content if media_type != "application/json"]
    found = [shapes.kind(json_body["schema"])] if json_body else []
    return " or ".join([*found, *others])


def _description(response: dict[str, Any]) -> str:
    return str(response["description"]).replace("Successful Response", "done")
