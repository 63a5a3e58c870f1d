"""Runs a spec without a service: lays out the run directory, starts kdcore, follows its events."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from distillery.local.process import ChildProcess
from distillery.sdk.config import child_environment
from distillery.sdk.errors import ClientError, UsageMistake
from distillery.wire.jobspec import pointer_in_spec
from kdcore.spec.events import RUN_EVENT, EndEvent, RunEvent
from kdcore.spec.result import RUN_RESULT, RunResult
from kdcore.spec.run import EVENTS_FILE, LOG_FILE, RESULT_FILE, RUN_SPEC, SPEC_FILE, DistillRun
from kdcore.spec.tail import read_lines

TICK_S = 0.2
GRACE_S = 60.0


class RunEnded(ClientError):
    """The run ended without a result."""


def lay_out(run: DistillRun, folder: Path) -> None:
    """Write `folder`/spec.json. Raises UsageMistake if the folder contains another run."""
    text = RUN_SPEC.dump_json(run, indent=2)
    target = folder / SPEC_FILE
    if target.exists() and target.read_bytes() != text:
        raise UsageMistake(
            f"{folder} contains a run of another spec.", hint="Choose another directory with --out."
        )
    folder.mkdir(parents=True, exist_ok=True)
    target.write_bytes(text)


def result_of(folder: Path) -> RunResult | None:
    """The result in a run directory, or None if there is none."""
    path = folder / RESULT_FILE
    return RUN_RESULT.validate_json(path.read_bytes()) if path.exists() else None


def carry_out(folder: Path, on_event: Callable[[RunEvent], object]) -> RunResult:
    """Run `folder` to its end, calling `on_event` with each event.

    On Ctrl-C the run writes a checkpoint and exits, and KeyboardInterrupt is raised. Without a
    result, raises RunEnded with the reason.
    """
    events = folder / EVENTS_FILE
    events.unlink(missing_ok=True)
    child = ChildProcess(
        "run",
        ["-m", "kdcore", "run", str(folder)],
        folder / LOG_FILE,
        environment=child_environment(),
    )
    child.start()
    end: EndEvent | None = None
    try:
        for event in _events_until_end(child, events):
            on_event(event)
            end = event if isinstance(event, EndEvent) else end
    except KeyboardInterrupt:
        child.terminate()
        try:
            child.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            child.kill()
        raise
    finally:
        child.kill()
    result = result_of(folder)
    if child.poll() == 0 and result is not None:
        return result
    raise _ended(end, child)


def _events_until_end(child: ChildProcess, path: Path) -> Iterator[RunEvent]:
    """Yield the events of a run as it writes them, until it has ended and all are read."""
    offset, is_running, is_full = 0, True, False
    while is_running or is_full:
        if not is_full:
            with suppress(subprocess.TimeoutExpired):
                child.wait(TICK_S)
                is_running = False
        if path.exists():
            with path.open("rb") as file:
                lines, offset, is_full = read_lines(file, offset)
            yield from map(RUN_EVENT.validate_json, lines)


def _ended(end: EndEvent | None, child: ChildProcess) -> RunEnded:
    log = f"Full log: {child.log}"
    if end is not None and end.code != "ok":
        pointer = pointer_in_spec(end.pointer)
        where = f" at {pointer}" if pointer else ""
        message = f"The run failed ({end.code}{where}): {end.message}"
        return RunEnded(message, hint=f"{end.code.next_step}\n{log}")
    lines = "\n".join(f"  {line}" for line in child.last_lines(15))
    message = f"The run exited with code {child.poll()}. Last log lines:\n{lines}"
    return RunEnded(message, hint=log)
