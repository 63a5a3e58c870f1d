"""Tables of API keys and of responses kept for idempotency."""

from sqlalchemy import Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from distillery.store.db.tables.base import Json, Table


class IdempotencyKey(Table):
    """The response to a creating POST, saved in the transaction that did the work."""

    __tablename__ = "idempotency_keys"
    tenant: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))  # of method, path and body
    status: Mapped[int] = mapped_column(Integer)
    location: Mapped[str | None]
    body: Mapped[Json]
    created_at: Mapped[int]
    __table_args__ = (Index(None, "created_at"),)


class ApiKey(Table):
    """A bearer key; only its secret's hash is stored. Scopes (read, write, admin) comma-joined."""

    __tablename__ = "api_keys"
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str]
    name: Mapped[str]
    secret_hash: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[str]
    created_at: Mapped[int]
    expires_at: Mapped[int | None]
    last_used_at: Mapped[int | None]
    revoked_at: Mapped[int | None]
