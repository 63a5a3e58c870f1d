"""Where the store keeps things, read from the environment (KD_HOME, KD_DATABASE_URL, ...)."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from kdcore.spec import failpoints

DAY_S = 24 * 3600.0
MIN_FREE = "Refuse uploads, and take no job, while a disk has less free space than this."


class Retention(BaseSettings):
    """How long things are kept before `distillery.store.ops.retention` deletes them."""

    model_config = SettingsConfigDict(
        env_prefix="KD_", extra="ignore", frozen=True, populate_by_name=True
    )

    keep_jobs_s: float | None = Field(
        None,
        ge=0,
        description="Keep finished jobs, with events, metrics and artifacts, this long after their "
        "end; their students remain models. Default: for ever.",
    )
    keep_runs: bool = Field(False, description="Keep every run directory, to inspect it.")
    keep_failed_s: float = Field(
        7 * DAY_S, ge=0, description="Keep a failed job's log and checkpoints, for a retry."
    )
    keep_paused_s: float = Field(
        30 * DAY_S,
        ge=0,
        description="Keep a paused job's checkpoints; resumed later, it starts over.",
    )
    keep_uploads_s: float = Field(
        30 * DAY_S,
        ge=7 * DAY_S,
        description="Keep closed uploads, counted from their creation; models and datasets made of "
        "them keep their bytes.",
    )
    keep_blobs_s: float = Field(
        3600.0, ge=600, description="Keep unreferenced bytes, counted from their last write."
    )
    teacher_cache_keep_s: float = Field(
        30 * DAY_S, ge=0, description="Keep teacher outputs this long after their last use."
    )


def postgres_environment(password: str | None) -> dict[str, str]:
    """This process's environment for PostgreSQL's tools, with the database's password."""
    return {**os.environ, **({} if password is None else {"PGPASSWORD": password})}


class StoreSettings(BaseSettings):
    """The store's settings; everything defaults to a place under `home`."""

    model_config = SettingsConfigDict(env_prefix="KD_", extra="ignore")

    home: Path = Field(Path(".kd"), description="Directory of everything kept on local disk.")
    database_url: str | None = Field(
        None,
        description="postgresql://... or sqlite:///PATH. Default: SQLite in "
        "KD_HOME/distillery.sqlite.",
    )
    blob_url: str | None = Field(
        None, description="file:///PATH of the blob storage. Default: KD_HOME/blobs."
    )
    run_dir: Path | None = Field(
        None, description="Directory of run directories. Default: KD_HOME/runs."
    )
    min_free_bytes: int = Field(512 * 2**20, ge=0, description=MIN_FREE)
    failpoint: Annotated[str, AfterValidator(failpoints.check)] | None = Field(
        None, description="Where this program fails on purpose, for tests. Never set it."
    )

    @property
    def database(self) -> str:
        """The URL for `distillery.store.db.database.Database`."""
        return self.database_url or f"sqlite:///{self.home.absolute() / 'distillery.sqlite'}"

    @property
    def blobs(self) -> str:
        """The URL for `distillery.store.blobs.blobs.make_blobs`."""
        return self.blob_url or (self.home.absolute() / "blobs").as_uri()

    @property
    def runs(self) -> Path:
        """The run directories of a worker on this machine."""
        return (self.run_dir or self.home / "runs").absolute()

    @property
    def uploads(self) -> Path:
        """Where the parts of open uploads lie (`distillery.store.blobs.upload_parts.Parts`)."""
        return self.home.absolute() / "uploads"
