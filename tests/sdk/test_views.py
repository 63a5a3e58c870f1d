"""What a notebook shows: small tables with every text escaped; curves as a DataFrame."""

import json
import sys
from typing import Any

import pytest

from distillery.sdk.errors import UsageMistake
from distillery.sdk.job import Job
from distillery.sdk.views import Dataset, Metrics, Model, Result
from tests.sdk.test_format import RESULT
from tests.sdk.test_job import JOB

EVIL = "<script>alert('x')</script>&"
ESCAPED = "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;&amp;"


def _shown(value: Any) -> str:
    html = value._repr_html_()
    assert isinstance(html, str) and html.count("<table>") == html.count("</table>") > 0
    return html


def _job(**changes: Any) -> Job:
    return Job.model_validate_json(json.dumps({**JOB, **changes}))


def test_a_running_job_shows_its_state_and_accuracies() -> None:
    html = _shown(_job(name=EVIL, latest={"student/accuracy": 0.915}))
    assert "running, training" in html and "91.5%" in html
    assert ESCAPED in html and "<script>" not in html


def test_a_failed_job_shows_its_error() -> None:
    error = {"code": "diverged", "message": EVIL, "pointer": "/stages/0"}
    html = _shown(_job(state="failed", terminal=True, error=error))
    assert f"diverged at /stages/0: {ESCAPED}" in html and "<script>" not in html


def test_a_finished_job_shows_its_result() -> None:
    result = json.loads(RESULT.model_dump_json())
    result["student"]["architecture"] = EVIL
    job = _job(state="succeeded", terminal=True, result=result)
    html = _shown(job)
    for text in ("succeeded", "98.0%", "96.0%", "same, from scratch", "+3.0 points", ESCAPED):
        assert text in html
    assert "<script>" not in html
    assert isinstance(job.result, Result) and "96.0%" in repr(job.result)
    assert repr(job) == str(job) == "Job('job_a', 'digits: succeeded')"


def test_models_and_datasets_are_tables_too() -> None:
    common = {
        "id": "mdl_a",
        "name": EVIL,
        "state": "rejected",
        "size_bytes": 25_900,
        "sha256": "0" * 64,
        "error": {"code": "bad_weights", "message": EVIL, "pointer": None},
        "inspect_job": None,
        "created_at": "2026-01-01T00:00:00Z",
    }
    network = {"architecture": EVIL, "num_classes": 10}
    model = Model.model_validate(
        {**common, "network": network, "parameters": 5142, "source_job": None}
    )
    html = _shown(model)
    assert html.count(ESCAPED) == 3 and "<script>" not in html
    assert "5,142" in html and "25.9 KB" in html and "bad_weights" in html
    dataset = Dataset.model_validate({**common, "format": "npz", "train": 4000, "test": 1000})
    html = _shown(dataset)
    assert html.count(ESCAPED) == 2 and "<script>" not in html
    assert "4,000 train, 1,000 test" in html
    assert repr(dataset) == str(dataset) == f"Dataset('mdl_a', name={EVIL!r}, state='rejected')"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics.model_validate(
        {
            "series": [
                {"name": "student/loss", "steps": [4, 8], "values": [1, 0.5], "downsampled": False},
                {"name": "a/accuracy", "steps": [8], "values": [0.9], "downsampled": False},
            ]
        }
    )


def test_curves_are_found_by_name(metrics: Metrics) -> None:
    assert metrics.names() == ["student/loss", "a/accuracy"]
    assert (metrics["student/loss"].steps, metrics["student/loss"].values) == ([4, 8], [1.0, 0.5])
    with pytest.raises(KeyError, match="student/loss, a/accuracy"):
        metrics["loss"]
    assert "0.5" in _shown(metrics)


def test_curves_become_a_frame_with_a_row_per_step(metrics: Metrics) -> None:
    frame = metrics.to_frame()
    assert list(frame.index) == [4, 8] and frame.index.name == "step"
    assert frame["student/loss"].tolist() == [1.0, 0.5]
    assert frame["a/accuracy"].isna().tolist() == [True, False]
    assert Metrics(series=[]).to_frame().empty


def test_without_pandas_the_error_says_what_to_install(
    metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageMistake) as caught:
        metrics.to_frame()
    assert caught.value.hint == "Install it: pip install 'distillery-kd[notebook]'"
