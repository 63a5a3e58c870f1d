"""The scene of a fault: one service at a place, its dataset, and the jobs that are to be hurt."""

import secrets
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, TypeVar

from api.views.jobs import Job
from client.http import Client
from store.db import Database
from tests.e2e.pictures import training, write_pictures
from tests.e2e.service import finish, wait_until
from tests.faults.place import Place
from tests.faults.service import FaultyService

T = TypeVar("T")
EPOCHS = 4
STEPS = 10 * EPOCHS  # of 320 pictures in batches of 32


class Scene:
    """`open` it, hurt it, `close` it. What it made lies in `folder`."""

    def __init__(self, place: Place, folder: Path, *, standin: bool = False):
        self.place = place
        self.folder = folder
        self._standin = standin
        self._stack = ExitStack()
        self._service: FaultyService | None = None
        self._dataset = ""
        self.jobs: list[str] = []  # submitted since `begin`, which must all end

    def open(self, **settings: str) -> FaultyService:
        """Start the service, with more KD_* settings, and give it its dataset."""
        assert self._service is None, "it is open already"
        servers = self.keep(self.place.servers())
        service = FaultyService(
            self.folder / "home", standin=self._standin, **{**servers, **settings}
        )
        self._service = self.keep(service)
        self._dataset = self.client.datasets.push(
            write_pictures(self.folder / "pictures.npz"), format="npz"
        ).id
        self.client.datasets.wait(self._dataset)
        return service

    def close(self) -> None:
        """Stop everything that was kept, the last first."""
        self._service = None
        self._stack.close()

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
    def database_url(self) -> str:
        """Where its rows are, without what a fault put in between."""
        home = f"sqlite:///{self.folder / 'home' / 'distillery.sqlite'}"
        return self.service.settings.get("KD_DATABASE_URL", home)

    def database(self) -> Database:
        """The same, opened; to be disposed of by the caller."""
        return Database(self.database_url)

    def spec(self, **more: Any) -> dict[str, Any]:
        """The tiny job's spec: STEPS steps, and by default a checkpoint after each of them."""
        common = {"checkpoint_every_s": 0, "limits": {"attempts": 10}}
        return training(self._dataset, epochs=EPOCHS, **{**common, **more})

    def submit(self, **more: Any) -> Job:
        """Submit the tiny job under a name and an idempotency key of its own."""
        name = f"hurt-{secrets.token_hex(6)}"
        job = self.client.jobs.submit(self.spec(name=name, **more), idempotency_key=name)
        self.jobs.append(job.id)
        return job

    def finish(self, job: Job, within_s: float = 120) -> Job:
        """The job once it has ended, whichever way."""
        return finish(self.client, job, within_s)

    def wait_for(self, job: Job, state: str, within_s: float = 60) -> Job:
        """The job once it is in this state."""
        wait_until(
            lambda: self.client.jobs.get(job.id).state == state, within_s, f"{job.id} is {state}"
        )
        return self.client.jobs.get(job.id)

    def checkpoints(self, job: Job) -> list[Path]:
        """The whole checkpoints that all its attempts have on disk, oldest first."""
        found = (self.folder / "home" / "runs" / job.id).glob("*/checkpoints/[0-9]*")
        return sorted(found, key=lambda path: (path.name, path.parts[-3]))

    def check(self) -> list[str]:
        """What does not hold of its jobs."""
        return []
