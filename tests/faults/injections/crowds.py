"""Many jobs under random faults: the programs' memory, descriptors and threads must not grow."""

import contextlib
from dataclasses import dataclass
from random import Random

import psutil

from distillery.sdk.errors import ApiError
from tests.faults.fault import fault
from tests.faults.scenario import FaultScenario

# Allowed growth between an early and a late measurement; caches and pools fill up at first.
MORE_BYTES = 40 * 2**20
MORE_DESCRIPTORS = 20
MORE_THREADS = 8


@dataclass(frozen=True)
class Usage:
    """The resources of a process."""

    memory: int
    descriptors: int
    threads: int


def usage_of(process: psutil.Process) -> Usage:
    """Measure a process."""
    return Usage(process.memory_info().rss, process.num_fds(), process.num_threads())


@fault("F21", "30 tiny jobs under random faults", standin=True)
def some_jobs(scenario: FaultScenario, draw: Random) -> str:
    """The short form."""
    return _crowd(scenario, draw, 30)


@fault("F21", "500 tiny jobs under random faults", standin=True, long=True)
def five_hundred_jobs(scenario: FaultScenario, draw: Random) -> str:
    """The long form."""
    return _crowd(scenario, draw, 500)


def _crowd(scenario: FaultScenario, draw: Random, count: int) -> str:
    """Submit jobs in tens and inject faults into each ten. The measured programs are spared."""
    service = scenario.service
    service.restart("jobs", KD_SLOTS="2")
    service.start_as("victim", "jobs", KD_SLOTS="2")
    measured = {name: service.process(name) for name in ("api", "jobs", "reaper")}
    early: dict[str, Usage] = {}
    done: list[str] = []
    for submitted in range(0, count, 10):
        if submitted == max(10, count // 5 // 10 * 10):
            early = {name: usage_of(process) for name, process in measured.items()}
        jobs = [scenario.submit() for _ in range(10)]
        for inject in draw.choices(INJECTIONS, k=3):
            scenario.sleep(draw.uniform(0.0, 0.5))
            inject(scenario, draw)
            done.append(inject.__name__)
        for job in jobs:
            ended = scenario.finish(job)
            assert ended.state in ("succeeded", "cancelled"), ended.error
    late = {name: usage_of(process) for name, process in measured.items()}
    for name, now in late.items():
        before = early[name]
        assert now.memory <= before.memory + MORE_BYTES, (name, before, now)
        assert now.descriptors <= before.descriptors + MORE_DESCRIPTORS, (name, before, now)
        assert now.threads <= before.threads + MORE_THREADS, (name, before, now)
    grown = sum(late[name].memory - early[name].memory for name in late)
    return f"{count} jobs, {len(done)} faults; memory {grown / 2**20:+.1f} MiB"


def kill_run(scenario: FaultScenario, draw: Random) -> None:
    """Kill one run of the measured worker."""
    runs = scenario.service.runs()
    if runs:
        with contextlib.suppress(psutil.NoSuchProcess):
            draw.choice(runs).kill()


def kill_worker(scenario: FaultScenario, draw: Random) -> None:
    """Kill and restart the other worker."""
    scenario.service.kill("victim")
    scenario.service.start_as("victim", "jobs", KD_SLOTS="2")


def freeze_worker(scenario: FaultScenario, draw: Random) -> None:
    """Freeze the other worker and its runs for about a lease."""
    frozen = scenario.freeze("victim")
    scenario.sleep(draw.uniform(0.0, 1.5 * float(scenario.service.settings["KD_LEASE_S"])))
    for process in frozen:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.resume()


def cancel_job(scenario: FaultScenario, draw: Random) -> None:
    """Cancel one of the last ten jobs."""
    with contextlib.suppress(ApiError):
        scenario.client.jobs.get(draw.choice(scenario.jobs[-10:])).cancel()


INJECTIONS = (kill_run, kill_run, kill_run, kill_worker, cancel_job, cancel_job, freeze_worker)
