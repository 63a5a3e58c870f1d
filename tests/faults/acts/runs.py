"""Runs that are killed, crash, or run out of memory."""

import contextlib
import resource
import signal
from random import Random

import psutil

from distillery.store.db.tables import Attempt, Job
from tests.e2e.service import wait_until
from tests.faults.fault import fault
from tests.faults.scenario import STEPS, FaultScenario

DEATHS = (signal.SIGKILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT)
PATIENCE_S = 180.0


@fault("F2", "run killed or crashed")
def run_killed(scenario: FaultScenario, draw: Random) -> str:
    """Killed once; named as such, tried again after a pause, and finished."""
    death = draw.choice(DEATHS)
    # Beyond the half: the attempt that resumes has fewer steps left and is not held again.
    job, run = scenario.hold(draw.randint(STEPS // 2 + 2, STEPS - 2))
    run.send_signal(death)
    ended = scenario.finish(job)
    assert ended.state == "succeeded", ended.error
    with scenario.rows() as session:
        first = session.get_one(Attempt, (job.id, 1))
        assert death.name in (first.message or ""), first.message
        row = session.get_one(Job, job.id)
        assert row.failures == 1
        pause_ms = session.get_one(Attempt, (job.id, 2)).started_at - (first.ended_at or 0)
        assert pause_ms >= 1000, f"tried again after {pause_ms} ms"
    return f"{death.name}, named and tried again"


@fault("F2", "run killed again and again")
def run_poisonous(scenario: FaultScenario, draw: Random) -> str:
    """After as many deaths as the job may have, it has failed and says of what."""
    death = draw.choice(DEATHS)
    job, run = scenario.hold(2, limits={"attempts": 2})
    run.send_signal(death)
    scenario.held_again(job, 2).send_signal(death)
    ended = scenario.finish(job)
    assert ended.state == "failed" and ended.error is not None
    assert ended.error.code == "poison" and death.name in ended.error.message, ended.error
    return f"2 x {death.name}, failed as poison"


@fault("F2", "run out of memory", kdcore=True)
def run_starved(scenario: FaultScenario, draw: Random) -> str:
    """From some moment on the run gets no more memory, so whatever it does next fails."""
    job = scenario.submit()
    scenario.wait_for(job, "running")
    wait_until(scenario.service.runs, PATIENCE_S, "the run starts")
    (run,) = scenario.service.runs()
    scenario.sleep(draw.uniform(0.0, 5.0))
    with contextlib.suppress(psutil.NoSuchProcess):
        used = run.memory_info().vms
        run.rlimit(resource.RLIMIT_AS, (used, used))
    ended = scenario.finish(job)
    assert ended.state == "succeeded", ended.error
    with scenario.rows() as session:
        message = session.get_one(Attempt, (job.id, 1)).message or ""
    if ended.attempt == 1:
        return "was over before"
    # glibc and the kernel have a say as well: not every death leaves words.
    if message.startswith(("out_of_memory", "killed")):
        return "named, tried again"
    # Python without memory for its imports stumbles over anything, once over its own syntax.
    said = [event for event in scenario.client.jobs.events(job.id) if event.attempt == 1]
    assert not said and message.startswith("bug"), message
    return "tried again"
