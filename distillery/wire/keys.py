"""API keys, health, and the state of the whole service."""

from typing import Literal

from pydantic import Field

from distillery.wire.common import Body, Time, View
from distillery.wire.jobs import Waiting

Scope = Literal["read", "write", "admin"]


class KeyCreate(Body):
    """Create a key; only the answer to this request contains its text."""

    name: str = Field(min_length=1, max_length=200)
    scopes: list[Scope] = Field(["read", "write"], min_length=1)
    expires_in_s: int | None = Field(None, ge=1, le=10 * 365 * 24 * 3600)


class Key(View):
    """A key without its secret."""

    id: str
    name: str
    scopes: list[Scope]
    created_at: Time
    expires_at: Time | None
    last_used_at: Time | None
    revoked_at: Time | None


class NewKey(Key):
    """A key with its secret, shown once."""

    key: str


class Health(View):
    """Liveness (`/v1/health`) and readiness (`/v1/ready`), component by component."""

    ok: bool = Field(description="Whether the API can serve.")
    status: Literal["ok", "degraded", "down"] = Field(
        "ok",
        description="`degraded`: it serves, but a component beside it is broken, so jobs may wait.",
    )
    version: str
    components: dict[str, str] = Field(
        description="For each component `ok`, or what is wrong with it."
    )


class WorkerView(View):
    """A worker with a recent heartbeat."""

    name: str
    slots: int = Field(description="Jobs that it runs concurrently.")
    started_at: Time
    seen_at: Time
    trouble: str | None = Field(
        default=None, description="Why it takes no jobs now, such as too little disk space."
    )


class Oldest(View):
    """The caller's job that has been waiting longest, and why."""

    id: str
    name: str
    queued_at: Time
    waiting: Waiting | None


class Status(View):
    """The state of the service. Counts cover all tenants; finished jobs are not counted."""

    health: Health
    workers: list[WorkerView]
    slots: int
    busy: int = Field(description="Slots in use: running jobs with a lease.")
    jobs: dict[str, int] = Field(
        description="Number of jobs in each state: queued, running, paused."
    )
    oldest: Oldest | None
