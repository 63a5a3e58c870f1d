"""The installed distribution: its version, and which of its extras are incomplete here."""

import re
import sys
from importlib import metadata

NAME = "distillery-kd"
USAGE = 2  # the exit code of a command that cannot work here, as of one that was misspelt
LISTED = 4  # missing packages named in a message; the rest are counted

# A line of the metadata: `celery[redis]>=5.7; extra == "server"`.
_REQUIREMENT = re.compile(
    r"(?P<name>[\w.-]+)(?:\[(?P<extras>[^]]*)\])?[^;]*;.*\bextra == ['\"](?P<extra>[^'\"]+)['\"]"
)


def version() -> str:
    """The installed version, or `0+unknown` in a checkout that is not installed."""
    try:
        return metadata.version(NAME)
    except metadata.PackageNotFoundError:
        return "0+unknown"


def missing(extra: str) -> list[str]:
    """The packages that an extra requires and that are not installed, sorted.

    Empty in a checkout that is not installed: nothing there says what an extra requires.
    """
    found: set[str] = set()
    for requirement in filter(None, map(_REQUIREMENT.match, _requires())):
        if requirement["extra"] != extra:
            continue
        if requirement["name"] == NAME:
            found.update(*map(missing, requirement["extras"].split(",")))
        elif not _is_installed(requirement["name"]):
            found.add(requirement["name"])
    return sorted(found)


def complaint(program: str, *extras: str) -> tuple[str, str] | None:
    """What `program`, which needs `extras`, lacks here, and the command that installs it."""
    lacking = {extra: names for extra in extras if (names := missing(extra))}
    if not lacking:
        return None
    names = sorted({name for names in lacking.values() for name in names})
    listed = ", ".join(names[:LISTED])
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    wanted = next(iter(lacking)) if len(lacking) == 1 else "all"
    return (
        f"{program} needs packages that are not installed: {listed}{more}.",
        f"Install them: pip install '{NAME}[{wanted}]'",
    )


def require(program: str, *extras: str) -> None:
    """End this process with exit code 2, saying what to install, where an extra is incomplete."""
    if lines := complaint(program, *extras):
        sys.stderr.write("\n".join(lines) + "\n")
        sys.exit(USAGE)


def _requires() -> list[str]:
    try:
        return metadata.requires(NAME) or []
    except metadata.PackageNotFoundError:
        return []


def _is_installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True
