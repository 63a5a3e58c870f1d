"""The client against the real API: models, datasets, jobs, keys; names, pages and refusals."""

import json
from pathlib import Path

import numpy as np
import pytest

from distillery import ApiError, Client
from distillery.cli.specs import with_ids
from distillery.sdk import JobSpec, UsageMistake
from distillery.sdk.errors import ExitCode


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


def test_it_is_ready_and_healthy(client: Client) -> None:
    assert client.ready().ok and client.health().ok


def test_datasets_are_pushed_listed_resolved_and_deleted(client: Client, npz: Path) -> None:
    first = client.datasets.push(npz, name="one", wait=False)
    assert (first.name, first.state, first.format) == ("one", "inspecting", "npz")
    assert client.datasets.get(first.id).sha256 == first.sha256
    assert client.datasets.get("one") == client.datasets.get(first.id)
    assert client.datasets.resolve("one") == first.id == client.datasets.resolve(first.id)
    with pytest.raises(UsageMistake, match="no dataset named 'two'"):
        client.datasets.get("two")
    second = client.datasets.push(str(npz), name="one", wait=False)
    assert [item.id for item in client.datasets.list()] == [second.id, first.id]
    assert client.datasets.resolve("one") == second.id  # the same content: the newest
    client.datasets.push(npz, format="folder", name="one", wait=False)
    with pytest.raises(UsageMistake, match="2 datasets are named 'one'"):
        client.datasets.delete("one")
    with pytest.raises(ApiError) as caught:
        client.datasets.delete(first.id)  # its inspection has not ended
    assert caught.value.problem.status == 409


def test_arrays_become_a_dataset_with_always_the_same_bytes(client: Client) -> None:
    x_train = np.arange(4 * 64, dtype=np.uint8).reshape(4, 8, 8)
    labels = [0, 1, 0, 1]
    first = client.datasets.push_arrays("arrays", x_train=x_train, y_train=labels, wait=False)
    again = client.datasets.push_arrays("again", x_train=x_train, y_train=labels, wait=False)
    assert (first.name, first.format) == ("arrays", "npz")
    assert first.sha256 == again.sha256
    with pytest.raises(UsageMistake, match="x_test does not hold numbers"):
        client.datasets.push_arrays("bad", x_train=x_train, x_test=["a", "b"])


@pytest.mark.parametrize("name", ["../outside", "a/b", "<b>", "x" * 200])
def test_the_name_of_arrays_is_not_used_as_a_file_name(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    images = np.zeros((2, 8, 8), dtype=np.uint8)
    assert client.datasets.push_arrays(name, x_train=images, wait=False).name == name
    assert not [path for path in tmp_path.rglob("*.npz") if path.is_file()]


def test_what_is_no_dataset_is_refused_before_anything_is_sent(
    client: Client, tmp_path: Path
) -> None:
    with pytest.raises(UsageMistake, match="There is no file or folder"):
        client.datasets.push(tmp_path / "nothing")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(UsageMistake, match=r"not an \.npz file"):
        client.datasets.push(tmp_path / "notes.txt")


def test_lists_are_read_to_the_last_page(
    client: Client, npz: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distillery.sdk.transport.PAGE_SIZE", 2)
    made = [client.datasets.push(npz, name=f"page {n}", wait=False).id for n in range(5)]
    listed = [item.id for item in client.datasets.list() if item.name.startswith("page")]
    assert listed == made[::-1]


def test_a_model_is_pushed_with_its_network(client: Client, weights: Path, tmp_path: Path) -> None:
    model = client.models.push(
        weights,
        architecture="resnet8",
        num_classes=10,
        options={"width": 0.25},
        input={"channels": 1, "height": 28, "width": 20},
        wait=False,
    )
    assert (model.name, model.state) == ("net", "inspecting")
    assert model.network.options == {"width": 0.25}
    assert (model.network.input.height, model.network.input.width) == (28, 20)
    with pytest.raises(UsageMistake, match="no weights"):
        client.models.download(model, tmp_path)
    again = client.models.push(weights, network=model.network, name="again", wait=False)
    assert again.network == model.network
    assert client.models.get("again").id == again.id


@pytest.mark.parametrize("name", [None, "../outside", "x" * 200])
def test_the_name_of_a_module_is_not_used_as_a_file_name(client: Client, name: str | None) -> None:
    tensors = {"w": np.zeros(2, dtype=np.float32)}
    model = client.models.push(
        tensors, architecture="torchvision/resnet18", num_classes=2, name=name, wait=False
    )
    assert model.name == (name or "torchvision/resnet18")


def test_a_wrongly_described_model_is_refused_before_anything_is_sent(
    client: Client, weights: Path
) -> None:
    before = len(list(client.models.list()))
    with pytest.raises(UsageMistake, match="is not described") as caught:
        client.models.push(weights)
    assert "architecture" in (caught.value.hint or "")
    with pytest.raises(UsageMistake, match="/num_classes"):
        client.models.push(weights, architecture="resnet8")
    with pytest.raises(UsageMistake, match="/input/height"):
        client.models.push(weights, architecture="resnet8", num_classes=2, input={"height": 1})
    with pytest.raises(UsageMistake, match="not a file"):
        client.models.push(weights.with_name("x"), architecture="resnet8", num_classes=2)
    assert len(list(client.models.list())) == before


def test_a_job_on_an_uninspected_dataset_is_not_ready(client: Client, npz: Path) -> None:
    client.datasets.push(npz, name="fresh", wait=False)
    spec = {
        "student": {"architecture": "resnet8"},
        "dataset": "fresh",
        "stages": [{"epochs": 1, "objectives": [{"method": "hard_target"}]}],
    }
    ids = with_ids(spec, client)
    for form in (ids, JobSpec.model_validate(ids)):
        with pytest.raises(ApiError) as caught:
            client.jobs.submit(form)
        assert caught.value.code == "not_ready"
        assert "Try again" in (caught.value.hint or "")
    assert list(client.jobs.list()) == []


def test_a_wrong_spec_is_refused_with_pointers(client: Client) -> None:
    with pytest.raises(ApiError, match="/student") as caught:
        client.jobs.check({"dataset": "ds_x", "stages": []})
    assert caught.value.problem.status == 422
    assert {"/student", "/stages"} <= set(caught.value.pointers)


def test_what_is_not_there_is_not_found(client: Client) -> None:
    for call, item in (
        (client.jobs.get, "job_x"),
        (client.models.get, "mdl_x"),
        (client.datasets.delete, "ds_x"),
    ):
        with pytest.raises(ApiError) as caught:
            call(item)
        assert caught.value.problem.status == 404


def test_inspections_are_jobs_too(client: Client, npz: Path) -> None:
    dataset = client.datasets.push(npz, name="looked at", wait=False)
    assert dataset.inspect_job is not None
    job = client.jobs.get(dataset.inspect_job)
    assert (job.task, job.state, job.subject) == ("inspect_dataset", "queued", dataset.id)
    assert job.id in [j.id for j in client.jobs.list(task="inspect_dataset")]
    assert job.id in [j.id for j in client.jobs.list(task="inspect_dataset", order="gain")]
    with pytest.raises(ApiError, match="order"):
        next(client.jobs.list(order="beauty"))
    assert [str(move.target) for move in job.transitions()] == ["queued"]
    assert job.metrics().series == []
    assert job.artifacts() == ()
    assert list(job.events()) == []


def test_an_action_brings_the_job_up_to_date(client: Client, npz: Path) -> None:
    job_id = client.datasets.push(npz, name="paused", wait=False).inspect_job
    assert job_id is not None
    job, other = client.jobs.get(job_id), client.jobs.get(job_id)
    assert job.pause() is job and job.state == "paused"
    assert other.state == "queued" and other.refresh().state == "paused"
    assert job.resume().state == "queued"
    assert job.cancel().state == "cancelled" and job.terminal
    with pytest.raises(ApiError) as caught:
        job.pause()
    assert caught.value.problem.status == 409


def test_methods_come_with_their_knobs(client: Client) -> None:
    methods = {method.name: method for method in client.methods.list()}
    assert methods["kd"].needs_teacher
    assert "temperature" in methods["kd"].knobs["properties"]


def test_a_key_opens_and_is_revoked(client: Client, api_url: str) -> None:
    key = client.keys.create("ci", ["read"])
    with Client(api_url, key.key) as reader:
        assert list(reader.jobs.list()) == []
        with pytest.raises(ApiError) as caught:
            reader.keys.create("more")
        assert caught.value.exit == ExitCode.DENIED
        client.keys.revoke(key.id)
        with pytest.raises(ApiError) as caught:
            list(reader.jobs.list())
        assert caught.value.problem.status == 401
    assert [k.revoked_at is not None for k in client.keys.list() if k.id == key.id] == [True]
    with pytest.raises(ApiError) as caught:
        client.keys.create("")
    assert caught.value.pointers == ["/name"]
