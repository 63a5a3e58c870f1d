"""A run without a service: lays out the run directory, starts kdcore, follows its events."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from distillery.local.process import ChildProcess
from distillery.sdk.config import child_environment
from distillery.sdk.errors import ClientError, UsageMistake
from kdcore.spec.events import RUN_EVENT, EndEvent, RunEvent
from kdcore.spec.result import RUN_RESULT, RunResult
from kdcore.spec.run import EVENTS_FILE, LOG_FILE, RESULT_FILE, RUN_SPEC, SPEC_FILE, RunSpec

TICK_S = 0.2
GRACE_S = 60.0


class RunEnded(ClientError):
    """The run did not come to a result."""


def lay_out(spec_path: Path, folder: Path) -> RunSpec:
    """Write `folder`/spec.json from a spec whose paths are relative to the spec's own folder.

    Raises UsageMistake for a bad spec, or when the folder already holds another one.
    """
    try:
        raw = _absolute(json.loads(spec_path.read_text()), spec_path.resolve().parent)
        spec = RUN_SPEC.validate_python(raw)
    except ValidationError as error:
        lines = [f"  /{'/'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise UsageMistake(f"{spec_path} is no run's spec:\n" + "\n".join(lines)) from error
    except ValueError as error:
        raise UsageMistake(f"{spec_path} is not JSON: {error}") from error
    text = RUN_SPEC.dump_json(spec, indent=2)
    target = folder / SPEC_FILE
    if target.exists() and target.read_bytes() != text:
        raise UsageMistake(
            f"{folder} holds a run of another spec.", hint="Choose another folder with --out."
        )
    folder.mkdir(parents=True, exist_ok=True)
    target.write_bytes(text)
    return spec


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
    hint = f"Its log: {child.log}"
    if end is not None:
        where = f" at {end.pointer}" if end.pointer else ""
        return RunEnded(f"The run ended ({end.code}{where}): {end.message}", hint=hint)
    words = "\n".join(f"  {line}" for line in child.last_lines(15))
    return RunEnded(f"The run died (exit code {child.poll()}). Its last words:\n{words}", hint=hint)


def _absolute(spec: Any, base: Path) -> Any:
    """The spec with every path made absolute; what is not shaped as a spec is left as it is."""
    if isinstance(spec, list):
        return [_absolute(part, base) for part in spec]
    if not isinstance(spec, dict):
        return spec
    return {
        key: str(base / value)
        if key in ("weights", "initial_weights", "path") and isinstance(value, str)
        else _absolute(value, base)
        for key, value in spec.items()
    }
