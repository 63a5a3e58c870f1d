"""Workers that die, freeze, are told to stop, or race."""

from random import Random

from tests.e2e.service import lives, wait_until
from tests.faults.fault import fault
from tests.faults.scene import STEPS, Scene


@fault("F1", "worker killed mid-step")
def worker_killed(scene: Scene, draw: Random) -> str:
    """kill -9 of the worker once the run has made so many checkpoints."""
    service = scene.service
    step = draw.randint(1, STEPS - 5)
    service.restart("jobs", KD_FAILPOINT=f"step.made:block@{step}")
    job = scene.submit()
    wait_until(lambda: len(scene.checkpoints(job)) >= min(step - 1, 1), 60, "a checkpoint")
    (run,) = service.runs()
    service.kill("jobs")
    wait_until(lambda: not lives(run), 2, "the run dies with its worker")
    service.start_as("jobs", "jobs")
    ended = scene.finish(job)
    assert ended.state == "succeeded", ended.error
    assert ended.result is not None and ended.result.resumes >= 1
    return f"resumed after step {step}"
