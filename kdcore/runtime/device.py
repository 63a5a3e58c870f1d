"""Where a run computes: device, threads, precision, and the machine profile that fixes its bits."""

import ctypes
import os
import platform
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from kdcore.runtime.distributed import ALONE, World
from kdcore.runtime.errors import RunError
from kdcore.spec.codes import RunCode
from kdcore.spec.recipe import Precision
from kdcore.spec.result import Machine
from kdcore.spec.spec_codes import SpecCode

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's malloc.h

Dtype = torch.dtype
Resolved = Literal["fp32", "bf16", "fp16"]
_DTYPES: dict[Resolved, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Device:
    """A torch device and the precision of training on it. Evaluation is always float32."""

    torch: torch.device
    precision: Resolved
    processes: int = 1

    def autocast(self) -> AbstractContextManager[object]:
        """The context of a training step's forward passes."""
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.torch.type, _DTYPES[self.precision])

    @property
    def cast(self) -> Dtype | None:
        """The type of autocast's matrix products; None without it."""
        return _DTYPES.get(self.precision)

    def synchronize(self) -> None:
        """Wait until everything queued has run."""
        if self.torch.type == "cuda":
            torch.cuda.synchronize(self.torch)

    def profile(self) -> Machine:
        """Runs with equal profiles give equal bits (promised for CPUs)."""
        cuda = self.torch.type == "cuda"
        return Machine(
            torch=torch.__version__,
            device=torch.cuda.get_device_name(self.torch) if cuda else _cpu_name(),
            threads=torch.get_num_threads(),
            precision=self.precision,
            processes=self.processes,
        )


def open_device(
    name: str,
    precision: Precision,
    threads: int | None,
    world: World = ALONE,
) -> Device:
    """Settle device, threads and precision for this process. Of several processes on a host, each
    has the GPU of its own number.

    `auto` precision is bf16 where the hardware has units for it, else float32 (bf16 without them
    was measured 5 times slower). Raises RunError `no_device`, `precision_not_supported`.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    _keep_large_blocks()
    # Without filling, which only guards against reading uninitialised memory and costs time.
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    _fix_workspace()
    device = _find_device(name)
    if world.size > 1 and device.type == "cuda":
        device = _own_device(device, world)
    if precision == "auto":
        return Device(device, "bf16" if _has_bf16(device) else "fp32", world.size)
    if precision == "fp16" and device.type == "cpu":
        raise RunError(
            SpecCode.PRECISION_NOT_SUPPORTED,
            "fp16 needs a GPU: on a CPU choose fp32, or auto",
            pointer="/precision",
        )
    return Device(device, precision, world.size)


class ChannelsLast(nn.Module):
    """Stores images channels last, measured 1.8 times faster on CPUs; the end of every adapter."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """The same values. A clone: with one channel `contiguous` takes either format for the
        other, and convolutions would go on in the wrong one."""
        return x_BCHW.clone(memory_format=torch.channels_last)


def _keep_large_blocks() -> None:
    """Have the C library reuse large blocks of memory instead of mapping each anew: a map of 33 MB
    costs more to fault in than to multiply (7 times, measured). Nothing where there is no glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in ((_MMAP_THRESHOLD, 1 << 30), (_TRIM_THRESHOLD, (1 << 31) - 1)):
            mallopt(parameter, value)


def _fix_workspace() -> None:
    """Have cuBLAS choose the same algorithm every time; it reads this when it first works. Nothing
    is read here, and nothing on a CPU reads it."""
    os.putenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def _find_device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise RunError(
            RunCode.NO_DEVICE, f"no device is called {name!r}", pointer="/device"
        ) from error
    present = device.type == "cuda" and (device.index or 0) < torch.cuda.device_count()
    if device.type != "cpu" and not present:
        message = f"this machine has no device {name!r}"
        raise RunError(RunCode.NO_DEVICE, message, pointer="/device")
    return device


def _own_device(device: torch.device, world: World) -> torch.device:
    if device.index is not None:
        raise RunError(
            SpecCode.DEVICE_OF_ONE_PROCESS,
            f"{device} is one device, but {world.size} processes share the run: leave the number "
            "out, so that each takes its own",
            pointer="/device",
        )
    own = _find_device(f"cuda:{world.local_rank}")
    torch.cuda.set_device(own)
    return own


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def _cpu_name() -> str:
    capabilities = torch.cpu.get_capabilities()
    return str(capabilities.get("cpu_name") or platform.processor() or platform.machine())
