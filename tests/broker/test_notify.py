"""Ringing: heard on both brokers, and never in the way of who rings."""

import socket
import time
from pathlib import Path

import pytest

from distillery.broker.app import make_app
from distillery.broker.config import BellSettings
from distillery.broker.notify import Bell


@pytest.fixture(params=["local", "redis"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> BellSettings:
    url = None if request.param == "local" else request.getfixturevalue("broker_url")
    return BellSettings(home=tmp_path, broker_url=url)


def test_a_ring_is_heard(settings: BellSettings) -> None:
    bell = Bell(make_app(settings))
    assert bell.ring("job_1")
    assert bell.ring("job_2")
    assert bell.waiting() == 2


def test_a_ring_after_an_idle_broker_was_restarted_is_heard(broker_url: str) -> None:
    import redis

    bell = Bell(make_app(BellSettings(broker_url=broker_url)))
    assert bell.ring("job_1")
    with redis.Redis.from_url(broker_url) as client:
        client.client_kill_filter(_type="normal", skipme=True)
    assert bell.ring("job_2")


def timed(bell: Bell) -> tuple[bool, float]:
    began_s = time.monotonic()
    return bell.ring("job_1"), time.monotonic() - began_s


def test_a_stalled_broker_costs_less_than_a_second_and_then_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:  # accepts, and never answers
        url = f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        bell = Bell(make_app(BellSettings(broker_url=url)))
        heard, took_s = timed(bell)
        assert not heard
        assert took_s < 1.0
        heard, took_s = timed(bell)
        assert not heard
        assert took_s < 0.05


def test_a_broker_that_is_down_is_no_error() -> None:
    bell = Bell(make_app(BellSettings(broker_url="redis://127.0.0.1:1/0")))
    assert timed(bell)[0] is False


def test_a_broker_without_a_place_to_write_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "broker").write_text("a file where the directory should be")
    assert Bell(make_app(BellSettings(home=tmp_path, broker_url=None))).ring("job_1") is False
