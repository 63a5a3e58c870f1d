"""The base of every spec part: strict, frozen, pydantic only."""

from pydantic import BaseModel, ConfigDict


class SpecModel(BaseModel):
    """A piece of a spec. Unknown keys are refused, values never change after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True)
