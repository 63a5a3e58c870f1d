"""The main job with real processes: upload, teacher, distillation, verified ONNX student."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from distillery import Client
from distillery.sdk.uploads import hash_file
from kdcore.networks.load import load_student
from kdcore.spec.run import Network
from tests.e2e.pictures import distilling, pictures, training, write_pictures
from tests.e2e.service import Service, finish

pytestmark = pytest.mark.e2e


def test_from_upload_to_a_verified_onnx_student(tmp_path: Path) -> None:
    with Service(tmp_path / "home", KD_WARM="true") as service:
        dataset, teacher = check_main_job(service.client, tmp_path)
        _check_features(service.client, dataset, teacher)
        _check_reused_classifier(service.client, dataset, teacher, tmp_path)


def _check_features(client: Client, dataset: str, teacher: str) -> None:
    """Run hints in a first stage, then several methods together."""
    last = [
        {"method": "reviewkd", "warmup_epochs": 1},
        {"method": "dkd"},
        {"method": "hard_target"},
    ]
    stages = [
        {"epochs": 1, "objectives": [{"method": "fitnet"}]},
        {"epochs": 2, "objectives": last},
    ]
    job = finish(client, client.jobs.submit(distilling(dataset, teacher, stages=stages)))
    assert job.state == "succeeded", job.error
    names = set(client.jobs.get(job.id).metrics().names())
    terms = {f"student/loss/{method}" for method in ("fitnet", "reviewkd", "dkd", "hard_target")}
    assert names >= terms


def _check_reused_classifier(client: Client, dataset: str, teacher: str, tmp_path: Path) -> None:
    """Download a student with its teacher's classifier, and upload it again as a teacher."""
    stages = [{"epochs": 1, "objectives": [{"method": "simkd"}]}]
    job = finish(client, client.jobs.submit(distilling(dataset, teacher, stages=stages)))
    assert job.state == "succeeded" and job.student_model is not None, job.error
    made = client.models.get(job.student_model)
    assert made.network.classifier_width is not None
    weights = client.models.download(made, tmp_path / "simkd")
    again = client.models.push(weights, name="back")
    assert again.parameters == made.parameters


def check_main_job(client: Client, tmp_path: Path) -> tuple[str, str]:
    """Run a job from upload to a verified ONNX student; returns the ids of dataset and teacher."""
    file = write_pictures(tmp_path / "pictures.npz")
    dataset = client.datasets.push(file)
    assert (dataset.train, dataset.test, dataset.num_classes) == (320, 80, 4)

    trained = finish(client, client.jobs.submit(training(dataset.id)))
    assert trained.state == "succeeded", trained.error
    assert trained.student_model is not None
    made = client.models.get(trained.student_model)
    weights = client.models.download(made, tmp_path / "teacher")
    teacher = client.models.push(weights, name="teacher")
    assert teacher.network == made.network and teacher.parameters == made.parameters

    job = client.jobs.submit(distilling(dataset.id, teacher.id))
    kinds = [event.kind for event in job.follow()]
    assert {"phase", "progress", "metrics", "end"} <= set(kinds)
    assert job.state == "succeeded", job.error
    assert job.result is not None and job.result.baseline is not None
    reported = job.result.student.last.accuracy
    assert reported is not None and reported > 0.5
    names = set(job.metrics().names())
    assert {"student/loss", "student/accuracy", "baseline/accuracy", "teacher/accuracy"} <= names

    folder = job.download(tmp_path / "out")
    for artifact in job.artifacts():
        assert hash_file(folder / artifact.name) == artifact.sha256
    _check_onnx(folder / "student.onnx", folder / "config.json", reported)
    _check_in_pytorch(folder, reported)
    return dataset.id, teacher.id


def _check_in_pytorch(folder: Path, reported: float) -> None:
    images_NHW, labels_N = pictures(80, seed=2)
    with torch.no_grad():
        logits_BK = load_student(folder)(torch.from_numpy(images_NHW[:, None]).float() / 255)
    accuracy = float((logits_BK.argmax(1).numpy() == labels_N).mean())
    assert abs(accuracy - reported) <= 1 / 80


def _check_onnx(onnx: Path, config: Path, reported: float) -> None:
    """Assert that the student has the reported accuracy in onnxruntime."""
    network = Network.model_validate(json.loads(config.read_text()))
    session = onnxruntime.InferenceSession(str(onnx), providers=["CPUExecutionProvider"])
    images_NHW, labels_N = pictures(80, seed=2)
    x_BCHW = images_NHW[:, None].astype(np.float32) / 255  # normalisation is part of the model
    (logits_BK,) = session.run(None, {session.get_inputs()[0].name: x_BCHW})
    assert logits_BK.shape == (80, network.num_classes)
    accuracy = float((logits_BK.argmax(1) == labels_N).mean())
    assert abs(accuracy - reported) <= 1 / 80
