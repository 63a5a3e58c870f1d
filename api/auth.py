"""Authenticates requests: a bearer key with scopes, or the local user on loopback."""

import contextlib
from dataclasses import dataclass
from typing import Annotated

from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes

from distillery.api.deps import Deps
from distillery.api.problems import Refusal
from distillery.store import keys
from distillery.store.db.database import Database
from distillery.store.errors import Unavailable
from distillery.store.keys import DEFAULT_TENANT, SCOPES, Holder, Scope
from distillery.wire.request_codes import RequestCode

_PROXIED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="key",
    description="An API key (`kd keys create`), unless the service runs for its local user.",
)


@dataclass(frozen=True)
class Caller:
    """The authenticated caller, who reads and writes only within `tenant`."""

    tenant: str
    scopes: frozenset[Scope]


LOCAL_USER = Caller(DEFAULT_TENANT, frozenset(SCOPES))


def authenticate(
    needed: SecurityScopes,
    request: Request,
    deps: Deps,
    given: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
) -> Caller:
    """Return the caller. Raises Refusal 401 without a valid key, 403 without the scope."""
    caller = _caller(request, deps, given)
    request.scope["tenant"] = caller.tenant  # for the log
    missing = [s for s in needed.scopes if s not in caller.scopes and "admin" not in caller.scopes]
    if missing:
        raise Refusal(RequestCode.MISSING_SCOPE, f"this key lacks the scope `{missing[0]}`")
    return caller


def _caller(request: Request, deps: Deps, given: HTTPAuthorizationCredentials | None) -> Caller:
    if "authorization" not in request.headers and _is_local(request, deps):
        return LOCAL_USER
    holder = None if given is None else _holder(deps.database, given.credentials)
    if holder is None:
        detail = "send a valid key: `Authorization: Bearer kd_...`"
        raise Refusal(RequestCode.UNAUTHORIZED, detail, headers={"WWW-Authenticate": "Bearer"})
    return Caller(holder.tenant, holder.scopes)


def _is_local(request: Request, deps: Deps) -> bool:
    """Whether this is local mode, without a proxy, whose address would be loopback for anyone."""
    if not (deps.settings.local_user and deps.settings.on_loopback()):
        return False
    return not any(header in request.headers for header in _PROXIED)


def _holder(database: Database, token: str) -> Holder | None:
    with database.read() as session:
        holder = keys.verify(session, token)
    if holder is not None and holder.touch_due:
        with contextlib.suppress(Unavailable), database.write() as session:
            keys.touch(session, holder.key_id)
    return holder


Reader = Annotated[Caller, Security(authenticate, scopes=["read"])]
Writer = Annotated[Caller, Security(authenticate, scopes=["write"])]
Admin = Annotated[Caller, Security(authenticate, scopes=["admin"])]
