"""Uploads a run's result files to blob storage, retrying transient failures."""

import logging
import threading
from collections.abc import Iterator

from distillery.store.blobs.blobs import Blobs, Stored
from distillery.store.errors import StorageFailed
from distillery.store.jobs import NewArtifact
from distillery.worker.rundir import Check, RunDir, artifacts_of
from kdcore.spec.result import RunArtifact, RunResult

logger = logging.getLogger(__name__)
RETRY_DELAYS_S = (0.5, 2.0, 8.0)


def store_artifacts(
    run_dir: RunDir, result: RunResult, blobs: Blobs, check: Check, stopping: threading.Event
) -> Iterator[NewArtifact]:
    """Store the files that `result` names, yielding each one. Raises what `check` raises,
    StorageFailed, NoSpace or BadRunDir."""
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
    """Retry rather than lose hours of training to one failed write."""
    for delay_s in RETRY_DELAYS_S:
        try:
            return run_dir.store_artifact(artifact, blobs, check)
        except StorageFailed as error:
            logger.warning("storing %s failed, retrying in %s s: %s", artifact.path, delay_s, error)
            if stopping.wait(delay_s):
                break
    return run_dir.store_artifact(artifact, blobs, check)
