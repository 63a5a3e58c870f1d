"""Opens the device of a run: threads, precision, and the machine profile that fixes its bits."""

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
        """The context for the forward passes of a training step."""
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.torch.type, _DTYPES[self.precision])

    @property
    def cast(self) -> Dtype | None:
        """The type of autocast's matrix products; None in float32."""
        return _DTYPES.get(self.precision)

    def place(self, network: nn.Module) -> nn.Module:
        """Move a network to the device, channels last."""
        return network.to(self.torch, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def synchronize(self) -> None:
        """Wait until the device has done everything queued."""
        if self.torch.type == "cuda":
            torch.cuda.synchronize(self.torch)

    def profile(self) -> Machine:
        """The machine's profile; on CPUs, runs with equal profiles give equal bits."""
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
    """Set device, threads and precision for this process.

    Of several processes on a host, each takes the GPU with its own number. `auto` precision is bf16
    if the hardware computes it natively, else float32 (emulated bf16 was measured 5 times slower).
    Raises RunError `no_device`, `precision_not_supported`, `device_of_one_process`.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    _keep_large_blocks()
    # Filling new tensors only guards against reading uninitialised memory, and costs time.
    torch.set_deterministic_debug_mode("warn")
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
    """Converts images to channels last, measured 1.8 times faster on CPUs; ends every adapter."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """The same values, cloned: with one channel, `contiguous` cannot tell the formats apart,
        and convolutions would continue in the wrong one."""
        return x_BCHW.clone(memory_format=torch.channels_last)


def _keep_large_blocks() -> None:
    """Make glibc reuse large blocks of memory instead of mapping each again.

    A feature map of 33 MB takes 7 times longer to fault in than to multiply (measured). Without
    glibc this does nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in ((_MMAP_THRESHOLD, 1 << 30), (_TRIM_THRESHOLD, (1 << 31) - 1)):
            mallopt(parameter, value)


def _fix_workspace() -> None:
    """Make cuBLAS choose the same algorithm every time; it reads this variable at its first use."""
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
        message = f"this machine has no device {name!r}; use auto or cpu"
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
