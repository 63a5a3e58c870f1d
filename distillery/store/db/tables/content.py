"""Tables of stored content: blobs, uploads, models, datasets, artifacts, teacher outputs."""

from functools import cache

from sqlalchemy import JSON, Column, Float, ForeignKey, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from distillery.store.db.tables.base import Json, Table


class Blob(Table):
    """Bytes in storage, named by their sha256; `created_at`: when they were last recorded.

    Every reference to one is an indexed foreign key (`blob_references`).
    """

    __tablename__ = "blobs"
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    size: Mapped[int]
    created_at: Mapped[int]


class Upload(Table):
    """A file that is sent in parts. State: open, complete, aborted, expired.

    `blob`: once complete; an expired upload has none.
    """

    __tablename__ = "uploads"
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str]
    state: Mapped[str]
    filename: Mapped[str | None]
    size: Mapped[int]
    part_size: Mapped[int]
    expected_sha256: Mapped[str | None] = mapped_column(String(64))
    blob: Mapped[str | None] = mapped_column(ForeignKey("blobs.sha256"))
    created_at: Mapped[int]
    expires_at: Mapped[int]
    version: Mapped[int] = mapped_column(default=1)
    __table_args__ = (
        Index(None, "tenant", "blob"),
        Index(None, "blob"),
        Index(None, "state", "expires_at"),
    )


class UploadPart(Table):
    """A received part of an upload; numbered from 1."""

    __tablename__ = "upload_parts"
    upload_id: Mapped[str] = mapped_column(ForeignKey("uploads.id"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    size: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))


class Model(Table):
    """A network with weights, uploaded or made by a job. State: inspecting, ready, rejected.

    `blob`: safetensors if it is ready, else the uploaded file.
    """

    __tablename__ = "models"
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str]
    name: Mapped[str]
    state: Mapped[str]
    format: Mapped[str]  # of the uploaded file
    network: Mapped[Json]  # kdcore.spec.run.Network
    blob: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"))
    parameters: Mapped[int | None]
    modules: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    error: Mapped[Json | None]
    inspect_job: Mapped[str | None]
    source_job: Mapped[str | None]  # the job whose student this is
    created_at: Mapped[int]
    version: Mapped[int] = mapped_column(default=1)
    __table_args__ = (Index(None, "tenant", "id"), Index(None, "blob"))


class Dataset(Table):
    """Images, with or without labels. State: inspecting, ready, rejected."""

    __tablename__ = "datasets"
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str]
    name: Mapped[str]
    state: Mapped[str]
    format: Mapped[str]
    blob: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"))
    info: Mapped[Json | None]  # kdcore.spec.result.InspectDatasetResult
    error: Mapped[Json | None]
    inspect_job: Mapped[str | None]
    created_at: Mapped[int]
    version: Mapped[int] = mapped_column(default=1)
    __table_args__ = (Index(None, "tenant", "id"), Index(None, "blob"))


class Artifact(Table):
    """A file made by a job that succeeded."""

    __tablename__ = "artifacts"
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str]
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    kind: Mapped[str] = mapped_column(String(40))
    name: Mapped[str]
    media_type: Mapped[str]
    size: Mapped[int]
    sha256: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"))
    max_abs_diff: Mapped[float | None] = mapped_column(Float(53))
    created_at: Mapped[int]
    __table_args__ = (Index(None, "job_id", "name", unique=True), Index(None, "sha256"))


class TeacherOutput(Table):
    """A file of teacher outputs; `teacher` and `dataset` are the sha256 of their blobs."""

    __tablename__ = "teacher_outputs"
    tenant: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    teacher: Mapped[str] = mapped_column(String(64))
    dataset: Mapped[str] = mapped_column(String(64))
    blob: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"))
    size: Mapped[int]
    created_at: Mapped[int]
    used_at: Mapped[int]
    __table_args__ = (
        Index(None, "tenant", "dataset", "teacher"),
        Index(None, "blob"),
        Index(None, "used_at"),
    )


@cache
def blob_references() -> tuple[Column[str], ...]:
    """Return every column that refers to a blob."""
    keys = (key for table in Table.metadata.sorted_tables for key in table.foreign_keys)
    return tuple(key.parent for key in keys if key.column is Blob.__table__.c.sha256)
