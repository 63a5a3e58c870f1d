"""What the store refuses, each with a stable code; the API turns them into problem+json."""


class StoreError(Exception):
    """Base: `code` is stable, `pointer` is a JSON pointer into the request body, or None."""

    code = "store_error"

    def __init__(self, message: str, *, code: str | None = None, pointer: str | None = None):
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.pointer = pointer


class NotFound(StoreError):
    """No such thing for this tenant (a foreign id is a missing one)."""

    code = "not_found"


class Conflict(StoreError):
    """The thing exists but is not in a state that allows this."""

    code = "conflict"


class NotReady(Conflict):
    """Something this needs is still being inspected: try again soon."""

    code = "not_ready"


class Invalid(StoreError):
    """The request cannot be carried out as it stands."""

    code = "invalid"


class LeaseLost(StoreError):
    """This attempt no longer holds the job: stop the child, write nothing more."""

    code = "lease_lost"


class Unavailable(StoreError):
    """The database or blob storage does not answer: nothing was done, try again."""

    code = "unavailable"

    @property
    def reason(self) -> str:
        """With what the driver said, for a log: no client needs to know that."""
        said = str(self.__cause__ or "").strip().splitlines()
        return f"{self.message} ({said[0]})" if said else self.message


class StorageFailed(Unavailable):
    """The disk or the blob storage failed (an I/O error, a read-only mount): try again."""

    code = "storage_failed"


class NoSpace(Unavailable):
    """The disk is too full to take this: nothing was kept, free space and try again."""

    code = "no_space"
