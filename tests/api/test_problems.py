"""Every wrong spec is refused with a stable code and a JSON pointer to the place."""

from typing import Any

import pytest

from tests.api.makers import ApiHarness, ok, refused, spec

KD = {"method": "kd"}


def stages(*objectives: Any, **parts: Any) -> list[dict[str, Any]]:
    """One stage."""
    return [{"epochs": 1, "objectives": list(objectives)} | parts]


SHAPES: list[tuple[dict[str, Any], str, str]] = [
    ({"stages": stages(KD, {"method": "kdd"})}, "unknown_method", "/stages/0/objectives/1/method"),
    ({"stages": stages({"weight": 1})}, "missing", "/stages/0/objectives/0/method"),
    (
        {"stages": stages({**KD, "temperature": 0})},
        "out_of_range",
        "/stages/0/objectives/0/temperature",
    ),
    (
        {"stages": stages({**KD, "temperatur": 4})},
        "unknown_field",
        "/stages/0/objectives/0/temperatur",
    ),
    ({"stages": stages("kd")}, "wrong_type", "/stages/0/objectives/0"),
    ({"stages": stages(KD, epochs="x")}, "wrong_type", "/stages/0/epochs"),
    ({"stages": [{"objectives": [KD]}]}, "missing", "/stages/0/epochs"),
    (
        {"stages": stages(KD, optimizer={"name": "adam"})},
        "unknown_value",
        "/stages/0/optimizer/name",
    ),
    (
        {"stages": stages(KD, optimizer={"name": "sgd", "nesterov": True, "momentum": 0})},
        "invalid_value",
        "/stages/0/optimizer",
    ),
    ({"stages": []}, "wrong_length", "/stages"),
    ({"stages": None}, "wrong_type", "/stages"),
    (
        {"student": {"architecture": "resnet8", "options": {"width": []}}},
        "wrong_type",
        "/student/options/width",
    ),
    ({"student": {}}, "missing", "/student/architecture"),
    ({"dataset": "mdl_1"}, "invalid_value", "/dataset"),
    ({"colour": 1}, "unknown_field", "/colour"),
    ({"teachers": []}, "teacher_needed", "/teachers"),
    ({"seed": 2**31}, "out_of_range", "/seed"),
    ({"data": {"augment": ["crop", "spin"]}}, "unknown_value", "/data/augment/1"),
    ({"data": {"image_size": [32]}}, "missing", "/data/image_size/1"),
    ({"data": {"augment": [{"name": "spin"}]}}, "unknown_augmentation", "/data/augment/0"),
    (
        {"data": {"augment": [{"name": "cutout", "size": 2}]}},
        "out_of_range",
        "/data/augment/0/size",
    ),
    (
        {"data": {"augment": ["mixup"]}, "stages": stages({"method": "dkd"})},
        "mixed_labels",
        "/data",
    ),
]


@pytest.mark.parametrize(("parts", "code", "pointer"), SHAPES)
def test_a_misshapen_spec(
    shared: ApiHarness, parts: dict[str, Any], code: str, pointer: str
) -> None:
    body = spec("ds_1", "mdl_1") | parts
    problem = refused(shared.http.post("/v1/jobs", json=body), 422, code)
    assert [(e["code"], e["pointer"]) for e in problem["errors"]] == [(code, pointer)]


def test_an_unknown_method_lists_the_known_ones(shared: ApiHarness) -> None:
    body = spec("ds_1", "mdl_1") | {"stages": stages({"method": "magic"})}
    problem = refused(shared.http.post("/v1/jobs", json=body), 422, "unknown_method")
    assert "magic" in problem["detail"]
    assert "hard_target, kd, fitnet" in problem["detail"]


def test_several_faults_are_reported_together(shared: ApiHarness) -> None:
    body = spec("ds_1", "mdl_1") | {"seed": "x", "stages": stages({**KD, "temperature": -1})}
    problem = refused(shared.http.post("/v1/jobs", json=body), 422, "invalid_request")
    assert {(e["code"], e["pointer"]) for e in problem["errors"]} == {
        ("wrong_type", "/seed"),
        ("out_of_range", "/stages/0/objectives/0/temperature"),
    }
    assert "/seed: Input should be a valid integer" in problem["detail"]
    assert problem["next_step"] == "Correct each place that `errors` names."


def test_a_spec_that_does_not_fit_its_models_and_dataset(either: ApiHarness) -> None:
    dataset, teacher = either.dataset(), either.teacher()
    many, bare = either.teacher(num_classes=100), either.dataset(labelled=False)
    tap = {"method": "fitnet", "hint": {"module": "layer9"}}
    faults = [
        (spec("ds_none", teacher), "unknown_dataset", "/dataset"),
        (spec(dataset, teacher, "mdl_none"), "unknown_model", "/teachers/1/model"),
        (spec(dataset, teacher, many), "class_count_mismatch", "/stages/0/objectives/0"),
        (spec(bare), "dataset_without_labels", "/stages/0/objectives/0"),
        (
            spec(dataset, teacher, student={"architecture": "resnet9"}),
            "unknown_architecture",
            "/student/architecture",
        ),
        (
            spec(dataset, teacher, stages=stages(KD, tap)),
            "tap_not_found",
            "/stages/0/objectives/1/hint",
        ),
    ]
    for body, code, pointer in faults:
        for query in ("", "?dry_run=true"):
            problem = refused(either.http.post(f"/v1/jobs{query}", json=body), 422, code)
            assert [e["pointer"] for e in problem["errors"]] == [pointer]
    assert ok(either.http.get("/v1/jobs"))["data"] == []


def test_what_is_still_inspected_is_not_ready(harness: ApiHarness) -> None:
    teacher = harness.teacher()
    body = {"name": "digits", "format": "npz", "upload": harness.upload(b"PK\5\6" + bytes(18))}
    dataset = ok(harness.http.post("/v1/datasets", json=body))["id"]
    answer = harness.http.post("/v1/jobs", json=spec(dataset, teacher))
    problem = refused(answer, 409, "not_ready")
    assert problem["errors"][0]["pointer"] == "/dataset"
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "not_found"),
        ("POST", "/v1/nothing", 404, "not_found"),
        ("POST", "/anything", 404, "not_found"),
        ("PATCH", "/v1/jobs", 405, "method_not_allowed"),
        ("GET", "/v1/jobs/job_none", 404, "not_found"),
        ("GET", "/v1/jobs?limit=0", 422, "bad_parameter"),
        ("GET", "/v1/jobs?limit=9999", 422, "bad_parameter"),
        ("GET", "/v1/jobs?after=nonsense", 422, "bad_cursor"),
        ("GET", "/v1/jobs?state=flying", 422, "bad_parameter"),
        ("GET", "/v1/jobs/job_none/metrics?after_step=99999999999999999999", 422, "bad_parameter"),
        ("GET", "/v1/jobs/%00", 400, "bad_request"),
        ("GET", "/v1/jobs?after=%00", 400, "bad_request"),
    ],
)
def test_addresses_and_parameters(
    shared: ApiHarness, method: str, path: str, status: int, code: str
) -> None:
    refused(shared.http.request(method, path), status, code)


def test_405_lists_every_allowed_method(shared: ApiHarness) -> None:
    assert shared.http.request("PATCH", "/v1/jobs").headers["allow"] == "GET, POST"


def test_our_own_mistakes_tell_nothing_but_a_request_id(
    harness: ApiHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("distillery.store.jobs.get", broken)
    answer = harness.http.get("/v1/jobs/job_1", headers={"x-request-id": "mine-1"})
    problem = refused(answer, 500, "internal_error")
    assert problem["request_id"] == "mine-1"
    assert "secret" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_database_that_is_down_is_503(harness: ApiHarness) -> None:
    harness.database.dispose()
    path = harness.home / "distillery.sqlite"
    path.rename(path.with_suffix(".gone"))
    path.mkdir()  # nothing can be opened there
    answer = harness.http.get("/v1/jobs")
    refused(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "5"
    ready = harness.http.get("/v1/ready")
    assert (ready.status_code, ready.json()["ok"]) == (503, False)
    assert harness.http.get("/v1/health").status_code == 200
