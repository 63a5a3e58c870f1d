"""API keys, health, and how the whole service stands."""

from typing import Literal

from pydantic import Field

from distillery.wire.common import Body, Time, View
from distillery.wire.jobs import Waiting

Scope = Literal["read", "write", "admin"]


class KeyCreate(Body):
    """Make a key; its text is in the answer and nowhere else."""

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
    """Liveness (`/v1/health`) and readiness (`/v1/ready`): what each component says."""

    ok: bool = Field(description="Whether the API can serve.")
    status: Literal["ok", "degraded", "down"] = Field(
        "ok",
        description="`degraded`: it can, but a component beside it is broken, so jobs may wait.",
    )
    version: str
    components: dict[str, str] = Field(description="Component -> `ok` or what is wrong with it.")


class WorkerView(View):
    """A worker that lives."""

    name: str
    slots: int = Field(description="Jobs that it runs at once.")
    started_at: Time
    seen_at: Time
    trouble: str | None = Field(
        default=None, description="Why it takes no job at present: too little disk space."
    )


class Oldest(View):
    """The caller's job that has waited longest, and why."""

    id: str
    name: str
    queued_at: Time
    waiting: Waiting | None


class Status(View):
    """How the service stands. Counts are of all tenants; jobs that have ended are not counted."""

    health: Health
    workers: list[WorkerView]
    slots: int
    busy: int = Field(description="Slots in use: running jobs with a lease.")
    jobs: dict[str, int] = Field(description="State -> jobs in it: queued, running, paused.")
    oldest: Oldest | None
