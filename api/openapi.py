"""The OpenAPI document: FastAPI's own, plus the problems that each operation may answer."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from distillery.api.examples import EXAMPLES
from distillery.api.problems import MEDIA_TYPE
from distillery.wire.common import Problem

JsonObject = dict[str, Any]
DESCRIPTION = """\
Distils a large trained network (the teacher) into a small one (the student): upload a teacher and a
dataset, submit a job, follow it, and download the student with a report of what it is worth.

Errors are `application/problem+json` with a stable `code`, the next step, and a JSON pointer for
each wrong field. Requests that create something accept `Idempotency-Key`; reads accept
`If-None-Match`; lists continue with `after`.
"""
TAGS = {
    "uploads": "Files in parts, any order, resumable.",
    "models": "Networks with weights: uploaded teachers and distilled students.",
    "datasets": "Uploaded images.",
    "jobs": "Distillations, and the inspections of uploads.",
    "events": "What happened to a job: events, transitions, curves.",
    "artifacts": "The files that jobs produce.",
    "methods": "Methods and architectures to choose from.",
    "keys": "API keys.",
    "retention": "Deletes data whose retention period has expired.",
    "health": "Whether the service runs, and whether it can serve.",
}
_WORDS = {
    "400": "The request is not valid HTTP or JSON.",
    "401": "The request has no valid key.",
    "403": "The key lacks the scope, or a browser sent the request for another web site.",
    "404": "Nothing of this id belongs to the key's tenant.",
    "408": "The body came too slowly.",
    "409": "Not possible in the present state; `Retry-After` is set where waiting helps.",
    "413": "The body is too large.",
    "415": "The body is not application/json.",
    "416": "The range lies outside of the file.",
    "422": "Something in the request is wrong: `errors` says what and where.",
    "429": "Too many event streams are open.",
    "503": "The database or the storage does not answer; nothing was done.",
    "507": "A disk is full, or nearly; nothing was kept.",
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
    return made


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
