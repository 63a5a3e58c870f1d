"""Brings the files that a run's result names into storage, which may refuse them for a moment."""

import logging
import threading
from collections.abc import Iterator

from distillery.store.blobs.blobs import Blobs, Stored
from distillery.store.errors import StorageFailed
from distillery.store.jobs import NewArtifact
from distillery.worker.rundir import Check, RunDir, artifacts_of
from kdcore.spec.result import RunArtifact, RunResult

logger = logging.getLogger(__name__)
PAUSES_S = (0.5, 2.0, 8.0)  # before a file that storage refused is offered again


def store_artifacts(
    run_dir: RunDir, result: RunResult, blobs: Blobs, check: Check, stopping: threading.Event
) -> Iterator[NewArtifact]:
    """Every file, once it is stored. Raises what `check` raises, StorageFailed, NoSpace or
    BadRunDir."""
    for artifact in artifacts_of(result):
        stored = _store(run_dir, artifact, blobs, check, stopping)
        yield NewArtifact(
            kind=artifact.kind,
            name=artifact.path,
            media_type=artifact.media_type,
            size=stored.size,
            sha256=stored.sha256,
            max_abs_diff=artifact.max_abs_diff,
        )


def _store(
    run_dir: RunDir, artifact: RunArtifact, blobs: Blobs, check: Check, stopping: threading.Event
) -> Stored:
    """Its bytes in storage: a day's training hangs on it."""
    for pause_s in PAUSES_S:
        try:
            return run_dir.store_artifacts(artifact, blobs, check)
        except StorageFailed as error:
            logger.warning("%s is stored again: %s", artifact.path, error)
            if stopping.wait(pause_s):
                break
    return run_dir.store_artifacts(artifact, blobs, check)
