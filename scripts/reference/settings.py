"""Builds docs/settings.md: every environment variable, from the classes that read them."""

from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from distillery.api.config import ApiSettings
from distillery.broker.config import BrokerSettings
from distillery.sdk.config import ClientSettings
from distillery.store.config import Retention, StoreSettings
from distillery.telemetry.config import TelemetrySettings
from distillery.worker.config import WorkerSettings
from scripts.markdown import cell, table
from scripts.reference.shapes import kind, parameter_range

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
TEMPLATE = Path(__file__).with_name("settings.md")
API, WORKER, REAPER, STORE = "API", "worker", "reaper", "`python -m distillery.store`"
KD = "`kd`"
PROGRAMS = (API, WORKER, REAPER, STORE, KD)
SECTIONS: dict[str, type[BaseSettings]] = {
    "Storage": StoreSettings,
    "Broker": BrokerSettings,
    "API": ApiSettings,
    "Workers and the reaper": WorkerSettings,
    "Retention": Retention,
    "Logs and traces": TelemetrySettings,
    "The command line": ClientSettings,
}
READERS: dict[type[BaseSettings], tuple[str, ...]] = {
    StoreSettings: (API, WORKER, REAPER, STORE),
    BrokerSettings: (API, WORKER, REAPER),
    ApiSettings: (API,),
    WorkerSettings: (WORKER, REAPER),
    Retention: (API, WORKER, REAPER),
    TelemetrySettings: (API, WORKER, REAPER),
    ClientSettings: (KD,),
}
REAPS = {"lease_s", "reaper_s"}  # the worker's settings that the reaper reads too
UNITS_S = ((24 * 3600, "day"), (3600, "hour"), (60, "minute"))
UNITS_BYTES = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def build() -> str:
    """Build the page."""
    sections = "\n\n".join(_section(title, settings) for title, settings in SECTIONS.items())
    return TEMPLATE.read_text(encoding="utf-8").replace("{{sections}}", sections)


def readers() -> dict[str, list[str]]:
    """The programs that read each variable."""
    found: dict[str, list[str]] = {}
    for settings, programs in READERS.items():
        for name, field in settings.model_fields.items():
            known = found.setdefault(variable(name, field), [])
            reading = (WORKER,) if settings is WorkerSettings and name not in REAPS else programs
            known += [program for program in reading if program not in known]
    return found


def variable(name: str, field: FieldInfo) -> str:
    """The environment variable of a field."""
    alias = field.validation_alias
    return alias if isinstance(alias, str) else f"KD_{name.upper()}"


def _section(title: str, settings: type[BaseSettings]) -> str:
    """The section of a class's variables, without those of earlier sections."""
    above = list(SECTIONS.values())[: list(SECTIONS).index(title)]
    known = {name for one in above for name in one.__annotations__}
    schemas = settings.model_json_schema(by_alias=False)["properties"]
    rows = [
        _row(name, field, schemas[name])
        for name, field in settings.model_fields.items()
        if name in settings.__annotations__ and name not in known
    ]
    return f"## {title}\n\n" + table(("variable", "default", "type", "read by", "what it is"), rows)


def _row(name: str, field: FieldInfo, schema: dict[str, Any]) -> tuple[str, ...]:
    key = variable(name, field)
    options = [s for s in schema.get("anyOf", [schema]) if s.get("type") != "null"]
    bounds = parameter_range({"anyOf": options})
    shape = " or ".join(dict.fromkeys(map(kind, options)))
    return (
        f"`{key}`",
        _default(name, field.default),
        f"{shape}, {bounds}" if bounds else shape,
        ", ".join(sorted(readers()[key], key=PROGRAMS.index)),
        cell(field.description or ""),
    )


def _default(name: str, value: Any) -> str:
    if value is None or value == () or (isinstance(value, Path) and value.is_absolute()):
        return ""  # the description explains the default
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{_number(value)}`{_in_words(name, value)}"


def _in_words(name: str, value: Any) -> str:
    """Format a duration or a size in its largest whole unit."""
    units = UNITS_S if name.endswith("_s") else UNITS_BYTES if name.endswith("_bytes") else ()
    for size, unit in units:
        if value and value % size == 0:
            count = value // size
            plural = "s" if units is UNITS_S and count > 1 else ""
            return f" ({_number(count)} {unit}{plural})"
    return ""


def _number(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
