"""Maps rows of API keys to views, which never have the secret."""

from distillery.api.mappers.common import time_of
from distillery.store.db import tables
from distillery.store.keys import SCOPES, scopes_of
from distillery.wire.keys import Key


def key_view(row: tables.ApiKey) -> Key:
    """Return the view of a key."""
    held = scopes_of(row)
    return Key(
        id=row.id,
        name=row.name,
        scopes=[scope for scope in SCOPES if scope in held],
        created_at=time_of(row.created_at),
        expires_at=time_of(row.expires_at),
        last_used_at=time_of(row.last_used_at),
        revoked_at=time_of(row.revoked_at),
    )
