"""Settings of the worker and the reaper, read from KD_* variables."""

import os
from pathlib import Path

from pydantic import Field, model_validator

from distillery.store.config import Retention

# All that a run may know of its worker's environment; no credential is among these.
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
    """The part of this process's environment that a run gets."""
    return {name: os.environ[name] for name in INHERITED if name in os.environ}


class WorkerSettings(Retention):
    """How a worker looks after its jobs. Durations are seconds."""

    home: Path = Field(Path(".kd"), description="Everything the embedded default keeps on disk.")
    run_dir: Path | None = Field(None, description="Run directories; none: KD_HOME/runs.")
    pack_dir: Path | None = Field(
        None, description="Decoded datasets, shared by all runs; none: KD_HOME/packs."
    )
    slots: int | None = Field(
        None, ge=1, le=64, description="Jobs at once; none: one per GPU, or one on the CPU."
    )
    gpus: str | None = Field(
        None,
        validation_alias="CUDA_VISIBLE_DEVICES",
        description="GPUs to use, by number or UUID; empty: none; none: all there are.",
    )
    threads: int | None = Field(
        None, ge=1, description="CPU threads of a run; none: the CPUs divided by the slots."
    )
    warm: bool = Field(
        True, description="Keep a process with torch imported waiting for the next job, per slot."
    )
    lease_s: float = Field(60.0, gt=0, description="A job is taken away after so long in silence.")
    heartbeat_s: float = Field(10.0, gt=0, description="Between two renewals of a lease.")
    tick_s: float = Field(1.0, gt=0, description="Between two looks at events and requests.")
    poll_s: float = Field(
        3.0, gt=0, description="Between two looks for jobs whose notification was lost."
    )
    reaper_s: float = Field(5.0, gt=0, description="Between two reaper runs.")
    grace_s: float = Field(20.0, ge=0, description="From SIGTERM to SIGKILL for a run.")
    stall_s: float = Field(1800.0, gt=0, description="A run that says nothing for so long is dead.")
    teacher_cache_bytes: int = Field(
        10 * 2**30,
        ge=0,
        description="Teachers' outputs kept for a tenant's later jobs; 0: none. The longest unused "
        "go first.",
    )
    min_free_bytes: int = Field(
        512 * 2**20, ge=0, description="Free disk space below which no job is taken."
    )
    run_log_bytes: int = Field(
        16 * 2**20,
        ge=1 << 16,
        description="Of a longer log of a run the beginning and the end are kept.",
    )
    metrics_port: int | None = Field(
        None, ge=1, le=65_535, description="Serve the worker's metrics there; none: nowhere."
    )
    metrics_host: str = Field("127.0.0.1", description="Address of the metrics' port.")
    run_output_bytes: int = Field(
        2**30,
        ge=1 << 16,
        description="A run that writes more into its log, or into its events, is stopped.",
    )

    @model_validator(mode="after")
    def _heartbeats_fit_the_lease(self) -> "WorkerSettings":
        # A worker gives a job up after half a lease in silence: two beats must fit into that half.
        if self.heartbeat_s * 4 > self.lease_s:
            raise ValueError("KD_LEASE_S must be at least four times KD_HEARTBEAT_S")
        return self

    @property
    def runs(self) -> Path:
        """The directory of run directories, absolute."""
        return (self.run_dir or self.home / "runs").absolute()

    @property
    def warm_pool(self) -> Path:
        """Where processes wait for a job: on the disk of the run directories that rooms become."""
        return self.runs / ".rooms"

    @property
    def packs(self) -> Path:
        """The directory of decoded datasets, absolute."""
        return (self.pack_dir or self.home / "packs").absolute()
