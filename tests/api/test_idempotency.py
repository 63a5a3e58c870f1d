"""An Idempotency-Key makes a repeated creating request harmless."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from distillery.api.routes.keys import SHOWN_ONCE
from distillery.store.db.tables import IdempotencyKey
from tests.api.makers import ApiHarness, archive, ok, refused, safetensors, spec

KEY = {"Idempotency-Key": "key-1"}


def test_a_repeated_job_is_the_first_one(either: ApiHarness) -> None:
    body = spec(either.dataset(), either.teacher())
    either.notified.clear()
    first = either.http.post("/v1/jobs", json=body, headers=KEY)
    again = either.http.post("/v1/jobs", json=dict(reversed(body.items())), headers=KEY)
    assert first.status_code == again.status_code == 202
    assert first.json() == again.json()
    assert first.headers["location"] == again.headers["location"]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert len(ok(either.http.get("/v1/jobs"))["data"]) == 1
    assert either.notified == [first.json()["id"]]


def test_the_same_key_with_another_request_is_refused(harness: ApiHarness) -> None:
    ok(harness.http.post("/v1/uploads", json={"size": 1}, headers=KEY))
    again = harness.http.post("/v1/uploads", json={"size": 2}, headers=KEY)
    refused(again, 422, "idempotency_key_reused")
    elsewhere = harness.http.post("/v1/keys", json={"name": "k"}, headers=KEY)
    refused(elsewhere, 422, "idempotency_key_reused")


def test_keys_of_tenants_do_not_meet(harness: ApiHarness) -> None:
    stranger = KEY | harness.key("write", tenant="other")
    mine = ok(harness.http.post("/v1/uploads", json={"size": 1}, headers=KEY))
    theirs = ok(harness.http.post("/v1/uploads", json={"size": 1}, headers=stranger))
    assert mine["id"] != theirs["id"]


def test_a_refused_request_may_be_mended_under_its_key(harness: ApiHarness) -> None:
    dataset = harness.dataset()
    wrong = spec(dataset, student={"architecture": "resnet9"})
    refused(harness.http.post("/v1/jobs", json=wrong, headers=KEY), 422, "unknown_architecture")
    ok(harness.http.post("/v1/jobs", json=spec(dataset), headers=KEY))


def test_one_of_many_at_once_does_the_work(either: ApiHarness) -> None:
    def post(_: int) -> str:
        return str(ok(either.http.post("/v1/uploads", json={"size": 1}, headers=KEY))["id"])

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(post, range(8)))) == 1


def test_every_creating_post_takes_a_key(harness: ApiHarness) -> None:
    bodies = {
        "/v1/uploads": {"size": 1},
        "/v1/datasets": {"name": "d", "format": "npz", "upload": harness.upload(archive())},
        "/v1/models": {
            "name": "m",
            "upload": harness.upload(safetensors({"w": [1]})),
            "architecture": "resnet8",
            "num_classes": 10,
        },
        "/v1/keys": {"name": "k"},
    }
    for number, (path, body) in enumerate(bodies.items()):
        headers = {"Idempotency-Key": f"k{number}"}
        first = harness.http.post(path, json=body, headers=headers)
        again = harness.http.post(path, json=body, headers=headers)
        assert ok(first)["id"] == ok(again)["id"]
        assert first.headers["location"] == f"{path}/{first.json()['id']}"
        assert again.headers["idempotency-replayed"] == "true"


def test_an_api_keys_text_is_never_kept(harness: ApiHarness) -> None:
    first = ok(harness.http.post("/v1/keys", json={"name": "k"}, headers=KEY))
    again = ok(harness.http.post("/v1/keys", json={"name": "k"}, headers=KEY))
    assert again == first | {"key": SHOWN_ONCE}
    with harness.database.read() as s:
        kept = s.get(IdempotencyKey, ("default", "key-1"))
        assert first["key"] not in str(vars(kept))


@pytest.mark.parametrize("key", ["", "x" * 201, "a b", "é"])
def test_keys_that_cannot_be(shared: ApiHarness, key: str) -> None:
    headers = {b"Idempotency-Key": key.encode()}
    answer = shared.http.post("/v1/uploads", json={"size": 1}, headers=headers)
    refused(answer, 422, "bad_parameter")


def test_a_broken_notifier_does_no_harm(harness: ApiHarness) -> None:
    def broken(job_id: str) -> bool:
        assert len(ok(harness.http.get("/v1/jobs"))["data"]) == 1  # notified after the commit
        return False

    body = spec(harness.dataset())
    services = harness.app.state.services
    object.__setattr__(services, "notify", broken)
    assert harness.http.post("/v1/jobs", json=body).status_code == 202
