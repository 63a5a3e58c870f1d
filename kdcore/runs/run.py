"""Runs a run directory: DIR/spec.json in; events, checkpoints and results out; an exit code."""

import errno
import os
import sys
import traceback
from contextlib import suppress
from pathlib import Path

from kdcore.runtime.distributed import World, join
from kdcore.runtime.errors import RunError
from kdcore.runtime.event_log import EventLog
from kdcore.runtime.signals import Interrupted, Stop
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

# torch's own words on a CPU; on a GPU it raises OutOfMemoryError.
OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "CUDA out of memory")
NO_SPACE = ("No space left on device",)
INTERRUPTED = RunError(RunCode.INTERRUPTED, "stopped as asked; it can be resumed")


def run(folder: Path, stop: Stop) -> Exit:
    """Do what DIR/spec.json asks. Whatever happens, the last event says how it ended.

    Of several processes that torchrun started, the primary speaks; what ends one ends all.
    """
    world = join()
    stop.alone = world.size == 1
    events = _open_events(folder, world)
    try:
        events.phase(Phase.PREPARING)
        result = _carry_out(read_spec(folder), folder, events, stop, world)
        if result is not None:
            _write_result(folder, result)
        events.succeed()
    except Interrupted:
        return _give_up(INTERRUPTED, events, world)
    except Exception as error:  # noqa: BLE001 -- the outermost seam: every death is named
        return _give_up(_name(error), events, world)
    finally:
        with suppress(OSError):  # what a full disk did not take was told by the exit code
            events.close()
    return Exit.OK


def _open_events(folder: Path, world: World) -> EventLog:
    if not world.primary:
        return EventLog(Path(os.devnull))
    (folder / RESULT_FILE).unlink(missing_ok=True)
    (folder / OUT_DIR).mkdir(parents=True, exist_ok=True)
    return EventLog(folder / EVENTS_FILE)


def _give_up(error: RunError, events: EventLog, world: World) -> Exit:
    """Say what ended the run, of all processes."""
    if error.exit is Exit.BUG:
        try:
            traceback.print_exc(file=sys.stderr)
        except MemoryError:
            error = _out_of_memory("not even to say where")
        except OSError:  # the log is on a full disk, say
            pass
    named = world.first(error)
    # The last event may not fit either: the exit code still tells why.
    with suppress(OSError, MemoryError):
        events.fail(named)
    return named.exit


def _carry_out(
    spec: RunSpec, folder: Path, events: EventLog, stop: Stop, world: World
) -> RunResult | None:
    # torch and its friends take seconds to import: the first event is out by now.
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
    from kdcore.runs.distill import write_whole

    failpoint("result.writing")
    write_whole(folder / RESULT_FILE, result.model_dump_json(indent=2) + "\n")
    failpoint("result.written")


def _name(error: Exception) -> RunError:
    """The error as a user should read it."""
    if isinstance(error, RunError):
        return error
    text = str(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return _out_of_memory(text)
    if isinstance(error, RuntimeError) and any(words in text for words in OUT_OF_MEMORY):
        return _out_of_memory(text)
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if full or any(words in text for words in NO_SPACE):
        return RunError(RunCode.NO_SPACE, "the disk is full")
    return RunError(RunCode.BUG, f"a fault in Distillery: {type(error).__name__}: {text[:500]}")


def _out_of_memory(text: str) -> RunError:
    first = text.splitlines()[0] if text else "no more memory"
    message = f"out of memory; a smaller batch size or image size needs less ({first[:200]})"
    return RunError(RunCode.OUT_OF_MEMORY, message, pointer="/data")
