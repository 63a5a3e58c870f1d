"""Idempotency keys: the answer to a creating request, kept in the transaction that did the work."""

from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from distillery.store.db.database import db_now
from distillery.store.db.tables import IdempotencyKey
from distillery.store.errors import Invalid
from distillery.wire.request_codes import RequestCode

LIFETIME_S = 24 * 3600


def find(s: Session, tenant: str, key: str, fingerprint: str) -> IdempotencyKey | None:
    """The kept answer to this key, or None: then do the work and `save` in the same transaction.

    Call it first in a write transaction: a second request with the same key waits here until the
    first is done. Raises Invalid `idempotency_key_reused` where the key belongs to another request.
    """
    if s.get_bind().dialect.name == "postgresql":
        # SQLite's writers queue anyway.
        s.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"{tenant} {key}", 0))))
    found = s.get(IdempotencyKey, (tenant, key))
    if found is not None and found.created_at < db_now(s) - LIFETIME_S * 1000:
        s.delete(found)
        s.flush()
        return None
    if found is not None and found.fingerprint != fingerprint:
        raise Invalid(
            "this Idempotency-Key was used for another request",
            code=RequestCode.IDEMPOTENCY_KEY_REUSED,
        )
    return found


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
    """Keep the answer; it becomes durable together with the work."""
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


def forget_old(s: Session) -> None:
    """Drop answers older than a day."""
    old = IdempotencyKey.created_at < db_now(s) - LIFETIME_S * 1000
    s.execute(delete(IdempotencyKey).where(old))
