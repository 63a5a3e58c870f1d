"""Every method's knobs: their union is an objective, and a table has them by name."""

from typing import Annotated, get_args

from pydantic import Field

from kdcore.spec.knobs.base import Knobs
from kdcore.spec.knobs.logits import (
    DistKnobs,
    DkdKnobs,
    HardTargetKnobs,
    KdKnobs,
    StandardizedKdKnobs,
)
from kdcore.spec.knobs.maps import (
    AbKnobs,
    AtKnobs,
    FitnetKnobs,
    FspKnobs,
    FtKnobs,
    NstKnobs,
    OverhaulKnobs,
    ReviewkdKnobs,
    SimkdKnobs,
    VidKnobs,
)
from kdcore.spec.knobs.relations import CcKnobs, CrdKnobs, PktKnobs, RkdKnobs, SpKnobs

Objective = Annotated[
    HardTargetKnobs
    | KdKnobs
    | FitnetKnobs
    | AtKnobs
    | FspKnobs
    | OverhaulKnobs
    | ReviewkdKnobs
    | DkdKnobs
    | DistKnobs
    | StandardizedKdKnobs
    | AbKnobs
    | FtKnobs
    | NstKnobs
    | VidKnobs
    | PktKnobs
    | SpKnobs
    | CcKnobs
    | RkdKnobs
    | CrdKnobs
    | SimkdKnobs,
    Field(discriminator="method"),
]

KNOBS: dict[str, type[Knobs]] = {
    str(knobs.model_fields["method"].default): knobs for knobs in get_args(get_args(Objective)[0])
}
