"""Notifications arrive on both brokers and never block the sender for long."""

import socket
import time
from pathlib import Path

import pytest

from distillery.broker.app import make_app
from distillery.broker.config import BrokerSettings
from distillery.broker.depth import notifications_waiting
from distillery.broker.notify import Notifier


@pytest.fixture(params=["local", "redis"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> BrokerSettings:
    url = None if request.param == "local" else request.getfixturevalue("broker_url")
    return BrokerSettings(home=tmp_path, broker_url=url)


def test_notifications_arrive(settings: BrokerSettings) -> None:
    notifier = Notifier(make_app(settings))
    assert notifier.notify("job_1")
    assert notifier.notify("job_2")
    assert notifications_waiting(notifier.app) == 2


def test_a_notification_arrives_after_the_broker_dropped_its_connections(broker_url: str) -> None:
    import redis

    notifier = Notifier(make_app(BrokerSettings(broker_url=broker_url)))
    assert notifier.notify("job_1")
    with redis.Redis.from_url(broker_url) as client:
        client.client_kill_filter(_type="normal", skipme=True)
    assert notifier.notify("job_2")


def timed(notifier: Notifier) -> tuple[bool, float]:
    started_s = time.monotonic()
    return notifier.notify("job_1"), time.monotonic() - started_s


def test_a_stalled_broker_costs_less_than_a_second_and_then_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:  # accepts connections and never answers
        url = f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        notifier = Notifier(make_app(BrokerSettings(broker_url=url)))
        sent, took_s = timed(notifier)
        assert not sent
        assert took_s < 1.0
        sent, took_s = timed(notifier)
        assert not sent
        assert took_s < 0.05


def test_a_broker_that_is_down_raises_nothing() -> None:
    notifier = Notifier(make_app(BrokerSettings(broker_url="redis://127.0.0.1:1/0")))
    assert timed(notifier)[0] is False


def test_a_broker_directory_that_cannot_be_created_raises_nothing(tmp_path: Path) -> None:
    (tmp_path / "broker").write_text("a file where the directory should be")
    assert (
        Notifier(make_app(BrokerSettings(home=tmp_path, broker_url=None))).notify("job_1") is False
    )
