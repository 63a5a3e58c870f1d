"""The broker's address, by default and from the environment."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from distillery.broker.config import BrokerSettings


def test_the_default_is_a_directory_under_home(tmp_path: Path) -> None:
    settings = BrokerSettings(home=tmp_path / "a b", broker_url=None)
    assert settings.is_local
    assert settings.url == f"kdfs://localhost{tmp_path}/a%20b/broker"


def test_a_relative_home_gives_an_absolute_address() -> None:
    assert BrokerSettings(home=Path(".kd"), broker_url=None).url.startswith(
        f"kdfs://localhost{Path.cwd()}/"
    )


def test_the_environment_overrides_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KD_BROKER_URL", "redis://host:6379/1")
    settings = BrokerSettings()
    assert settings.url == "redis://host:6379/1"
    assert not settings.is_local


def test_an_unknown_scheme_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValidationError, match="redis://"):
        BrokerSettings(broker_url="amqp://host")
