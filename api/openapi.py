"""The OpenAPI document: FastAPI's own, plus the problems that each operation may answer."""

import json
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from distillery.api.examples import EXAMPLES
from distillery.api.problems import MEDIA_TYPE
from distillery.wire.common import Problem

JsonObject = dict[str, Any]
DESCRIPTION = """\
Turns a big trained network (the teacher) into a small one (the student): upload a teacher and a
dataset, post a job, follow it, take the student home with proof of what it is worth.

Errors are `application/problem+json` with a stable `code` and a JSON pointer per wrong field.
Creating requests honour `Idempotency-Key`; reads honour `If-None-Match`; lists go on with `after`.
"""
TAGS = {
    "uploads": "Files in parts, any order, resumable.",
    "models": "Networks with weights: uploaded teachers and distilled students.",
    "datasets": "Uploaded images.",
    "jobs": "Distillations, and the inspections of what was uploaded.",
    "events": "What happened to a job: events, moves, curves.",
    "artifacts": "The files that jobs made.",
    "methods": "What there is to choose from.",
    "keys": "API keys.",
    "retention": "Letting go of what was kept long enough.",
    "health": "Whether the service lives and is ready.",
}
_WORDS = {
    "400": "Not HTTP or JSON as it should be.",
    "401": "No valid key.",
    "403": "The key lacks the scope, or another web site sent this.",
    "404": "No such thing for this key.",
    "408": "The body came too slowly.",
    "409": "Not possible in the present state; with `Retry-After` where waiting helps.",
    "413": "The body is too large.",
    "415": "Not application/json.",
    "416": "The range is outside the file.",
    "422": "Something in the request is wrong: `errors` says what and where.",
    "429": "Too many at once.",
    "503": "The database or storage does not answer; nothing was done.",
    "507": "A disk is full, or nearly: nothing was kept. Somebody must free space.",
}


def install(app: FastAPI) -> None:
    """Let the app serve the completed document."""

    def document() -> JsonObject:
        if app.openapi_schema is None:
            app.openapi_schema = build(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def build(app: FastAPI) -> JsonObject:
    """The whole document."""
    tags = [{"name": name, "description": text} for name, text in TAGS.items()]
    made = get_openapi(
        title=app.title,
        version=app.version,
        description=DESCRIPTION,
        routes=app.routes,
        tags=tags,
    )
    parts = made.setdefault("components", {})
    schemas = parts.setdefault("schemas", {})
    template = "#/components/schemas/{model}"
    problem = Problem.model_json_schema(ref_template=template, mode="serialization")
    schemas |= problem.pop("$defs") | {"Problem": problem}
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    parts["responses"] = {f"Problem{status}": _problem(text) for status, text in _WORDS.items()}
    for path, item in made["paths"].items():
        for method, operation in item.items():
            _add_problems(operation, path, method)
            _add_examples(operation)
    return _rename(made)


def _rename(document: JsonObject) -> JsonObject:
    """Short names for the two schemas that share one class name."""
    text = json.dumps(document)
    renamed: JsonObject = json.loads(text.replace("RunArtifact", "RunArtifact"))
    return renamed


def _add_examples(operation: JsonObject) -> None:
    examples = EXAMPLES.get(operation["operationId"])
    if examples is not None:
        body = operation["requestBody"]["content"]["application/json"]
        body["examples"] = {name: {"value": value} for name, value in examples.items()}


def _add_problems(operation: JsonObject, path: str, method: str) -> None:
    responses = operation["responses"]
    for status in _problems_of(operation, path, method):
        responses[status] = {"$ref": f"#/components/responses/Problem{status}"}
    if method == "get" and "security" in operation:
        responses["304"] = {"description": "Unchanged: `If-None-Match` names what there is."}
    operation["responses"] = dict(sorted(responses.items()))


def _problems_of(operation: JsonObject, path: str, method: str) -> set[str]:
    if "security" not in operation:
        return set()
    found = {"400", "401", "403", "503"}
    if "{" in path:
        found.add("404")
    if operation.get("parameters") or "requestBody" in operation:
        found.add("422")
    if method in ("post", "delete", "put"):
        found |= {"409", "507"}
    if method in ("post", "put") and "requestBody" in operation:
        found |= {"408"} | ({"413", "415"} if method == "post" else set())
    if path.endswith(("/content", "/weights")):
        found |= {"416"} | ({"409"} if path.endswith("/weights") else set())
    if path.endswith("/events"):
        found.add("429")
    return found


def _problem(text: str) -> JsonObject:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": text, "content": {MEDIA_TYPE: {"schema": schema}}}
