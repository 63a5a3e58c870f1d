"""A cheap replacement for `python -m kdcore`, for faults that do not concern kdcore.

Its weights are a chain of hashes with one link per step, so a lost or repeated step changes the
result. It imports very little, to start fast.
"""

import hashlib
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

from kdcore.spec.failpoints import arm, failpoint

STEP_S = 0.01
STEPS_PER_EPOCH = 9  # as in kdcore's run of the tiny job
INTERRUPTED = 14


class StandIn:
    """Runs one run directory."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.spec: dict[str, Any] = json.loads((folder / "spec.json").read_text())
        self.seq = 0
        self.stopped = False
        signal.signal(signal.SIGTERM, self._stop)

    def _stop(self, *_: object) -> None:
        self.stopped = True

    def emit(self, kind: str, **fields: Any) -> None:
        """Write one event."""
        self.seq += 1
        event = {"seq": self.seq, "at": time.time(), "kind": kind, **fields}
        with (self.folder / "events.jsonl").open("a") as file:
            file.write(json.dumps(event) + "\n")

    def end(self, status: int, name: str, code: str) -> int:
        """Write the last event and return the exit code."""
        self.emit("end", exit=name, code=code, message=code)
        return status

    def work(self) -> int:
        """Inspect, or make the remaining steps; returns the exit code."""
        self.emit("phase", phase="preparing")
        if self.spec["task"] != "distill":
            self.write_result(_inspected())
            return self.end(0, "OK", "ok")
        epochs = sum(stage["epochs"] for stage in self.spec["stages"])
        steps = epochs * STEPS_PER_EPOCH
        step, state = self.resume()
        resumes = int(step > 0)
        self.emit("phase", phase="training")
        while step < steps:
            step += 1
            state = _link(state, step)
            time.sleep(STEP_S)
            if step % STEPS_PER_EPOCH == 0:
                self.emit("metrics", step=step, values={"student/loss": 1 / step})
            failpoint("step.made")
            self.checkpoint(step, state)
            if self.stopped:
                return self.end(INTERRUPTED, "INTERRUPTED", "interrupted")
        self.write_result(self.distilled(state, resumes))
        return self.end(0, "OK", "ok")

    def resume(self) -> tuple[int, str]:
        """Read the step and the state of the newest checkpoint."""
        found = sorted(p for p in (self.folder / "checkpoints").iterdir() if p.name.isdigit())
        if not found:
            return 0, ""
        return int(found[-1].name), (found[-1] / "state").read_text()

    def checkpoint(self, step: int, state: str) -> None:
        """Write a checkpoint atomically, and keep the one before it."""
        folder = self.folder / "checkpoints"
        writing = folder / f".writing-{step}"
        writing.mkdir()
        (writing / "state").write_text(state)
        writing.rename(folder / f"{step:08d}")
        for old in sorted(p for p in folder.iterdir() if p.name.isdigit())[:-2]:
            shutil.rmtree(old)
        self.emit("checkpoint", arm="student", step=step, path=f"checkpoints/{step:08d}")

    def distilled(self, state: str, resumes: int) -> dict[str, Any]:
        """Write the weights of a distillation; returns its result."""
        weights = state.encode()
        (self.folder / "out" / "student.safetensors").write_bytes(weights)
        score = {"accuracy": 0.5, "loss": 1.0, "samples": 1}
        student = {
            "name": "student",
            "architecture": "resnet8",
            "parameters": 1,
            "size_bytes": len(weights),
            "latency_ms": 1.0,
            "last": score,
        }
        artifact = {
            "kind": "weights",
            "path": "student.safetensors",
            "media_type": "application/octet-stream",
            "size_bytes": len(weights),
            "sha256": hashlib.sha256(weights).hexdigest(),
        }
        return {
            "task": "distill",
            "split": "test",
            "teachers": [],
            "student": student,
            "baseline": None,
            "gain": None,
            "retention": None,
            "gap_closed": None,
            "network": {"architecture": "resnet8", "num_classes": 4},
            "artifacts": [artifact],
            "machine": {"torch": "none", "device": "cpu", "threads": 1, "precision": "fp32"},
            "bit_exact": True,
            "resumes": resumes,
            "seconds": {},
        }

    def write_result(self, result: dict[str, Any]) -> None:
        """Write result.json."""
        (self.folder / "out" / "result.json").write_text(json.dumps(result))


def _link(state: str, step: int) -> str:
    return hashlib.sha256(f"{state} {step}".encode()).hexdigest()


def _inspected() -> dict[str, Any]:
    return {
        "task": "inspect_dataset",
        "train": 320,
        "test": 80,
        "labelled": True,
        "num_classes": 4,
        "class_names": ["a", "b", "c", "d"],
        "channels": 1,
        "height": 16,
        "width": 16,
        "uniform": True,
    }


def wait() -> str:
    """Wait as `python -m kdcore warm` does; returns the directory, empty if stdin was closed."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    return sys.stdin.readline().strip()


if __name__ == "__main__":
    if "--failpoint" in sys.argv:
        arm(sys.argv[sys.argv.index("--failpoint") + 1])
    directory = wait() if "warm" in sys.argv else sys.argv[-1]
    sys.exit(StandIn(Path(directory)).work() if directory else os.EX_OK)
