"""JSON bodies are read strictly: what cannot be kept or compared everywhere is refused."""

import pytest

from distillery.api import strict_json
from distillery.api.problems import Refusal
from tests.api.makers import ApiHarness, refused

JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("text", "status", "code", "pointer"),
    [
        (b'{"size": NaN}', 422, "bad_number", "/size"),
        (b'{"size": -Infinity}', 422, "bad_number", "/size"),
        (b'{"size": 1e999}', 422, "bad_number", "/size"),
        (b'{"a": [0, ' + b"9" * 6000 + b"]}", 422, "bad_number", "/a/1"),
        (b'{"size": 9007199254740992}', 422, "bad_number", "/size"),
        (b'{"filename": "a\\u0000b"}', 422, "bad_text", "/filename"),
        (b'{"filename": "\\ud800"}', 422, "bad_text", "/filename"),
        (b'{"a/b~\\udfff": 1}', 422, "bad_text", "/a~1b~0?"),
        (b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}", 422, "too_deep", "/a" + "/0" * 32),
        (b"[" * 100_000, 400, "bad_json", None),
        (b'{"size": 1,}', 400, "bad_json", None),
        (b'{"size": "\xff"}', 400, "bad_json", None),
    ],
)
def test_values_that_cannot_be_stored_are_refused(
    shared: ApiHarness, text: bytes, status: int, code: str, pointer: str | None
) -> None:
    problem = refused(shared.http.post("/v1/uploads", content=text, headers=JSON), status, code)
    assert [e["pointer"] for e in problem["errors"]] == ([] if pointer is None else [pointer])


def test_good_values_pass_unchanged() -> None:
    text = '{"a": [1, -2.5e3, null, true, "é😀"], "b": {"c": 9007199254740991}}'
    assert strict_json.parse(text.encode()) == {
        "a": [1, -2500.0, None, True, "é😀"],
        "b": {"c": 2**53 - 1},
    }
    with pytest.raises(Refusal):
        strict_json.parse(b"")


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_only_json_is_read(shared: ApiHarness, media_type: str) -> None:
    headers = {"content-type": media_type} if media_type else {}
    answer = shared.http.post("/v1/uploads", content=b'{"size": 1}', headers=headers)
    refused(answer, 415, "unsupported_media_type")


def test_a_body_is_bounded_with_and_without_a_length(shared: ApiHarness) -> None:
    big = b'{"filename": "' + b"a" * shared.settings.max_body_bytes + b'"}'
    for content in (big, iter([big[:1000], big[1000:]])):
        answer = shared.http.post("/v1/uploads", content=content, headers=JSON)
        refused(answer, 413, "body_too_large")


def test_a_missing_body_is_a_missing_field(shared: ApiHarness) -> None:
    assert refused(shared.http.post("/v1/uploads"), 422, "missing")["errors"][0]["pointer"] == ""
