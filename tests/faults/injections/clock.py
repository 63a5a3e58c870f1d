"""Clocks that are two hours off, or are set while jobs run."""

import time
from pathlib import Path
from random import Random

from tests.contracts.trees import ROOT
from tests.e2e.service import wait_until
from tests.faults.fault import fault
from tests.faults.front import continues, running
from tests.faults.scenario import FaultScenario

HOURS_S = 2 * 3600
SLEEP = str(Path(__file__).parents[1] / "sleep")
LEASE_S = 8.0
LONGEST_S = 2 * LEASE_S  # the reaper shortens longer leases to this
LIBRARIES = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
)


def fake(**more: str) -> dict[str, str]:
    """The environment of a program with a fake wall clock and the real monotonic clock."""
    library = next((path for path in LIBRARIES if Path(path).exists()), None)
    assert library, "libfaketime is missing: run scripts/install-faketime"
    fixed = {
        "LD_PRELOAD": library,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "PYTHONPATH": f"{SLEEP}:{ROOT}",
    }
    return fixed | more


@fault("F15", "worker's clock two hours off", places=("servers",), alone=True, standin=True)
def worker_clock_off(scenario: FaultScenario, draw: Random) -> str:
    """Leases use the database's clock: none is reaped early, and none lasts for hours."""
    off_s = draw.choice((HOURS_S, -HOURS_S))
    program = draw.choice(("jobs", "reaper"))
    if not scenario.is_open:
        scenario.open(KD_LEASE_S=str(LEASE_S))
    service = scenario.service
    service.restart(program, **fake(FAKETIME=f"{off_s:+d}"))
    _leases_hold(scenario, within_s=60)
    return f"{program} {off_s / 3600:+.0f} h"


@fault(
    "F15", "the machine's clock set by two hours", places=("embedded",), alone=True, standin=True
)
def clock_set(scenario: FaultScenario, draw: Random) -> str:
    """All programs see the jump, including the database, which uses their clock."""
    off_s = draw.choice((HOURS_S, -HOURS_S))
    clock = scenario.folder / "clock"
    if not scenario.is_open:
        clock.write_text("+0")
        settings = fake(FAKETIME_TIMESTAMP_FILE=str(clock), FAKETIME_NO_CACHE="1")
        scenario.open(KD_LEASE_S=str(LEASE_S), **settings)
    before = clock.read_text()
    _leases_hold(scenario, LONGEST_S + 60, jump=(clock, f"{int(before) + off_s:+d}"))
    return f"{off_s / 3600:+.0f} h"


def _leases_hold(
    scenario: FaultScenario, within_s: float, jump: tuple[Path, str] | None = None
) -> None:
    with running(scenario) as job:
        if jump is not None:
            jump[0].write_text(jump[1])
        time.sleep(1.5 * LEASE_S)  # a lease that is not renewed lapses meanwhile
        continues(scenario, job)
        assert scenario.client.jobs.get(job.id).attempt == 1, "the lease was reaped early"
        if jump is not None:  # set it back, right after a renewal
            jump[0].write_text("+0")
        scenario.service.kill("jobs")
        scenario.service.start_as("jobs", "jobs")
        wait_until(
            lambda: scenario.client.jobs.get(job.id).attempt == 2,
            within_s,
            "the job is claimed again: the lease has lapsed",
        )
