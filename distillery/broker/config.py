"""The broker's address: a Redis server, or by default a directory under KD_HOME."""

from pathlib import Path
from urllib.parse import quote

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

SCHEME = "kdfs"


class BrokerSettings(BaseSettings):
    """Settings of the broker, read from KD_* variables."""

    model_config = SettingsConfigDict(env_prefix="KD_", extra="ignore", frozen=True)

    home: Path = Field(Path(".kd"), description="Directory of everything kept on local disk.")
    broker_url: str | None = Field(
        None, description="redis://HOST/0 or kdfs:///DIRECTORY. Default: KD_HOME/broker."
    )

    @field_validator("broker_url")
    @classmethod
    def _known_scheme(cls, value: str | None) -> str | None:
        known = (f"{SCHEME}://", "redis://", "rediss://", "redis+socket://")
        if value is not None and not value.startswith(known):
            raise ValueError(f"must start with one of {', '.join(known)}")
        return value

    @property
    def url(self) -> str:
        """The broker's URL, with the default resolved."""
        if self.broker_url is not None:
            return self.broker_url
        return f"{SCHEME}://localhost{quote(str(self.home.absolute() / 'broker'))}"

    @property
    def is_local(self) -> bool:
        """Whether the broker is a directory rather than a server."""
        return self.url.startswith(f"{SCHEME}:")
