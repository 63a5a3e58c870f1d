"""A component that hangs keeps no caller waiting, and is not checked again meanwhile."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from distillery.api import health_check
from distillery.api.health_check import HealthCheck


def test_a_component_that_hangs_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_check, "FRESH_S", 60.0)
    free, checks = threading.Event(), []

    def check() -> str:
        checks.append(1)
        free.wait(60)
        return "ok"

    hanging = HealthCheck(check, timeout_s=0.2)
    with ThreadPoolExecutor(8) as pool:
        start_s = time.monotonic()
        results = set(pool.map(lambda _: hanging.result(), range(8)))
        assert time.monotonic() - start_s < 30
    assert results == {"no answer within 0.2 s"}
    free.set()
    assert HealthCheck(lambda: "ok", 30).result() == "ok"
    deadline_s = time.monotonic() + 30
    while hanging.result() != "ok":
        assert time.monotonic() < deadline_s
    assert len(checks) == 1


def test_a_result_is_reused_while_it_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    results = iter(["bad", "ok"])
    check = HealthCheck(lambda: next(results), 30)
    monkeypatch.setattr(health_check, "FRESH_S", 60.0)
    assert [check.result(), check.result()] == ["bad", "bad"]
    monkeypatch.setattr(health_check, "FRESH_S", 0.0)
    assert check.result() == "ok"


def test_an_exception_is_the_result() -> None:
    def check() -> str:
        raise OSError("no such broker")

    assert HealthCheck(check, 30).result() == "no such broker"
    assert HealthCheck(lambda: [][0], 30).result() == "list index out of range"
