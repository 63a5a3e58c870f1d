"""What was, or would be, let go of."""

from typing import Literal

from pydantic import Field

from distillery.wire.common import View


class CollectedItems(View):
    """So many things of a kind."""

    kind: Literal["jobs", "uploads", "teacher_outputs", "run_directories", "blobs"]
    count: int
    size_bytes: int


class RetentionReport(View):
    """One go over what was kept long enough."""

    dry_run: bool
    complete: bool = Field(description="False: time ran out; ask again for the rest.")
    kinds: list[CollectedItems]
