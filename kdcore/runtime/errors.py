"""The one error a run reports to its user: a code of the catalogue, a message, a JSON pointer."""

from collections.abc import Iterator
from contextlib import contextmanager

from kdcore.spec.codes import Exit
from kdcore.spec.faults import Fault
from kdcore.spec.spec_codes import AnyRunCode


class RunError(ValueError):
    """A run cannot go on; `pointer` leads into spec.json where that helps."""

    def __init__(self, code: AnyRunCode, message: str, *, pointer: str | None = None):
        super().__init__(message)
        self.code = code
        self.message = message
        self.pointer = pointer

    @property
    def exit(self) -> Exit:
        """The exit code of a run that ends with it."""
        return self.code.exit


def refuse(fault: Fault | None) -> None:
    """Raise the fault as a RunError, if there is one."""
    if fault is not None:
        raise RunError(fault.code, fault.message, pointer=fault.pointer)


@contextmanager
def pointing(pointer: str) -> Iterator[None]:
    """Prefix the pointer of any RunError raised inside: it says where in the spec it happened."""
    try:
        yield
    except RunError as error:
        where = pointer + (error.pointer or "")
        raise RunError(error.code, error.message, pointer=where) from error
