"""What a fault is, and all of them by name.

A fault is a function of a scene (one service at a place, its dataset, its jobs) and a random
generator. It submits a job or more, does its harm, asserts what is its own to assert, and returns
its outcome in a few words; an exception means that the fault was not survived. Afterwards every
program is started again, every job must end, and all invariants must hold: whoever runs faults sees
to that (`tests.faults.trial`), the fault need not.

    @fault("F1", "worker killed mid-step")
    def worker_killed(scene: FaultScenario, draw: Random) -> str: ...

Files of `tests/faults/acts` are found by themselves.
"""

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from tests.faults import acts
from tests.faults.scenario import FaultScenario

Act = Callable[[FaultScenario, Random], str]
PlaceName = Literal["embedded", "servers"]
PLACES: tuple[PlaceName, ...] = ("embedded", "servers")


@dataclass(frozen=True)
class Fault:
    """One fault.

    `alone`: it opens a service of its own (`scenario.open(KD_...=...)`), for it needs settings or
    servers that others must not share; otherwise the scene's service runs already.
    `standin`: its jobs' runs are `tests/faults/standin.py`, which costs next to nothing, instead of
    kdcore; `kdcore`: they never are; otherwise they are now and then.
    `long`: takes minutes, so it is drawn only when asked for by name."""

    number: str
    title: str
    act: Act
    places: Sequence[PlaceName] = PLACES
    alone: bool = False
    standin: bool = False
    kdcore: bool = False
    long: bool = False
    row: str = ""  # its line in the table of results


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
) -> Callable[[Act], Act]:
    """Register a fault under its function's name; `number` is its row of the matrix."""

    def register(act: Act) -> Act:
        name = act.__name__
        assert name not in FAULTS, name
        FAULTS[name] = Fault(number, title, act, places, alone, standin, kdcore, long, row or title)
        return act

    return register


def load() -> dict[str, Fault]:
    """All faults by name, in the order of the matrix."""
    for module in pkgutil.iter_modules(acts.__path__):
        importlib.import_module(f"{acts.__name__}.{module.name}")
    return dict(sorted(FAULTS.items(), key=lambda item: (int(item[1].number[1:]), item[0])))
