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
        None, description="URL of the service. Default: the one that `kd up` runs on KD_HOME."
    )
    key: str | None = Field(None, description="Bearer key of the client. `kd up` needs none.")
    home: Path = Field(Path(".kd"), description="Directory of everything kept on local disk.")
    host: str = Field(
        "127.0.0.1", description="Address to listen on; any but loopback makes clients need keys."
    )
    port: int = Field(
        DEFAULT_PORT, ge=0, le=65535, description="Port to listen on. 0: any free one, printed."
    )


def child_environment(**settings: str) -> dict[str, str]:
    """This process's environment with `settings` (upper-case names) laid over it.

    Children import what is installed, nothing from the folder that `kd` was started in.
    """
    # Their logs go into files which `kd` reads along with people.
    readable = {"KD_LOG_FORMAT": "text"}
    return {**readable, **os.environ, "PYTHONSAFEPATH": "1", **settings}
