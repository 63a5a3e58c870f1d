"""Workers that die, freeze, fall silent, or are told to stop."""

import contextlib
import signal
from random import Random

import psutil

from distillery.store.db.tables import Attempt, Job
from tests.e2e.service import lives, wait_until
from tests.faults.fault import fault
from tests.faults.scenario import STEPS, FaultScenario

GONE_S = 2.0  # in which a run dies with its worker
PATIENCE_S = 180.0


@fault("F1", "worker killed mid-step")
def worker_killed(scenario: FaultScenario, draw: Random) -> str:
    """kill -9 of a worker whose run is in the middle of a step."""
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
    """kill -9 of the worker some time after the job was submitted, whatever it does then."""
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
    """SIGSTOP of worker and run; another works; SIGCONT before or after it has finished."""
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
    wait_until(lambda: not lives(run), PATIENCE_S, "the zombie kills its run")
    ended = scenario.finish(job)
    assert ended.state == "succeeded", ended.error
    with scenario.rows() as session:
        first = session.get_one(Attempt, (job.id, 1))
        assert first.outcome == "queued", first.outcome
        assert session.get_one(Job, job.id).worker != first.worker
    assert service.poll("jobs") is None, "the zombie's worker must live on"
    return "woke after the other had finished" if wakes_late else "woke while another worked"


def _is_let_go(scenario: FaultScenario, job: str) -> bool:
    """Queued, or claimed again already: the same worker may be the first to see it."""
    seen = scenario.client.jobs.get(job)
    return seen.state == "queued" or seen.attempt > 1


@fault("F4", "heartbeat blocked, run goes on")
def heartbeat_blocked(scenario: FaultScenario, draw: Random) -> str:
    """No lease is renewed any more: the worker must end its run before anybody else starts one."""
    step = draw.randint(2, STEPS - 2)
    scenario.service.restart("jobs", KD_FAILPOINT=f"lease.renewing:block,step.made:hold@{step}")
    job = scenario.submit()
    scenario.wait_for(job, "running")
    wait_until(scenario.service.runs, PATIENCE_S, "the run starts")
    (run,) = scenario.service.runs()
    wait_until(lambda: _is_let_go(scenario, job.id), PATIENCE_S, "it is let go")
    assert not lives(run), "the job waits for another while its run goes on"
    with scenario.rows() as session:
        message = session.get_one(Attempt, (job.id, 1)).message or ""
    scenario.service.restart("jobs")
    ended = scenario.finish(job)
    assert ended.state == "succeeded", ended.error
    return message.partition(";")[0]


@fault("F5", "worker told to stop (SIGTERM)")
def worker_terminated(scenario: FaultScenario, draw: Random) -> str:
    """It checkpoints, lets the job go, which is no failure, and another goes on."""
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
    saved = [e.body["step"] for e in scenario.client.jobs.events(job.id) if e.kind == "checkpoint"]
    assert step in saved, f"step {step} was lost: {saved}"
    with scenario.rows() as session:
        assert session.get_one(Job, job.id).failures == 0
    return f"released at step {step}"


@fault("F5", "every program told to stop, then started")
def all_terminated(scenario: FaultScenario, draw: Random) -> str:
    """A deploy: SIGTERM for all, in any order, and all are started again."""
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
    return "went on from its checkpoint"
