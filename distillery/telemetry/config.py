"""How the processes of the service log and trace, read from KD_* and OTEL_* variables."""

from typing import Literal, TextIO

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

LogFormat = Literal["json", "text"]


class TelemetrySettings(BaseSettings):
    """Settings of logs and traces; the OTEL_* variables are OpenTelemetry's own."""

    model_config = SettingsConfigDict(
        env_prefix="KD_", extra="ignore", frozen=True, populate_by_name=True
    )

    log_format: LogFormat | None = Field(
        None, description="Of the log on stderr; none: text on a terminal, else JSON lines."
    )
    otlp_endpoint: str | None = Field(
        None,
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="Traces go there (OTLP over HTTP); none: there are none.",
    )

    def format_for(self, stream: TextIO) -> LogFormat:
        """The format of a log that goes there."""
        return self.log_format or ("text" if stream.isatty() else "json")
