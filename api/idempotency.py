"""Creating POSTs: does the work and saves its response, given a key, in one transaction."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request, Response
from pydantic import BaseModel
from sqlalchemy.orm import Session
from starlette.background import BackgroundTask

from distillery.api.auth import Caller
from distillery.api.deps import Deps
from distillery.store import idempotency
from kdcore.spec.failpoints import failpoint

_IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="Makes repeating the request safe for a day: the first response is repeated.",
    ),
]


@dataclass(frozen=True)
class Created:
    """A created resource: its view and its location."""

    view: BaseModel
    location: str
    notify: str | None = None  # the job to notify workers of after the commit


@dataclass(frozen=True)
class IdempotentCreate:
    """One creating request."""

    request: Request
    deps: Deps
    key: str | None

    def run(
        self,
        caller: Caller,
        body: BaseModel,
        work: Callable[[Session], Created],
        *,
        status: int = 201,
        keep: Callable[[BaseModel], BaseModel] = lambda view: view,
    ) -> Response:
        """Do the work once per key and respond with its view; `keep` removes what must not be
        saved. Raises Invalid if the key belongs to another request."""
        fingerprint = self._fingerprint(body)
        with self.deps.database.write() as session:
            replayed = self._find(session, caller, fingerprint)
            if replayed is not None:
                return replayed
            made = work(session)
            if self.key is not None:
                idempotency.save(
                    session,
                    caller.tenant,
                    self.key,
                    fingerprint,
                    status=status,
                    location=made.location,
                    body=keep(made.view).model_dump(mode="json"),
                )
            failpoint("creation.committing")
        failpoint("creation.committed")
        answer = _answer(made.view.model_dump_json(), status, made.location)
        if made.notify is not None:
            # After the response, so that no client waits for a broker that hangs.
            answer.background = BackgroundTask(self.deps.notify, made.notify)
        return answer

    def _find(self, session: Session, caller: Caller, fingerprint: str) -> Response | None:
        if self.key is None:
            return None
        found = idempotency.find(session, caller.tenant, self.key, fingerprint)
        if found is None:
            return None
        answer = _answer(json.dumps(found.body), found.status, found.location)
        answer.headers["Idempotency-Replayed"] = "true"
        return answer

    def _fingerprint(self, body: BaseModel) -> str:
        text = f"{self.request.method} {self.request.url.path} {body.model_dump_json()}"
        return hashlib.sha256(text.encode()).hexdigest()


def _answer(body: str, status: int, location: str | None) -> Response:
    headers = {"Cache-Control": "no-store"}
    if location is not None:
        headers["Location"] = location
    return Response(body, status, headers, "application/json")


async def _creation(
    request: Request, deps: Deps, idempotency_key: _IdempotencyKey = None
) -> IdempotentCreate:
    return IdempotentCreate(request, deps, idempotency_key)


Creates = Annotated[IdempotentCreate, Depends(_creation)]
