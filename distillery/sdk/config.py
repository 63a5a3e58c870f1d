"""Settings that the SDK and `kd` read from the environment: service, key, home."""

import os
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

DEFAULT_PORT = 8765


class ClientSettings(BaseSettings):
    """Settings of the SDK and of `kd`, prefix KD_."""

    model_config = SettingsConfigDict(env_prefix="KD_", extra="ignore")

    url: str | None = Field(
        None, description="URL of the service. Default: the `kd up` that runs on `home`."
    )
    key: str | None = Field(None, description="Bearer key; `kd up` on this machine needs none.")
    home: Path = Field(
        Path(".kd"), description="Folder where `kd up` keeps its database and files."
    )
    host: str = Field("127.0.0.1", description="Address `kd up` listens on.")
    port: int = Field(
        DEFAULT_PORT, ge=0, le=65535, description="Port of `kd up`; 0 means any free one."
    )


def child_environment(**settings: str) -> dict[str, str]:
    """This process's environment with `settings` (upper-case names) laid over it.

    Children import what is installed, nothing from the folder that `kd` was started in.
    """
    # Their logs go into files which `kd` reads along with people.
    readable = {"KD_LOG_FORMAT": "text"}
    return {**readable, **os.environ, "PYTHONSAFEPATH": "1", **settings}
