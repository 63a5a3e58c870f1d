"""Hundreds of jobs under random faults: what the programs hold must stay flat."""

import contextlib
from dataclasses import dataclass
from random import Random

import psutil

from distillery.sdk.errors import ApiError
from tests.faults.fault import fault
from tests.faults.scene import Scene

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
def some_jobs(scene: Scene, draw: Random) -> str:
    """Short form."""
    return _crowd(scene, draw, 30)


@fault("F21", "500 tiny jobs under random faults", standin=True, long=True)
def five_hundred_jobs(scene: Scene, draw: Random) -> str:
    """Long form."""
    return _crowd(scene, draw, 500)


def _crowd(scene: Scene, draw: Random, count: int) -> str:
    """Submit them in tens and hurt some of each ten. The programs measured are never hurt."""
    service = scene.service
    service.restart("jobs", KD_SLOTS="2")
    service.start_as("victim", "jobs", KD_SLOTS="2")
    steady = {name: service.process(name) for name in ("api", "jobs", "sweep")}
    early: dict[str, Held] = {}
    done: list[str] = []
    for begun in range(0, count, 10):
        if begun == max(10, count // 5 // 10 * 10):
            early = {name: held(process) for name, process in steady.items()}
        jobs = [scene.submit() for _ in range(10)]
        for harm in draw.choices(HARMS, k=3):
            scene.sleep(draw.uniform(0.0, 0.5))
            harm(scene, draw)
            done.append(harm.__name__)
        for job in jobs:
            ended = scene.finish(job)
            assert ended.state in ("succeeded", "cancelled"), ended.error
    late = {name: held(process) for name, process in steady.items()}
    for name, now in late.items():
        before = early[name]
        assert now.memory <= before.memory + MORE_BYTES, (name, before, now)
        assert now.descriptors <= before.descriptors + MORE_DESCRIPTORS, (name, before, now)
        assert now.threads <= before.threads + MORE_THREADS, (name, before, now)
    grown = sum(late[name].memory - early[name].memory for name in late)
    return f"{count} jobs, {len(done)} harms; memory {grown / 2**20:+.1f} MiB"


def kill_run(scene: Scene, draw: Random) -> None:
    """One run of the steady worker."""
    runs = scene.service.runs()
    if runs:
        with contextlib.suppress(psutil.NoSuchProcess):
            draw.choice(runs).kill()


def kill_worker(scene: Scene, draw: Random) -> None:
    """The other worker, which is started again."""
    scene.service.kill("victim")
    scene.service.start_as("victim", "jobs", KD_SLOTS="2")


def freeze_worker(scene: Scene, draw: Random) -> None:
    """The other worker and its runs, for about a lease."""
    frozen = scene.freeze("victim")
    scene.sleep(draw.uniform(0.0, 1.5 * float(scene.service.settings["KD_LEASE_S"])))
    for process in frozen:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.resume()


def cancel_job(scene: Scene, draw: Random) -> None:
    """One of the last ten."""
    with contextlib.suppress(ApiError):
        scene.client.jobs.cancel(draw.choice(scene.jobs[-10:]))


HARMS = (kill_run, kill_run, kill_run, kill_worker, cancel_job, cancel_job, freeze_worker)
