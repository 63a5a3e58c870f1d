"""What was deleted, or would be, because its retention period had expired."""

from typing import Literal

from pydantic import Field

from distillery.wire.common import View


class CollectedItems(View):
    """How many things of one kind, and their size."""

    kind: Literal["jobs", "uploads", "teacher_outputs", "run_directories", "blobs"]
    count: int
    size_bytes: int


class RetentionReport(View):
    """The result of one pass."""

    dry_run: bool
    complete: bool = Field(description="False: time ran out; send the request again for the rest.")
    kinds: list[CollectedItems]
