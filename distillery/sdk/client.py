"""The Python client of a Distillery service."""

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from distillery.sdk.catalog import Datasets, Methods, Models
from distillery.sdk.config import DEFAULT_PORT, ClientSettings
from distillery.sdk.jobs import Jobs
from distillery.sdk.progress import Progress
from distillery.sdk.running import running_url
from distillery.sdk.transport import Transport
from distillery.sdk.uploads import Uploads
from distillery.wire.keys import Health, Key, NewKey, Scope, Status
from distillery.wire.retention import CollectedItems, RetentionReport


class Client:
    """A Distillery service.

        client = Client()
        digits = client.datasets.push("digits.npz")
        teacher = client.models.push("teacher.pt", architecture="resnet20", num_classes=10)
        job = client.jobs.submit({"teachers": [{"model": teacher.id}], ...})
        job.wait().download("student/")

    Every call may raise ApiError (the service refused; `problem` says why, with a JSON pointer for
    each mistake) or Unreachable. All errors are ClientErrors.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        progress: bool | None = None,
        patience_s: float = 30.0,
    ):
        """Connect to a service; nothing is sent yet.

        Args:
            url: Default: KD_URL, else the `kd up` of this folder, else http://127.0.0.1:8765.
            key: Bearer key. Default: KD_KEY; `kd up` on this machine needs none.
            progress: Whether uploads, downloads and waits show a line of progress. Default: on a
                terminal and in a notebook.
            patience_s: How long a lost or busy service is tried again before a call fails.
        """
        settings = ClientSettings()
        url = url or settings.url or running_url(settings.home)
        self._transport = Transport(
            url or f"http://127.0.0.1:{DEFAULT_PORT}", key or settings.key, patience_s=patience_s
        )
        self.url = self._transport.url
        shown = Progress(progress)
        self.uploads = Uploads(self._transport, shown)
        self.models = Models(self._transport, self.uploads, shown)
        self.datasets = Datasets(self._transport, self.uploads, shown)
        self.jobs = Jobs(self._transport, shown)
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

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    def ready(self) -> Health:
        """Report the state of each component; raises ApiError (503) unless it can serve."""
        return self._transport.get("/ready", Health)

    def health(self) -> Health:
        """As `ready`, but `ok` is False, without an error, while the service cannot serve."""
        return self._transport.read(self._transport.request("GET", "/ready", final=[503]), Health)

    def status(self) -> Status:
        """Report components, workers, slots, the queue, and why the caller's oldest job waits."""
        return self._transport.get("/status", Status)

    def collect_garbage(self, *, dry_run: bool = False) -> RetentionReport:
        """Delete all data whose retention period has expired, or only count it (scope `admin`)."""
        total = self._collect(dry_run)
        while not total.complete:
            total = _sum(total, self._collect(dry_run))
        return total

    def _collect(self, dry_run: bool) -> RetentionReport:
        return self._transport.post("/gc", RetentionReport, query={"dry_run": dry_run})


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
    """The API keys of a service (scope `admin`); `client.keys`."""

    def __init__(self, transport: Transport):
        self._transport = transport

    def create(
        self,
        name: str,
        scopes: Sequence[Scope] = ("read", "write"),
        *,
        expires_in_s: int | None = None,
    ) -> NewKey:
        """Make a key; its text is in this answer and nowhere else. Default: it never expires."""
        body = {"name": name, "scopes": list(scopes), "expires_in_s": expires_in_s}
        return self._transport.post("/keys", NewKey, body)

    def list(self) -> Iterator[Key]:
        """Yield every key, without its secret."""
        return self._transport.pages("/keys", Key)

    def revoke(self, key_id: str) -> None:
        """Revoke a key for good."""
        self._transport.request("DELETE", f"/keys/{key_id}")
