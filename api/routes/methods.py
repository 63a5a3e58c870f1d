"""The methods with their knobs, and the built-in architectures."""

from fastapi import APIRouter, Request, Response

from distillery.api.auth import Reader
from distillery.api.mappers.common import page_of
from distillery.api.responses import answer
from distillery.wire.catalog import Architecture, Method
from distillery.wire.common import Page
from kdcore.spec.architectures import ARCHITECTURES
from kdcore.spec.methods import KNOBS

router = APIRouter(tags=["methods"])
METHODS = page_of(
    [
        Method(
            name=name,
            summary=(knobs.__doc__ or "").strip(),
            needs=knobs.needs(),
            needs_teacher=knobs.needs_teacher,
            needs_one_teacher=knobs.needs_one_teacher,
            needs_labels=knobs.needs_labels,
            needs_one_label=knobs.needs_one_label,
            needs_same_classes=knobs.needs_same_classes,
            needs_same_channels=knobs.needs_same_channels,
            least_classes=knobs.least_classes,
            least_batch=knobs.least_batch,
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
    """List every method with the JSON Schema of its knobs, for forms and clients."""
    return answer(request, METHODS)


@router.get("/architectures", operation_id="listArchitectures", response_model=Page[Architecture])
async def list_architectures(caller: Reader, request: Request) -> Response:
    """List the built-in architectures; `torchvision/NAME` and `timm/NAME` are accepted, too."""
    return answer(request, KNOWN_ARCHITECTURES)
