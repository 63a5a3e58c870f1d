"""Reads DIR/spec.json and says what is wrong with it, with a JSON pointer."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kdcore.runtime.errors import RunError
from kdcore.spec.run import RUN_SPEC, SPEC_FILE, RunSpec


def read_spec(folder: Path) -> RunSpec:
    """The spec of a run directory. Raises RunError `no_spec`, `bad_json`, `bad_spec`."""
    path = folder / SPEC_FILE
    try:
        raw = json.loads(path.read_bytes())
    except OSError as error:
        raise RunError("no_spec", f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise RunError("bad_json", f"{path} is not JSON: {error}") from error
    try:
        return RUN_SPEC.validate_python(raw, strict=False)
    except ValidationError as error:
        first, *rest = error.errors(include_url=False, include_context=False)
        more = f" (and {len(rest)} more)" if rest else ""
        pointer = pointer_of(first["loc"], raw)
        raise RunError("bad_spec", f"{first['msg']}{more}", pointer=pointer) from error


def pointer_of(location: Sequence[str | int], raw: Any) -> str:
    """A JSON pointer from pydantic's location, without the tags it adds for unions."""
    parts: list[str] = []
    here = raw
    for index, part in enumerate(location):
        last = index == len(location) - 1
        inside = isinstance(here, dict) and part in here
        inside = inside or (isinstance(here, list) and isinstance(part, int) and part < len(here))
        if inside:
            here = here[part]
        elif not (last and isinstance(here, dict)) or part in here.values():
            continue
        parts.append(str(part).replace("~", "~0").replace("/", "~1"))
    return "".join(f"/{part}" for part in parts)
