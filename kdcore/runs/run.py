"""Runs a run directory: reads DIR/spec.json, writes events, checkpoints and results beside it."""

import errno
import os
import sys
import traceback
from contextlib import suppress
from pathlib import Path

from kdcore.runtime.atomic_write import write_atomically
from kdcore.runtime.distributed import World, join
from kdcore.runtime.errors import RunError
from kdcore.runtime.event_log import EventLog
from kdcore.runtime.signals import Interrupted, StopFlag
from kdcore.runtime.specfile import read_spec
from kdcore.spec.codes import Exit, RunCode
from kdcore.spec.failpoints import failpoint
from kdcore.spec.names import Phase
from kdcore.spec.result import RunResult
from kdcore.spec.run import (
    EVENTS_FILE,
    OUT_DIR,
    RESULT_FILE,
    DistillRun,
    InspectDatasetRun,
    InspectModelRun,
    RunSpec,
)

# In torch's messages on a CPU; on a GPU it raises OutOfMemoryError.
OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "CUDA out of memory")
NO_SPACE = ("No space left on device",)
INTERRUPTED = RunError(RunCode.INTERRUPTED, "stopped as requested; start it again to resume")


def run(folder: Path, stop: StopFlag) -> Exit:
    """Execute DIR/spec.json. Whatever happens, the last event says how the run ended.

    Of several processes that torchrun started, the primary writes events; an error in one ends all.
    """
    world = join()
    stop.single_process = world.size == 1
    events = _open_events(folder, world)
    try:
        events.phase(Phase.PREPARING)
        result = _carry_out(read_spec(folder), folder, events, stop, world)
        if result is not None:
            _write_result(folder, result)
        events.succeed()
    except Interrupted:
        return _give_up(INTERRUPTED, events, world)
    except Exception as error:  # noqa: BLE001 -- the outermost frame: every failure gets a code
        return _give_up(_as_run_error(error), events, world)
    finally:
        with suppress(OSError):  # on a full disk; the exit code still names the error
            events.close()
    return Exit.OK


def _open_events(folder: Path, world: World) -> EventLog:
    if not world.primary:
        return EventLog(Path(os.devnull))
    (folder / RESULT_FILE).unlink(missing_ok=True)
    (folder / OUT_DIR).mkdir(parents=True, exist_ok=True)
    return EventLog(folder / EVENTS_FILE)


def _give_up(error: RunError, events: EventLog, world: World) -> Exit:
    """Report the error that ended the run, whichever process it happened in."""
    if error.exit is Exit.BUG:
        try:
            traceback.print_exc(file=sys.stderr)
        except MemoryError:
            error = _out_of_memory("no memory even for the traceback")
        except OSError:  # for example because the log is on a full disk
            pass
    first = world.first_error(error)
    # The last event may not fit on the disk either; the exit code still names the error.
    with suppress(OSError, MemoryError):
        events.fail(first)
    return first.exit


def _carry_out(
    spec: RunSpec, folder: Path, events: EventLog, stop: StopFlag, world: World
) -> RunResult | None:
    # Imported here since torch takes seconds to import, and the first event should not wait for it.
    if isinstance(spec, DistillRun):
        from kdcore.runs.distill import distill

        return distill(spec, folder, events, stop, world)
    if not world.primary:
        return None
    from kdcore.runs.inspect import inspect_dataset, inspect_model

    events.phase(Phase.VALIDATING)
    if isinstance(spec, InspectModelRun):
        weights = str(folder / spec.weights)
        return inspect_model(spec.model_copy(update={"weights": weights}), folder / OUT_DIR)
    assert isinstance(spec, InspectDatasetRun)
    dataset = spec.dataset.model_copy(update={"path": str(folder / spec.dataset.path)})
    run = spec.model_copy(update={"dataset": dataset})
    return inspect_dataset(run, lambda line: events.log("info", line))


def _write_result(folder: Path, result: RunResult) -> None:
    failpoint("result.writing")
    write_atomically(folder / RESULT_FILE, (result.model_dump_json(indent=2) + "\n").encode())
    failpoint("result.written")


def _as_run_error(error: Exception) -> RunError:
    """Turn any exception into an error with a code and a message for users."""
    if isinstance(error, RunError):
        return error
    text = str(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return _out_of_memory(text)
    if isinstance(error, RuntimeError) and any(message in text for message in OUT_OF_MEMORY):
        return _out_of_memory(text)
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if full or any(message in text for message in NO_SPACE):
        return RunError(
            RunCode.NO_SPACE, "the disk is full; free some space and start the run again"
        )
    return RunError(RunCode.BUG, f"a bug in Distillery: {type(error).__name__}: {text[:500]}")


def _out_of_memory(text: str) -> RunError:
    reason = text.splitlines()[0] if text else "no reason given"
    message = f"out of memory; try a smaller batch size or image size ({reason[:200]})"
    return RunError(RunCode.OUT_OF_MEMORY, message, pointer="/data")
