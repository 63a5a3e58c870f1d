"""Invalid input fails quickly, with a code and a pointer."""

import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from distillery import ApiError, Client, Rejected
from distillery.wire.catalog import Dataset
from tests.e2e.pictures import distilling, training, write_pictures
from tests.e2e.service import Service, finish

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with Service(tmp_path_factory.mktemp("bad") / "home") as service:
        yield service.client


@pytest.fixture(scope="module")
def dataset(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    file = write_pictures(tmp_path_factory.mktemp("pictures") / "pictures.npz")
    return client.datasets.push(file)


@pytest.fixture(scope="module")
def weights(client: Client, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    job = finish(client, client.jobs.submit(training(dataset.id, epochs=1)))
    assert job.student_model is not None
    folder = tmp_path_factory.mktemp("weights")
    return client.models.download(client.models.get(job.student_model), folder)


@pytest.mark.usefixtures("weights")
def test_a_missing_tap_fails_the_job_within_seconds(client: Client, dataset: Dataset) -> None:
    teacher = next(client.models.list())
    spec = distilling(dataset.id, teacher.id)
    spec["stages"][0]["objectives"] = [
        {"method": "fitnet", "guided": {"module": "no.such.place"}},
        {"method": "hard_target"},
    ]
    started_s = time.monotonic()
    job = finish(client, client.jobs.submit(spec), within_s=40)
    assert time.monotonic() - started_s < 20
    assert job.state == "failed" and job.error is not None
    assert job.error.code == "tap_not_found"
    assert "no.such.place" in job.error.message
    assert job.error.pointer == "/stages/0/objectives/0/guided"
    assert client.jobs.get(job.id).artifacts() == ()


def test_truncated_weights_are_rejected(client: Client, weights: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.safetensors"
    short.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ApiError, match="/upload: the file is truncated"):
        client.models.push(short, architecture="resnet8", num_classes=4)


def test_weights_of_another_network_are_rejected(client: Client, weights: Path) -> None:
    with pytest.raises((ApiError, Rejected), match=r"conv|weight|width|shape"):
        client.models.push(weights, architecture="resnet20", num_classes=4, name="wrong")


def test_a_zip_with_a_path_outside_is_rejected(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("train/a/1.png", b"x")
        archive.writestr("../outside.png", b"x")
    dataset = client.datasets.push(path, wait=False)
    with pytest.raises(Rejected, match=r"unsafe_archive"):
        client.datasets.wait(dataset.id)
    with pytest.raises(ApiError) as caught:
        client.jobs.submit(training(dataset.id))
    assert caught.value.problem.status in (409, 422)


def test_an_unknown_method_is_refused_with_a_pointer(client: Client, dataset: Dataset) -> None:
    spec = training(dataset.id)
    spec["stages"][0]["objectives"] = [{"method": "magic"}]
    with pytest.raises(ApiError) as caught:
        client.jobs.submit(spec)
    assert caught.value.problem.status == 422
    assert any("/stages/0/objectives/0" in (e.pointer or "") for e in caught.value.problem.errors)
