"""What all attempts of a worker share: settings, storage and the stop events."""

import threading
from dataclasses import dataclass, field

from distillery.store.blobs.blobs import Blobs
from distillery.store.db.database import Database
from distillery.worker.config import WorkerSettings
from distillery.worker.runner import KDCORE, Command


@dataclass(frozen=True)
class WorkerContext:
    """Settings, storage and the events that stop the worker."""

    settings: WorkerSettings
    database: Database
    lease_database: Database  # the same, on its own connections: a renewal must not queue for one
    blobs: Blobs
    command: Command = KDCORE
    stopping: threading.Event = field(default_factory=threading.Event)
    aborting: threading.Event = field(
        default_factory=threading.Event
    )  # do not wait for checkpoints
