"""A run that does what its input file tells it: well-behaved, slow, or hostile. Stands where
`python -m kdcore run` stands, so the worker's side meets every kind of child."""

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
    """One run of the script in its one input, a JSON object."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.out = directory / "out"
        [told] = (directory / "inputs").iterdir()
        self.script: dict[str, Any] = json.loads(told.read_text())
        self.seq = 0
        self.stopped = False
        deaf = self.script.get("deaf", False)
        signal.signal(signal.SIGTERM, signal.SIG_IGN if deaf else self._stop)

    def _stop(self, *_: object) -> None:
        self.stopped = True

    def say(self, kind: str, **fields: Any) -> None:
        """One event, flushed."""
        self.seq += 1
        event = {"seq": self.seq, "at": time.time(), "kind": kind, **fields}
        with (self.directory / "events.jsonl").open("a") as file:
            file.write(json.dumps(event) + "\n")

    def end(self, status: int, **fields: Any) -> int:
        """The last event, and the exit code."""
        self.say("end", **{"exit": "X", "code": "ok", "message": "done"} | fields)
        return status

    def resume(self) -> int:
        """The step of the newest checkpoint, or 0."""
        steps = [int(path.name) for path in (self.directory / "checkpoints").iterdir()]
        return max(steps, default=0)

    def checkpoint(self, step: int) -> None:
        """Leave a checkpoint."""
        folder = self.directory / "checkpoints" / f"{step:08d}"
        folder.mkdir()
        (folder / "state.json").write_text(str(step))

    def work(self) -> int:
        """Count steps from the last checkpoint, then leave a result."""
        (self.directory / "env.json").write_text(json.dumps(dict(os.environ)))
        (self.directory / "pid").write_text(str(os.getpid()))
        self.say("phase", phase="training")
        time.sleep(self.script.get("hang", 0))
        step = start = self.resume()
        if start and "resumed_exit" in self.script:
            self.say("metrics", step=start, values={"start": start})
            return self.end(self.script["resumed_exit"], code="odd", message="resumed")
        while step < self.script.get("steps", 0):
            step += 1
            time.sleep(STEP_S)
            self.say("metrics", step=step, values={"student/loss": 1 / step, "start": start})
            if self.stopped:
                self.checkpoint(step)
                return self.end(14, code="interrupted", message="stopped")
        self.rave()
        self.spill()
        time.sleep(self.script.get("hang_at_end", 0))
        sys.stderr.write("the last words \0\x1b[31m\n")
        if "signal" in self.script:
            os.kill(os.getpid(), self.script["signal"])
        if "exit" in self.script:
            return self.end(self.script["exit"], **self.script.get("end", {}))
        self.leave_result()
        return self.end(0)

    def rave(self) -> None:
        """What no event is, as bytes in hexadecimal."""
        with (self.directory / "events.jsonl").open("ab") as file:
            for line in self.script.get("raw", []):
                file.write(bytes.fromhex(line) + b"\n")

    def spill(self) -> None:
        """So many numbered lines of the log, or bytes of events, for as long as it may live."""
        for number in range(self.script.get("lines", 0)):
            sys.stderr.write(f"line {number} {'.' * 80}\n")
        with (self.directory / "events.jsonl").open("ab") as file:
            for _ in range(self.script.get("spilt_mb", 0)):
                file.write(b"x" * (1 << 20) + b"\n")
                file.flush()
                time.sleep(0.01)

    def leave_result(self) -> None:
        """result.json as an inspection's, with the script's changes."""
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
            self.leave_model(self.script["model"])

    def leave_model(self, way: str) -> None:
        """The result of an inspected model, honest or not."""
        data = b"weights"
        path = self.out / "weights.safetensors"
        named = "weights.safetensors"
        if way == "symlink":
            path.symlink_to("/etc/hostname")
            data = Path("/etc/hostname").read_bytes()
        elif way == "folder_link":
            (self.out / "folder").symlink_to("/etc")
            named, data = "folder/hostname", Path("/etc/hostname").read_bytes()
        elif way == "outside":
            named, data = "../events.jsonl", (self.directory / "events.jsonl").read_bytes()
        elif way == "pipe":
            os.mkfifo(path)
        else:
            path.write_bytes(b"changed" if way == "changed" else data)
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
    """Wait as `python -m kdcore wait` does; the directory it is told, which is empty at the end."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    return sys.stdin.readline().strip()


if __name__ == "__main__":
    told = wait() if sys.argv[1] == "wait" else sys.argv[2]
    sys.exit(OddRun(Path(told)).work() if told else 0)
