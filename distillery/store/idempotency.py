"""Idempotency keys: saves a creating request's response in the transaction of its work."""

from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from distillery.store.db.database import db_now
from distillery.store.db.tables import IdempotencyKey
from distillery.store.errors import Invalid
from distillery.wire.request_codes import RequestCode

LIFETIME_S = 24 * 3600


def find(s: Session, tenant: str, key: str, fingerprint: str) -> IdempotencyKey | None:
    """Return the saved response of a key, or None: then do the work and `save` its response in the
    same transaction.

    Call it first in a write transaction: a second request with the same key waits here until the
    first is done. Raises Invalid `idempotency_key_reused` if the key belongs to another request.
    """
    if s.get_bind().dialect.name == "postgresql":
        # On SQLite, writers queue anyway.
        s.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"{tenant} {key}", 0))))
    kept = s.get(IdempotencyKey, (tenant, key))
    if kept is not None and kept.created_at < db_now(s) - LIFETIME_S * 1000:
        s.delete(kept)
        s.flush()
        return None
    if kept is not None and kept.fingerprint != fingerprint:
        raise Invalid(
            "this Idempotency-Key was used for another request",
            code=RequestCode.IDEMPOTENCY_KEY_REUSED,
        )
    return kept


def save(
    s: Session,
    tenant: str,
    key: str,
    fingerprint: str,
    *,
    status: int,
    location: str | None,
    body: dict[str, Any],
) -> None:
    """Save the response, in the transaction of the work."""
    s.add(
        IdempotencyKey(
            tenant=tenant,
            key=key,
            fingerprint=fingerprint,
            status=status,
            location=location,
            body=body,
            created_at=db_now(s),
        )
    )
    s.flush()


def delete_expired(s: Session) -> None:
    """Delete responses older than a day."""
    old = IdempotencyKey.created_at < db_now(s) - LIFETIME_S * 1000
    s.execute(delete(IdempotencyKey).where(old))
