"""One process fault of each kind, at one of the two places, drawn by a fixed seed.

Runs are stand-ins unless the fault is in kdcore; `make faults` runs many more, mostly with kdcore.
"""

import sys
from pathlib import Path
from random import Random

import pytest

from tests.faults.campaign import Campaign, Trial
from tests.faults.fault import Fault, PlaceName, load
from tests.faults.place import Place
from tests.faults.trial import Verdict

pytestmark = [pytest.mark.e2e, pytest.mark.faults, pytest.mark.timeout(1200)]

SEED = "suite"
LANES = 1  # the other tests of the suite run meanwhile
NUMBERS = ("F1", "F2", "F3", "F4", "F5", "F6", "F14", "F16", "F19", "F20", "F21")


def drawn(place: PlaceName) -> dict[str, Fault]:
    """Draw a fault and a place for each number; returns the faults drawn for this place."""
    draw = Random(SEED)
    chosen = {}
    for number in NUMBERS:
        names = [n for n, fault in load().items() if fault.number == number and not fault.long]
        name, where = draw.choice(names), draw.choice(["embedded", "servers"])
        if where == place:
            chosen[name] = load()[name]
    return chosen


def check(place: Place, faults: dict[str, Fault], folder: Path) -> None:
    """Run a trial of each fault, and assert that all are survived."""
    trials = [
        Trial(1, name, fault, place, SEED, standin=not fault.kdcore)
        for name, fault in faults.items()
    ]
    problems: list[str] = []

    def report(trial: Trial, verdict: Verdict) -> None:
        seconds = round(verdict.seconds, 1)
        sys.stdout.write(f"{trial.fault.number} {trial.name}: {verdict.outcome}, {seconds} s\n")
        problems.extend(f"{trial.name}: {problem}" for problem in verdict.problems)

    verdicts = Campaign(folder, LANES, report).run(trials)
    assert not problems, "\n".join(problems)
    assert len(verdicts) == len(faults)


def test_faults_of_an_embedded_service(tmp_path: Path) -> None:
    check(Place("embedded"), drawn("embedded"), tmp_path)


def test_faults_of_a_service_with_servers(tmp_path: Path, postgres_server: str) -> None:
    check(Place("servers", postgres_server), drawn("servers"), tmp_path)


def test_every_number_is_drawn() -> None:
    both = drawn("embedded") | drawn("servers")
    assert sorted({fault.number for fault in both.values()}) == sorted(NUMBERS)
