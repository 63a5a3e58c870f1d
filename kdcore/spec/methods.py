"""Every method's knobs in one table; their union is an objective, and what each one needs."""

from typing import Annotated

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
    "hard_target": HardTargetKnobs,
    "kd": KdKnobs,
    "fitnet": FitnetKnobs,
    "at": AtKnobs,
    "fsp": FspKnobs,
    "overhaul": OverhaulKnobs,
    "reviewkd": ReviewkdKnobs,
    "dkd": DkdKnobs,
    "dist": DistKnobs,
    "standardized_kd": StandardizedKdKnobs,
    "ab": AbKnobs,
    "ft": FtKnobs,
    "nst": NstKnobs,
    "vid": VidKnobs,
    "pkt": PktKnobs,
    "sp": SpKnobs,
    "cc": CcKnobs,
    "rkd": RkdKnobs,
    "crd": CrdKnobs,
    "simkd": SimkdKnobs,
}

NEEDS_LABELS = frozenset({"hard_target", "dkd"})
NEEDS_ONE_LABEL = frozenset({"dkd", "crd"})  # no mixup, no cutmix
NEEDS_TEACHER = frozenset(KNOBS) - {"hard_target"}
NEEDS_SAME_CLASSES = frozenset({"kd", "dkd", "dist", "standardized_kd", "simkd"})
LEAST_CLASSES = {"dkd": 3}  # with two there is but one other class: nothing among the others
# Relations need other samples; the pooled features of some pass a batch norm.
LEAST_BATCH = {
    "dist": 2,
    "sp": 2,
    "pkt": 2,
    "cc": 2,
    "rkd": 3,
    "crd": 2,
    "reviewkd": 2,
    "simkd": 2,
}
