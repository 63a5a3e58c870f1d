"""The Python client of a Distillery service."""

from collections.abc import Iterator
from types import TracebackType
from typing import Self

from distillery.sdk.catalog import Datasets, Methods, Models
from distillery.sdk.jobs import Jobs
from distillery.sdk.transport import Transport
from distillery.sdk.uploads import Uploads
from distillery.wire.keys import Health, Key, KeyCreate, NewKey, Status
from distillery.wire.retention import CollectedItems, RetentionReport


class Client:
    """A service at `url`, with a bearer key where it wants one.

    with Client("http://127.0.0.1:8765") as service:
        teacher = service.models.push(Path("teacher.safetensors"), architecture="resnet20",
                                      num_classes=10)
        job = service.jobs.submit({"teachers": [{"model": teacher.id}], ...})
        for event in service.jobs.watch(job.id):
            ...

    Every call raises ApiError (refused, with the service's problem) or Unreachable.
    """

    def __init__(self, url: str, key: str | None = None, *, patience_s: float = 30.0):
        self._transport = Transport(url, key, patience_s=patience_s)
        self.url = self._transport.url
        self.uploads = Uploads(self._transport)
        self.models = Models(self._transport, self.uploads)
        self.datasets = Datasets(self._transport, self.uploads)
        self.jobs = Jobs(self._transport)
        self.methods = Methods(self._transport)
        self.keys = Keys(self._transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    def collect_garbage(self, *, dry_run: bool = False) -> RetentionReport:
        """Let go of what was kept long enough, or count it; all of it, however long that takes."""
        once = self._collect(dry_run)
        while not once.complete:
            once = _sum(once, self._collect(dry_run))
        return once

    def _collect(self, dry_run: bool) -> RetentionReport:
        return self._transport.post("/gc", RetentionReport, query={"dry_run": dry_run})

    def ready(self) -> Health:
        """State of each component of the service; raises ApiError (503) while one is not ready."""
        return self._transport.get("/ready", Health)

    def health(self) -> Health:
        """As `ready`, but what is broken is an answer, too."""
        return self._transport.read(self._transport.request("GET", "/ready", final=[503]), Health)

    def status(self) -> Status:
        """Components, workers, slots, the queue, and why the caller's oldest job waits."""
        return self._transport.get("/status", Status)


def _sum(one: RetentionReport, other: RetentionReport) -> RetentionReport:
    kinds = {each.kind: each for each in one.kinds}
    for each in other.kinds:
        before = kinds.get(each.kind)
        if before is not None:
            each = CollectedItems(
                kind=each.kind,
                count=before.count + each.count,
                size_bytes=before.size_bytes + each.size_bytes,
            )
        kinds[each.kind] = each
    return other.model_copy(update={"kinds": list(kinds.values())})


class Keys:
    """The API keys of a service; all of it needs the scope `admin`."""

    def __init__(self, transport: Transport):
        self._transport = transport

    def create(self, body: KeyCreate) -> NewKey:
        """Make a key; its text is in this answer and nowhere else."""
        return self._transport.post("/keys", NewKey, body)

    def list(self) -> Iterator[Key]:
        """Every key, without its secret."""
        return self._transport.pages("/keys", Key)

    def revoke(self, key_id: str) -> None:
        """End a key for good."""
        self._transport.request("DELETE", f"/keys/{key_id}")
