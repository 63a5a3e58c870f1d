"""Readiness: what each part of the service says, and whether the API can serve without it."""

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
VITAL = frozenset({"database", "schema", "blobs"})  # without one of these nothing is served
DATABASE_S = 5.0
BLOBS_S = 2.0
BROKER_S = 0.8


class Readiness:
    """Asks all parts at once; see Probe for how seldom and how long."""

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
        self.notifications = 0  # that waited when the broker last answered
        self._checks = {
            "database": HealthCheck(self._ask_database, DATABASE_S),
            "schema": HealthCheck(self._ask_schema, DATABASE_S),
            "blobs": HealthCheck(self._ask_blobs, BLOBS_S),
            "disk": HealthCheck(self._ask_disk, BLOBS_S),
            "broker": HealthCheck(self._ask_broker, BROKER_S),
            "workers": HealthCheck(lambda: self._ask(_workers), DATABASE_S),
            "reaper": HealthCheck(lambda: self._ask(_reaper), DATABASE_S),
        }

    def components(self) -> dict[str, str]:
        """Component -> `ok` or what is wrong with it."""
        for check in self._checks.values():
            check.start()
        return {name: check.answer() for name, check in self._checks.items()}

    def said(self, part: str) -> str:
        """What one part says."""
        return self._checks[part].answer()

    def _ask_database(self) -> str:
        self._database.ping()
        return OK

    def _ask_schema(self) -> str:
        try:
            self._database.check_schema()
        except StoreError as error:
            return f"not known: {error}"
        except SchemaMismatch as error:
            return str(error)
        return OK

    def _ask_blobs(self) -> str:
        self._blobs.check()
        return OK

    def _ask_disk(self) -> str:
        free = self._blobs.free_bytes()
        if free is None or free >= self._min_free_bytes:
            return OK
        return f"{free} bytes are free, uploads are refused below {self._min_free_bytes}"

    def _ask_broker(self) -> str:
        self.notifications = self._notifications_waiting()
        return OK

    def _ask(self, question: Callable[[Session], str]) -> str:
        try:
            with self._database.read() as session:
                return question(session)
        except StoreError as error:
            return f"not known: {error}"


def status_of(components: dict[str, str]) -> Status:
    """`down` where a vital part is broken, `degraded` where another is."""
    broken = {name for name, said in components.items() if said != OK}
    return "down" if broken & VITAL else "degraded" if broken else "ok"


def _workers(s: Session) -> str:
    alive = workers.alive(s)
    if not alive:
        return f"none has been heard for {workers.ALIVE_S} s"
    if all(worker.trouble for worker in alive):
        return f"none takes a job: {alive[0].trouble}"
    return OK


def _reaper(s: Session) -> str:
    if not reaper_status.is_late(s):
        return OK
    last = reaper_status.latest(s)
    if last is None:
        return "late: there has been none yet"
    return f"late: the last was {(db_now(s) - last.at) // 1000} s ago"
