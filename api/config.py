"""What the API reads from the environment (prefix `KD_`); `store` and `broker` read their own."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
# Inside the installed package. Not resolved: in a checkout this folder is a link in there.
_DASHBOARD = Path(__file__).parents[1] / "web"


class ApiSettings(BaseSettings):
    """Where the API listens, who needs no key, and its limits."""

    model_config = SettingsConfigDict(env_prefix="KD_", frozen=True)

    host: str = Field(
        "127.0.0.1", description="Address to listen on; any but loopback makes clients need keys."
    )
    port: int = Field(
        8765, ge=0, le=65_535, description="Port to listen on. 0: any free one, printed."
    )
    local_user: bool = Field(
        False, description="Accept requests without a key on loopback, as the local user's."
    )
    allowed_hosts: tuple[str, ...] = Field(
        (),
        description="Host names to answer to, as a JSON list. Default: loopback names on loopback, "
        "else every name.",
    )
    web_dir: Path = Field(
        _DASHBOARD, description="Directory of the built dashboard. Default: the installed one."
    )
    max_body_bytes: int = Field(1 << 20, ge=1, description="Largest JSON body.")
    body_timeout_s: float = Field(30.0, gt=0, description="Time to receive a JSON body.")
    part_stall_s: float = Field(
        30.0, gt=0, description="An upload's part that receives nothing for this long is refused."
    )
    max_streams: int = Field(500, ge=1, description="Event streams open at the same time.")
    stream_poll_s: float = Field(0.2, gt=0, description="Interval between checks for new events.")
    stream_ping_s: int = Field(15, ge=1, description="Interval between pings on an idle stream.")
    stream_limit_s: float = Field(
        3600.0, gt=0, description="Longest life of an event stream; clients reconnect and resume."
    )

    def on_loopback(self) -> bool:
        """Whether only this machine can reach the API."""
        return self.host in LOOPBACK

    def hosts(self) -> frozenset[str] | None:
        """Host names to answer to; None: every one."""
        if self.allowed_hosts:
            return frozenset(self.allowed_hosts)
        return LOOPBACK if self.on_loopback() else None
