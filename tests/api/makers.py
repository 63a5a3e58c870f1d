"""The app under test, and what tests put into it."""

import hashlib
import io
import json
import zipfile
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from fastapi.testclient import TestClient

from distillery.api.config import ApiSettings
from distillery.api.main import create_app
from distillery.store import jobs, keys
from distillery.store.config import StoreSettings
from distillery.store.keys import Scope

JsonObject = dict[str, Any]
LOCAL = "http://localhost"


class Answer(Protocol):
    """What the test client answers with (the class differs between its versions)."""

    status_code: int

    @property
    def is_success(self) -> bool: ...
    @property
    def text(self) -> str: ...
    @property
    def headers(self) -> Any: ...
    def json(self) -> Any: ...


class ApiHarness:
    """An app with its client. `notified` lists the jobs that workers were notified of."""

    def __init__(self, database_url: str, home: Path, **settings: Any):
        self.notified: list[str] = []
        self.home = home
        usual: JsonObject = {"local_user": True, "web_dir": home / "web", "stream_poll_s": 0.02}
        self.settings = ApiSettings.model_validate(usual | settings)
        store = StoreSettings(home=home, database_url=database_url, min_free_bytes=0)
        self.app = create_app(
            self.settings, store, notify=self.notified.append, notifications_waiting=lambda: 0
        )
        self.http = TestClient(self.app, LOCAL, raise_server_exceptions=False)

    def __enter__(self) -> "ApiHarness":
        self.http.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.http.__exit__(kind, error, trace)

    @property
    def database(self) -> Any:
        """The app's database."""
        return self.app.state.services.database

    def key(self, *scopes: Scope, tenant: str = "default") -> dict[str, str]:
        """The header of a fresh key."""
        with self.database.write() as s:
            _, text = keys.create(s, tenant, "test", scopes)
        return {"Authorization": f"Bearer {text}"}

    def upload(
        self,
        content: bytes,
        headers: dict[str, str] | None = None,
        *,
        announced: str | None = None,
    ) -> str:
        """The id of a complete upload of these bytes. `announced`: their hash, as `kd` gives it."""
        body = {"size": len(content), "sha256": announced}
        made = ok(self.http.post("/v1/uploads", json=body, headers=headers))
        size = made["part_size"]
        for number, start in enumerate(range(0, len(content), size), 1):
            path = f"/v1/uploads/{made['id']}/parts/{number}"
            ok(self.http.put(path, content=content[start : start + size], headers=headers))
        ok(self.http.post(f"/v1/uploads/{made['id']}/complete", headers=headers))
        return str(made["id"])

    def dataset(self, **info: Any) -> str:
        """The id of a ready dataset: labelled grey 28x28 images in ten classes, but for `info`."""
        body = {"name": "digits", "format": "npz", "upload": self.upload(archive())}
        made = ok(self.http.post("/v1/datasets", json=body))
        self.finish(made["inspect_job"], DATASET_INFO | info)
        return str(made["id"])

    def teacher(self, **network: Any) -> str:
        """The id of a ready resnet20 for ten classes, but for `network`."""
        content = safetensors({"weight": [4]})
        body = {"architecture": "resnet20", "num_classes": 10, "input": {"channels": 1}} | network
        upload = {"name": "teacher", "upload": self.upload(content)}
        made = ok(self.http.post("/v1/models", json=body | upload))
        result = {
            "task": "inspect_model",
            "network": made["network"],
            "parameters": 4,
            "modules": ["layer1", "layer1.relu"],
            "artifacts": [],
        }
        self.finish(made["inspect_job"], result, {"weights": content})
        return str(made["id"])

    def submit(self, *teachers: str, **parts: Any) -> JsonObject:
        """A queued job over a fresh dataset."""
        return ok(self.http.post("/v1/jobs", json=spec(self.dataset(), *teachers, **parts)))

    def claim(self, job_id: str) -> jobs.Claim:
        """Hold a queued job, as a worker would."""
        with self.database.write() as s:
            claim = jobs.claim(s, job_id, "worker", 60.0)
        assert claim is not None
        return claim

    def finish(
        self, job_id: str, result: JsonObject, files: dict[str, bytes] | None = None
    ) -> None:
        """Let a queued job succeed with this result, and files by kind."""
        claim = self.claim(job_id)
        blobs = self.app.state.services.blobs
        made = []
        for kind, content in (files or {}).items():
            stored = blobs.put_stream([content])
            media_type = "application/octet-stream"
            made.append(jobs.NewArtifact(kind, f"student {kind}.bin", media_type, *stored[::-1]))
        with self.database.write() as s:
            jobs.succeed(s, claim, result, made)


DATASET_INFO: JsonObject = {
    "task": "inspect_dataset",
    "train": 100,
    "test": 20,
    "labelled": True,
    "num_classes": 10,
    "class_names": None,
    "channels": 1,
    "height": 28,
    "width": 28,
    "uniform": True,
}
_SCORE = {"accuracy": 0.9, "loss": 0.3, "samples": 10}
_REPORT: JsonObject = {
    "name": "student",
    "architecture": "resnet8",
    "parameters": 5,
    "size_bytes": 20,
    "latency_ms": 1.0,
    "last": _SCORE,
}
DISTILLED: JsonObject = {
    "task": "distill",
    "split": "test",
    "teachers": [_REPORT],
    "student": _REPORT,
    "baseline": _REPORT | {"last": _SCORE | {"accuracy": 0.8}},
    "gain": 0.1,
    "retention": 1.0,
    "gap_closed": 1.0,
    "network": {"architecture": "resnet8", "num_classes": 10},
    "artifacts": [],
    "machine": {"torch": "2", "device": "cpu", "threads": 1, "precision": "fp32"},
    "bit_exact": True,
    "seconds": {"training": 1.0},
}


def ok(response: Answer) -> JsonObject:
    """The body of a response that must be a success."""
    assert response.is_success, response.text
    body: JsonObject = response.json()
    return body


def refused(response: Answer, status: int, code: str) -> JsonObject:
    """The problem of a response that must be refused so."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: JsonObject = response.json()
    assert (body["status"], body["code"]) == (status, code), body
    assert body["request_id"] == response.headers["x-request-id"]
    return body


def spec(dataset: str, *teachers: str, **parts: Any) -> JsonObject:
    """A job's body: two epochs of kd, or of hard_target without teachers, but for `parts`."""
    method = "kd" if teachers else "hard_target"
    plain: JsonObject = {
        "teachers": [{"model": teacher} for teacher in teachers],
        "student": {"architecture": "resnet8"},
        "dataset": dataset,
        "stages": [{"epochs": 2, "objectives": [{"method": method}]}],
    }
    return plain | parts


def safetensors(shapes: dict[str, list[int]], **changes: Any) -> bytes:
    """A safetensors file of float32 zeros; `changes` replace parts of every entry."""
    header: JsonObject = {}
    end = 0
    for name, shape in shapes.items():
        size = 4
        for extent in shape:
            size *= extent
        entry = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        header[name] = entry | changes
        end += size
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(end)


def archive() -> bytes:
    """A zip file, which is enough for the API's first look at a dataset."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("x_train.npy", b"not looked at here")
    return buffer.getvalue()


def sha256(content: bytes) -> str:
    """Of some bytes, in hex."""
    return hashlib.sha256(content).hexdigest()
