"""Another site's page cannot use the service through its visitor's browser."""

import pytest
from starlette.datastructures import Headers

from distillery.api.middleware.security import host_name, is_foreign
from tests.api.makers import LOCAL, ApiHarness, ok, refused

UPLOAD = {"size": 1}


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8765", "localhost.evil.example", "127.0.0.2", "[::2]", ""],
)
def test_dns_rebinding_meets_the_host_check(shared: ApiHarness, host: str) -> None:
    refused(shared.http.get("/v1/jobs", headers={"host": host}), 421, "wrong_host")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8765", "127.0.0.1:1", "[::1]:8765"])
def test_loopback_names_are_answered(shared: ApiHarness, host: str) -> None:
    ok(shared.http.get("/v1/jobs", headers={"host": host}))


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://localhost:3000"},  # another program's page on this machine
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "origin": LOCAL},
    ],
)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v1/uploads"), ("DELETE", "/v1/models/mdl_1"), ("PUT", "/v1/x")]
)
def test_other_origins_write_nothing(
    shared: ApiHarness, method: str, path: str, headers: dict[str, str]
) -> None:
    refused(shared.http.request(method, path, headers=headers), 403, "cross_origin")


@pytest.mark.parametrize(
    "headers",
    [{}, {"origin": LOCAL}, {"sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}],
)
def test_our_own_page_and_programs_may_write(shared: ApiHarness, headers: dict[str, str]) -> None:
    ok(shared.http.post("/v1/uploads", json=UPLOAD, headers=headers))


def test_a_simple_form_cannot_post(shared: ApiHarness) -> None:
    """Even a browser that sends neither header cannot make JSON without asking first."""
    answer = shared.http.post(
        "/v1/uploads", content='{"size": 1}', headers={"content-type": "text/plain"}
    )
    refused(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize("path", ["/", "/v1/jobs", "/v1/nothing", "/openapi.json"])
def test_every_answer_has_the_security_headers(shared: ApiHarness, path: str) -> None:
    headers = shared.http.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert "access-control-allow-origin" not in headers
    assert len(headers["x-request-id"]) == 16


def test_a_request_id_is_kept_only_if_it_is_harmless(shared: ApiHarness) -> None:
    for given, kept in (("abc-1", True), ("a b", False), ("x" * 65, False)):
        answer = shared.http.get("/v1/health", headers={"x-request-id": given})
        assert (answer.headers["x-request-id"] == given) is kept


def test_host_names() -> None:
    assert host_name("[::1]:80") == "::1"
    assert host_name("a:b@c") == "c"
    assert host_name("[") == ""
    assert not is_foreign(Headers({"origin": "http://h:1"}), "h:1")
