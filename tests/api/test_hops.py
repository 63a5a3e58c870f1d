"""How often data is parsed, hashed and kept on its way through the service."""

import hashlib
import io
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import torch
from sqlalchemy import select
from torch import nn

from distillery.store import jobs
from distillery.store.db.tables import Dataset, Model, Upload
from distillery.worker.collect_artifacts import store_artifacts
from distillery.worker.device import DeviceSlot
from distillery.worker.plan import make_plan
from distillery.worker.rundir import RunDir
from kdcore.networks.weights import save_weights
from kdcore.networks.zoo import build_network
from kdcore.runs.prepare import prepare
from kdcore.runs.run import run
from kdcore.runtime.signals import StopFlag
from kdcore.runtime.specfile import read_spec
from kdcore.spec.codes import Exit
from kdcore.spec.recipe import teachers_where_needed
from kdcore.spec.run import DistillRun, Network
from tests.api.makers import DATASET_INFO, ApiHarness, ok, sha256, spec

NETWORK = Network(architecture="resnet20", num_classes=10)


def lay_out(harness: ApiHarness, claim: jobs.Claim, folder: Path) -> RunDir:
    """The run directory of a claim, as a worker makes it."""
    with harness.database.read() as s:
        plan = make_plan(s, claim, DeviceSlot(None, 1), folder / "packs")
    run_dir = RunDir(folder / "runs", claim.job_id, claim.attempt)
    run_dir.lay_out(plan, harness.app.state.services.blobs, lambda: None)
    return run_dir


@pytest.fixture
def constructed() -> Iterator[list[str]]:
    """The thread of every construction of a job's or a run's spec. Ask for it before the app, whose
    threads are watched only if they start later."""
    threads: list[str] = []

    def watch(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code is teachers_where_needed.__code__:
            threads.append(threading.current_thread().name)

    threading.setprofile(watch)
    sys.setprofile(watch)
    yield threads
    sys.setprofile(None)
    threading.setprofile(None)


def test_a_spec_is_constructed_once_at_every_boundary(
    constructed: list[str], either: ApiHarness, tmp_path: Path
) -> None:
    """From the request's body, from the database's row, for spec.json, and from spec.json."""
    body = spec(either.dataset(), either.teacher(), seed=7, name="a name")
    constructed.clear()
    job = ok(either.http.post("/v1/jobs", json=body))
    assert len(constructed) == 1
    claim = either.claim(job["id"])
    assert claim.limits.attempts == 3
    assert len(constructed) == 2
    read = read_spec(lay_out(either, claim, tmp_path).path)
    assert len(constructed) == 4
    assert isinstance(read, DistillRun)
    assert read.seed == job["spec"]["seed"] == 7
    assert "name" not in job["spec"], "the spec has no field of the request beside it"


class _Digest:
    """A sha256 that adds what it is given to a count."""

    def __init__(self, count: list[int], digest: Any, data: bytes):
        self._count, self._digest = count, digest
        self.update(data)

    def update(self, data: Any) -> None:
        self._count.append(len(data))
        self._digest.update(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._digest, name)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all that is hashed with sha256 in this process."""
    sizes: list[int] = []
    construct: Callable[[], Any] = hashlib.sha256
    monkeypatch.setattr(hashlib, "sha256", lambda data=b"": _Digest(sizes, construct(), data))
    monkeypatch.setattr(hashlib, "file_digest", lambda file, _: hashlib.sha256(file.read()))
    return sizes


def save_state_dict(module: nn.Module, path: Path) -> None:
    """Save weights as PyTorch users do."""
    torch.save(module.state_dict(), path)


def digits(harness: ApiHarness) -> str:
    """The id of a ready dataset that can be trained on."""
    file = io.BytesIO()
    labels = np.arange(20) % 10
    np.savez(file, x_train=np.zeros((20, 8, 8), np.uint8), y_train=labels)
    body = {"name": "digits", "format": "npz", "upload": harness.upload(file.getvalue())}
    made = ok(harness.http.post("/v1/datasets", json=body))
    counts = {"train": 20, "test": 0, "height": 8, "width": 8}
    harness.finish(made["inspect_job"], DATASET_INFO | counts)
    return str(made["id"])


def inspected(harness: ApiHarness, upload: str, format: str, folder: Path) -> str:
    """The id of a model of an upload, ready by a real inspection."""
    network = NETWORK.model_dump(include={"architecture", "num_classes"})
    body = {"name": "teacher", "format": format, "upload": upload} | network
    model = ok(harness.http.post("/v1/models", json=body))
    claim = harness.claim(model["inspect_job"])
    run_dir = lay_out(harness, claim, folder)
    assert run(run_dir.path, StopFlag()) is Exit.OK
    result = run_dir.result("inspect_model")
    blobs, stopping = harness.app.state.services.blobs, threading.Event()
    made = list(store_artifacts(run_dir, result, blobs, lambda: None, stopping))
    with harness.database.write() as s:
        jobs.succeed(s, claim, result.model_dump(mode="json"), made)
    return str(model["id"])


@pytest.mark.parametrize(
    ("format", "save", "hashes"),
    [("safetensors", save_weights, 4), ("state_dict", save_state_dict, 6)],
)
def test_a_teacher_is_hashed_at_every_boundary_and_kept_once(
    harness: ApiHarness,
    hashed: list[int],
    tmp_path: Path,
    format: str,
    save: Callable[[nn.Module, Path], None],
    hashes: int,
) -> None:
    """It is hashed as it arrives (as a part, and as the file that its hash then names) and as it is
    laid out for two runs. What an inspection converts is hashed twice more: by the run, and by the
    worker that does not trust it; the upload's bytes are given up then."""
    dataset = digits(harness)
    save(build_network(NETWORK), tmp_path / "weights")
    content = (tmp_path / "weights").read_bytes()
    announced = sha256(content)
    hashed.clear()
    upload = harness.upload(content, announced=announced)
    teacher = inspected(harness, upload, format, tmp_path)
    job = ok(harness.http.post("/v1/jobs", json=spec(dataset, teacher)))
    folder = lay_out(harness, harness.claim(job["id"]), tmp_path).path
    read = read_spec(folder)
    assert isinstance(read, DistillRun)
    (prepared,) = prepare(read, folder).setup.shared.teachers
    model = ok(harness.http.get(f"/v1/models/{teacher}"))
    assert prepared.sha256 == model["sha256"]
    assert round(sum(hashed) / len(content)) == hashes
    with harness.database.read() as s:
        named = {*s.scalars(select(Model.blob)), *s.scalars(select(Upload.blob))}
        others = {None, *s.scalars(select(Dataset.blob))}
    assert named - others == {model["sha256"]}
