"""Settings of logs and traces, read from KD_* and OTEL_* variables."""

from typing import Literal, TextIO

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

LogFormat = Literal["json", "text"]


class TelemetrySettings(BaseSettings):
    """Settings of logs and traces. The OTEL_* variables are those of OpenTelemetry."""

    model_config = SettingsConfigDict(
        env_prefix="KD_", extra="ignore", frozen=True, populate_by_name=True
    )

    log_format: LogFormat | None = Field(
        None,
        description="Format of the log on stderr. Default: text on a terminal, else JSON lines.",
    )
    otlp_endpoint: str | None = Field(
        None,
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="URL that traces are sent to, by OTLP over HTTP. Default: tracing is off.",
    )

    def format_for(self, stream: TextIO) -> LogFormat:
        """The format of a log on `stream`."""
        return self.log_format or ("text" if stream.isatty() else "json")
