"""The client against the real API: models, datasets, jobs, keys; names, pages and refusals."""

import json
from pathlib import Path

import numpy as np
import pytest

from distillery.cli.specs import with_ids
from distillery.sdk.client import Client
from distillery.sdk.errors import ApiError, ExitCode, UsageMistake
from distillery.wire.keys import KeyCreate


@pytest.fixture(scope="module")
def npz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "tiny.npz"
    np.savez(path, x_train=np.zeros((4, 8, 8), np.uint8), y_train=np.arange(4))
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A safetensors file with one tensor: 8 bytes of length, the header, the data."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    path = tmp_path_factory.mktemp("data") / "net.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    return path


def test_ready_says_so(client: Client) -> None:
    assert client.ready().ok


def test_datasets_are_pushed_listed_resolved_and_removed(client: Client, npz: Path) -> None:
    first = client.datasets.push(npz, format="npz", name="one")
    assert (first.name, first.state, first.format) == ("one", "inspecting", "npz")
    assert client.datasets.get(first.id).sha256 == first.sha256
    assert client.datasets.resolve("one") == first.id == client.datasets.resolve(first.id)
    with pytest.raises(UsageMistake, match="no dataset named 'two'"):
        client.datasets.resolve("two")
    second = client.datasets.push(npz, format="npz", name="one")
    assert [item.id for item in client.datasets.list()] == [second.id, first.id]
    assert client.datasets.resolve("one") == second.id  # the same content: the newest
    client.datasets.push(npz, format="folder", name="one")
    with pytest.raises(UsageMistake, match="2 datasets are named 'one'"):
        client.datasets.resolve("one")


def test_lists_are_read_to_the_last_page(
    client: Client, npz: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distillery.sdk.transport.PAGE_SIZE", 2)
    made = [client.datasets.push(npz, format="npz", name=f"page {n}").id for n in range(5)]
    listed = [item.id for item in client.datasets.list() if item.name.startswith("page")]
    assert listed == made[::-1]


def test_a_model_is_pushed_with_its_network(client: Client, weights: Path) -> None:
    model = client.models.push(
        weights, architecture="resnet8", num_classes=10, options={"width": 0.25}
    )
    assert (model.name, model.state) == ("net", "inspecting")
    assert model.network.options == {"width": 0.25}
    with pytest.raises(UsageMistake, match="no weights"):
        client.models.pull(model, weights.with_name("x"))


def test_a_job_on_an_uninspected_dataset_is_not_ready(client: Client, npz: Path) -> None:
    client.datasets.push(npz, format="npz", name="fresh")
    spec = {
        "student": {"architecture": "resnet8"},
        "dataset": "fresh",
        "stages": [{"epochs": 1, "objectives": [{"method": "hard_target"}]}],
    }
    with pytest.raises(ApiError) as caught:
        client.jobs.submit(with_ids(spec, client))
    assert caught.value.problem.code == "not_ready"
    assert "Try again" in (caught.value.hint or "")
    assert list(client.jobs.list()) == []


def test_a_wrong_spec_is_refused_with_pointers(client: Client) -> None:
    with pytest.raises(ApiError, match="/student") as caught:
        client.jobs.check({"dataset": "ds_x", "stages": []})
    assert caught.value.problem.status == 422


def test_what_is_not_there_is_not_found(client: Client) -> None:
    for call in (client.jobs.get, client.jobs.cancel, client.models.get, client.datasets.remove):
        with pytest.raises(ApiError) as caught:
            call("job_x" if "Jobs" in str(call) else "mdl_x")
        assert caught.value.problem.status == 404
    with pytest.raises(ApiError):
        next(client.jobs.watch("job_x"))


def test_inspections_are_jobs_too(client: Client, npz: Path) -> None:
    dataset = client.datasets.push(npz, format="npz", name="looked at")
    assert dataset.inspect_job is not None
    job = client.jobs.get(dataset.inspect_job)
    assert (job.task, job.state, job.subject) == ("inspect_dataset", "queued", dataset.id)
    assert job.id in [j.id for j in client.jobs.list(task="inspect_dataset")]
    assert job.id in [j.id for j in client.jobs.list(task="inspect_dataset", order="gain")]
    with pytest.raises(ApiError, match="order"):
        next(client.jobs.list(order="beauty"))
    assert [str(move.target) for move in client.jobs.transitions(job.id)] == ["queued"]
    assert client.jobs.metrics(job.id).series == []
    assert client.jobs.artifacts(job.id) == ()


def test_methods_come_with_their_knobs(client: Client) -> None:
    methods = {method.name: method for method in client.methods.list()}
    assert methods["kd"].needs_teacher
    assert "temperature" in methods["kd"].knobs["properties"]


def test_a_key_opens_and_is_revoked(client: Client, api_url: str) -> None:
    key = client.keys.create(KeyCreate(name="ci", scopes=["read"]))
    with Client(api_url, key.key) as reader:
        assert list(reader.jobs.list()) == []
        with pytest.raises(ApiError) as caught:
            reader.keys.create(KeyCreate(name="more"))
        assert caught.value.exit == ExitCode.DENIED
        client.keys.revoke(key.id)
        with pytest.raises(ApiError) as caught:
            list(reader.jobs.list())
        assert caught.value.problem.status == 401
    assert [k.revoked_at is not None for k in client.keys.list() if k.id == key.id] == [True]
