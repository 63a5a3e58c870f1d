"""kill -9 at every failpoint of every program."""

from random import Random
from threading import Thread

from distillery.store.db.tables import Attempt
from kdcore.spec.failpoints import PLACES
from tests.e2e.service import wait_until
from tests.faults.fault import Injection, fault
from tests.faults.scenario import STEPS, FaultScenario

PATIENCE_S = 180.0
IN_API = {"notification", "creation"}
IN_UPLOAD = {"part"}  # covered by F18: api_killed_in_upload
IN_REAPER = {"reaper"}
IN_RUN = {"step", "checkpoint", "result"}
TIMES = {"events": 2, "blob": 2}  # how often every job passes these failpoints


def _kill_api(place: str) -> Injection:
    def inject(scenario: FaultScenario, draw: Random) -> str:
        """The API dies while it accepts a job; the client retries with its key."""
        service = scenario.service
        service.restart("api", KD_FAILPOINT=place)
        submit = Thread(target=scenario.submit)
        submit.start()
        wait_until(lambda: service.poll("api") is not None, PATIENCE_S, "the API dies")
        service.start_as("api", "api")
        submit.join(PATIENCE_S)
        assert len(scenario.jobs) == 1, "the submit was never answered"
        return "the client's retry was answered"

    return inject


def _kill_worker(place: str) -> Injection:
    def inject(scenario: FaultScenario, draw: Random) -> str:
        """The worker dies and is restarted."""
        service = scenario.service
        owner = place.partition(".")[0]
        once = scenario.standin and owner == "blob"  # a stand-in has one artifact
        nth = 1 if once else draw.randint(1, TIMES.get(owner, 1))
        held = ",step.made:hold@20" if place.startswith("lease.") else ""
        service.restart("jobs", KD_FAILPOINT=f"{place}@{nth}{held}")
        job = scenario.submit()
        wait_until(lambda: service.poll("jobs") is not None, PATIENCE_S, "the worker dies")
        service.start_as("jobs", "jobs")
        ended = scenario.finish(job)
        assert ended.state == "succeeded", ended.error
        return f"succeeded at attempt {ended.attempt}"

    return inject


def _kill_reaper(place: str) -> Injection:
    def inject(scenario: FaultScenario, draw: Random) -> str:
        """The reaper dies while it reaps a dead worker's lease."""
        service = scenario.service
        service.restart("reaper", KD_FAILPOINT=place)
        job, _ = scenario.hold(draw.randint(2, STEPS - 5))
        service.kill("jobs")
        wait_until(lambda: service.poll("reaper") is not None, PATIENCE_S, "the reaper dies")
        service.start_as("reaper", "reaper")
        service.start_as("jobs", "jobs")
        ended = scenario.finish(job)
        assert ended.state == "succeeded", ended.error
        return f"succeeded at attempt {ended.attempt}"

    return inject


def _kill_run(place: str) -> Injection:
    def inject(scenario: FaultScenario, draw: Random) -> str:
        """The run dies; the next attempt resumes it."""
        service = scenario.service
        # Beyond half: the resumed attempt does not pass the failpoint that often again.
        often = place.startswith(("step", "checkpoint"))
        nth = draw.randint(STEPS // 2 + 2, STEPS - 2) if often else 1
        service.restart("jobs", KD_FAILPOINT=f"{place}@{nth}")
        job = scenario.submit()
        wait_until(lambda: scenario.client.jobs.get(job.id).attempt > 1, PATIENCE_S, "it dies")
        if not often:
            service.restart("jobs")
        ended = scenario.finish(job)
        assert ended.state == "succeeded", ended.error
        with scenario.rows() as session:
            first = session.get_one(Attempt, (job.id, 1))
            assert "SIGKILL" in (first.message or ""), first.message
        return f"succeeded at attempt {ended.attempt}"

    return inject


def _register() -> None:
    places = [place for place in PLACES if place.partition(".")[0] not in IN_UPLOAD]
    for place in places:
        owner = place.partition(".")[0]
        kill = _kill_worker
        for owners, other in ((IN_API, _kill_api), (IN_REAPER, _kill_reaper), (IN_RUN, _kill_run)):
            kill = other if owner in owners else kill
        inject = kill(place)
        inject.__name__ = f"killed_at_{place.replace('.', '_')}"
        in_kdcore = owner in IN_RUN
        fault(
            "F6",
            f"kill -9 at {place}",
            kdcore=in_kdcore,
            row=f"kill -9 at {len(places)} failpoints",
        )(inject)


_register()
