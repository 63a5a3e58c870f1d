"""API keys and health."""

from typing import Literal

from pydantic import Field

from api.views.common import Body, Time, View

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
    """Liveness (`/v1/health`) and readiness (`/v1/ready`): what each part says."""

    ok: bool
    version: str
    parts: dict[str, str] = Field(description="Part -> `ok` or what is wrong with it.")
