"""API keys, `kd_<id>_<secret>_<checksum>`: shown once, stored as a hash."""

import hashlib
import hmac
import re
import secrets
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast, get_args

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from distillery.store.db import cursors
from distillery.store.db.database import db_now
from distillery.store.db.ids import new_id
from distillery.store.db.tables import ApiKey
from distillery.store.errors import NotFound

DEFAULT_TENANT = "default"  # of the local user and the operator
Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
TOUCH_EVERY_S = 60
_TOKEN = re.compile(r"kd_([0-9a-z]{26})_([0-9a-f]{64})_([0-9a-f]{8})")
_NO_HASH = "0" * 64


@dataclass(frozen=True)
class Holder:
    """The holder of a valid key. Call `touch` if `touch_due`."""

    key_id: str
    tenant: str
    name: str
    scopes: frozenset[Scope]
    touch_due: bool


def create(
    s: Session,
    tenant: str,
    name: str,
    scopes: Iterable[Scope],
    expires_in_s: int | None = None,
) -> tuple[ApiKey, str]:
    """Create a key; return it with its text, which is not stored."""
    secret = secrets.token_hex(32)
    now = db_now(s)
    chosen = set(scopes)
    key = ApiKey(
        id=new_id("key"),
        tenant=tenant,
        name=name,
        secret_hash=_hash(secret),
        scopes=",".join(scope for scope in SCOPES if scope in chosen),
        created_at=now,
        expires_at=None if expires_in_s is None else now + expires_in_s * 1000,
    )
    s.add(key)
    s.flush()
    start = f"kd_{key.id.removeprefix('key_')}_{secret}"
    return key, f"{start}_{_checksum(start)}"


def verify(s: Session, token: str) -> Holder | None:
    """Return a key's holder, or None if it is malformed, unknown, revoked or expired."""
    match = _TOKEN.fullmatch(token)
    if match is None or _checksum(token[: match.end(2)]) != match[3]:
        return None
    key = s.get(ApiKey, f"key_{match[1]}")
    # An unknown key takes the same comparison as a wrong secret.
    same = hmac.compare_digest(_hash(match[2]), _NO_HASH if key is None else key.secret_hash)
    if key is None or not same or key.revoked_at is not None:
        return None
    now = db_now(s)
    if key.expires_at is not None and key.expires_at <= now:
        return None
    return Holder(
        key_id=key.id,
        tenant=key.tenant,
        name=key.name,
        scopes=scopes_of(key),
        touch_due=key.last_used_at is None or key.last_used_at <= now - TOUCH_EVERY_S * 1000,
    )


def scopes_of(key: ApiKey) -> frozenset[Scope]:
    """Return the scopes of a key."""
    return frozenset(cast(Scope, scope) for scope in key.scopes.split(","))


def touch(s: Session, key_id: str) -> None:
    """Record that a key was used, at most once a minute."""
    now = db_now(s)
    stale = or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at <= now - TOUCH_EVERY_S * 1000)
    s.execute(update(ApiKey).where(ApiKey.id == key_id, stale).values(last_used_at=now))


def page(
    s: Session, tenant: str, *, limit: int = 50, after: str | None = None
) -> tuple[list[ApiKey], str | None]:
    """Return keys, newest first, and the cursor of the next page."""
    query = select(ApiKey).where(ApiKey.tenant == tenant)
    return cursors.page_by_id(s, query, ApiKey.id, limit, after)


def revoke(s: Session, tenant: str, key_id: str) -> ApiKey:
    """Revoke a key; a revoked one is left as it is. Raises NotFound."""
    key = s.get(ApiKey, key_id)
    if key is None or key.tenant != tenant:
        raise NotFound(f"no key {key_id}")
    key.revoked_at = key.revoked_at or db_now(s)
    s.flush()
    return key


def any_usable(s: Session) -> bool:
    """Whether any key would be accepted now."""
    unexpired = or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > db_now(s))
    query = select(ApiKey.id).where(ApiKey.revoked_at.is_(None), unexpired).limit(1)
    return s.scalar(query) is not None


def _hash(secret: str) -> str:
    # 256 random bits cannot be guessed, so a fast hash is enough.
    return hashlib.sha256(secret.encode()).hexdigest()


def _checksum(text: str) -> str:
    """Return a checksum that detects typing errors without querying the database."""
    return f"{zlib.crc32(text.encode()):08x}"
