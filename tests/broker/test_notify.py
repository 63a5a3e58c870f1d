"""Notifying: heard on both brokers, and never in the way of the sender."""

import socket
import time
from pathlib import Path

import pytest

from distillery.broker.app import make_app
from distillery.broker.config import BrokerSettings
from distillery.broker.notify import Notifier


@pytest.fixture(params=["local", "redis"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> BrokerSettings:
    url = None if request.param == "local" else request.getfixturevalue("broker_url")
    return BrokerSettings(home=tmp_path, broker_url=url)


def test_a_notification_is_heard(settings: BrokerSettings) -> None:
    notifier = Notifier(make_app(settings))
    assert notifier.notify("job_1")
    assert notifier.notify("job_2")
    assert notifier.waiting() == 2


def test_a_notification_after_an_idle_broker_was_restarted_is_heard(broker_url: str) -> None:
    import redis

    notifier = Notifier(make_app(BrokerSettings(broker_url=broker_url)))
    assert notifier.notify("job_1")
    with redis.Redis.from_url(broker_url) as client:
        client.client_kill_filter(_type="normal", skipme=True)
    assert notifier.notify("job_2")


def timed(notifier: Notifier) -> tuple[bool, float]:
    began_s = time.monotonic()
    return notifier.notify("job_1"), time.monotonic() - began_s


def test_a_stalled_broker_costs_less_than_a_second_and_then_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:  # accepts, and never answers
        url = f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        notifier = Notifier(make_app(BrokerSettings(broker_url=url)))
        heard, took_s = timed(notifier)
        assert not heard
        assert took_s < 1.0
        heard, took_s = timed(notifier)
        assert not heard
        assert took_s < 0.05


def test_a_broker_that_is_down_is_no_error() -> None:
    notifier = Notifier(make_app(BrokerSettings(broker_url="redis://127.0.0.1:1/0")))
    assert timed(notifier)[0] is False


def test_a_broker_without_a_place_to_write_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "broker").write_text("a file where the directory should be")
    assert (
        Notifier(make_app(BrokerSettings(home=tmp_path, broker_url=None))).notify("job_1") is False
    )
