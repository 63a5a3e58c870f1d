"""Clocks that are two hours off, or are set while jobs run."""

import time
from pathlib import Path
from random import Random

from tests.e2e.service import wait_until
from tests.faults.fault import fault
from tests.faults.front import goes_on, running
from tests.faults.scenario import FaultScenario

HOURS_S = 2 * 3600
SLEEP = str(Path(__file__).parents[1] / "sleep")
LEASE_S = 8.0  # of the scene
LONGEST_S = 2 * LEASE_S  # what the reaper leaves of a lease that ends far ahead
LIBRARIES = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
)


def fake(**more: str) -> dict[str, str]:
    """The environment of a program whose clock is not the machine's; the clock that nobody sets
    stays what it is."""
    library = next((path for path in LIBRARIES if Path(path).exists()), None)
    assert library, "this needs libfaketime: run scripts/install-faketime"
    fixed = {"LD_PRELOAD": library, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "PYTHONPATH": SLEEP}
    return fixed | more


@fault("F15", "worker's clock two hours off", places=("servers",), alone=True, standin=True)
def worker_clock_off(scenario: FaultScenario, draw: Random) -> str:
    """Leases go by the database's clock: neither is one taken early nor does one last for hours."""
    off_s = draw.choice((HOURS_S, -HOURS_S))
    who = draw.choice(("jobs", "reaper"))
    if not scenario.is_open:
        scenario.open(KD_LEASE_S=str(LEASE_S))
    service = scenario.service
    service.restart(who, **fake(FAKETIME=f"{off_s:+d}"))
    _leases_hold(scenario, within_s=60)
    return f"{who} {off_s / 3600:+.0f} h"


@fault(
    "F15", "the machine's clock set by two hours", places=("embedded",), alone=True, standin=True
)
def clock_set(scenario: FaultScenario, draw: Random) -> str:
    """All programs see the leap, and the database's clock is theirs."""
    off_s = draw.choice((HOURS_S, -HOURS_S))
    clock = scenario.folder / "clock"
    if not scenario.is_open:
        clock.write_text("+0")
        settings = fake(FAKETIME_TIMESTAMP_FILE=str(clock), FAKETIME_NO_CACHE="1")
        scenario.open(KD_LEASE_S=str(LEASE_S), **settings)
    before = clock.read_text()
    _leases_hold(scenario, LONGEST_S + 60, leap=(clock, f"{int(before) + off_s:+d}"))
    return f"{off_s / 3600:+.0f} h"


def _leases_hold(
    scenario: FaultScenario, within_s: float, leap: tuple[Path, str] | None = None
) -> None:
    with running(scenario) as job:
        if leap is not None:
            leap[0].write_text(leap[1])
        time.sleep(1.5 * LEASE_S)  # every lease that is not renewed lapses meanwhile
        goes_on(scenario, job)
        assert scenario.client.jobs.get(job.id).attempt == 1, "no early steal"
        if leap is not None:  # back to where it was, right after a beat
            leap[0].write_text("+0")
        scenario.service.kill("jobs")
        scenario.service.start_as("jobs", "jobs")
        wait_until(
            lambda: scenario.client.jobs.get(job.id).attempt == 2,
            within_s,
            "no immortal lease: the job is claimed again",
        )
