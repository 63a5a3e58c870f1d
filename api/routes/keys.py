"""API keys: created with their text shown once, listed, revoked."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel
from sqlalchemy.orm import Session

from distillery.api.auth import Admin
from distillery.api.deps import Deps
from distillery.api.idempotency import Created, Creates
from distillery.api.mappers.common import page_of
from distillery.api.mappers.keys import key_view
from distillery.api.responses import After, Limit, answer
from distillery.api.strict_json import StrictRoute
from distillery.store import keys
from distillery.wire.common import Page
from distillery.wire.keys import Key, KeyCreate, NewKey

router = APIRouter(prefix="/keys", tags=["keys"], route_class=StrictRoute)
SHOWN_ONCE = "(shown once)"


@router.post("", operation_id="createKey", status_code=201, response_model=NewKey)
def create_key(body: KeyCreate, caller: Admin, creating: Creates) -> Response:
    """Create a key. Its text is only in this response, and not in a repeated one."""

    def work(s: Session) -> Created:
        row, text = keys.create(s, caller.tenant, body.name, body.scopes, body.expires_in_s)
        view = NewKey.model_validate({**key_view(row).model_dump(), "key": text})
        return Created(view, f"/v1/keys/{row.id}")

    return creating.run(caller, body, work, keep=_without_text)


@router.get("", operation_id="listKeys", response_model=Page[Key])
def list_keys(
    caller: Admin, request: Request, deps: Deps, limit: Limit = 50, after: After = None
) -> Response:
    """List all keys, newest first, including revoked ones."""
    with deps.database.read() as s:
        rows, cursor = keys.page(s, caller.tenant, limit=limit, after=after)
    return answer(request, page_of([key_view(row) for row in rows], cursor))


@router.delete("/{key_id}", operation_id="revokeKey", status_code=204)
def revoke_key(key_id: Annotated[str, Path()], caller: Admin, deps: Deps) -> None:
    """Revoke a key."""
    with deps.database.write() as s:
        keys.revoke(s, caller.tenant, key_id)


def _without_text(view: BaseModel) -> BaseModel:
    return view.model_copy(update={"key": SHOWN_ONCE})
