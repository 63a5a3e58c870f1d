"""Checkpoints that a disk damaged."""

from pathlib import Path
from random import Random

from tests.faults.fault import fault
from tests.faults.scenario import STEPS, FaultScenario


@fault("F14", "checkpoint damaged", kdcore=True)
def checkpoint_damaged(scenario: FaultScenario, draw: Random) -> str:
    """The newest checkpoint (or both) is truncated, zeroed, flipped in one bit, or lacks a file."""
    job, _ = scenario.hold(draw.randint(4, STEPS - 5))
    scenario.service.kill("jobs")
    done, damage = draw.choice(DAMAGES)
    both = draw.random() < 0.25
    for checkpoint in scenario.checkpoints(job)[-2 if both else -1 :]:
        # The manifest's own bytes are the one thing that has no hash; it must parse and fit.
        damage(draw.choice(sorted(checkpoint.iterdir())), draw)
    scenario.service.start_as("jobs", "jobs")
    ended = scenario.finish(job)
    assert ended.state == "succeeded", ended.error
    said = [e.body["message"] for e in scenario.client.jobs.events(job.id) if e.kind == "log"]
    told = sum("damaged" in message for message in said)
    assert ended.result is not None
    assert ended.result.resumes == (0 if told == 2 else 1), (ended.result.resumes, said)
    return f"{done} {'both' if both else 'the newest'}, {told} found damaged"


def truncate(path: Path, draw: Random) -> None:
    """Keep its beginning."""
    data = path.read_bytes()
    path.write_bytes(data[: draw.randrange(len(data))])


def zero(path: Path, draw: Random) -> None:
    """Zeros from somewhere on, as a file system may leave after a power cut."""
    data = path.read_bytes()
    start = draw.randrange(len(data))
    path.write_bytes(data[:start] + bytes(len(data) - start))


def flip(path: Path, draw: Random) -> None:
    """One bit."""
    data = bytearray(path.read_bytes())
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(data)


def remove(path: Path, draw: Random) -> None:
    """The whole file."""
    path.unlink()


DAMAGES = (("truncated", truncate), ("zeroed", zero), ("flipped", flip), ("removed", remove))
