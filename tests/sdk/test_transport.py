"""Requests are tried again when that can help, with one Idempotency-Key, and only then."""

import json
import time

import pytest

from distillery.sdk.errors import ApiError, ExitCode, Unreachable
from distillery.sdk.transport import Transport
from distillery.wire.common import Problem
from distillery.wire.keys import Health
from tests.sdk.scripted import Scripted, answer, cut, serve

HEALTH = json.dumps({"ok": True, "version": "1", "components": {}})


def _problem(status: int, **more: object) -> str:
    body = Problem(title="T", status=status, detail="D", code="c").model_dump(mode="json")
    return json.dumps({**body, **more})


def test_a_busy_service_is_asked_again_when_it_says() -> None:
    script = Scripted(answer(503, _problem(503), Retry_After="1"), answer(200, HEALTH))
    with serve(script) as url:
        began_s = time.monotonic()
        assert Transport(url).get("/ready", Health).ok
        assert 1.0 <= time.monotonic() - began_s < 6.0
    assert [request[1] for request in script.requests] == ["/v1/ready", "/v1/ready"]


def test_every_try_of_a_post_carries_the_same_key() -> None:
    script = Scripted(
        answer(429, _problem(429), Retry_After="0"),
        cut(200, b"{", 100),
        answer(200, HEALTH),
    )
    with serve(script) as url:
        assert Transport(url, "secret").post("/jobs", Health, {"a": 1}).ok
        assert Transport(url, "secret").post("/jobs", Health, {"a": 1}).ok
    keys = [headers["idempotency-key"] for _, _, headers, _ in script.requests]
    assert len(keys) == 4
    assert len(set(keys[:3])) == 1 and keys[3] != keys[0]
    assert {headers["authorization"] for _, _, headers, _ in script.requests} == {"Bearer secret"}
    assert {body for _, _, _, body in script.requests} == {b'{"a":1}'}


def test_a_refusal_is_final_and_names_every_error() -> None:
    errors = [{"code": "unknown", "message": "no such method", "pointer": "/stages/0"}]
    script = Scripted(answer(422, _problem(422, errors=errors)))
    with serve(script) as url, pytest.raises(ApiError, match="/stages/0: no such method") as caught:
        Transport(url).get("/ready", Health)
    assert caught.value.problem.code == "c"
    assert caught.value.exit == ExitCode.FAILED
    assert len(script.requests) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_denied_has_its_own_exit_code_and_advice(status: int) -> None:
    script = Scripted(answer(status, _problem(status, next_step="Give a key.")))
    with serve(script) as url, pytest.raises(ApiError) as caught:
        Transport(url).get("/ready", Health)
    assert caught.value.exit == ExitCode.DENIED
    assert caught.value.hint == "Give a key."  # what the service says to do


def test_patience_ends() -> None:
    script = Scripted(answer(503, _problem(503), Retry_After="30"))
    with serve(script) as url, pytest.raises(ApiError):
        Transport(url, patience_s=5).get("/ready", Health)
    assert len(script.requests) == 1


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [(200, Unreachable, "not as a Distillery service"), (404, ApiError, "answered 404")],
)
def test_another_server_is_recognised(status: int, error: type[Exception], words: str) -> None:
    with serve(Scripted(answer(status, "<html>"))) as url, pytest.raises(error, match=words):
        Transport(url).get("/ready", Health)


@pytest.mark.parametrize("url", ["localhost:1", "http://localhost:1/", "http://localhost:1/v1"])
def test_addresses_are_forgiving(url: str) -> None:
    assert Transport(url).address("/jobs") == "http://localhost:1/v1/jobs"
    assert Transport(url).address("/v1/artifacts/a") == "http://localhost:1/v1/artifacts/a"
