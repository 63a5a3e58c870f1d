"""Errors of the store, with codes of the catalogue; the API turns them into problem+json."""

from distillery.wire.request_codes import RequestCode
from kdcore.spec.codes import ErrorCode, RunCode


class StoreError(Exception):
    """The base of all errors of the store."""

    def __init__(self, message: str):
        super().__init__(message)
        self.message = message


class CodedError(StoreError):
    """An error for the client; `pointer` is a JSON pointer into the request body, or None."""

    def __init__(self, message: str, *, code: ErrorCode, pointer: str | None = None):
        super().__init__(message)
        self.code = code
        self.pointer = pointer


class Invalid(CodedError):
    """The request cannot be carried out as it stands."""


class NotFound(CodedError):
    """Nothing of this id belongs to the tenant; another tenant's is treated as missing."""

    def __init__(self, message: str, *, code: ErrorCode = RequestCode.NOT_FOUND):
        super().__init__(message, code=code)


class Conflict(CodedError):
    """The thing exists but is not in a state that allows this."""

    def __init__(
        self, message: str, *, code: ErrorCode = RequestCode.CONFLICT, pointer: str | None = None
    ):
        super().__init__(message, code=code, pointer=pointer)


class NotReady(Conflict):
    """Something that this needs is still being inspected: try again soon."""

    def __init__(self, message: str, *, pointer: str | None = None):
        super().__init__(message, code=RequestCode.NOT_READY, pointer=pointer)


class Unavailable(CodedError):
    """The database or blob storage does not answer: nothing was done, try again."""

    def __init__(self, message: str, *, code: ErrorCode = RequestCode.UNAVAILABLE):
        super().__init__(message, code=code)

    @property
    def reason(self) -> str:
        """The message with the driver's own, for a log; clients do not need the latter."""
        lines = str(self.__cause__ or "").strip().splitlines()
        return f"{self.message} ({lines[0]})" if lines else self.message


class StorageFailed(Unavailable):
    """The disk or the blob storage failed (an I/O error, a read-only mount): try again."""

    def __init__(self, message: str):
        super().__init__(message, code=RequestCode.STORAGE_FAILED)


class NoSpace(Unavailable):
    """The disk is too full to take this: nothing was kept, free space and try again."""

    def __init__(self, message: str):
        super().__init__(message, code=RunCode.NO_SPACE)


class LeaseLost(StoreError):
    """This attempt no longer holds the job: stop the child, write nothing more."""
