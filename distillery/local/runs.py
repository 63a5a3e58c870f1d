"""A run without a service: lays out the run directory, starts kdcore, follows its events."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from distillery.local.process import ChildProcess
from distillery.sdk.config import child_environment
from distillery.sdk.errors import ClientError, UsageMistake
from distillery.wire.jobspec import pointer_in_spec
from kdcore.spec.events import RUN_EVENT, EndEvent, RunEvent
from kdcore.spec.result import RUN_RESULT, RunResult
from kdcore.spec.run import EVENTS_FILE, LOG_FILE, RESULT_FILE, RUN_SPEC, SPEC_FILE, DistillRun

TICK_S = 0.2
GRACE_S = 60.0


class RunEnded(ClientError):
    """The run did not come to a result."""


def lay_out(run: DistillRun, folder: Path) -> None:
    """Write `folder`/spec.json. Raises UsageMistake when the folder already holds another run."""
    text = RUN_SPEC.dump_json(run, indent=2)
    target = folder / SPEC_FILE
    if target.exists() and target.read_bytes() != text:
        raise UsageMistake(
            f"{folder} holds a run of another spec.", hint="Choose another folder with --out."
        )
    folder.mkdir(parents=True, exist_ok=True)
    target.write_bytes(text)


def result_of(folder: Path) -> RunResult | None:
    """The result that lies in a run directory, if it came to one."""
    path = folder / RESULT_FILE
    return RUN_RESULT.validate_json(path.read_bytes()) if path.exists() else None


def carry_out(folder: Path, on_event: Callable[[RunEvent], object]) -> RunResult:
    """Run it to its end, handing on its events. Ctrl-C: it checkpoints and stops, then
    KeyboardInterrupt.

    Raises RunEnded with the reason when there is no result.
    """
    events = folder / EVENTS_FILE
    events.unlink(missing_ok=True)
    child = ChildProcess(
        "run",
        ["-m", "kdcore", "run", str(folder)],
        folder / LOG_FILE,
        environment=child_environment(),
    )
    tail = _Tail(events)
    child.start()
    try:
        _follow_until_end(child, tail, on_event)
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
    raise _ended(tail.end, child)


def _follow_until_end(
    child: ChildProcess, tail: "_Tail", on_event: Callable[[RunEvent], object]
) -> None:
    running = True
    while running:
        try:
            child.wait(TICK_S)
            running = False
        except subprocess.TimeoutExpired:
            pass
        for event in tail.new():
            on_event(event)


class _Tail:
    """The whole lines that a growing event file has gained."""

    def __init__(self, path: Path):
        self.end: EndEvent | None = None
        self._path = path
        self._read = 0

    def new(self) -> Iterator[RunEvent]:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            event = RUN_EVENT.validate_json(line)
            if isinstance(event, EndEvent):
                self.end = event
            yield event


def _ended(end: EndEvent | None, child: ChildProcess) -> RunEnded:
    log = f"Its log: {child.log}"
    if end is not None and end.code != "ok":
        pointer = pointer_in_spec(end.pointer)
        where = f" at {pointer}" if pointer else ""
        message = f"The run ended ({end.code}{where}): {end.message}"
        return RunEnded(message, hint=f"{end.code.next_step}\n{log}")
    words = "\n".join(f"  {line}" for line in child.last_lines(15))
    return RunEnded(f"The run died (exit code {child.poll()}). Its last words:\n{words}", hint=log)
