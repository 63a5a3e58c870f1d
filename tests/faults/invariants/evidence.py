"""The data that invariants are checked against, and their violations."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from distillery.store.blobs.blobs import Blobs
from distillery.store.db.database import db_now
from distillery.store.db.tables import Job, Transition

Row = TypeVar("Row")


class Violation(NamedTuple):
    """A violated invariant; `subject` is usually a job's id."""

    subject: str
    message: str


Violations = Iterable[Violation]


@dataclass
class Evidence:
    """A service to check: its rows, and its blobs and files if given.

    `settled`: the faults are over and the time limit has passed, so every job must have ended.
    `controls`: hashes of the weights of uninterrupted runs. `compared`: the jobs whose weights must
    be among them; None: all distillations. Files younger than `young_s` may be in use.
    """

    session: Session
    blobs: Blobs | None = None
    homes: Sequence[Path] = ()
    controls: frozenset[str] = frozenset()
    compared: frozenset[str] | None = None
    settled: bool = True
    unique_names: bool = False
    young_s: float = 0.0
    _jobs: list[Job] = field(default_factory=list)

    @property
    def jobs(self) -> list[Job]:
        """All jobs, oldest first."""
        if not self._jobs:
            self._jobs = list(self.session.scalars(select(Job).order_by(Job.id)))
        return self._jobs

    def transitions(self) -> Mapping[str, list[Transition]]:
        """The transitions of each job in order."""
        query = select(Transition).order_by(Transition.job_id, Transition.id)
        return by_job(self.session.scalars(query))

    def now(self) -> int:
        """The database's time in milliseconds."""
        return db_now(self.session)


def by_job(rows: Iterable[Any]) -> dict[str, list[Any]]:
    """Group rows that are sorted by job."""
    return {job_id: list(own) for job_id, own in groupby(rows, attrgetter("job_id"))}
