"""`from distillery import Client` is light, and `Client()` finds its service by itself."""

import subprocess
import sys
from pathlib import Path

import pytest

import distillery
from distillery import Client
from distillery.local.home_lock import HomeLock
from tests.sdk.scripted import Scripted, answer, serve

HEAVY = ("typer", "rich", "torch", "numpy", "pandas", "sqlalchemy", "fastapi", "celery")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without a service, and no settings."""
    monkeypatch.chdir(tmp_path)
    for name in ("KD_URL", "KD_KEY", "KD_HOME"):
        monkeypatch.delenv(name, raising=False)


def _loaded(code: str) -> set[str]:
    """The modules that the code loads, in a process that cannot import the heavy ones."""
    code = f"import sys; sys.modules |= dict.fromkeys({HEAVY}); {code}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_package_imports_nothing_and_the_client_only_what_it_needs() -> None:
    alone = _loaded("import distillery")
    assert not {"distillery.sdk", "pydantic", "httpx"} & alone
    with_client = _loaded("from distillery import Client")
    assert "distillery.sdk.client" in with_client
    assert not {"distillery.cli", "distillery.local", "distillery.store"} & with_client


def test_every_exported_name_is_there() -> None:
    for name in distillery.__all__:
        assert getattr(distillery, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Klient'"):
        distillery.Klient  # noqa: B018


def test_the_default_is_the_port_of_kd_up() -> None:
    assert Client().url == "http://127.0.0.1:8765"


def test_kd_up_in_this_folder_is_found_and_settings_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HomeLock(tmp_path / ".kd") as lock:
        lock.write_holder("http://127.0.0.1:1234")
        assert Client().url == "http://127.0.0.1:1234"
        monkeypatch.setenv("KD_URL", "example.org:99")
        assert Client().url == "http://example.org:99"
        assert Client("http://other").url == "http://other"


def test_the_key_is_an_argument_or_kd_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KD_KEY", "from-settings")
    script = Scripted(answer(404, "{}"))
    with serve(script) as url:
        for client in (Client(url), Client(url, "given")):
            with client, pytest.raises(distillery.ApiError):
                client.ready()
    sent = [headers["authorization"] for _, _, headers, _ in script.requests]
    assert sent == ["Bearer from-settings", "Bearer given"]
