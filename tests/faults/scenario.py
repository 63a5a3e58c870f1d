"""The scene of a fault: one service at a place, its dataset, and the jobs that are to be hurt."""

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
STEPS = 9 * EPOCHS  # of 320 pictures, a tenth of them for validation, in batches of 32
CLEAN_WITHIN_S = 30.0
HOLD_WITHIN_S = 180.0
_CONTROLS: dict[bool, str] = {}
_CONTROL_LOCK = threading.Lock()


class FaultScenario:
    """`open` it, hurt it, `close` it. What it made lies in `folder`."""

    def __init__(self, place: Place, folder: Path, *, standin: bool = False):
        self.place = place
        self.folder = folder
        self.standin = standin
        self._stack = ExitStack()
        self._service: FaultyService | None = None
        self._dataset = ""
        self._comparable: set[str] = set()
        self.jobs: list[str] = []  # submitted since `begin`, which must all end

    def open(self, **settings: str) -> FaultyService:
        """Start the service, with more KD_* settings, and give it its dataset."""
        assert self._service is None, "it is open already"
        servers = self.keep(self.place.servers())
        service = FaultyService(
            self.folder / "home", standin=self.standin, **{**servers, **settings}
        )
        self._service = self.keep(service)
        self._dataset = self.client.datasets.push(
            write_pictures(self.folder / "pictures.npz"), format="npz"
        ).id
        self.client.datasets.wait(self._dataset)
        return service

    def close(self) -> None:
        """Stop everything that was kept, the last first. Raises AssertionError if a process is
        left."""
        self._service = None
        self._stack.close()
        wait_until(lambda: not self._processes(), HOLD_WITHIN_S, f"no process in {self.folder}")

    def _processes(self) -> list[psutil.Process]:
        """All that work somewhere below the folder."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.cwd().startswith(f"{self.folder}/"):
                    found.append(process)
        return found

    def keep(self, context: AbstractContextManager[T]) -> T:
        """Enter a context that lasts until the scene is closed: a server, a proxy."""
        return self._stack.enter_context(context)

    @property
    def is_open(self) -> bool:
        """Whether the service was started."""
        return self._service is not None

    @property
    def service(self) -> FaultyService:
        """The open service."""
        assert self._service is not None, "the scene is not open"
        return self._service

    @property
    def client(self) -> Client:
        """Speaks to its API."""
        return self.service.client

    @property
    def runs(self) -> Path:
        """Where the run directories are."""
        return Path(self.service.settings.get("KD_RUN_DIR", self.folder / "home" / "runs"))

    @property
    def database_url(self) -> str:
        """Where its rows are, without what a fault put in between."""
        home = f"sqlite:///{self.folder / 'home' / 'distillery.sqlite'}"
        return self.service.settings.get("KD_DATABASE_URL", home)

    def database(self) -> Database:
        """The same, opened; to be disposed of by the caller."""
        return Database(self.database_url)

    def spec(self, **more: Any) -> dict[str, Any]:
        """The tiny job's spec: STEPS steps, and by default a checkpoint after each of them."""
        common = {
            "checkpoint_every_s": 0,
            "limits": {"attempts": 10},
            "export": ["safetensors"],  # an ONNX export costs as much as the training
        }
        return training(self._dataset, epochs=EPOCHS, **{**common, **more})

    def submit(self, *, comparable: bool = True, **more: Any) -> Job:
        """Submit the tiny job under a name and an idempotency key of its own; not `comparable`: it
        is changed so that it will have other weights."""
        name = f"hurt-{secrets.token_hex(6)}"
        job = self.client.jobs.submit(self.spec(name=name, **more), idempotency_key=name)
        self.jobs.append(job.id)
        if comparable:
            self._comparable.add(job.id)
        return job

    def hold(self, step: int, more: str = "", **spec: Any) -> tuple[Job, psutil.Process]:
        """A job whose run waits for a signal after so many steps of an attempt, and that run. The
        worker is started anew for it, with the failpoints `more`, and stays so."""
        armed = ",".join(filter(None, (f"step.made:hold@{step}", more)))
        self.service.restart("jobs", KD_FAILPOINT=armed)
        job = self.submit(**spec)
        wait_until(lambda: self._is_held(job, 1), HOLD_WITHIN_S, f"{step} steps")
        (run,) = self.service.runs()
        return job, run

    def held_again(self, job: Job, attempt: int) -> psutil.Process:
        """The run of a later attempt, once it is held as well."""
        wait_until(lambda: self._is_held(job, attempt), HOLD_WITHIN_S, f"attempt {attempt} is held")
        (run,) = self.service.runs()
        return run

    def _is_held(self, job: Job, attempt: int) -> bool:
        log = self.runs / job.id / str(attempt) / LOG_FILE
        return log.is_file() and f"{REACHED} step.made" in log.read_text(errors="replace")

    def freeze(self, name: str) -> list[psutil.Process]:
        """SIGSTOP a program and its descendants, at a moment when it does not write: SQLite has one
        writer, so whoever is frozen as that locks everybody out until it goes on or is killed."""
        while True:
            frozen = self.service.freeze(name)
            if is_writable(self.database_url):
                return frozen
            for process in frozen:
                with suppress(psutil.NoSuchProcess):
                    process.resume()
            time.sleep(0.05)

    def sleep(self, seconds: float) -> None:
        """Let the service work for a while; no assertion may depend on how far it gets."""
        time.sleep(seconds)

    @contextmanager
    def rows(self) -> Iterator[Session]:
        """Read the database directly."""
        database = self.database()
        try:
            with database.read() as session:
                yield session
        finally:
            database.dispose()

    def finish(self, job: Job, within_s: float = 240) -> Job:
        """The job once it has ended, whichever way."""
        return finish(self.client, job, within_s)

    def wait_for(self, job: Job, state: str, within_s: float = 180) -> Job:
        """The job once it is in this state."""
        wait_until(
            lambda: self.client.jobs.get(job.id).state == state, within_s, f"{job.id} is {state}"
        )
        return self.client.jobs.get(job.id)

    def checkpoints(self, job: Job) -> list[Path]:
        """The whole checkpoints that all its attempts have on disk, oldest first."""
        found = (self.runs / job.id).glob("*/checkpoints/[0-9]*")
        return sorted(found, key=lambda path: (path.name, path.parts[-3]))

    def control(self) -> str:
        """Hash of the tiny job's weights when nothing disturbs it; found once per session."""
        with _CONTROL_LOCK:
            if self.standin not in _CONTROLS:
                job = self.finish(self.client.jobs.submit(self.spec(name="control")))
                assert job.state == "succeeded", job.error
                assert job.attempt == 1, "the control was disturbed"
                (sha256,) = (
                    a.sha256 for a in self.client.jobs.artifacts(job.id) if a.kind == "weights"
                )
                events = self.client.jobs.events(job.id)
                last = max((e.body["step"] for e in events if "step" in e.body), default=0)
                assert self.standin or last == STEPS, "the tiny job is not what it was"
                _CONTROLS[self.standin] = sha256
            return _CONTROLS[self.standin]

    def check(self) -> list[str]:
        """What does not hold of this service. A worker that was just started may take a while to
        remove what the one before it left."""
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
                    self.service.restart("jobs")  # it cleans at its start, else every ten minutes
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
