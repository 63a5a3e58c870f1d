"""Ids sort by time, carry their kind, and never repeat."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from distillery.store.db import ids


def test_ids_rise_strictly_and_fit_their_shape() -> None:
    made = [ids.new_id("job") for _ in range(2000)]
    assert made == sorted(set(made))
    assert all(len(one) == 30 and one.startswith("job_") for one in made)


def test_ids_rise_when_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = ids.new_id("mdl")
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert ids.new_id("mdl") > before


def test_threads_never_make_the_same_id() -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: ids.new_id("art"), range(2000)))
    assert len(set(made)) == 2000
