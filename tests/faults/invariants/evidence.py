"""What the invariants are checked against, and what a violation is."""

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
    """An invariant that does not hold, and of what (a job's id, mostly)."""

    subject: str
    message: str


Violations = Iterable[Violation]


@dataclass
class Evidence:
    """A service to be checked: its rows, and as far as they are given its bytes and files.

    `settled`: the faults are over and the bound has passed, so every job must have ended.
    `controls`: hashes of the weights of an uninterrupted run; `compared`: the jobs that must have
    one of them (none: all distillations). Files younger than `young_s` may be in use.
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
        """Every job's moves in their order."""
        query = select(Transition).order_by(Transition.job_id, Transition.id)
        return by_job(self.session.scalars(query))

    def now(self) -> int:
        """Milliseconds by the database's clock."""
        return db_now(self.session)


def by_job(rows: Iterable[Any]) -> dict[str, list[Any]]:
    """Rows that are sorted by job, by job."""
    return {job_id: list(own) for job_id, own in groupby(rows, attrgetter("job_id"))}
