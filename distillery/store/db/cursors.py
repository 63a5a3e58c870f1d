"""Opaque keyset cursors: the keys at which a page ended, as URL-safe text."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, TypeVar

from pydantic_core import from_json, to_json
from sqlalchemy import Select
from sqlalchemy.orm import Session

from distillery.store.db.tables import Table
from distillery.store.errors import Invalid
from distillery.wire.request_codes import RequestCode

Row = TypeVar("Row", bound=Table)


def encode(*keys: Any) -> str:
    """Return a cursor for the position after the row with these keys."""
    return urlsafe_b64encode(to_json(keys)).decode().rstrip("=")


def decode(cursor: str, *types: type | tuple[type, ...]) -> list[Any]:
    """Return the keys of a cursor. Raises Invalid `bad_cursor` unless they have these types."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        keys = from_json(urlsafe_b64decode(padded.encode("ascii")))
    except ValueError:
        keys = None
    right = isinstance(keys, list) and len(keys) == len(types)
    if not right or not all(map(isinstance, keys, types)):
        raise Invalid(
            "this is not a cursor of this service", code=RequestCode.BAD_CURSOR, pointer="/after"
        )
    assert isinstance(keys, list)
    return keys


def page_by_id(
    s: Session, query: Select[Row], column: Any, limit: int, after: str | None
) -> tuple[list[Row], str | None]:
    """Return a page of a query, highest id first, and the cursor of the next page, if any."""
    if after is not None:
        query = query.where(column < decode(after, str)[0])
    rows = list(s.scalars(query.order_by(column.desc()).limit(limit + 1)))
    more = len(rows) > limit
    return rows[:limit], encode(getattr(rows[limit - 1], column.key)) if more else None
