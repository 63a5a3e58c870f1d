"""Everything at once."""

from random import Random

from tests.faults.fault import fault
from tests.faults.scene import STEPS, Scene


@fault("F20", "every program killed -9, then started")
def all_killed(scene: Scene, draw: Random) -> str:
    """kill -9 of API, worker and sweep, with a job under way and another waiting."""
    service = scene.service
    running, _ = scene.hold(draw.randint(2, STEPS - 5))
    waiting = scene.submit()
    names = draw.sample(["api", "jobs", "sweep"], 3)
    for name in names:
        service.kill(name)
    for name in draw.sample(names, 3):
        service.start_as(name, name)
    for job in (running, waiting):
        ended = scene.finish(job)
        assert ended.state == "succeeded", ended.error
    return "both jobs succeeded"
