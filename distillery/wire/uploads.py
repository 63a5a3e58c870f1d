"""Uploads: a file in parts, in any order, resumable."""

from typing import Literal

from pydantic import Field

from distillery.wire.common import Body, Time, View

Sha256 = str


class UploadCreate(Body):
    """Announce a file. If the tenant has already stored these bytes, `sha256` completes it."""

    size: int = Field(ge=1, description="Bytes.", examples=[1048576])
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    filename: str | None = Field(None, max_length=200)


class UploadComplete(Body):
    """Complete an upload; a given sha256 is compared with the server's."""

    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")


class UploadPart(View):
    """A part that has arrived completely."""

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
