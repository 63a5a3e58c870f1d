"""What there is to choose from: methods with their knobs, and architectures of ours."""

from fastapi import APIRouter, Request, Response

from distillery.api.auth import Reader
from distillery.api.mappers.common import page_of
from distillery.api.responses import answer
from distillery.wire.catalog import Architecture, Method
from distillery.wire.common import Page
from kdcore.spec.architectures import ARCHITECTURES
from kdcore.spec.methods import (
    KNOBS,
    LEAST_BATCH,
    LEAST_CLASSES,
    NEEDS_LABELS,
    NEEDS_SAME_CLASSES,
    NEEDS_TEACHER,
)

router = APIRouter(tags=["methods"])
METHODS = page_of(
    [
        Method(
            name=name,
            summary=(knobs.__doc__ or "").strip(),
            needs_teacher=name in NEEDS_TEACHER,
            needs_labels=name in NEEDS_LABELS,
            needs_same_classes=name in NEEDS_SAME_CLASSES,
            least_classes=LEAST_CLASSES.get(name, 2),
            least_batch=LEAST_BATCH.get(name, 1),
            knobs=knobs.model_json_schema(),
        )
        for name, knobs in KNOBS.items()
    ],
    None,
)
KNOWN_ARCHITECTURES = page_of(
    [Architecture(name=name, summary=summary) for name, summary in ARCHITECTURES.items()], None
)


@router.get("/methods", operation_id="listMethods", response_model=Page[Method])
async def list_methods(caller: Reader, request: Request) -> Response:
    """Every method, with the JSON Schema of its knobs: forms and clients are driven by it."""
    return answer(request, METHODS)


@router.get("/architectures", operation_id="listArchitectures", response_model=Page[Architecture])
async def list_architectures(caller: Reader, request: Request) -> Response:
    """The architectures of ours; `torchvision/NAME` and `timm/NAME` are accepted too."""
    return answer(request, KNOWN_ARCHITECTURES)
