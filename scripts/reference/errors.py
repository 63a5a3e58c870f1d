"""Builds docs/errors.md: every error code, from the catalogues."""

from collections.abc import Iterable
from pathlib import Path

from distillery.sdk.errors import ExitCode
from distillery.wire.job_codes import JobCode, WaitReason
from distillery.wire.request_codes import RequestCode
from kdcore.spec.codes import ErrorCode, Exit, RunCode
from kdcore.spec.spec_codes import SpecCode
from scripts.markdown import cell, table

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"
TEMPLATE = Path(__file__).with_name("errors.md")
MEANS = "what it means"
NEXT = "what to do next"


def build() -> str:
    """Build the page."""
    parts = {
        "requests": _codes(sorted(RequestCode, key=lambda code: (code.status or 1000, code))),
        "specs": _codes(SpecCode),
        "runs": table(
            ("code", "HTTP", "exit", MEANS, NEXT),
            ((f"`{c}`", _status(c), str(c.exit.value), *_words(c)) for c in RunCode),
        ),
        "jobs": _codes(JobCode),
        "reasons": table(
            ("reason", MEANS, NEXT),
            ((f"`{r}`", r.meaning, cell(r.next_step or "Wait.")) for r in WaitReason),
        ),
        "bad_spec": str(Exit.BAD_SPEC.value),
        "kd": table(("exit", MEANS), ((str(e.value), e.meaning) for e in ExitCode)),
        "kdcore": table(("exit", "name"), ((str(e.value), f"`{e.name}`") for e in Exit)),
    }
    page = TEMPLATE.read_text(encoding="utf-8")
    for name, text in parts.items():
        page = page.replace(f"{{{{{name}}}}}", text)
    return page


def _codes(codes: Iterable[ErrorCode]) -> str:
    rows = ((f"`{code}`", _status(code), *_words(code)) for code in codes)
    return table(("code", "HTTP", MEANS, NEXT), rows)


def _status(code: ErrorCode) -> str:
    return "-" if code.status is None else str(code.status)


def _words(code: ErrorCode) -> tuple[str, str]:
    return cell(code.meaning), cell(code.next_step)
