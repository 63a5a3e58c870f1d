"""Every route has a row with its allowed callers; each row is tried with every caller."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from distillery.api.main import V1
from tests.api.makers import DISTILLED, ApiHarness, ok, refused

READ, WRITE, ADMIN, OPEN = "read", "write", "admin", "open"
ROUTES = {
    ("POST", "/v1/uploads"): WRITE,
    ("GET", "/v1/uploads/{upload_id}"): READ,
    ("PUT", "/v1/uploads/{upload_id}/parts/{number}"): WRITE,
    ("POST", "/v1/uploads/{upload_id}/complete"): WRITE,
    ("DELETE", "/v1/uploads/{upload_id}"): WRITE,
    ("POST", "/v1/models"): WRITE,
    ("GET", "/v1/models"): READ,
    ("GET", "/v1/models/{model_id}"): READ,
    ("DELETE", "/v1/models/{model_id}"): WRITE,
    ("GET", "/v1/models/{model_id}/weights"): READ,
    ("HEAD", "/v1/models/{model_id}/weights"): READ,
    ("POST", "/v1/datasets"): WRITE,
    ("GET", "/v1/datasets"): READ,
    ("GET", "/v1/datasets/{dataset_id}"): READ,
    ("DELETE", "/v1/datasets/{dataset_id}"): WRITE,
    ("POST", "/v1/jobs"): WRITE,
    ("GET", "/v1/jobs"): READ,
    ("GET", "/v1/jobs/{job_id}"): READ,
    ("POST", "/v1/jobs/{job_id}/cancel"): WRITE,
    ("POST", "/v1/jobs/{job_id}/pause"): WRITE,
    ("POST", "/v1/jobs/{job_id}/resume"): WRITE,
    ("POST", "/v1/jobs/{job_id}/retry"): WRITE,
    ("GET", "/v1/jobs/{job_id}/artifacts"): READ,
    ("GET", "/v1/jobs/{job_id}/events"): READ,
    ("GET", "/v1/jobs/{job_id}/transitions"): READ,
    ("GET", "/v1/jobs/{job_id}/metrics"): READ,
    ("GET", "/v1/artifacts/{artifact_id}"): READ,
    ("GET", "/v1/artifacts/{artifact_id}/content"): READ,
    ("HEAD", "/v1/artifacts/{artifact_id}/content"): READ,
    ("GET", "/v1/methods"): READ,
    ("GET", "/v1/architectures"): READ,
    ("POST", "/v1/keys"): ADMIN,
    ("GET", "/v1/keys"): ADMIN,
    ("DELETE", "/v1/keys/{key_id}"): ADMIN,
    ("POST", "/v1/gc"): ADMIN,
    ("GET", "/v1/health"): OPEN,
    ("GET", "/v1/ready"): OPEN,
    ("GET", "/v1/status"): READ,
}
NOT_THERE = "x_0"


def walk() -> Iterator[tuple[str, str]]:
    """Method and path of every route under /v1."""
    for module in V1:
        for route in module.router.routes:
            for method in getattr(route, "methods", ()):
                yield method, f"/v1{getattr(route, 'path', '')}"


def fill(path: str, **ids: str) -> str:
    """A path with ids in it; those not given do not exist."""
    names = ("upload_id", "model_id", "dataset_id", "job_id", "artifact_id", "key_id")
    return path.format_map(dict.fromkeys(names, NOT_THERE) | {"number": "1"} | ids)


def test_every_route_has_a_row() -> None:
    assert sorted(walk()) == sorted(ROUTES)


def test_the_app_has_no_routes_besides(shared: ApiHarness) -> None:
    """What is mounted is /v1, the OpenAPI document and its page; the dashboard is behind them."""
    paths = [getattr(route, "path", None) for route in shared.app.routes]
    assert paths == ["/openapi.json", None, "/docs", "/metrics"]
    listed = shared.app.openapi()["paths"]
    visible = {(m, p) for m, p in ROUTES if m != "HEAD"}
    assert {(m.upper(), p) for p, item in listed.items() for m in item} == visible


def test_scopes(harness: ApiHarness) -> None:
    holders = {
        "nobody": ({"Authorization": "Bearer kd_no"}, set[str]()),
        "reader": (harness.key("read"), {READ}),
        "writer": (harness.key("write"), {WRITE}),
        "admin": (harness.key("admin"), {READ, WRITE, ADMIN}),
        "local": ({}, {READ, WRITE, ADMIN}),
    }
    for (method, path), needed in ROUTES.items():
        for who, (headers, scopes) in holders.items():
            answer = harness.http.request(method, fill(path), headers=headers)
            allowed = needed == OPEN or needed in scopes
            expected = "" if allowed else "unauthorized" if who == "nobody" else "missing_scope"
            content = answer.headers["content-type"] if method == "HEAD" else answer.text
            assert (answer.status_code in (401, 403)) is not allowed, (who, method, path)
            assert answer.status_code < 500, (who, method, path)
            assert method == "HEAD" or expected in content, (who, method, path, content)


def test_another_tenants_things_are_missing_things(either: ApiHarness) -> None:
    """For every route with an id: another tenant's id gives the same response as a missing one."""
    teacher, job = either.teacher(), either.submit()["id"]
    either.finish(job, DISTILLED, {"weights": b"w"})
    artifact = ok(either.http.get(f"/v1/jobs/{job}/artifacts"))["data"][0]["id"]
    ids = {
        "upload_id": ok(either.http.post("/v1/uploads", json={"size": 1}))["id"],
        "model_id": teacher,
        "dataset_id": ok(either.http.get("/v1/datasets"))["data"][0]["id"],
        "job_id": job,
        "artifact_id": artifact,
        "key_id": ok(either.http.post("/v1/keys", json={"name": "k"}))["id"],
    }
    stranger = either.key("read", "write", "admin", tenant="other")
    for method, path in ROUTES:
        if "{" not in path:
            continue
        foreign = either.http.request(method, fill(path, **ids), headers=stranger)
        missing = either.http.request(method, fill(path), headers=stranger)
        assert foreign.status_code == missing.status_code == 404, (method, path)
        if method != "HEAD":
            assert foreign.json()["code"] == missing.json()["code"] == "not_found"
    for path in ("/v1/models", "/v1/datasets", "/v1/jobs"):
        assert ok(either.http.get(path, headers=stranger))["data"] == []
    ok(either.http.get(f"/v1/models/{teacher}"))  # and nothing was deleted


def test_a_wrong_key_is_not_the_local_user(shared: ApiHarness) -> None:
    good = shared.key("read")["Authorization"]
    other = good[:40] + ("1" if good[40] == "0" else "0") + good[41:]
    for value in ("Bearer x", "Basic eDp5", good[:-1], other, "Bearer"):
        answer = shared.http.get("/v1/jobs", headers={"Authorization": value})
        refused(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("header", ["forwarded", "x-forwarded-for", "x-real-ip", "via"])
def test_whoever_comes_through_a_proxy_is_not_the_local_user(
    shared: ApiHarness, header: str
) -> None:
    refused(shared.http.get("/v1/jobs", headers={header: "1.2.3.4"}), 401, "unauthorized")
    ok(shared.http.get("/v1/jobs", headers={header: "1.2.3.4"} | shared.key("read")))


def test_without_local_mode_loopback_needs_a_key(sqlite_template: Path, tmp_path: Path) -> None:
    with ApiHarness(f"sqlite:///{sqlite_template}", tmp_path, local_user=False) as harness:
        refused(harness.http.get("/v1/jobs"), 401, "unauthorized")
        assert harness.http.get("/v1/health").status_code == 200


def test_revoked_and_expired_keys_end_at_once(either: ApiHarness) -> None:
    made = ok(either.http.post("/v1/keys", json={"name": "k", "scopes": ["read"]}))
    headers = {"Authorization": f"Bearer {made['key']}"}
    ok(either.http.get("/v1/jobs", headers=headers))
    shown = ok(either.http.get("/v1/keys"))["data"][0]
    assert shown["last_used_at"] is not None
    assert "key" not in shown
    assert either.http.delete(f"/v1/keys/{made['id']}").status_code == 204
    refused(either.http.get("/v1/jobs", headers=headers), 401, "unauthorized")
