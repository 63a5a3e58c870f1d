"""Defines faults and registers them by name.

A fault is a function of a scenario (one service at a place, its dataset and jobs) and a random
generator. It submits jobs, injects the fault, makes its own assertions, and returns a short
outcome; an exception means that the fault was not survived. Afterwards `tests.faults.trial`
restarts every program, waits until every job has ended, and checks all invariants.

    @fault("F1", "worker killed mid-step")
    def worker_killed(scenario: FaultScenario, draw: Random) -> str: ...

The files of `tests/faults/injections` are discovered automatically.
"""

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from tests.faults import injections
from tests.faults.scenario import FaultScenario

Injection = Callable[[FaultScenario, Random], str]
PlaceName = Literal["embedded", "servers"]
PLACES: tuple[PlaceName, ...] = ("embedded", "servers")


@dataclass(frozen=True)
class Fault:
    """One fault.

    `alone`: it opens a service of its own (`scenario.open(KD_...=...)`) because it needs special
    settings or servers; otherwise the scenario's service is already running.
    `standin`: its jobs' runs are the cheap `tests/faults/standin.py` instead of kdcore; `kdcore`:
    they never are; otherwise they sometimes are.
    `long`: takes minutes, so it runs only if requested by name."""

    number: str
    title: str
    inject: Injection
    places: Sequence[PlaceName] = PLACES
    alone: bool = False
    standin: bool = False
    kdcore: bool = False
    long: bool = False
    row: str = ""  # its row in the table of results


FAULTS: dict[str, Fault] = {}  # by the name of the function


def fault(
    number: str,
    title: str,
    *,
    places: Sequence[PlaceName] = PLACES,
    alone: bool = False,
    standin: bool = False,
    kdcore: bool = False,
    long: bool = False,
    row: str = "",
) -> Callable[[Injection], Injection]:
    """Register a fault under its function's name; `number` is its row of the matrix."""

    def register(inject: Injection) -> Injection:
        name = inject.__name__
        assert name not in FAULTS, name
        FAULTS[name] = Fault(
            number, title, inject, places, alone, standin, kdcore, long, row or title
        )
        return inject

    return register


def load() -> dict[str, Fault]:
    """All faults by name, in the order of the matrix."""
    for module in pkgutil.iter_modules(injections.__path__):
        importlib.import_module(f"{injections.__name__}.{module.name}")
    return dict(sorted(FAULTS.items(), key=lambda item: (int(item[1].number[1:]), item[0])))
