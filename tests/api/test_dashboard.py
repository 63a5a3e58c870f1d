"""The dashboard's files are served, and nothing beside them."""

from pathlib import Path

import pytest

from distillery.api.dashboard import find
from tests.api.makers import ApiHarness, refused


@pytest.fixture
def built(harness: ApiHarness) -> ApiHarness:
    """An app with a built dashboard, and a secret file beside it."""
    web = harness.home / "web"
    (web / "assets").mkdir(parents=True)
    (web / "index.html").write_text("<html>page</html>")
    (web / "assets" / "app-1a2b.js").write_text("code")
    (web / "link").symlink_to(harness.home / "secret")
    (harness.home / "secret").write_text("secret")
    return harness


def test_not_built_says_how(harness: ApiHarness) -> None:
    answer = harness.http.get("/")
    assert answer.status_code == 200
    assert "make web" in answer.text


@pytest.mark.parametrize("path", ["/", "/jobs/job_1", "/index.html", "/link", "/%2e%2e/secret"])
def test_every_other_address_is_the_page(built: ApiHarness, path: str) -> None:
    answer = built.http.get(path)
    assert answer.text == "<html>page</html>"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["content-type"].startswith("text/html")


def test_assets_are_cached_for_good(built: ApiHarness) -> None:
    answer = built.http.get("/assets/app-1a2b.js")
    assert answer.text == "code"
    assert "immutable" in answer.headers["cache-control"]
    refused(built.http.get("/assets/gone.js"), 404, "not_found")
    assert built.http.head("/").status_code == 200
    refused(built.http.post("/"), 404, "not_found")


def test_nothing_outside_is_found(tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "secret").write_text("secret")
    for path in ("../secret", "/etc/passwd", "..", "", "a" * 5000, "\0"):
        assert find(tmp_path / "web", path) is None
