"""Artifacts: the files a succeeded job made."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from distillery.store.db.tables import Artifact
from distillery.store.errors import NotFound


def of_job(s: Session, tenant: str, job_id: str) -> list[Artifact]:
    """A job's artifacts by name; empty before it has succeeded."""
    query = select(Artifact).where(Artifact.job_id == job_id, Artifact.tenant == tenant)
    return list(s.scalars(query.order_by(Artifact.name)))


def get(s: Session, tenant: str, artifact_id: str) -> Artifact:
    """One artifact of this tenant. Raises NotFound."""
    artifact = s.get(Artifact, artifact_id)
    if artifact is None or artifact.tenant != tenant:
        raise NotFound(f"no artifact {artifact_id}")
    return artifact
