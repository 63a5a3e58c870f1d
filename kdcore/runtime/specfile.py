"""Reads DIR/spec.json and says what is wrong with it, with a JSON pointer."""

import json
from pathlib import Path

from pydantic import ValidationError

from kdcore.runtime.errors import RunError
from kdcore.spec.faults import faults_in, syntax_fault
from kdcore.spec.run import RUN_SPEC, SPEC_FILE, RunSpec
from kdcore.spec.spec_codes import SpecCode


def read_spec(folder: Path) -> RunSpec:
    """The spec of a run directory.

    Raises RunError: `no_spec`, `bad_json`, or the code and place of the first fault in the spec.
    """
    path = folder / SPEC_FILE
    try:
        raw = json.loads(path.read_bytes())
    except OSError as error:
        raise RunError(SpecCode.NO_SPEC, f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        fault = syntax_fault(error)
        raise RunError(fault.code, f"{path} is not JSON: {fault.message}") from error
    try:
        return RUN_SPEC.validate_python(raw, strict=False)
    except ValidationError as error:
        first, *rest = faults_in(raw, error.errors(include_url=False))
        more = f" (and {len(rest)} more)" if rest else ""
        raise RunError(first.code, f"{first.message}{more}", pointer=first.pointer) from error
