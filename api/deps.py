"""The services that routes use: settings, database, blobs and more, made once per app."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from distillery.api.config import ApiSettings
from distillery.api.job_feed import JobFeed
from distillery.api.readiness import Readiness
from distillery.store.blobs.blobs import Blobs, make_blobs
from distillery.store.blobs.upload_parts import UploadParts
from distillery.store.config import Retention, StoreSettings
from distillery.store.db.database import Database
from distillery.store.ops.retention import Collector


@dataclass(frozen=True)
class Services:
    """What a running API works with. `notify` notifies workers of a job and may fail harmlessly."""

    settings: ApiSettings
    database: Database
    blobs: Blobs
    parts: UploadParts
    collector: Collector
    notify: Callable[[str], object]
    streams: threading.BoundedSemaphore = field(compare=False)
    job_feed: JobFeed = field(compare=False)
    readiness: Readiness = field(compare=False)


def connect(
    settings: ApiSettings,
    store: StoreSettings,
    notify: Callable[[str], object],
    notifications_waiting: Callable[[], int],
) -> Services:
    """Open the store, without a query yet."""
    store.home.mkdir(parents=True, exist_ok=True)
    database = Database(store.database)
    blobs = make_blobs(store.blobs, store.min_free_bytes)
    parts = UploadParts(store.uploads, store.min_free_bytes)
    return Services(
        settings=settings,
        database=database,
        blobs=blobs,
        parts=parts,
        collector=Collector(database, blobs, parts, store.runs, Retention()),
        notify=notify,
        streams=threading.BoundedSemaphore(settings.max_streams),
        job_feed=JobFeed(database, settings.stream_poll_s),
        readiness=Readiness(database, blobs, store.min_free_bytes, notifications_waiting),
    )


async def services(request: Request) -> Services:
    """Return the app's services."""
    found = request.app.state.services
    assert isinstance(found, Services)
    return found


Deps = Annotated[Services, Depends(services)]
