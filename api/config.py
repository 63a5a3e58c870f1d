"""What the API reads from the environment (prefix `KD_`); `store` and `broker` read their own."""

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
# Inside the installed package. Not resolved: in a checkout this folder is a link in there.
_DASHBOARD = Path(__file__).parents[1] / "web"


class ApiSettings(BaseSettings):
    """Where the API listens, who needs no key, and its limits."""

    model_config = SettingsConfigDict(env_prefix="KD_", frozen=True)

    host: str = Field("127.0.0.1", description="Address to bind; anything but loopback needs keys.")
    port: int = Field(8765, ge=0, le=65_535, description="0: any free port, printed at start.")
    local_user: bool = Field(
        False, description="On loopback, requests without a key are the local user's."
    )
    allowed_hosts: tuple[str, ...] = Field(
        (), description="Host names answered to; none: loopback names on loopback, else every name."
    )
    web_dir: Path = Field(_DASHBOARD, description="The built dashboard.")
    max_body_bytes: int = Field(1 << 20, ge=1, description="Largest JSON body.")
    body_timeout_s: float = Field(30.0, gt=0, description="To receive a JSON body.")
    part_stall_s: float = Field(30.0, gt=0, description="A part's upload may stand still.")
    max_streams: int = Field(500, ge=1, description="Open event streams.")
    stream_poll_s: float = Field(0.2, gt=0, description="Between looks for new events.")
    stream_ping_s: Annotated[int, Field(ge=1)] = 15
    stream_limit_s: float = Field(3600.0, gt=0, description="Then a stream ends; clients resume.")

    def on_loopback(self) -> bool:
        """Whether only this machine can reach the API."""
        return self.host in LOOPBACK

    def hosts(self) -> frozenset[str] | None:
        """Host names to answer to; None: every one."""
        if self.allowed_hosts:
            return frozenset(self.allowed_hosts)
        return LOOPBACK if self.on_loopback() else None
