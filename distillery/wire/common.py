"""What all answers share. Views are pydantic only, because clients import them too."""

from typing import Generic, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

T = TypeVar("T")
Time = AwareDatetime  # RFC 3339, UTC


class View(BaseModel):
    """An answer's body. Unknown keys are ignored, so that an older client reads a newer server."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Body(BaseModel):
    """A request's body. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Page(View, Generic[T]):
    """One page of a list, newest first. Pass `next_cursor` as `after` for the next page."""

    data: list[T]
    has_more: bool
    next_cursor: str | None = None


class FieldError(View):
    """One thing that is wrong in the request."""

    code: str
    message: str
    pointer: str | None = Field(None, description="JSON pointer into the body.")


class Problem(View):
    """RFC 9457 problem details; `code` is stable, `errors` has one entry per wrong field.

    docs/errors.md lists every code.
    """

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str = Field(examples=["out_of_range"])
    next_step: str | None = Field(None, description="What to do about an error of this code.")
    instance: str | None = None
    request_id: str | None = None
    errors: list[FieldError] = []


class Failure(View):
    """Why a job failed, or a model or dataset was rejected; `pointer` leads into its request."""

    code: str = Field(examples=["diverged"])
    message: str
    pointer: str | None = None
    next_step: str | None = Field(None, description="What to do about an error of this code.")
