"""A part that hangs keeps nobody waiting, and is not asked again meanwhile."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from distillery.api import health_check
from distillery.api.health_check import HealthCheck


def test_a_part_that_hangs_is_asked_once_and_answers_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_check, "FRESH_S", 60.0)
    free, asked = threading.Event(), []

    def ask() -> str:
        asked.append(1)
        free.wait(60)
        return "ok"

    hanging = HealthCheck(ask, patience_s=0.2)
    with ThreadPoolExecutor(8) as pool:
        began_s = time.monotonic()
        said = set(pool.map(lambda _: hanging.answer(), range(8)))
        assert time.monotonic() - began_s < 30
    assert said == {"no answer within 0.2 s"}
    free.set()
    assert HealthCheck(lambda: "ok", 30).answer() == "ok"
    deadline_s = time.monotonic() + 30
    while hanging.answer() != "ok":
        assert time.monotonic() < deadline_s
    assert len(asked) == 1


def test_an_answer_is_kept_for_a_moment_then_asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["bad", "ok"])
    one = HealthCheck(lambda: next(answers), 30)
    monkeypatch.setattr(health_check, "FRESH_S", 60.0)
    assert [one.answer(), one.answer()] == ["bad", "bad"]
    monkeypatch.setattr(health_check, "FRESH_S", 0.0)
    assert one.answer() == "ok"


def test_what_is_raised_is_the_answer() -> None:
    def ask() -> str:
        raise OSError("no such broker")

    assert HealthCheck(ask, 30).answer() == "no such broker"
    assert HealthCheck(lambda: [][0], 30).answer() == "list index out of range"
