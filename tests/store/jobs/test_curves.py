"""Curves: chosen and continued, long ones downsampled, and marked as such."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distillery.store.db.database import Database
from distillery.store.db.tables import MetricPoint
from distillery.store.db.upsert import insert_missing
from distillery.store.jobs import curves
from tests.store.makers import claimed


def fill(database: Database, job_id: str, count: int, name: str = "loss") -> None:
    rows = [
        {"job_id": job_id, "series": name, "step": 3 * n, "value": float(n), "attempt": 1}
        for n in range(count)
    ]
    with database.write() as s:
        insert_missing(s, MetricPoint, rows)


def kept(count: int, most: int) -> list[int]:
    """The places of a series' points that are answered: every n-th and the last."""
    stride = 1 if count <= most else (count + most - 2) // (most - 1)
    return sorted({*range(0, count, stride), count - 1})


@pytest.mark.parametrize("count", [1, 9, 10, 11, 19, 20, 4000])
def test_long_series_are_thinned_and_say_so(database: Database, count: int) -> None:
    job_id = claimed(database).job_id
    fill(database, job_id, count)
    with database.read() as s:
        (series,) = curves.curves(s, job_id, max_points=10)
    assert series.downsampled is (count > 10)
    assert series.steps == [3 * n for n in kept(count, 10)]
    assert series.values == [step / 3 for step in series.steps]


@given(count=st.integers(11, 3000), most=st.integers(2, 40))
def test_thinning_keeps_as_many_points_as_it_may(count: int, most: int) -> None:
    """Never more than `most`, at least a third of it."""
    assert min(count, most) / 3 <= len(kept(count, most)) <= most


def test_curves_can_be_chosen_and_continued(database: Database) -> None:
    job_id = claimed(database).job_id
    fill(database, job_id, 5, "a")
    fill(database, job_id, 5, "b")
    with database.read() as s:
        assert [series.name for series in curves.curves(s, job_id)] == ["a", "b"]
        (b,) = curves.curves(s, job_id, keys=["b", "none"], after_step=6)
        assert (b.steps, b.downsampled) == ([9, 12], False)
        assert curves.curves(s, job_id, after_step=12) == []


def test_4000_points_are_quick(database: Database) -> None:
    job_id = claimed(database).job_id
    fill(database, job_id, 4000)
    with database.read() as s:
        curves.curves(s, job_id)
        start = time.perf_counter()
        (series,) = curves.curves(s, job_id)
        seconds = time.perf_counter() - start
    assert len(series.steps) <= 500
    assert seconds < 0.25  # about 0.01; the bound is for a busy machine
