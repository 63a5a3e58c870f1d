"""Uploads: files sent in parts, in any order, resumable, streamed to disk."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from fastapi.concurrency import contextmanager_in_threadpool, run_in_threadpool
from sqlalchemy.orm import Session

from distillery.api.auth import Caller, Reader, Writer
from distillery.api.deps import Deps, Services
from distillery.api.idempotency import Created, Creates
from distillery.api.mappers.uploads import part_view, upload_view
from distillery.api.problems import Refusal
from distillery.api.responses import answer
from distillery.api.strict_json import StrictRoute
from distillery.store.blobs.upload_parts import IncomingPart, PartSlot
from distillery.store.catalog import uploads
from distillery.wire.request_codes import RequestCode
from distillery.wire.uploads import Upload, UploadComplete, UploadCreate, UploadPart

BUFFER_BYTES = 1 << 20
MAX_PART_NUMBER = 1_000_000
router = APIRouter(prefix="/uploads", tags=["uploads"], route_class=StrictRoute)
UploadId = Annotated[str, Path(examples=["upl_01k2v6r8m3q4t5w6x7y8z9a0b1"])]
PartNumber = Annotated[int, Path(ge=1, le=MAX_PART_NUMBER, description="From 1.")]


@router.post("", operation_id="createUpload", status_code=201, response_model=Upload)
def create_upload(body: UploadCreate, caller: Writer, creating: Creates, deps: Deps) -> Response:
    """Announce a file; the upload is complete already if the tenant has uploaded these bytes."""

    def work(s: Session) -> Created:
        row = uploads.create(
            s, deps.parts, caller.tenant, size=body.size, sha256=body.sha256, filename=body.filename
        )
        return Created(upload_view(row, []), f"/v1/uploads/{row.id}")

    return creating.run(caller, body, work)


@router.get("/{upload_id}", operation_id="showUpload", response_model=Upload)
def show_upload(upload_id: UploadId, caller: Reader, request: Request, deps: Deps) -> Response:
    """Return an upload and its received parts."""
    with deps.database.read() as s:
        row = uploads.get(s, caller.tenant, upload_id)
        view = upload_view(row, uploads.parts_of(s, upload_id))
    return answer(request, view)


@router.put(
    "/{upload_id}/parts/{number}",
    operation_id="putPart",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}
            },
        }
    },
)
async def put_part(
    upload_id: UploadId, number: PartNumber, caller: Writer, request: Request, deps: Deps
) -> UploadPart:
    """Send part `number` as raw bytes; a part that is sent again replaces the earlier one."""
    slot = await run_in_threadpool(_slot, deps, caller, upload_id, number)
    announced = int(request.headers.get("content-length", slot.size))
    if announced != slot.size:
        raise _wrong_size(slot)
    async with contextmanager_in_threadpool(deps.parts.receive(slot)) as part:
        await _receive(request, part, deps.settings.part_stall_s)
        return await run_in_threadpool(_save, deps, caller, part)


@router.post("/{upload_id}/complete", operation_id="completeUpload", response_model=Upload)
def complete_upload(
    upload_id: UploadId, caller: Writer, deps: Deps, body: UploadComplete | None = None
) -> Upload:
    """Join the parts and verify the hash; a complete upload is left as it is."""
    sha256 = None if body is None else body.sha256
    row = uploads.complete(deps.database, deps.parts, deps.blobs, caller.tenant, upload_id, sha256)
    with deps.database.read() as s:
        return upload_view(row, uploads.parts_of(s, upload_id))


@router.delete("/{upload_id}", operation_id="abortUpload", status_code=204)
def abort_upload(upload_id: UploadId, caller: Writer, deps: Deps) -> None:
    """Abort an open upload and delete its parts."""
    with deps.database.write() as s:
        uploads.abort(s, deps.parts, caller.tenant, upload_id)


def _slot(deps: Services, caller: Caller, upload_id: str, number: int) -> PartSlot:
    with deps.database.read() as s:
        return uploads.slot(s, caller.tenant, upload_id, number)


async def _receive(request: Request, part: IncomingPart, stall_s: float) -> None:
    """Stream the body into the part, about BUFFER_BYTES at a time, off the event loop."""
    stream = request.stream()
    buffer = bytearray()
    while True:
        try:
            async with asyncio.timeout(stall_s):
                chunk = await anext(stream, None)
        except TimeoutError:
            raise Refusal(
                RequestCode.REQUEST_TIMEOUT, "no more bytes of the part arrived in time"
            ) from None
        if chunk is not None:
            buffer += chunk
        if part.received + len(buffer) > part.slot.size:
            raise _wrong_size(part.slot)
        if len(buffer) >= BUFFER_BYTES or (chunk is None and buffer):
            await run_in_threadpool(part.write, bytes(buffer))
            buffer.clear()
        if chunk is None:
            return


def _wrong_size(slot: PartSlot) -> Refusal:
    message = f"part {slot.number} has exactly {slot.size} bytes"
    return Refusal(RequestCode.PART_SIZE, message)


def _save(deps: Services, caller: Caller, part: IncomingPart) -> UploadPart:
    with deps.database.write() as s:
        return part_view(uploads.save_part(s, deps.parts, caller.tenant, part))
