"""What every route works with: settings, database, blobs, parts; made once, handed to routes."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from api.config import ApiSettings
from api.lookout import Lookout
from api.readiness import Readiness
from store.blobs import Blobs, make_blobs
from store.config import StoreSettings
from store.db import Database
from store.parts import Parts


@dataclass(frozen=True)
class Services:
    """The parts of a running API. `ring` tells the workers of a job; it may fail harmlessly."""

    settings: ApiSettings
    database: Database
    blobs: Blobs
    parts: Parts
    ring: Callable[[str], object]
    streams: threading.BoundedSemaphore = field(compare=False)
    lookout: Lookout = field(compare=False)
    readiness: Readiness = field(compare=False)


def connect(
    settings: ApiSettings,
    store: StoreSettings,
    ring: Callable[[str], object],
    rings_waiting: Callable[[], int],
) -> Services:
    """Open the store. Touches no table yet."""
    store.home.mkdir(parents=True, exist_ok=True)
    database = Database(store.database)
    blobs = make_blobs(store.blobs)
    return Services(
        settings=settings,
        database=database,
        blobs=blobs,
        parts=Parts(store.uploads, store.min_free_bytes),
        ring=ring,
        streams=threading.BoundedSemaphore(settings.max_streams),
        lookout=Lookout(database, settings.stream_poll_s),
        readiness=Readiness(database, blobs, store.min_free_bytes, rings_waiting),
    )


async def services(request: Request) -> Services:
    """The app's services."""
    found = request.app.state.services
    assert isinstance(found, Services)
    return found


Deps = Annotated[Services, Depends(services)]
