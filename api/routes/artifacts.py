"""Artifacts: the files of succeeded jobs."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from distillery.api.auth import Reader
from distillery.api.deps import Deps
from distillery.api.downloads import DOWNLOAD_RESPONSES, download
from distillery.api.mappers.jobs import artifact_view
from distillery.api.responses import answer
from distillery.store.catalog import artifacts
from distillery.wire.jobs import Artifact

router = APIRouter(prefix="/artifacts", tags=["artifacts"])
ArtifactId = Annotated[str, Path(examples=["art_01k2v6r8m3q4t5w6x7y8z9a0b1"])]


@router.get("/{artifact_id}", operation_id="showArtifact", response_model=Artifact)
def show_artifact(
    artifact_id: ArtifactId, caller: Reader, request: Request, deps: Deps
) -> Response:
    """Return a file's name, size and hash."""
    with deps.database.read() as s:
        return answer(request, artifact_view(artifacts.get(s, caller.tenant, artifact_id)))


@router.head("/{artifact_id}/content", include_in_schema=False)
@router.get(
    "/{artifact_id}/content",
    operation_id="downloadArtifact",
    response_class=Response,
    responses=DOWNLOAD_RESPONSES,
)
def download_artifact(
    artifact_id: ArtifactId, caller: Reader, request: Request, deps: Deps
) -> Response:
    """Return a file's bytes; Range, If-Range and If-None-Match are supported."""
    with deps.database.read() as s:
        row = artifacts.get(s, caller.tenant, artifact_id)
    return download(request, deps.blobs, row.sha256, row.size, row.name, row.media_type)
