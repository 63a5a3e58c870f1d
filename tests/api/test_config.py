"""Settings: loopback is answered by its names alone; elsewhere by every name or those given."""

import pytest

from distillery.api.config import LOOPBACK, ApiSettings


def test_hosts() -> None:
    assert ApiSettings().hosts() == LOOPBACK
    assert ApiSettings(host="0.0.0.0").hosts() is None
    assert ApiSettings(host="0.0.0.0", allowed_hosts=("kd.lan",)).hosts() == frozenset({"kd.lan"})


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KD_PORT", "0")
    monkeypatch.setenv("KD_LOCAL_USER", "true")
    monkeypatch.setenv("KD_ALLOWED_HOSTS", '["a"]')
    settings = ApiSettings()
    assert (settings.port, settings.local_user, settings.allowed_hosts) == (0, True, ("a",))
