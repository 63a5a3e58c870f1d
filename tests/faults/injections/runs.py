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

SIGNALS = (signal.SIGKILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT)
PATIENCE_S = 180.0


@fault("F2", "run killed or crashed")
def run_killed(scenario: FaultScenario, draw: Random) -> str:
    """Killed once: reported, retried after a backoff, and finished."""
    number = draw.choice(SIGNALS)
    # Beyond half: the resumed attempt has fewer steps left and is not held again.
    job, run = scenario.hold(draw.randint(STEPS // 2 + 2, STEPS - 2))
    run.send_signal(number)
    ended = scenario.finish(job)
    assert ended.state == "succeeded", ended.error
    with scenario.rows() as session:
        first = session.get_one(Attempt, (job.id, 1))
        assert number.name in (first.message or ""), first.message
        row = session.get_one(Job, job.id)
        assert row.failures == 1
        backoff_ms = session.get_one(Attempt, (job.id, 2)).started_at - (first.ended_at or 0)
        assert backoff_ms >= 1000, f"retried after {backoff_ms} ms"
    return f"{number.name}, reported and retried"


@fault("F2", "run killed again and again")
def run_poisonous(scenario: FaultScenario, draw: Random) -> str:
    """After the allowed number of attempts the job fails and names the signal."""
    number = draw.choice(SIGNALS)
    job, run = scenario.hold(2, limits={"attempts": 2})
    run.send_signal(number)
    scenario.held_again(job, 2).send_signal(number)
    ended = scenario.finish(job)
    assert ended.state == "failed" and ended.error is not None
    assert ended.error.code == "poison" and number.name in ended.error.message, ended.error
    return f"2 x {number.name}, failed as poison"


@fault("F2", "run out of memory", kdcore=True)
def run_starved(scenario: FaultScenario, draw: Random) -> str:
    """From some moment on the run can allocate no more memory."""
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
        return "ended before that"
    # Not every exit leaves a message: glibc or the kernel may end the run.
    if message.startswith(("out_of_memory", "killed")):
        return "reported, retried"
    # Out of memory during its imports, Python raises all sorts of errors, even a SyntaxError.
    emitted = [event for event in scenario.client.jobs.get(job.id).events() if event.attempt == 1]
    assert not emitted and message.startswith("bug"), message
    return "retried"
