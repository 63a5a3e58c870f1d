"""A run that follows the script in its input file: well-behaved, slow, or hostile.

Takes the place of `python -m kdcore run`, so that the worker meets every kind of child.
"""

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

STEP_S = 0.05


class OddRun:
    """Runs the script, a JSON object, in the only input of a run directory."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.out = directory / "out"
        [path] = (directory / "inputs").iterdir()
        self.script: dict[str, Any] = json.loads(path.read_text())
        self.seq = 0
        self.stopped = False
        ignores = self.script.get("ignore_sigterm", False)
        signal.signal(signal.SIGTERM, signal.SIG_IGN if ignores else self._stop)

    def _stop(self, *_: object) -> None:
        self.stopped = True

    def emit(self, kind: str, **fields: Any) -> None:
        """Write one event."""
        self.seq += 1
        event = {"seq": self.seq, "at": time.time(), "kind": kind, **fields}
        with (self.directory / "events.jsonl").open("a") as file:
            file.write(json.dumps(event) + "\n")

    def end(self, status: int, **fields: Any) -> int:
        """Write the last event and return the exit code."""
        self.emit("end", **{"exit": "X", "code": "ok", "message": "done"} | fields)
        return status

    def resume(self) -> int:
        """The step of the newest checkpoint, or 0."""
        steps = [int(path.name) for path in (self.directory / "checkpoints").iterdir()]
        return max(steps, default=0)

    def checkpoint(self, step: int) -> None:
        """Write a checkpoint."""
        folder = self.directory / "checkpoints" / f"{step:08d}"
        folder.mkdir()
        (folder / "state.json").write_text(str(step))

    def work(self) -> int:
        """Count steps from the last checkpoint, then write a result; returns the exit code."""
        (self.directory / "env.json").write_text(json.dumps(dict(os.environ)))
        (self.directory / "pid").write_text(str(os.getpid()))
        self.emit("phase", phase="training")
        time.sleep(self.script.get("hang", 0))
        step = start = self.resume()
        if start and "resumed_exit" in self.script:
            self.emit("metrics", step=start, values={"start": start})
            return self.end(self.script["resumed_exit"], code="odd", message="resumed")
        while step < self.script.get("steps", 0):
            step += 1
            time.sleep(STEP_S)
            self.emit("metrics", step=step, values={"student/loss": 1 / step, "start": start})
            if self.stopped:
                self.checkpoint(step)
                return self.end(14, code="interrupted", message="stopped")
        self.write_raw()
        self.flood()
        time.sleep(self.script.get("hang_at_end", 0))
        sys.stderr.write("the last line \0\x1b[31m\n")
        if "signal" in self.script:
            os.kill(os.getpid(), self.script["signal"])
        if "exit" in self.script:
            return self.end(self.script["exit"], **self.script.get("end", {}))
        self.write_result()
        return self.end(0)

    def write_raw(self) -> None:
        """Write lines that need not be events, given in hexadecimal."""
        with (self.directory / "events.jsonl").open("ab") as file:
            for line in self.script.get("raw", []):
                file.write(bytes.fromhex(line) + b"\n")

    def flood(self) -> None:
        """Write many log lines, or megabytes of events."""
        for number in range(self.script.get("lines", 0)):
            sys.stderr.write(f"line {number} {'.' * 80}\n")
        with (self.directory / "events.jsonl").open("ab") as file:
            for _ in range(self.script.get("events_mb", 0)):
                file.write(b"x" * (1 << 20) + b"\n")
                file.flush()
                time.sleep(0.01)

    def write_result(self) -> None:
        """Write the result.json of an inspection, with the script's changes."""
        result = {
            "task": "inspect_dataset",
            "train": 3,
            "test": 1,
            "labelled": True,
            "num_classes": 2,
            "class_names": ["a", "b"],
            "channels": 1,
            "height": 8,
            "width": 8,
            "uniform": True,
        }
        (self.out / "result.json").write_text(json.dumps(result | self.script.get("result", {})))
        if "model" in self.script:
            self.write_model(self.script["model"])

    def write_model(self, kind: str) -> None:
        """Write the result of an inspected model: valid, or one of the unsafe kinds."""
        data = b"weights"
        path = self.out / "weights.safetensors"
        named = "weights.safetensors"
        if kind == "symlink":
            path.symlink_to("/etc/hostname")
            data = Path("/etc/hostname").read_bytes()
        elif kind == "folder_link":
            (self.out / "folder").symlink_to("/etc")
            named, data = "folder/hostname", Path("/etc/hostname").read_bytes()
        elif kind == "outside":
            named, data = "../events.jsonl", (self.directory / "events.jsonl").read_bytes()
        elif kind == "pipe":
            os.mkfifo(path)
        else:
            path.write_bytes(b"changed" if kind == "changed" else data)
        artifact = {
            "kind": "weights",
            "path": named,
            "media_type": "application/octet-stream",
            "size_bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        result = {
            "task": "inspect_model",
            "network": {"architecture": "resnet8", "num_classes": 2},
            "parameters": 7,
            "modules": ["relu"],
            "artifacts": [artifact],
        }
        (self.out / "result.json").write_text(json.dumps(result))


def wait() -> str:
    """Wait as `python -m kdcore warm` does; returns the directory, empty if stdin was closed."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    return sys.stdin.readline().strip()


if __name__ == "__main__":
    directory = wait() if sys.argv[1] == "warm" else sys.argv[2]
    sys.exit(OddRun(Path(directory)).work() if directory else 0)
