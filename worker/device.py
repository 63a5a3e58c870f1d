"""Device slots: finds the GPUs, without torch, and tracks which slots are free."""

import os
import queue
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DeviceSlot:
    """Runs one job at a time on a GPU or a share of the CPUs."""

    gpu: str | None
    threads: int

    @property
    def device(self) -> str:
        """The device named in the run's spec, without an index: a run sees one GPU at most."""
        return "cuda" if self.gpu is not None else "cpu"

    def environment(self) -> dict[str, str]:
        """The variables that restrict a run to this slot's device."""
        return {"CUDA_VISIBLE_DEVICES": self.gpu or ""}


class DeviceSlots:
    """The slots of one worker. Thread-safe."""

    def __init__(self, slots: list[DeviceSlot]):
        self._free: queue.SimpleQueue[DeviceSlot] = queue.SimpleQueue()
        self.count = len(slots)
        for slot in slots:
            self._free.put(slot)

    def acquire(self) -> DeviceSlot | None:
        """Take a free slot, or return None immediately if there is none."""
        try:
            return self._free.get_nowait()
        except queue.Empty:
            return None

    def release(self, slot: DeviceSlot) -> None:
        """Return a slot."""
        self._free.put(slot)

    @property
    def free(self) -> int:
        """The number of free slots at this moment."""
        return self._free.qsize()


def find_gpus(visible: str | None) -> list[str]:
    """List the GPUs this worker may use, in the form of CUDA_VISIBLE_DEVICES.

    `visible`, that variable's value, decides if it is set (empty: use none). Otherwise they are
    nvidia-smi's UUIDs, which do not depend on CUDA's device order, or else the device nodes.
    """
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1")]
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
    """Make `count` slots; by default one per GPU, or one on the CPU.

    More slots than GPUs share the GPUs in turn. `threads`: CPU threads of each slot; by default the
    available CPUs divided by the slots.
    """
    number = count or max(1, len(gpus))
    share = threads or max(1, len(os.sched_getaffinity(0)) // number)
    return [DeviceSlot(gpus[i % len(gpus)] if gpus else None, share) for i in range(number)]
