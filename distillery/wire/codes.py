"""Every error code of the product in one table: specs, runs, requests and jobs."""

from distillery.wire.job_codes import JobCode
from distillery.wire.request_codes import RequestCode
from kdcore.spec.codes import ErrorCode, RunCode
from kdcore.spec.spec_codes import SpecCode

CATALOGUE: dict[str, ErrorCode] = {
    str(code): code for kind in (RequestCode, SpecCode, RunCode, JobCode) for code in kind
}


def next_step(code: str) -> str | None:
    """What to do about an error of this code; None for a code of another version."""
    found = CATALOGUE.get(code)
    return None if found is None else found.next_step
