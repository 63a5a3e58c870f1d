"""The OpenAPI document is complete: clients and the dashboard's types are made from it."""

import json
import re
from typing import Any

import pytest
from pydantic import BaseModel

from distillery.api.examples import EXAMPLES
from distillery.api.main import create_app
from distillery.wire.catalog import DatasetCreate, ModelCreate
from distillery.wire.jobs import JobCreate
from distillery.wire.keys import KeyCreate
from distillery.wire.uploads import UploadComplete, UploadCreate

DOCUMENT = create_app().openapi()
OPERATIONS = [op for item in DOCUMENT["paths"].values() for op in item.values()]
BODIES: dict[str, type[BaseModel]] = {
    "createUpload": UploadCreate,
    "completeUpload": UploadComplete,
    "createModel": ModelCreate,
    "createDataset": DatasetCreate,
    "submitJob": JobCreate,
    "createKey": KeyCreate,
}


def test_every_operation_is_described() -> None:
    names = [op["operationId"] for op in OPERATIONS]
    assert len(names) == len(set(names))
    for op in OPERATIONS:
        assert re.fullmatch(r"[a-z][A-Za-z]+", op["operationId"])
        assert op["summary"]
        assert op["description"]
        assert len(op["tags"]) == 1
    assert {op["tags"][0] for op in OPERATIONS} == {tag["name"] for tag in DOCUMENT["tags"]}


def test_every_refusal_is_a_problem() -> None:
    for op in OPERATIONS:
        if op["tags"] == ["health"]:
            continue
        assert op["security"][0]["key"]
        assert {"401", "403", "503"} <= set(op["responses"])
        for status, response in op["responses"].items():
            if status >= "400":
                assert response == {"$ref": f"#/components/responses/Problem{status}"}
    for response in DOCUMENT["components"]["responses"].values():
        assert list(response["content"]) == ["application/problem+json"]


def test_every_reference_leads_somewhere() -> None:
    for path in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(DOCUMENT)):
        here: Any = DOCUMENT
        for part in path.split("/"):
            here = here[part]


def test_schema_names_are_plain() -> None:
    assert [n for n in DOCUMENT["components"]["schemas"] if "__" in n or "-" in n] == []
    assert "HTTPValidationError" not in json.dumps(DOCUMENT)


@pytest.mark.parametrize("operation", EXAMPLES)
def test_examples_are_valid_and_shown(operation: str) -> None:
    for value in EXAMPLES[operation].values():
        BODIES[operation].model_validate(value)
    (shown,) = [op for op in OPERATIONS if op["operationId"] == operation]
    content = shown["requestBody"]["content"]["application/json"]
    assert [one["value"] for one in content["examples"].values()] == [*EXAMPLES[operation].values()]


def test_creating_operations_document_their_key() -> None:
    for operation in set(EXAMPLES) - {"completeUpload"}:
        (shown,) = [op for op in OPERATIONS if op["operationId"] == operation]
        assert "idempotency-key" in [p["name"].lower() for p in shown["parameters"]]
