"""The error codes of jobs that a run cannot report itself, each once, and why jobs wait."""

from enum import StrEnum

from kdcore.spec.codes import ErrorCode


class JobCode(ErrorCode):
    """Why a worker or the service ended an attempt, a job or an inspection."""

    CANCELLED = (
        *("cancelled", None),
        "The inspection was cancelled.",
        "Retry the inspection's job, or upload the file again.",
    )
    WALL_CLOCK = (
        *("wall_clock", None),
        "The attempt ran longer than `limits.wall_clock_s`.",
        "Raise `limits.wall_clock_s`, or ask for fewer epochs.",
    )
    STALLED = (
        *("stalled", None),
        "The run wrote nothing for longer than KD_STALL_S.",
        "Look at the load of the worker's machine, then retry: it continues from its checkpoint.",
    )
    TOO_MUCH_OUTPUT = (
        *("too_much_output", None),
        "The run wrote more than KD_RUN_OUTPUT_BYTES.",
        "Look at the end of its log.",
    )
    KILLED = (
        *("killed", None),
        "A signal killed the run.",
        "Look at the worker's memory and log, then retry: it continues from its checkpoint.",
    )
    WORKER_LOST = (
        *("worker_lost", None),
        "The worker's machine or process died.",
        "Nothing: another attempt starts by itself.",
    )
    WORKER_FAILED = (
        *("worker_failed", None),
        "The worker could not carry the attempt out.",
        "Look at the worker's log, then retry.",
    )
    POISON = (
        *("poison", None),
        "As many attempts as `limits.attempts` allows have died.",
        "Look at the worker's memory and log before you retry.",
    )
    BAD_RESULT = (
        *("bad_result", None),
        "The run's result.json is not a result.",
        "Report it, with the end of the run's log.",
    )
    BAD_ARTIFACT = (
        *("bad_artifact", None),
        "A file that the run made is not what its result says.",
        "Retry; report it if it happens again.",
    )
    UNSAFE_ARTIFACT = (
        *("unsafe_artifact", None),
        "The run's result names a file outside of its directory, or not a regular file.",
        "Report it, with the end of the run's log.",
    )
    BLOB_DAMAGED = (
        *("blob_damaged", None),
        "A file in storage does not have its hash any more.",
        "Check the storage with `python -m distillery.store check --hashes`; restore a backup.",
    )
    BLOB_MISSING = (
        *("blob_missing", 404),
        "A file is missing from storage.",
        "Check the storage with `python -m distillery.store check`; restore a backup.",
    )


class WaitReason(StrEnum):
    """Why a job does not go on; `next_step` is None where waiting is all there is to do."""

    meaning: str
    next_step: str | None

    def __new__(cls, reason: str, meaning: str, next_step: str | None) -> "WaitReason":
        """A member that is the reason's text."""
        member = str.__new__(cls, reason)
        member._value_ = reason
        member.meaning, member.next_step = meaning, next_step
        return member

    BACKOFF = (
        "backoff",
        "An attempt died, and the pause before the next one is not over.",
        None,
    )
    NO_WORKER = (
        "no_worker",
        "No worker is running.",
        "Start one: `kd up`, or `python -m distillery.worker jobs` beside a server.",
    )
    DISK_LOW = (
        "disk_low",
        "Every worker is short of disk space.",
        "Free disk space on the worker's machine; the job then starts by itself.",
    )
    CAPACITY = (
        "capacity",
        "Other jobs hold every slot.",
        None,
    )
    REAPER_LATE = (
        "reaper_late",
        "The job's worker is gone, and no reaper has put the job back into the queue.",
        "Start the reaper: `python -m distillery.worker reaper`.",
    )
