"""Models over HTTP: registered, inspected, shown, downloaded, deleted."""

from tests.api.makers import ApiHarness, ok, refused, safetensors, spec

BODY = {"name": "teacher", "architecture": "resnet20", "num_classes": 10}


def test_a_model_from_its_upload_to_ready(either: ApiHarness) -> None:
    content = safetensors({"weight": [4]})
    answer = either.http.post("/v1/models", json=BODY | {"upload": either.upload(content)})
    made = ok(answer)
    assert answer.status_code == 202
    assert (made["state"], made["sha256"]) == ("inspecting", None)
    assert either.notified == [made["inspect_job"]]
    refused(either.http.get(f"/v1/models/{made['id']}/weights"), 409, "not_ready")
    ready = ok(either.http.get(f"/v1/models/{either.teacher()}"))
    assert (ready["state"], ready["parameters"], ready["size_bytes"]) == ("ready", 4, len(content))
    assert ready["modules"] == ["layer1", "layer1.relu"]
    listed = ok(either.http.get("/v1/models"))["data"]
    assert [model["state"] for model in listed] == ["ready", "inspecting"]
    assert listed[0]["modules"] is None
    assert either.http.get(f"/v1/models/{ready['id']}/weights").content == content


def test_a_model_in_use_stays(harness: ApiHarness) -> None:
    teacher = harness.teacher()
    job = ok(harness.http.post("/v1/jobs", json=spec(harness.dataset(), teacher)))
    refused(harness.http.delete(f"/v1/models/{teacher}"), 409, "in_use")
    ok(harness.http.post(f"/v1/jobs/{job['id']}/cancel"))
    assert harness.http.delete(f"/v1/models/{teacher}").status_code == 204
    refused(harness.http.get(f"/v1/models/{teacher}"), 404, "not_found")


def test_bad_weights_are_refused_at_once(harness: ApiHarness) -> None:
    cut = safetensors({"w": [4]})[:-1]
    for content, code in (
        (b"PK\3\4 torch.save", "bad_weights"),
        (b"\xff" * 20, "bad_weights"),
        (cut, "truncated"),
    ):
        body = BODY | {"upload": harness.upload(content)}
        problem = refused(harness.http.post("/v1/models", json=body), 422, code)
        assert problem["errors"][0]["pointer"] == "/upload"
    assert ok(harness.http.get("/v1/models"))["data"] == []
    as_pickle = BODY | {"upload": harness.upload(b"PK\3\4 torch.save"), "format": "state_dict"}
    ok(harness.http.post("/v1/models", json=as_pickle))  # the inspection run looks inside


def test_an_upload_must_be_there_and_complete(harness: ApiHarness) -> None:
    body = BODY | {"upload": "upl_none"}
    refused(harness.http.post("/v1/models", json=body), 422, "unknown_upload")
    opened = ok(harness.http.post("/v1/uploads", json={"size": 9}))["id"]
    answer = harness.http.post("/v1/models", json=BODY | {"upload": opened})
    refused(answer, 409, "upload_incomplete")
    stranger = harness.key("write", tenant="other")
    taken = BODY | {"upload": harness.upload(safetensors({"w": [1]}))}
    refused(harness.http.post("/v1/models", json=taken, headers=stranger), 422, "unknown_upload")


def test_an_unknown_architecture_is_refused_with_a_pointer(harness: ApiHarness) -> None:
    upload = harness.upload(safetensors({"w": [1]}))
    body = BODY | {"upload": upload, "architecture": "resnet21"}
    problem = refused(harness.http.post("/v1/models", json=body), 422, "unknown_architecture")
    assert problem["errors"][0]["pointer"] == "/architecture"


def test_numbers_are_bounded_where_they_are_given(harness: ApiHarness) -> None:
    """What a network or a clock cannot hold is refused before it gets there."""
    body = BODY | {"upload": harness.upload(safetensors({"w": [1]})), "num_classes": 1_000_001}
    refused(harness.http.post("/v1/models", json=body), 422, "out_of_range")
    body = {"name": "k", "expires_in_s": 2**53 - 1}
    refused(harness.http.post("/v1/keys", json=body), 422, "out_of_range")
