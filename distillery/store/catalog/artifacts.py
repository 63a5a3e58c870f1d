"""Artifacts: the files of succeeded jobs."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from distillery.store.db.owned import get_owned
from distillery.store.db.tables import Artifact


def of_job(s: Session, tenant: str, job_id: str) -> list[Artifact]:
    """Return a job's artifacts by name; none before it has succeeded."""
    query = select(Artifact).where(Artifact.job_id == job_id, Artifact.tenant == tenant)
    return list(s.scalars(query.order_by(Artifact.name)))


def get(s: Session, tenant: str, artifact_id: str) -> Artifact:
    """Return an artifact of this tenant. Raises NotFound."""
    return get_owned(s, Artifact, tenant, artifact_id)
