"""Hundreds of jobs under random faults: what the programs hold must stay flat."""

import contextlib
from dataclasses import dataclass
from random import Random

import psutil

from distillery.sdk.errors import ApiError
from tests.faults.fault import fault
from tests.faults.scenario import FaultScenario

# What may come on top between an early and a late look; caches and pools fill up for a while.
MORE_BYTES = 40 * 2**20
MORE_DESCRIPTORS = 20
MORE_THREADS = 8


@dataclass(frozen=True)
class Held:
    """What a process holds."""

    memory: int
    descriptors: int
    threads: int


def held(process: psutil.Process) -> Held:
    """Now."""
    return Held(process.memory_info().rss, process.num_fds(), process.num_threads())


@fault("F21", "30 tiny jobs under random faults", standin=True)
def some_jobs(scenario: FaultScenario, draw: Random) -> str:
    """Short form."""
    return _crowd(scenario, draw, 30)


@fault("F21", "500 tiny jobs under random faults", standin=True, long=True)
def five_hundred_jobs(scenario: FaultScenario, draw: Random) -> str:
    """Long form."""
    return _crowd(scenario, draw, 500)


def _crowd(scenario: FaultScenario, draw: Random, count: int) -> str:
    """Submit them in tens and hurt some of each ten. The programs measured are never hurt."""
    service = scenario.service
    service.restart("jobs", KD_SLOTS="2")
    service.start_as("victim", "jobs", KD_SLOTS="2")
    steady = {name: service.process(name) for name in ("api", "jobs", "reaper")}
    early: dict[str, Held] = {}
    done: list[str] = []
    for begun in range(0, count, 10):
        if begun == max(10, count // 5 // 10 * 10):
            early = {name: held(process) for name, process in steady.items()}
        jobs = [scenario.submit() for _ in range(10)]
        for harm in draw.choices(HARMS, k=3):
            scenario.sleep(draw.uniform(0.0, 0.5))
            harm(scenario, draw)
            done.append(harm.__name__)
        for job in jobs:
            ended = scenario.finish(job)
            assert ended.state in ("succeeded", "cancelled"), ended.error
    late = {name: held(process) for name, process in steady.items()}
    for name, now in late.items():
        before = early[name]
        assert now.memory <= before.memory + MORE_BYTES, (name, before, now)
        assert now.descriptors <= before.descriptors + MORE_DESCRIPTORS, (name, before, now)
        assert now.threads <= before.threads + MORE_THREADS, (name, before, now)
    grown = sum(late[name].memory - early[name].memory for name in late)
    return f"{count} jobs, {len(done)} harms; memory {grown / 2**20:+.1f} MiB"


def kill_run(scenario: FaultScenario, draw: Random) -> None:
    """One run of the steady worker."""
    runs = scenario.service.runs()
    if runs:
        with contextlib.suppress(psutil.NoSuchProcess):
            draw.choice(runs).kill()


def kill_worker(scenario: FaultScenario, draw: Random) -> None:
    """The other worker, which is started again."""
    scenario.service.kill("victim")
    scenario.service.start_as("victim", "jobs", KD_SLOTS="2")


def freeze_worker(scenario: FaultScenario, draw: Random) -> None:
    """The other worker and its runs, for about a lease."""
    frozen = scenario.freeze("victim")
    scenario.sleep(draw.uniform(0.0, 1.5 * float(scenario.service.settings["KD_LEASE_S"])))
    for process in frozen:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.resume()


def cancel_job(scenario: FaultScenario, draw: Random) -> None:
    """One of the last ten."""
    with contextlib.suppress(ApiError):
        scenario.client.jobs.cancel(draw.choice(scenario.jobs[-10:]))


HARMS = (kill_run, kill_run, kill_run, kill_worker, cancel_job, cancel_job, freeze_worker)
