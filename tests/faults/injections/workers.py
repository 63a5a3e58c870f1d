"""Workers that die, freeze, stop renewing leases, or are stopped."""

import contextlib
import signal
from random import Random

import psutil

from distillery.store.db.tables import Attempt, Job
from tests.e2e.service import lives, wait_until
from tests.faults.fault import fault
from tests.faults.scenario import STEPS, FaultScenario

GONE_S = 2.0  # a run dies with its worker within this time
PATIENCE_S = 180.0


@fault("F1", "worker killed mid-step")
def worker_killed(scenario: FaultScenario, draw: Random) -> str:
    """kill -9 of a worker during a step of its run."""
    step = draw.randint(2, STEPS - 5)
    job, run = scenario.hold(step)
    scenario.service.kill("jobs")
    wait_until(lambda: not lives(run), GONE_S, "the run dies with its worker")
    scenario.service.start_as("jobs", "jobs")
    ended = scenario.finish(job)
    assert ended.state == "succeeded", ended.error
    assert ended.result is not None and ended.result.resumes >= 1
    return f"resumed after step {step - 1}"


@fault("F1", "worker killed at any moment")
def worker_killed_anywhere(scenario: FaultScenario, draw: Random) -> str:
    """kill -9 of the worker at a random time after the submission."""
    delay_s = draw.uniform(0.0, 8.0)
    job = scenario.submit()
    scenario.sleep(delay_s)
    runs = scenario.service.runs()
    scenario.service.kill("jobs")
    wait_until(lambda: not any(map(lives, runs)), GONE_S, "the runs die with their worker")
    phase = scenario.client.jobs.get(job.id).phase
    scenario.service.start_as("jobs", "jobs")
    return f"killed in {phase}"


@fault("F3", "worker and run frozen past the lease")
def zombie(scenario: FaultScenario, draw: Random) -> str:
    """SIGSTOP of worker and run; another worker takes the job; SIGCONT before or after it ends."""
    service = scenario.service
    job, run = scenario.hold(draw.randint(2, STEPS - 5))
    frozen = scenario.freeze("jobs")
    service.start_as("other", "jobs")
    wakes_late = draw.random() < 0.5
    wait_until(
        lambda: scenario.client.jobs.get(job.id).attempt > 1, PATIENCE_S, "another claims it"
    )
    if wakes_late:
        scenario.finish(job)
    for process in frozen:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.resume()
    wait_until(lambda: not lives(run), PATIENCE_S, "the woken worker kills its run")
    ended = scenario.finish(job)
    assert ended.state == "succeeded", ended.error
    with scenario.rows() as session:
        first = session.get_one(Attempt, (job.id, 1))
        assert first.outcome == "queued", first.outcome
        assert session.get_one(Job, job.id).worker != first.worker
    assert service.poll("jobs") is None, "the woken worker must survive"
    return "woke after the other had finished" if wakes_late else "woke while another worked"


def _is_released(scenario: FaultScenario, job: str) -> bool:
    """Whether the job is queued, or already claimed again, perhaps by the same worker."""
    seen = scenario.client.jobs.get(job)
    return seen.state == "queued" or seen.attempt > 1


@fault("F4", "lease renewal blocked, run continues")
def renewal_blocked(scenario: FaultScenario, draw: Random) -> str:
    """Leases are no longer renewed: the worker must end its run before another starts one."""
    step = draw.randint(2, STEPS - 2)
    scenario.service.restart("jobs", KD_FAILPOINT=f"lease.renewing:block,step.made:hold@{step}")
    job = scenario.submit()
    scenario.wait_for(job, "running")
    wait_until(scenario.service.runs, PATIENCE_S, "the run starts")
    (run,) = scenario.service.runs()
    wait_until(lambda: _is_released(scenario, job.id), PATIENCE_S, "it is released")
    assert not lives(run), "the job was released while its run continues"
    with scenario.rows() as session:
        message = session.get_one(Attempt, (job.id, 1)).message or ""
    scenario.service.restart("jobs")
    ended = scenario.finish(job)
    assert ended.state == "succeeded", ended.error
    return message.partition(";")[0]


@fault("F5", "worker stopped (SIGTERM)")
def worker_terminated(scenario: FaultScenario, draw: Random) -> str:
    """It checkpoints and releases the job, without a failure, and another worker resumes it."""
    service = scenario.service
    step = draw.randint(2, STEPS - 5)
    job, run = scenario.hold(step)
    service.start_as("other", "jobs")
    service.terminate("jobs")
    grace_s = float(service.settings["KD_GRACE_S"])
    assert service.wait("jobs", grace_s + 20) == 0
    assert not lives(run)
    ended = scenario.finish(job)
    assert ended.state == "succeeded", ended.error
    events = scenario.client.jobs.get(job.id).events()
    saved = [e.body["step"] for e in events if e.kind == "checkpoint"]
    assert step in saved, f"step {step} was lost: {saved}"
    with scenario.rows() as session:
        assert session.get_one(Job, job.id).failures == 0
    return f"released at step {step}"


@fault("F5", "every program stopped (SIGTERM), then started")
def all_terminated(scenario: FaultScenario, draw: Random) -> str:
    """A deployment: SIGTERM to all in any order, then all are restarted."""
    service = scenario.service
    job, _ = scenario.hold(draw.randint(2, STEPS - 5))
    names = draw.sample(["api", "jobs", "reaper"], 3)
    for name in names:
        service.terminate(name)
    codes = [service.wait(name, 60) for name in names]
    allowed = (0, -signal.SIGTERM)
    assert all(code in allowed for code in codes), dict(zip(names, codes, strict=True))
    for name in names:
        service.start_as(name, name)
    ended = scenario.finish(job)
    assert ended.state == "succeeded", ended.error
    with scenario.rows() as session:
        assert session.get_one(Job, job.id).failures == 0
    return "resumed from its checkpoint"
