"""Maps what all rows have in common: times, failures and pages."""

from datetime import UTC, datetime
from typing import TypeVar, overload

from distillery.store.db.tables import Json
from distillery.wire.codes import next_step
from distillery.wire.common import Failure, Page, View

V = TypeVar("V", bound=View)


@overload
def time_of(at_ms: int) -> datetime: ...
@overload
def time_of(at_ms: int | None) -> datetime | None: ...
def time_of(at_ms: int | None) -> datetime | None:
    """Return milliseconds since 1970 as a UTC time."""
    return None if at_ms is None else datetime.fromtimestamp(at_ms / 1000, UTC)


def failure_of(error: Json | None) -> Failure | None:
    """Return the view of an error column."""
    return None if error is None else Failure(**error, next_step=next_step(error["code"]))


def page_of(data: list[V], next_cursor: str | None) -> Page[V]:
    """Return a page of views."""
    return Page(data=data, has_more=next_cursor is not None, next_cursor=next_cursor)
