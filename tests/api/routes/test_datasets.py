"""Datasets over HTTP: registered, inspected, shown, deleted."""

from distillery.store import jobs
from kdcore.spec.codes import RunCode
from tests.api.makers import ApiHarness, archive, ok, refused


def test_a_dataset_from_its_upload_to_ready(either: ApiHarness) -> None:
    ready = ok(either.http.get(f"/v1/datasets/{either.dataset()}"))
    assert (ready["state"], ready["train"], ready["labelled"]) == ("ready", 100, True)
    assert (ready["size_bytes"], ready["channels"]) == (len(archive()), 1)
    listed = ok(either.http.get("/v1/datasets"))["data"]
    assert listed == [ready]
    assert either.http.delete(f"/v1/datasets/{ready['id']}").status_code == 204
    refused(either.http.delete(f"/v1/datasets/{ready['id']}"), 404, "not_found")


def test_a_rejected_dataset_has_the_reason(either: ApiHarness) -> None:
    body = {"name": "d", "format": "npz", "upload": either.upload(archive())}
    made = ok(either.http.post("/v1/datasets", json=body))
    assert (made["state"], made["train"]) == ("inspecting", None)
    claim = either.claim(made["inspect_job"])
    with either.database.write() as s:
        jobs.fail(s, claim, RunCode.BAD_DATASET, "no x_train in it")
    shown = ok(either.http.get(f"/v1/datasets/{made['id']}"))
    assert (shown["state"], shown["error"]["code"]) == ("rejected", "bad_dataset")


def test_what_is_no_archive_is_refused_at_once(harness: ApiHarness) -> None:
    for content in (b"not a zip", archive()[:-30]):
        body = {"name": "d", "format": "folder", "upload": harness.upload(content)}
        answer = harness.http.post("/v1/datasets", json=body)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == "/upload"
    assert ok(harness.http.get("/v1/datasets"))["data"] == []
