"""Where the store keeps things, read from the environment (KD_HOME, KD_DATABASE_URL, ...)."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from kdcore.spec import failpoints


class StoreSettings(BaseSettings):
    """The store's settings; everything defaults to a place under `home`."""

    model_config = SettingsConfigDict(env_prefix="KD_", extra="ignore")

    home: Path = Field(Path(".kd"), description="Folder of everything that is not set apart.")
    database_url: str | None = Field(None, description="None: SQLite, `home`/distillery.sqlite.")
    blob_url: str | None = Field(None, description="None: local disk, `home`/blobs.")
    min_free_bytes: int = Field(
        512 * 2**20, ge=0, description="Free disk space below which uploads are refused."
    )
    failpoint: Annotated[str, AfterValidator(failpoints.check)] | None = Field(
        None, description="For tests of faults: where this program dies on purpose. Never set it."
    )

    @property
    def database(self) -> str:
        """The URL for `store.db.Database`."""
        return self.database_url or f"sqlite:///{self.home.absolute() / 'distillery.sqlite'}"

    @property
    def blobs(self) -> str:
        """The URL for `store.blobs.make_blobs`."""
        return self.blob_url or (self.home.absolute() / "blobs").as_uri()

    @property
    def uploads(self) -> Path:
        """Where the parts of open uploads lie (`store.parts.Parts`)."""
        return self.home.absolute() / "uploads"
