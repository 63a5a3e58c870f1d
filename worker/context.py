"""The bench: what every attempt of a worker works with."""

import threading
from dataclasses import dataclass, field

from distillery.store.blobs.blobs import Blobs
from distillery.store.db.database import Database
from distillery.worker.config import WorkerSettings
from distillery.worker.runner import KDCORE, Command


@dataclass(frozen=True)
class WorkerContext:
    """Settings, storage, and the word that the worker is to stop."""

    settings: WorkerSettings
    database: Database
    lease_database: Database  # the same database by connections of its own: a beat must not queue
    blobs: Blobs
    command: Command = KDCORE
    stopping: threading.Event = field(default_factory=threading.Event)
    hurrying: threading.Event = field(default_factory=threading.Event)  # no time for a checkpoint
