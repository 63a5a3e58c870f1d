"""Faults of the infrastructure, drawn by a fixed seed: broker, database, disk, clock, storage.

Outages are short; `python -m tests.faults` makes long ones.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from tests.faults.fault import PlaceName, load
from tests.faults.injections.disk import skip_without_mount
from tests.faults.place import Place
from tests.faults.scenario import FaultScenario
from tests.faults.trial import run_trial

pytestmark = [pytest.mark.e2e, pytest.mark.faults, pytest.mark.timeout(900)]

SEED = "suite"


@contextmanager
def scenario_at(place: PlaceName, folder: Path) -> Iterator[FaultScenario]:
    """A scenario that its first fault opens."""
    scenario = FaultScenario(Place(place), folder, standin=True)
    try:
        yield scenario
    finally:
        scenario.close()


def survive(scenario: FaultScenario, *names: str) -> None:
    """Inject the faults one after another, and assert that each is survived."""
    for name in names:
        fault = load()[name]
        verdict = run_trial(fault, scenario, Random(f"{SEED}/{name}"))
        seconds = round(verdict.seconds, 1)
        sys.stdout.write(f"{fault.number} {name}: {verdict.outcome}, {seconds} s\n")
        assert verdict.survived, "\n".join([name, *verdict.problems])


def test_servers_that_fail(tmp_path: Path) -> None:
    with scenario_at("servers", tmp_path) as scenario:
        survive(
            scenario, "broker_stopped", "postgres_crashed", "database_hole", "bad_notifications"
        )


def test_a_database_file_and_storage_that_fail(tmp_path: Path) -> None:
    with scenario_at("embedded", tmp_path) as scenario:
        survive(scenario, "sqlite_locked", "bad_notifications", "blob_writes_fail", "blob_damaged")
        survive(scenario, "api_killed_in_upload", "api_killed_in_submit")


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    skip_without_mount(tmp_path)
    with scenario_at("embedded", tmp_path) as scenario:
        survive(scenario, "disk_full_blobs")


def test_a_disk_that_is_full_under_postgresql(tmp_path: Path) -> None:
    skip_without_mount(tmp_path)
    with scenario_at("servers", tmp_path) as scenario:
        survive(scenario, "disk_full_write_ahead_log")


def test_a_clock_that_is_set(tmp_path: Path) -> None:
    with scenario_at("embedded", tmp_path) as scenario:
        survive(scenario, "clock_set")
