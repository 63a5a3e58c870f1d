"""The scenario of a fault: one service at a place, its dataset and its jobs."""

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import psutil
from sqlalchemy.orm import Session

from distillery.sdk.client import Client
from distillery.store.blobs.blobs import make_blobs
from distillery.store.db.database import Database
from distillery.wire.jobs import Job
from kdcore.spec.failpoints import REACHED
from kdcore.spec.run import LOG_FILE
from tests.conftest import is_writable
from tests.e2e.pictures import training, write_pictures
from tests.e2e.service import finish, wait_until
from tests.faults.check import problems
from tests.faults.invariants.evidence import Evidence
from tests.faults.place import Place
from tests.faults.service import FaultyService

T = TypeVar("T")
EPOCHS = 4
STEPS = 9 * EPOCHS  # 320 pictures, a tenth of them for validation, in batches of 32
CLEAN_WITHIN_S = 30.0
HOLD_WITHIN_S = 180.0
_CONTROLS: dict[bool, str] = {}
_CONTROL_LOCK = threading.Lock()


class FaultScenario:
    """A service to inject faults into, between `open` and `close`; its files are in `folder`."""

    def __init__(self, place: Place, folder: Path, *, standin: bool = False):
        self.place = place
        self.folder = folder
        self.standin = standin
        self._stack = ExitStack()
        self._service: FaultyService | None = None
        self._dataset = ""
        self._comparable: set[str] = set()
        self.jobs: list[str] = []  # submitted in the current trial; all must end

    def open(self, **settings: str) -> FaultyService:
        """Start the service with additional KD_* settings, and push its dataset."""
        assert self._service is None, "the scenario is already open"
        servers = self.keep(self.place.servers())
        service = FaultyService(
            self.folder / "home", standin=self.standin, **{**servers, **settings}
        )
        self._service = self.keep(service)
        self._dataset = self.client.datasets.push(write_pictures(self.folder / "pictures.npz")).id
        return service

    def close(self) -> None:
        """Exit everything entered by `keep`, last first. Raises AssertionError if a process is
        left."""
        self._service = None
        self._stack.close()
        wait_until(lambda: not self._processes(), HOLD_WITHIN_S, f"no process in {self.folder}")

    def _processes(self) -> list[psutil.Process]:
        """All processes with a working directory below the folder."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.cwd().startswith(f"{self.folder}/"):
                    found.append(process)
        return found

    def keep(self, context: AbstractContextManager[T]) -> T:
        """Enter a context, such as a server or a proxy, until the scenario is closed."""
        return self._stack.enter_context(context)

    @property
    def is_open(self) -> bool:
        """Whether the service was started."""
        return self._service is not None

    @property
    def service(self) -> FaultyService:
        """The open service."""
        assert self._service is not None, "the scenario is not open"
        return self._service

    @property
    def client(self) -> Client:
        """A client of its API."""
        return self.service.client

    @property
    def runs(self) -> Path:
        """The directory of run directories."""
        return Path(self.service.settings.get("KD_RUN_DIR", self.folder / "home" / "runs"))

    @property
    def database_url(self) -> str:
        """The URL of its database, without a proxy in between."""
        home = f"sqlite:///{self.folder / 'home' / 'distillery.sqlite'}"
        return self.service.settings.get("KD_DATABASE_URL", home)

    def database(self) -> Database:
        """Connect to its database; the caller disposes of it."""
        return Database(self.database_url)

    def spec(self, **more: Any) -> dict[str, Any]:
        """The spec of the tiny job: STEPS steps, by default with a checkpoint after each."""
        common = {
            "checkpoint_every_s": 0,
            "limits": {"attempts": 10},
            "export": ["safetensors"],  # an ONNX export costs as much as the training
        }
        return training(self._dataset, epochs=EPOCHS, **{**common, **more})

    def submit(self, *, comparable: bool = True, **more: Any) -> Job:
        """Submit the tiny job with a unique name and idempotency key. `comparable`: its weights
        must equal those of the control."""
        name = f"trial-{secrets.token_hex(6)}"
        job = self.client.jobs.submit(self.spec(name=name, **more), idempotency_key=name)
        self.jobs.append(job.id)
        if comparable:
            self._comparable.add(job.id)
        return job

    def hold(self, step: int, more: str = "", **spec: Any) -> tuple[Job, psutil.Process]:
        """Restart the worker with failpoints (`more` are additional) and submit a job whose run is
        held after `step` steps of each attempt; returns both."""
        armed = ",".join(filter(None, (f"step.made:hold@{step}", more)))
        self.service.restart("jobs", KD_FAILPOINT=armed)
        job = self.submit(**spec)
        wait_until(lambda: self._is_held(job, 1), HOLD_WITHIN_S, f"{step} steps")
        (run,) = self.service.runs()
        return job, run

    def held_again(self, job: Job, attempt: int) -> psutil.Process:
        """Wait until a later attempt is held too; returns its run."""
        wait_until(lambda: self._is_held(job, attempt), HOLD_WITHIN_S, f"attempt {attempt} is held")
        (run,) = self.service.runs()
        return run

    def _is_held(self, job: Job, attempt: int) -> bool:
        log = self.runs / job.id / str(attempt) / LOG_FILE
        return log.is_file() and f"{REACHED} step.made" in log.read_text(errors="replace")

    def freeze(self, name: str) -> list[psutil.Process]:
        """SIGSTOP a program and its descendants at a moment when it does not write: SQLite has one
        writer, and a frozen one would block all others until it continues or is killed."""
        while True:
            frozen = self.service.freeze(name)
            if is_writable(self.database_url):
                return frozen
            for process in frozen:
                with suppress(psutil.NoSuchProcess):
                    process.resume()
            time.sleep(0.05)

    def sleep(self, seconds: float) -> None:
        """Let the service work for a while. No assertion may depend on how far it gets."""
        time.sleep(seconds)

    @contextmanager
    def rows(self) -> Iterator[Session]:
        """Open a session that reads the database directly."""
        database = self.database()
        try:
            with database.read() as session:
                yield session
        finally:
            database.dispose()

    def finish(self, job: Job, within_s: float = 240) -> Job:
        """Wait until the job has ended in any way; returns it."""
        return finish(self.client, job, within_s)

    def wait_for(self, job: Job, state: str, within_s: float = 180) -> Job:
        """Wait until the job is in this state; returns it."""
        wait_until(
            lambda: self.client.jobs.get(job.id).state == state, within_s, f"{job.id} is {state}"
        )
        return self.client.jobs.get(job.id)

    def checkpoints(self, job: Job) -> list[Path]:
        """The complete checkpoints of all attempts on disk, oldest first."""
        found = (self.runs / job.id).glob("*/checkpoints/[0-9]*")
        return sorted(found, key=lambda path: (path.name, path.parts[-3]))

    def control(self) -> str:
        """The hash of the tiny job's weights without faults; computed once per process."""
        with _CONTROL_LOCK:
            if self.standin not in _CONTROLS:
                job = self.finish(self.client.jobs.submit(self.spec(name="control")))
                assert job.state == "succeeded", job.error
                assert job.attempt == 1, "the control was disturbed"
                (sha256,) = (
                    a.sha256
                    for a in self.client.jobs.get(job.id).artifacts()
                    if a.kind == "weights"
                )
                events = self.client.jobs.get(job.id).events()
                last = max((e.body["step"] for e in events if "step" in e.body), default=0)
                assert self.standin or last == STEPS, "the tiny job has another number of steps"
                _CONTROLS[self.standin] = sha256
            return _CONTROLS[self.standin]

    def check(self) -> list[str]:
        """The violated invariants. A worker that was just started may take a while to delete what
        its predecessor left."""
        deadline_s = time.monotonic() + CLEAN_WITHIN_S
        starts = 1
        control = self.control()
        database = self.database()
        try:
            while True:
                with database.read() as session:
                    found = problems(self._evidence(session, control))
                left_over = [problem for problem in found if problem.startswith("I8 ")]
                if len(left_over) < len(found) or not found:
                    return found
                if time.monotonic() > deadline_s:
                    if not starts:
                        return found
                    starts -= 1
                    self.service.restart(
                        "jobs"
                    )  # it cleans up at its start, otherwise every ten minutes
                    deadline_s += CLEAN_WITHIN_S
                time.sleep(0.3)
        finally:
            database.dispose()

    def _evidence(self, session: Session, control: str) -> Evidence:
        home = self.folder / "home"
        return Evidence(
            session,
            make_blobs(self.service.settings.get("KD_BLOB_URL", str(home / "blobs"))),
            homes=[home],
            controls=frozenset([control]),
            compared=frozenset(self._comparable),
            unique_names=True,
        )
