"""Uploads: a file in parts, any order, resumable."""

from typing import Literal

from pydantic import Field

from distillery.wire.common import Body, Time, View

Sha256 = str


class UploadCreate(Body):
    """Announce a file. With a sha256 this tenant already stored, no bytes are needed."""

    size: int = Field(ge=1, description="Bytes.", examples=[1048576])
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    filename: str | None = Field(None, max_length=200)


class UploadComplete(Body):
    """Close an upload; a given sha256 is compared with the server's."""

    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")


class UploadPart(View):
    """A part that has arrived whole."""

    number: int
    size: int
    sha256: str


class Upload(View):
    """An upload; part n (from 1) holds bytes [(n-1)*part_size, n*part_size)."""

    id: str
    state: Literal["open", "complete", "aborted", "expired"]
    filename: str | None
    size: int
    part_size: int
    parts: list[UploadPart]
    sha256: str | None = Field(description="Of the whole file, once complete.")
    created_at: Time
    expires_at: Time
