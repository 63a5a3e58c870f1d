"""The one error a run reports to its user: named, with a JSON pointer and an exit code."""

from collections.abc import Iterator
from contextlib import contextmanager

from kdcore.spec.events import Exit


class RunError(ValueError):
    """A run cannot go on; `code` is stable, `pointer` leads into spec.json where that helps."""

    def __init__(
        self, code: str, message: str, *, pointer: str | None = None, exit: Exit = Exit.BAD_SPEC
    ):
        super().__init__(message)
        self.code = code
        self.message = message
        self.pointer = pointer
        self.exit = exit


@contextmanager
def pointing(pointer: str) -> Iterator[None]:
    """Prefix the pointer of any RunError raised inside: it says where in the spec it happened."""
    try:
        yield
    except RunError as error:
        where = pointer + (error.pointer or "")
        raise RunError(error.code, error.message, pointer=where, exit=error.exit) from error
