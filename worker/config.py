"""Settings of the worker and the reaper, read from KD_* variables."""

import os
from pathlib import Path

from pydantic import Field, model_validator

from distillery.store.config import MIN_FREE, Retention

# The variables that a run inherits from its worker. None of them holds a credential.
INHERITED = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "LD_LIBRARY_PATH",
    "CUDA_HOME",
    "CUDA_DEVICE_ORDER",
    "NVIDIA_VISIBLE_DEVICES",
    "NVIDIA_DRIVER_CAPABILITIES",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF",
)


def inherited_environment() -> dict[str, str]:
    """The variables of this process that a run inherits."""
    return {name: os.environ[name] for name in INHERITED if name in os.environ}


class WorkerSettings(Retention):
    """How a worker runs jobs and how the reaper checks on it. Durations are in seconds."""

    home: Path = Field(Path(".kd"), description="Directory of everything kept on local disk.")
    run_dir: Path | None = Field(
        None, description="Directory of run directories. Default: KD_HOME/runs."
    )
    pack_dir: Path | None = Field(
        None,
        description="Directory of decoded datasets, shared by all runs. Default: KD_HOME/packs.",
    )
    slots: int | None = Field(
        None,
        ge=1,
        le=64,
        description="Number of jobs to run concurrently. Default: one per GPU, or one on the CPU.",
    )
    gpus: str | None = Field(
        None,
        validation_alias="CUDA_VISIBLE_DEVICES",
        description="GPUs to use, by index or UUID; empty: use the CPU. Default: all GPUs.",
    )
    threads: int | None = Field(
        None,
        ge=1,
        description="CPU threads per run. Default: the available CPUs divided by the slots.",
    )
    warm: bool = Field(
        True,
        description="Keep one process per free slot with torch imported, to start jobs faster.",
    )
    lease_s: float = Field(
        60.0, gt=0, description="A job whose lease was not renewed for this long is requeued."
    )
    heartbeat_s: float = Field(
        10.0,
        gt=0,
        description="Interval between lease renewals, and between heartbeats of the worker.",
    )
    tick_s: float = Field(
        1.0, gt=0, description="Interval between checks for new events and for cancel or pause."
    )
    poll_s: float = Field(
        3.0, gt=0, description="Interval between checks for jobs whose notification was lost."
    )
    reaper_s: float = Field(5.0, gt=0, description="Interval between reaper passes.")
    grace_s: float = Field(
        20.0, ge=0, description="Time a run has to checkpoint between SIGTERM and SIGKILL."
    )
    stall_s: float = Field(
        1800.0, gt=0, description="A run that writes no event for this long is killed."
    )
    teacher_cache_bytes: int = Field(
        10 * 2**30,
        ge=0,
        description="Teacher outputs kept per tenant for later jobs; the least recently used are "
        "deleted first. 0: keep none.",
    )
    min_free_bytes: int = Field(512 * 2**20, ge=0, description=MIN_FREE)
    run_log_bytes: int = Field(
        16 * 2**20,
        ge=1 << 16,
        description="Longest log kept of a run; the middle of a longer one is cut out.",
    )
    metrics_port: int | None = Field(
        None,
        ge=1,
        le=65_535,
        description="Port to serve the worker's metrics on. Default: they are not served.",
    )
    metrics_host: str = Field("127.0.0.1", description="Address to serve the metrics on.")
    run_output_bytes: int = Field(
        2**30,
        ge=1 << 16,
        description="A run that writes more than this to its log or its events is killed.",
    )

    @model_validator(mode="after")
    def _heartbeats_fit_the_lease(self) -> "WorkerSettings":
        # A worker stops a run half a lease after the last renewal: two attempts must fit into that.
        if self.heartbeat_s * 4 > self.lease_s:
            raise ValueError("KD_LEASE_S must be at least four times KD_HEARTBEAT_S")
        return self

    @property
    def runs(self) -> Path:
        """The directory of run directories, absolute."""
        return (self.run_dir or self.home / "runs").absolute()

    @property
    def warm_pool(self) -> Path:
        """The directory of warm processes, on the disk of the run directories they become."""
        return self.runs / ".warm"

    @property
    def packs(self) -> Path:
        """The directory of decoded datasets, absolute."""
        return (self.pack_dir or self.home / "packs").absolute()
