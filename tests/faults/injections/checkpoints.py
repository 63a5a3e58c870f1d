"""Damaged checkpoints."""

from pathlib import Path
from random import Random

from tests.faults.fault import fault
from tests.faults.scenario import STEPS, FaultScenario


@fault("F14", "checkpoint damaged", kdcore=True)
def checkpoint_damaged(scenario: FaultScenario, draw: Random) -> str:
    """The newest checkpoint (or both) is truncated, zeroed, has a flipped bit, or lacks a file."""
    job, _ = scenario.hold(draw.randint(4, STEPS - 5))
    scenario.service.kill("jobs")
    name, damage = draw.choice(DAMAGES)
    both = draw.random() < 0.25
    for checkpoint in scenario.checkpoints(job)[-2 if both else -1 :]:
        # The manifest has no hash of its own; it must parse and match.
        damage(draw.choice(sorted(checkpoint.iterdir())), draw)
    scenario.service.start_as("jobs", "jobs")
    ended = scenario.finish(job)
    assert ended.state == "succeeded", ended.error
    events = scenario.client.jobs.get(job.id).events()
    logged = [e.body["message"] for e in events if e.kind == "log"]
    reported = sum("damaged" in message for message in logged)
    assert ended.result is not None
    assert ended.result.resumes == (0 if reported == 2 else 1), (ended.result.resumes, logged)
    return f"{name} {'both' if both else 'the newest'}, {reported} reported as damaged"


def truncate(path: Path, draw: Random) -> None:
    """Keep the beginning of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: draw.randrange(len(data))])


def zero(path: Path, draw: Random) -> None:
    """Zero the end of a file, as a power cut may."""
    data = path.read_bytes()
    start = draw.randrange(len(data))
    path.write_bytes(data[:start] + bytes(len(data) - start))


def flip(path: Path, draw: Random) -> None:
    """Flip one bit."""
    data = bytearray(path.read_bytes())
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(data)


def remove(path: Path, draw: Random) -> None:
    """Delete the file."""
    path.unlink()


DAMAGES = (("truncated", truncate), ("zeroed", zero), ("flipped", flip), ("removed", remove))
