"""Readiness: checks every component of the service, and whether the API can serve without it."""

from collections.abc import Callable
from typing import Literal

from sqlalchemy.orm import Session

from distillery.api.health_check import OK, HealthCheck
from distillery.store.blobs.blobs import Blobs
from distillery.store.db.database import Database, db_now
from distillery.store.db.schema import SchemaMismatch
from distillery.store.errors import StoreError
from distillery.store.jobs import workers
from distillery.store.ops import reaper_status

Status = Literal["ok", "degraded", "down"]
VITAL = frozenset({"database", "schema", "blobs"})  # the API cannot serve without these
DATABASE_S = 5.0
BLOBS_S = 2.0
BROKER_S = 0.8


class Readiness:
    """Checks all components simultaneously; `HealthCheck` bounds how often and how long."""

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        min_free_bytes: int,
        notifications_waiting: Callable[[], int],
    ):
        self._database = database
        self._blobs = blobs
        self._min_free_bytes = min_free_bytes
        self._notifications_waiting = notifications_waiting
        self.notifications = 0  # that were waiting when the broker was last checked
        self._checks = {
            "database": HealthCheck(self._check_database, DATABASE_S),
            "schema": HealthCheck(self._check_schema, DATABASE_S),
            "blobs": HealthCheck(self._check_blobs, BLOBS_S),
            "disk": HealthCheck(self._check_disk, BLOBS_S),
            "broker": HealthCheck(self._check_broker, BROKER_S),
            "workers": HealthCheck(lambda: self._query(_workers), DATABASE_S),
            "reaper": HealthCheck(lambda: self._query(_reaper), DATABASE_S),
        }

    def components(self) -> dict[str, str]:
        """Return `ok`, or what is wrong, for each component."""
        for check in self._checks.values():
            check.start()
        return {name: check.result() for name, check in self._checks.items()}

    def component(self, name: str) -> str:
        """Return `ok`, or what is wrong, for one component."""
        return self._checks[name].result()

    def _check_database(self) -> str:
        self._database.ping()
        return OK

    def _check_schema(self) -> str:
        try:
            self._database.check_schema()
        except StoreError as error:
            return f"not known: {error}"
        except SchemaMismatch as error:
            return str(error)
        return OK

    def _check_blobs(self) -> str:
        self._blobs.check()
        return OK

    def _check_disk(self) -> str:
        free = self._blobs.free_bytes()
        if free is None or free >= self._min_free_bytes:
            return OK
        return f"{free} bytes are free, uploads are refused below {self._min_free_bytes}"

    def _check_broker(self) -> str:
        self.notifications = self._notifications_waiting()
        return OK

    def _query(self, check: Callable[[Session], str]) -> str:
        try:
            with self._database.read() as session:
                return check(session)
        except StoreError as error:
            return f"not known: {error}"


def status_of(components: dict[str, str]) -> Status:
    """Return `down` if a vital component is broken, `degraded` if another is, else `ok`."""
    broken = {name for name, result in components.items() if result != OK}
    return "down" if broken & VITAL else "degraded" if broken else "ok"


def _workers(s: Session) -> str:
    alive = workers.alive(s)
    if not alive:
        return f"no worker has sent a heartbeat for {workers.ALIVE_S} s"
    if all(worker.trouble for worker in alive):
        return f"no worker takes a job: {alive[0].trouble}"
    return OK


def _reaper(s: Session) -> str:
    if not reaper_status.is_late(s):
        return OK
    last = reaper_status.latest(s)
    if last is None:
        return "late: it has never run"
    return f"late: it last ran {(db_now(s) - last.at) // 1000} s ago"
