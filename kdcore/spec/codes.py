"""The error codes of runs, each once: exit, HTTP status, meaning, what to do next."""

from enum import IntEnum, StrEnum
from typing import Self


class Exit(IntEnum):
    """Exit codes of `python -m kdcore run`. Anything else is a death by signal or a bug."""

    OK = 0
    BUG = 1
    BAD_SPEC = 10
    BAD_INPUT = 11
    DIVERGED = 12
    OUT_OF_MEMORY = 13
    INTERRUPTED = 14
    NO_SPACE = 15


class ErrorCode(StrEnum):
    """The base of all catalogues.

    `status`: the HTTP status of a request that is refused with this code, None where none is.
    `meaning` and `next_step` are sentences for people.
    """

    status: int | None
    meaning: str
    next_step: str

    def __new__(cls, code: str, status: int | None, meaning: str, next_step: str) -> Self:
        """A member that is the code's text."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.status, member.meaning, member.next_step = status, meaning, next_step
        return member


class RunCode(ErrorCode):
    """Why a run ended although its spec is sound: files, the machine, the training itself."""

    exit: Exit

    def __new__(
        cls, code: str, exit: Exit, status: int | None, meaning: str, next_step: str
    ) -> Self:
        """A member that is the code's text, with the exit code of its run."""
        member = str.__new__(cls, code)  # an enum's own __new__ cannot be called once it is made
        member._value_ = code
        member.exit, member.status = exit, status
        member.meaning, member.next_step = meaning, next_step
        return member

    NO_FILE = (
        *("no_file", Exit.BAD_INPUT, None),
        "A file that the spec names does not exist.",
        "Check the path; relative paths start at the spec's own folder.",
    )
    BAD_WEIGHTS = (
        *("bad_weights", Exit.BAD_INPUT, 422),
        "The file is not a whole weights file of its format, or holds NaN or infinity.",
        "Save the state_dict() again as safetensors, and upload that.",
    )
    WEIGHTS_MISMATCH = (
        *("weights_mismatch", Exit.BAD_INPUT, 422),
        "The weights belong to another network than the one described.",
        "Correct the architecture, its options, the class count or the input channels.",
    )
    UNSAFE_WEIGHTS = (
        *("unsafe_weights", Exit.BAD_INPUT, None),
        "The weights file could run code when it is opened.",
        "Save the state_dict() alone, best as safetensors.",
    )
    TEACHER_NOT_FINITE = (
        *("teacher_not_finite", Exit.BAD_INPUT, None),
        "The teacher's class scores are NaN or infinite on the held-out images.",
        "Check the teacher's weights and its input mean and std.",
    )
    BAD_DATASET = (
        *("bad_dataset", Exit.BAD_INPUT, None),
        "The dataset's files or arrays are not laid out as they must be.",
        "Correct what the message names.",
    )
    DATASET_TOO_LARGE = (
        *("dataset_too_large", Exit.BAD_INPUT, None),
        "The decoded images take more space than a run may use.",
        "Use smaller or fewer images; `data.image_size` and `data.train_limit` help.",
    )
    BAD_ARCHIVE = (
        *("bad_archive", Exit.BAD_INPUT, 422),
        "The file is not a whole zip archive (npz files are zip archives too).",
        "Pack or save the file again.",
    )
    UNSAFE_ARCHIVE = (
        *("unsafe_archive", Exit.BAD_INPUT, None),
        "The archive holds links, climbing paths, encrypted files or a zip bomb.",
        "Pack the images alone into a new archive.",
    )
    NO_DEVICE = (
        *("no_device", Exit.BAD_INPUT, None),
        "This machine does not have the device.",
        "Choose `auto`, `cpu`, or a GPU that is there.",
    )
    OUT_OF_MEMORY = (
        *("out_of_memory", Exit.OUT_OF_MEMORY, None),
        "The machine or the GPU ran out of memory.",
        "Lower `data.batch_size` (`data.accumulate` keeps the step's size) or the image size.",
    )
    NO_SPACE = (
        *("no_space", Exit.NO_SPACE, 507),
        "A disk is full, or nearly.",
        "Free disk space where the message says, then try again.",
    )
    DIVERGED = (
        *("diverged", Exit.DIVERGED, None),
        "The training loss became NaN or infinite.",
        "Lower the learning rate or the loss weights, or add warm-up epochs.",
    )
    INTERRUPTED = (
        *("interrupted", Exit.INTERRUPTED, None),
        "The run was asked to stop, and wrote a checkpoint.",
        "Start it again with the same spec and folder: it continues there.",
    )
    EXPORT_FAILED = (
        *("export_failed", Exit.BAD_INPUT, None),
        "The student cannot be written in this format.",
        "Remove the format from `export`; `safetensors` works for every network.",
    )
    EXPORT_MISMATCH = (
        *("export_mismatch", Exit.BUG, None),
        "An exported file does not give the student's outputs when it is loaded back.",
        "Report it, with the spec. Removing the format from `export` avoids it.",
    )
    BUG = (
        *("bug", Exit.BUG, None),
        "A fault in Distillery.",
        "Report it, with the end of the run's log.",
    )
