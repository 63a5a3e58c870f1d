"""Device slots: which GPUs there are, without torch, and which of them are free."""

import os
import queue
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DeviceSlot:
    """A place where one run at a time may work: a GPU, or a share of the CPU."""

    gpu: str | None
    threads: int

    @property
    def device(self) -> str:
        """What the run is told; it sees one GPU at most."""
        return "cuda" if self.gpu is not None else "cpu"

    def environment(self) -> dict[str, str]:
        """What makes the run see this slot's device alone."""
        return {"CUDA_VISIBLE_DEVICES": self.gpu or ""}


class DeviceSlots:
    """The slots of one worker. Threads take and give them back."""

    def __init__(self, slots: list[DeviceSlot]):
        self._free: queue.SimpleQueue[DeviceSlot] = queue.SimpleQueue()
        self.count = len(slots)
        for slot in slots:
            self._free.put(slot)

    def take(self) -> DeviceSlot | None:
        """A free slot, or none; never waits."""
        try:
            return self._free.get_nowait()
        except queue.Empty:
            return None

    def give(self, slot: DeviceSlot) -> None:
        """Hand a slot back."""
        self._free.put(slot)

    @property
    def free(self) -> int:
        """How many slots are free at this moment."""
        return self._free.qsize()


def find_gpus(told: str | None) -> list[str]:
    """The GPUs this worker may use, as CUDA_VISIBLE_DEVICES names them.

    `told`, a list of that kind, rules (empty: none); without it nvidia-smi's UUIDs, which stay the
    same whatever order CUDA counts in; then the device nodes.
    """
    if told is not None:
        return [name.strip() for name in told.split(",") if name.strip() not in ("", "-1")]
    smi = shutil.which("nvidia-smi")
    if smi is not None:
        command = [smi, "--query-gpu=uuid", "--format=csv,noheader"]
        answer = subprocess.run(  # noqa: S603  (a fixed command)
            command, capture_output=True, text=True, timeout=60, check=False
        )
        if answer.returncode == 0:
            return [line.strip() for line in answer.stdout.splitlines() if line.strip()]
    nodes = Path("/dev").glob("nvidia[0-9]*")
    return sorted((node.name.removeprefix("nvidia") for node in nodes), key=int)


def make_slots(gpus: list[str], count: int | None, threads: int | None) -> list[DeviceSlot]:
    """One slot per GPU, or one on the CPU; `count` asks for another number. More slots than GPUs
    share them in turn. `threads`: CPU threads of each; none: the CPUs divided by the slots."""
    number = count or max(1, len(gpus))
    share = threads or max(1, len(os.sched_getaffinity(0)) // number)
    return [DeviceSlot(gpus[i % len(gpus)] if gpus else None, share) for i in range(number)]
